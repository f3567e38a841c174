//! What is not the same in two revisions, for people. Values of arguments and of the environment are
//! secret, so only their names are told; of a line for the shell not even these.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Display},
};

use penstock_config::{ContainerSpec, ProcessCommand, ProcessSpec, Source};

/// Lines of one difference; what goes beyond is counted.
const LINES_MAX: usize = 20;

/// One line for each setting that differs.
pub(super) fn between(before: &Source, after: &Source) -> Vec<String> {
    let mut lines = Lines::default();
    match (before, after) {
        (Source::Process(before), Source::Process(after)) => lines.process(before, after),
        (Source::Container(before), Source::Container(after)) => lines.container(before, after),
        _ => lines.0.push(format!("{} → {}", kind(before), kind(after))),
    }
    let Lines(mut lines) = lines;
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn kind(source: &Source) -> &'static str {
    match source {
        Source::Process(_) => "process",
        Source::Container(_) => "container",
        Source::Static(_) => "static",
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn process(&mut self, before: &ProcessSpec, after: &ProcessSpec) {
        match (&before.command, &after.command) {
            (ProcessCommand::Exec(before), ProcessCommand::Exec(after)) => {
                self.arguments("command", before, after);
            }
            (ProcessCommand::Shell(before), ProcessCommand::Shell(after)) => {
                self.secret("shell", before, after);
            }
            (ProcessCommand::Exec(_), ProcessCommand::Shell(_)) => {
                self.0.push("command → shell".to_owned());
            }
            (ProcessCommand::Shell(_), ProcessCommand::Exec(_)) => {
                self.0.push("shell → command".to_owned());
            }
        }
        self.shown(
            "directory",
            &before.directory.display(),
            &after.directory.display(),
        );
        self.env(&before.env, &after.env);
        self.list("inherit_env", &before.inherit_env, &after.inherit_env);
        self.shown("gpus", &before.gpus, &after.gpus);
        self.noted("numa", &before.numa, &after.numa);
    }

    fn container(&mut self, before: &ContainerSpec, after: &ContainerSpec) {
        self.shown("image", &before.image, &after.image);
        let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
        for (name, before, after) in [
            ("entrypoint", &before.entrypoint, &after.entrypoint),
            ("command", &before.command, &after.command),
        ] {
            self.arguments(name, &words(before), &words(after));
        }
        self.noted("port", &before.port, &after.port);
        self.env(&before.env, &after.env);
        self.list("inherit_env", &before.inherit_env, &after.inherit_env);
        self.noted("directory", &before.directory, &after.directory);
        self.shown("gpus", &before.gpus, &after.gpus);
        self.noted("numa", &before.numa, &after.numa);
        self.noted(
            "cpus",
            &before.nano_cpus.map(cpus),
            &after.nano_cpus.map(cpus),
        );
        self.noted("memory", &before.memory, &after.memory);
        self.noted("shm_size", &before.shm_size, &after.shm_size);
        self.secret("volumes", &before.volumes, &after.volumes);
        self.noted("user", &before.user, &after.user);
        self.noted("network", &before.network, &after.network);
        self.noted("init", &before.init, &after.init);
    }

    /// What may be seen, both of it.
    fn shown(&mut self, name: &str, before: &impl Display, after: &impl Display) {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            self.0.push(format!("{name}: {before} → {after}"));
        }
    }

    /// The same of values that have no words of their own.
    fn noted(&mut self, name: &str, before: &(impl Debug + PartialEq), after: &impl Debug) {
        let plain = |value: String| {
            let bare = value.strip_prefix("Some(");
            let bare = bare.and_then(|value| value.strip_suffix(')'));
            bare.map_or_else(|| value.replace("None", "none"), str::to_owned)
        };
        let (before, after) = (plain(format!("{before:?}")), plain(format!("{after:?}")));
        if before != after {
            self.0.push(format!("{name}: {before} → {after}"));
        }
    }

    /// That it changed, and nothing else.
    fn secret<T: PartialEq>(&mut self, name: &str, before: &T, after: &T) {
        if before != after {
            self.0.push(format!("{name} changed"));
        }
    }

    fn list(&mut self, name: &str, before: &[String], after: &[String]) {
        if before != after {
            let (before, after) = (before.join(" "), after.join(" "));
            self.0.push(format!("{name}: {before} → {after}"));
        }
    }

    fn env(&mut self, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let what = match (before.get(name), after.get(name)) {
                (None, Some(_)) => "added",
                (Some(_), None) => "removed",
                (before, after) if before != after => "changed",
                _ => continue,
            };
            self.0.push(format!("env.{name} {what}"));
        }
    }

    /// The program is named, and of the arguments the options; their values are not.
    fn arguments(&mut self, name: &str, before: &[String], after: &[String]) {
        if before == after {
            return;
        }
        let mut told = Vec::new();
        match (before.first(), after.first()) {
            (Some(before), Some(after)) if before != after => {
                told.push(format!("{name}: {before} → {after}"));
            }
            _ => {}
        }
        let (old, new) = (options(before), options(after));
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for option in names {
            let what = match (old.get(option), new.get(option)) {
                (None, Some(_)) => "added",
                (Some(_), None) => "removed",
                (before, after) if before != after => "changed",
                _ => continue,
            };
            let option = if option.is_empty() {
                "arguments"
            } else {
                option
            };
            told.push(format!("{name}: {option} {what}"));
        }
        if told.is_empty() {
            told.push(format!("{name}: the order of arguments changed"));
        }
        self.0.append(&mut told);
    }
}

/// Arguments by the option that they belong to; those before the first have none.
fn options(command: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut option = "";
    for argument in command.iter().skip(1) {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if is_option(name) {
            option = name;
            found.entry(option).or_default().extend(value);
        } else {
            found.entry(option).or_default().push(argument);
        }
    }
    found
}

/// Whether it is the name of a long option and no secret: two dashes, a letter, and more of that kind.
fn is_option(name: &str) -> bool {
    let Some(bare) = name.strip_prefix("--") else {
        return false;
    };
    (2..=40).contains(&bare.len())
        && bare.starts_with(|c: char| c.is_ascii_lowercase())
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'_')
}

fn cpus(billionths: i64) -> String {
    format!("{}", billionths as f64 / 1e9)
}
