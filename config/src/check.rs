//! The second check: from what the file says to what it means, with the rules that need more than
//! one key, and the defaults that depend on other keys.

mod access;
mod admin;
mod balance;
mod container;
mod deployment;
mod gpus;
mod health;
mod metrics_page;
mod mirror;
mod models;
mod probes;
pub(crate) mod process;
mod queue;
mod request_key;
mod rollout;
mod routes;
mod scaling;
mod service;
mod settings;
mod split;
mod tiers;
mod tls;
mod update;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Config, ConfigError,
    document::Document,
    error::Problems,
    key_path::{KeyPath, Segment},
    raw,
};

/// Checks what was read. The result counts only when no problem was found.
pub(crate) fn check(
    file: raw::File,
    documents: &[Document<'_>],
    problems: &mut Problems,
) -> Config {
    let mut check = Check::new(documents, problems);
    let root = KeyPath::default();
    let domain = service::Domain {
        region: &file.region.0,
        name: &file.domain.0,
    };
    settings::check_domain(&mut check, &root, &domain);

    let services_path = root.key("services");
    if file.services.is_empty() && file.include.is_empty() {
        check.missing(
            &services_path,
            "there must be at least one service: [services.NAME]",
        );
    }
    let gpus = gpus::gpus(&mut check, &root.key("gpus"), file.gpus);
    let front_door_path = root.key("front_door");
    let front_door = models::front_door(&mut check, &front_door_path, file.front_door, &domain);
    let around = service::Around {
        domain: &domain,
        gpus: &gpus,
        front_door: &front_door,
    };
    let services: BTreeMap<_, _> = file
        .services
        .into_iter()
        .map(|(name, service)| {
            let path = services_path.key(name.as_str());
            let service = service::service(&mut check, &path, &name, service, &around);
            (name, Arc::new(service))
        })
        .collect();
    gpus::check_reservations(&mut check, &root.key("gpus"), &gpus, &services);
    routes::check(&mut check, &services_path, &services);
    models::check_together(&mut check, &root, &services, &front_door);

    let listeners = settings::listeners(&mut check, &root.key("listeners"), &file.listeners);
    let worker_logs = settings::worker_logs(&mut check, &root.key("worker_logs"), file.worker_logs);
    let containers = container::engine(&mut check, &root.key("containers"), file.containers);
    tls::check_hosts(&mut check, &root, &services, &front_door, &listeners);
    Config {
        admin: admin::admin(
            &mut check,
            &root.key("admin"),
            file.admin,
            &listeners,
            &services,
        ),
        gateway: settings::gateway(&mut check, &root.key("gateway"), file.gateway, &worker_logs),
        containers,
        worker_logs,
        region: file.region.0,
        domain: file.domain.0,
        listeners,
        gpus,
        services,
    }
}

/// What every check needs: the places of keys, and where to report.
struct Check<'c> {
    documents: &'c [Document<'c>],
    /// Which document a service is in.
    homes: HashMap<String, usize>,
    problems: &'c mut Problems,
}

impl<'c> Check<'c> {
    fn new(documents: &'c [Document<'c>], problems: &'c mut Problems) -> Self {
        let mut homes = HashMap::new();
        for (index, document) in documents.iter().enumerate() {
            let services = document
                .root
                .get("services")
                .and_then(|s| s.get_ref().as_table());
            for name in services.into_iter().flat_map(|services| services.keys()) {
                homes.entry(name.get_ref().to_string()).or_insert(index);
            }
        }
        Self {
            documents,
            homes,
            problems,
        }
    }

    /// Reports a broken rule, unless the key is wrong in another way already.
    fn error(&mut self, path: &KeyPath, rule: impl Into<String>) {
        let path = &self.in_file(path);
        if !self.problems.has(path) {
            document(self.documents, &self.homes, path).report(self.problems, path, rule);
        }
    }

    /// Where the file has what is checked at this path: lists are checked without the elements that were
    /// wrong by themselves.
    fn in_file(&self, path: &KeyPath) -> KeyPath {
        self.problems.in_file(path)
    }

    /// Whether the key or anything below it has an error. Of a list it says that it is not whole.
    fn touches(&self, path: &KeyPath) -> bool {
        self.problems.touches(&self.in_file(path))
    }

    /// Whether an error at or below the key fits.
    fn any_below(&self, path: &KeyPath, fits: impl Fn(&[Segment]) -> bool) -> bool {
        self.problems.any_below(&self.in_file(path), fits)
    }

    /// As [`error`](Self::error), without the value, which may be secret.
    fn error_without_value(&mut self, path: &KeyPath, rule: impl Into<String>) {
        let path = &self.in_file(path);
        if !self.problems.has(path) {
            let document = document(self.documents, &self.homes, path);
            document.report_without_value(self.problems, path, rule);
        }
    }

    /// Reports that something is not there, unless it is there and wrong.
    fn missing(&mut self, path: &KeyPath, rule: &str) {
        if !self.touches(path) {
            self.error(path, rule);
        }
    }

    /// Reports unless exactly one of the keys of a table is given. Says nothing when one of them is
    /// wrong.
    fn exactly_one(&mut self, path: &KeyPath, keys: &[(&str, bool)]) {
        let given: Vec<_> = keys
            .iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| *key)
            .collect();
        let wrong = keys.iter().any(|(key, _)| self.touches(&path.key(key)));
        if given.len() == 1 || wrong {
            return;
        }
        let all: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
        let rule = match given.len() {
            0 => format!("must have one of {}", listed(&all)),
            count if count == all.len() => format!("must have only one of {}", listed(&all)),
            _ => format!(
                "must have only one of {}, not {}",
                listed(&all),
                listed(&given)
            ),
        };
        self.error_without_value(path, rule);
    }

    /// Whether the file has this key.
    fn has(&self, path: &KeyPath) -> bool {
        let path = &self.in_file(path);
        document(self.documents, &self.homes, path).has(path)
    }

    /// `FILE:LINE` of a key.
    fn place(&self, path: &KeyPath) -> String {
        let path = &self.in_file(path);
        document(self.documents, &self.homes, path).place(path)
    }

    /// An error of a key that is yet to find its rule.
    fn fault(&self, path: &KeyPath) -> ConfigError {
        let path = &self.in_file(path);
        document(self.documents, &self.homes, path).fault(path, String::new())
    }

    /// A path from a file, which begins in that file's folder when it is relative.
    fn absolute(&self, key: &KeyPath, path: &Path) -> PathBuf {
        let folder = &document(self.documents, &self.homes, key).source.folder;
        let joined = folder.join(path);
        // Takes out the dots of `./state`; fails for the empty path only.
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// A program with a slash in its name is a path; one without is looked up by who runs it.
    fn program(&self, key: &KeyPath, mut command: Vec<String>) -> Vec<String> {
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = self
                .absolute(key, Path::new(program))
                .to_string_lossy()
                .into_owned();
        }
        command
    }
}

/// The document that a key is in or would be in.
fn document<'c>(
    documents: &'c [Document<'c>],
    homes: &HashMap<String, usize>,
    path: &KeyPath,
) -> &'c Document<'c> {
    let index = match path.segments() {
        [Segment::Key(services), Segment::Key(name), ..] if services == "services" => {
            homes.get(name).copied().unwrap_or(0)
        }
        _ => 0,
    };
    &documents[index]
}

/// `` `a`, `b` and `c` ``.
fn listed(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}
