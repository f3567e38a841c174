//! `container` of a deployment, and `[containers]`.

use std::path::{Path, PathBuf};

use super::{
    Check,
    deployment::Context,
    gpus,
    process::{
        check_env, check_inherited,
        placeholder::{self, Filled},
    },
};
use crate::{
    ContainerNetwork, ContainerSpec, Containers, Pull, Volume, VolumeSource, key_path::KeyPath,
    raw, units,
};

/// Engines take no less.
const MEMORY_MIN: u64 = 6 << 20;

/// What the kernel needs of a file system in memory: a page.
const SHM_MIN: u64 = 4 << 10;

pub(super) fn container_spec(
    check: &mut Check<'_>,
    context: &Context<'_>,
    container: raw::Container,
) -> ContainerSpec {
    let path = &context.path.key("container");
    let image = image(check, path, container.image);
    for (key, words) in [
        ("entrypoint", &container.entrypoint),
        ("command", &container.command),
    ] {
        check_words(check, &path.key(key), words.as_deref().unwrap_or_default());
    }
    check_env(
        check,
        path,
        &container.env,
        container.gpus.count(),
        Filled::Container,
    );
    check_inherited(check, &path.key("inherit_env"), &container.inherit_env);
    check_plain(check, &path.key("user"), container.user.as_deref());
    if let Some(directory) = &container.directory
        && !directory.starts_with('/')
    {
        let rule = "must be an absolute path inside of the container";
        check.error(&path.key("directory"), rule);
    }
    at_least(
        check,
        &path.key("memory"),
        container.memory.as_ref(),
        MEMORY_MIN,
    );
    at_least(
        check,
        &path.key("shm_size"),
        container.shm_size.as_ref(),
        SHM_MIN,
    );
    let volumes = volumes(check, &path.key("volumes"), &container.volumes);
    let network = network(check, path, container.network, container.port);
    let credentials = container.registry_credentials;
    gpus::check_numa(check, path, container.numa, container.gpus.count());
    ContainerSpec {
        image,
        entrypoint: container.entrypoint,
        command: container.command,
        port: container.port,
        env: container.env,
        inherit_env: container.inherit_env,
        directory: container.directory,
        gpus: gpus::choice(
            check,
            &path.key("gpus"),
            context.gpus,
            context.service,
            container.gpus,
        ),
        numa: container.numa,
        nano_cpus: container.cpus.map(nano),
        memory: container.memory.map(|size| size.0),
        shm_size: container.shm_size.map(|size| size.0),
        volumes,
        user: container.user,
        network,
        pull: match container.pull {
            raw::Pull::Missing => Pull::Missing,
            raw::Pull::Always => Pull::Always,
            raw::Pull::Never => Pull::Never,
        },
        registry_credentials: credentials.map(|file| check.absolute(path, &file)),
        init: container.init,
        stop_grace: container.stop_grace.0,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the schema bounds it to 4096 cores"
)]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

fn image(check: &mut Check<'_>, path: &KeyPath, image: Option<String>) -> String {
    let key = path.key("image");
    let Some(image) = image else {
        check.missing(&key, "must name the image, as `docker run` takes it");
        return String::new();
    };
    let bad = |c: char| !(c.is_ascii_alphanumeric() || "._-/:@".contains(c));
    if image.contains("://") {
        let rule =
            "must be without a scheme, as `docker run` takes it: \"registry.example.org/name:tag\"";
        check.error(&key, rule);
    } else if image.contains(bad) || image.starts_with(['-', '/', ':', '@']) {
        let rule =
            "must be an image as `docker run` takes it, such as \"vllm/vllm-openai:v0.11.0\"";
        check.error(&key, rule);
    }
    image
}

/// Rules for the arguments of a program: no placeholder but `{port}`.
fn check_words(check: &mut Check<'_>, path: &KeyPath, words: &[String]) {
    let by_shell = words.iter().any(|word| word == "-c" || word == "-lc");
    for (index, word) in words.iter().enumerate() {
        let path = path.index(index);
        if word.contains('\0') {
            check.error_without_value(&path, "must not hold the character NUL");
        }
        let filled = if by_shell {
            Filled::Shell
        } else {
            Filled::Container
        };
        placeholder::check(check, &path, word, filled);
    }
}

