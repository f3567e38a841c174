//! A running program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Long enough for the slowest machine; reached only when something is broken.
const LIMIT: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Labels of each metric; `None` when it has no sample.
pub(crate) type Metrics = BTreeMap<String, Option<BTreeSet<String>>>;

pub(crate) struct Running {
    dir: TempDir,
    child: Child,
    admin: String,
    gateway: String,
}

impl Running {
    /// One with every metric there is.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path(), "first");
        Self::start_in(dir)
    }

    /// An example, on free ports.
    pub(crate) fn start_example(name: &str) -> Self {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
        let text = fs::read_to_string(examples.join(name)).unwrap();
        let text = text.replace("127.0.0.1:8080", "127.0.0.1:0");
        let text = text.replace("127.0.0.1:9900", "127.0.0.1:0");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("penstock.toml"), text).unwrap();
        // As if it were installed.
        let installed = dir.path().join("penstock");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_penstock"), installed).unwrap();
        Self::start_in(dir)
    }

    fn start_in(dir: TempDir) -> Self {
        let ready = dir.path().join("ready.json");
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_penstock"))
            .args(["run", "penstock.toml"])
            .current_dir(&dir)
            .env("PENSTOCK_READY_FILE", &ready)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let text = eventually("it is ready", || fs::read_to_string(&ready).ok());
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Self {
            admin: text(&addresses["admin"]),
            gateway: text(&addresses["listeners"][0]),
            dir,
            child,
        }
    }

    /// Runs a command as a user of this one would, and expects it to succeed.
    pub(crate) fn run_command(&self, command: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.dir.path().display());
        let output = Command::new("sh")
            .args(["-ec", command])
            .env("PATH", path)
            .env("PENSTOCK_ADMIN", &self.admin)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
    }

    /// The model of the worker that answers a request to the bare address.
    pub(crate) fn model_that_answers(&self) -> String {
        let (head, body) = exchange(&self.gateway, "GET", "/v1/models", &self.gateway, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}\n{body}");
        let models: serde_json::Value = serde_json::from_str(&body).unwrap();
        models["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Returns once something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        eventually(what, || is_so().then_some(()));
    }

    /// So that there is a reload to count.
    pub(crate) fn reload_something_else(&self) {
        write_config(self.dir.path(), "second");
        let (head, body) = self.ask("POST", "/api/v1/reload");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}\n{body}");
    }

    /// Head and body of an answer of the admin API.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (String, String) {
        self.ask_with(method, path, "")
    }

    /// The same with a body.
    pub(crate) fn ask_with(&self, method: &str, path: &str, body: &str) -> (String, String) {
        exchange(&self.admin, method, path, "localhost", body)
    }

    /// Wakes the service first, so that there is a decision to count.
    pub(crate) fn metrics_once_a_worker_is_ready(&self) -> Metrics {
        let (head, _) = exchange(
            &self.gateway,
            "GET",
            "/v1/models",
            "chat.local.localhost",
            "",
        );
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        // One that is taken away, and one that sleeps.
        let worker = "/api/v1/services/spot/deployments/main/workers/0/preempt";
        let (head, _) = self.ask_with("POST", worker, r#"{"within": "1s"}"#);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let host = "naps.local.localhost";
        let (head, _) = exchange(&self.gateway, "GET", "/v1/models", host, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        eventually("a worker is ready", || {
            let (_, page) = self.ask("GET", "/metrics");
            let served = page.contains("penstock_request_duration_seconds_count{");
            let started = page.contains("penstock_start_seconds_count{");
            let scraped = page.contains("penstock_worker_scrapes_total{");
            let ended = page.contains("penstock_worker_exits_total{");
            let slept = page.contains("penstock_worker_sleeps_total{");
            let all = served && started && scraped && ended && slept;
            all.then(|| parse(&page))
        })
    }

    /// Ends it, with its workers.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("{log}");
            // Its workers end with it: asked, it stops them.
            let pid = Pid::from_raw(self.child.id().cast_signed());
            let _ = kill(pid, Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn write_config(dir: &Path, display_name: &str) {
    let program = env!("CARGO_BIN_EXE_penstock");
    let text = format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0" }}]
        admin = {{ address = "127.0.0.1:0" }}
        gateway = {{ access_log = {{ path = "access.log" }} }}
        gpus = {{ devices = ["0"] }}
        [services.chat]
        display_name = "{display_name}"
        [services.chat.deployments.stable]
        process = {{ command = ["{program}", "worker", "--load-time", "0s"] }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 0, rules = [{{ type = "target_tracking", metric = "worker:vllm:num_requests_waiting", target = 5 }}] }}
        [services.told.deployments.main]
        process = {{ command = ["{program}", "worker", "--load-time", "0s"], gpus = 1 }}
        scaling = {{ mode = "advise" }}
        price_per_hour = 2
        [services.spot.deployments.main]
        process = {{ command = ["{program}", "worker", "--load-time", "0s"] }}
        [services.naps.deployments.main]
        process = {{ command = ["{program}", "worker", "--load-time", "0s"] }}
        sleep = {{ engine = "vllm" }}
        scaling = {{ min = 0, idle_timeout = "1s", down = {{ stable_for = "1s" }} }}
        [services.crashes.deployments.main]
        process = {{ command = ["{program}", "worker", "--crash-on-start"] }}
        [services.chat.deployments.canary]
        static = {{ addresses = ["127.0.0.1:1"] }}
        probes.ready = {{ http = "/health" }}
        rollout = {{}}
        "#
    );
    let draft = dir.join("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, dir.join("penstock.toml")).unwrap();
}

fn exchange(address: &str, method: &str, path: &str, host: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    if path == "/api/v1/events" {
        // It has no end: the head tells that it is there.
        let mut lines = BufReader::new(stream);
        while !text.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut text).unwrap() > 0, "{text}");
        }
    } else {
        stream.read_to_string(&mut text).unwrap();
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Metrics by their names, without what a histogram adds to them.
fn parse(page: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').unwrap();
        metrics.insert(name.to_owned(), None);
    }
    for line in page.lines().filter(|line| line.starts_with("penstock_")) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let base = base
            .filter(|base| metrics.contains_key(*base))
            .unwrap_or(name);
        let metric = metrics.get_mut(base);
        let metric = metric.unwrap_or_else(|| panic!("{base} has no TYPE"));
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels = labels
            .map(|(label, _)| label.to_owned())
            .filter(|label| label != "le");
        metric.get_or_insert_default().extend(labels);
    }
    metrics
}

/// What `look` finds, as soon as it finds something.
#[allow(clippy::disallowed_methods, reason = "another process is waited for")]
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "it takes too long until {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