fn check_plain(check: &mut Check<'_>, path: &KeyPath, text: Option<&str>) {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if text.is_some_and(|text| text.contains(bad)) {
        check.error(path, "must be a user, or user:group, by name or number");
    }
}

fn at_least(check: &mut Check<'_>, path: &KeyPath, size: Option<&raw::text::ByteSize>, min: u64) {
    if size.is_some_and(|size| size.0 < min) {
        check.error(
            path,
            format!("must be at least {}", units::format_size(min)),
        );
    }
}

fn volumes(check: &mut Check<'_>, path: &KeyPath, texts: &[String]) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let path = path.index(index);
        match volume(check, &path, text) {
            Ok(volume) => {
                if volumes.iter().any(|known| known.target == volume.target) {
                    let rule = format!("{} is mounted to twice", volume.target);
                    check.error(&path, rule);
                }
                volumes.push(volume);
            }
            Err(rule) => check.error(&path, rule),
        }
    }
    volumes
}

fn volume(check: &Check<'_>, path: &KeyPath, text: &str) -> Result<Volume, String> {
    let form =
        "must be \"FOLDER:PATH\" or \"NAME:PATH\", with \":ro\" behind if nothing may be written";
    let mut parts = text.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(form.to_owned());
    };
    let read_only = match (parts.next(), parts.next()) {
        (None | Some("rw"), None) => false,
        (Some("ro"), None) => true,
        _ => return Err(form.to_owned()),
    };
    if source.is_empty() || !target.starts_with('/') || target.contains('\0') {
        return Err(format!("{form}; PATH is absolute"));
    }
    if target.trim_end_matches('/').is_empty() {
        return Err("must not be mounted over the whole container".to_owned());
    }
    if source.starts_with('~') {
        return Err("~ is not filled in; write the whole path".to_owned());
    }
    let is_path = source.contains('/') || source == "." || source == "..";
    let may_be_in_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_name = source.len() > 1 && source.chars().all(may_be_in_name);
    if !is_path && !is_name {
        return Err(format!(
            "\"{source}\" is no name of a volume; a folder beside this file is written \"./{source}\""
        ));
    }
    Ok(Volume {
        source: if is_path {
            VolumeSource::Path(check.absolute(path, Path::new(source)))
        } else {
            VolumeSource::Named(source.to_owned())
        },
        target: target.to_owned(),
        read_only,
    })
}

fn network(
    check: &mut Check<'_>,
    path: &KeyPath,
    name: String,
    port: Option<u16>,
) -> ContainerNetwork {
    let key = path.key("network");
    match name.as_str() {
        "bridge" => ContainerNetwork::Bridge,
        "host" => {
            if port.is_some() {
                let rule = "must be left out with network = \"host\", where every worker needs a port of \
                            its own: give the program {port}";
                check.error(&path.key("port"), rule);
            }
            ContainerNetwork::Host
        }
        "none" => {
            check.error(&key, "must not be \"none\": nobody could reach the worker");
            ContainerNetwork::Bridge
        }
        other => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if !other.chars().all(fits) {
                let rule = "must be \"bridge\", \"host\", or the name of a network of the engine";
                check.error(&key, rule);
            }
            ContainerNetwork::Named(name)
        }
    }
}

pub(super) fn engine(
    check: &mut Check<'_>,
    path: &KeyPath,
    containers: raw::Containers,
) -> Containers {
    let key = path.key("socket");
    let socket = containers.socket.and_then(|socket| {
        let file = socket.strip_prefix("unix://").unwrap_or(&socket);
        if file.contains("://") || file.is_empty() {
            let rule = "must be a Unix socket of this machine, such as \"unix:///run/podman/podman.sock\": \
                        workers are reached on this machine";
            check.error(&key, rule);
            return None;
        }
        Some(check.absolute(&key, &PathBuf::from(file)))
    });
    Containers { socket }
}
