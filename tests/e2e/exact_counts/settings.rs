//! Configurations of the storm: each number stands for other settings of everything.

use super::workers::Workers;

/// The key of all clients.
pub(super) const KEY: &str = "psk_storm";

/// Requests at once under the limit that comes and goes.
pub(super) const CONCURRENT_MAX: usize = 7;

const BALANCES: [&str; 5] = [
    "least-connections",
    "round-robin",
    "hash",
    "random",
    "peak-ewma",
];

const SPLITS: [&str; 7] = [
    "weights",
    "random",
    "round-robin",
    "hash",
    "workers",
    "weights",
    "least-connections",
];

const OVERFLOWS: [&str; 3] = [
    r#"overflow = "above-mean""#,
    r#"overflow = "when-full""#,
    r#"overflow = "never""#,
];

const STICKY: [&str; 3] = [
    "",
    r#"sticky = { cookie = "penstock", max_age = "1h" }"#,
    r#"sticky = { header = "x-user" }"#,
];

const MATCHES: [&str; 4] = [
    "",
    r#"match = [{ to = "canary", headers = { x-user = "3" } }]"#,
    r#"match = [{ to = "stable", path = "/echo", methods = ["POST"] }]"#,
    r#"match = [{ to = "canary", path = "/error" }, { to = "stable", headers = { x-user = "*" } }]"#,
];

const RETRIES: [&str; 4] = [
    "attempts = 0",
    "",
    "statuses = [500], any_method = true",
    "attempts = 1, budget_percent = 1, budget_per_second = 1",
];

const EJECTION: [&str; 3] = [
    "failures = 0",
    r#"failures = 3, first = "50ms", longest = "200ms""#,
    r#"failures = 2, first = "100ms", max_ejected_percent = 100"#,
];

const QUEUES: [&str; 4] = [
    "max_requests = 1000",
    "max_requests = 2",
    r#"classes = { batch = "1s" }, class_header = "x-class", fair_by = { header = "x-user" }"#,
    r#"max_wait = "1s", fair_by = "client-address""#,
];

const MIRRORS: [&str; 3] = [
    "",
    r#"mirror = { to = "shadow" }"#,
    r#"mirror = { to = "shadow", percent = 30, max_in_flight = 2, buffer = "16KiB", timeout = "1s" }"#,
];

const CLIENTS: [&str; 9] = [
    "",
    r#"clients = { allow = ["127.0.0.0/8"] }"#,
    r#"clients = { deny = ["10.0.0.0/8"] }"#,
    "",
    "",
    "",
    "",
    "",
    r#"clients = { deny = ["127.0.0.0/8"] }"#,
];

/// The key alone, and while another one replaces it. `printf %s psk_storm | sha256sum`.
const API_KEYS: [&str; 4] = [
    "",
    "",
    r#"api_keys.all.sha256 = "a7e93e2479c1afcb9c9b6e5466b771a8881fae03b7510f1f9faef84642a46e08""#,
    r#"api_keys.all = { sha256 = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "a7e93e2479c1afcb9c9b6e5466b771a8881fae03b7510f1f9faef84642a46e08",
    ], limits = [{ concurrent = 5 }] }
    pass_api_key = true"#,
];

const CANARIES: [&str; 7] = [
    "weight = 1",
    "weight = 9",
    "weight = 0",
    r#"weight = 3, when_cold = "spill""#,
    "takes_traffic = false",
    "max_concurrency = 1",
    r#"max_concurrency = 2, ramp = false, weight = 2"#,
];

const STABLES: [&str; 3] = [
    "",
    "max_concurrency = 2",
    "max_concurrency = 1, ramp = false",
];

const GATEWAYS: [&str; 3] = [
    "",
    r#"gateway.access_log = { path = "access.log" }"#,
    r#"gateway.trusted_proxies = ["127.0.0.1"]"#,
];

/// Choices that seem to be at random, and are the same for a number every time.
struct Choices(u64);

impl Choices {
    /// So that choices of neighbours have nothing to do with each other (splitmix64).
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(bits >> 33).expect("31 bits")
    }

    fn of<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.next() % choices.len()]
    }
}

/// No setting but what the workers need.
pub(super) fn plain(workers: &Workers) -> String {
    service("", "weight = 1", "", workers)
}

/// The limit of requests at once, and workers without a limit.
pub(super) fn limited(workers: &Workers) -> String {
    service(&limits(1), "weight = 1", "", workers)
}

/// The settings that this number stands for.
pub(super) fn variant(number: usize, workers: &Workers) -> String {
    let mut choose = Choices(number as u64);
    let balance = choose.of(&BALANCES);
    let split = choose.of(&SPLITS);
    let hash = match (balance, split) {
        ("hash", _) => format!(
            r#"hash = {{ header = "x-user", {} }}"#,
            choose.of(&OVERFLOWS)
        ),
        (_, "hash") => r#"hash = { cookie = "user" }"#.to_owned(),
        _ => String::new(),
    };
    let by_weights = split == "weights";
    let lines = [
        format!("balance = \"{balance}\""),
        format!("split = \"{split}\""),
        hash,
        choose
            .of(if by_weights { &STICKY } else { &[""] })
            .to_owned(),
        choose.of(&MATCHES).to_owned(),
        format!("retries = {{ {} }}", choose.of(&RETRIES)),
        format!("ejection = {{ {} }}", choose.of(&EJECTION)),
        format!("queue = {{ {} }}", choose.of(&QUEUES)),
        choose.of(&MIRRORS).to_owned(),
        choose.of(&CLIENTS).to_owned(),
        choose.of(&API_KEYS).to_owned(),
        choose.of(&["", "", "max_body = \"10KiB\""]).to_owned(),
        limits(choose.next()),
    ];
    let canary = if by_weights && choose.next().is_multiple_of(4) {
        r#"rollout = { interval = "200ms", min_requests = 5, max_error_rate = 0.2 }"#
    } else {
        choose.of(&CANARIES)
    };
    let stable = choose.of(&STABLES);
    service(&lines.join("\n"), canary, stable, workers).replacen(
        "#gateway",
        choose.of(&GATEWAYS),
        1,
    )
}

/// Two limits, of which the second refuses some requests whenever it is there.
fn limits(number: usize) -> String {
    let all = format!("{{ concurrent = {CONCURRENT_MAX} }}");
    match number % 3 {
        0 => String::new(),
        1 => format!("limits = [{all}]"),
        _ => format!(r#"limits = [{all}, {{ requests = 50, per = {{ header = "x-user" }} }}]"#),
    }
}

fn service(settings: &str, canary: &str, stable: &str, workers: &Workers) -> String {
    let Workers {
        stable: [one, two],
        canary: other,
        shadow,
        ..
    } = workers;
    let comma = if stable.is_empty() { "" } else { "," };
    format!(
        r#"
        #gateway
        [services.chat]
        {settings}
        [services.chat.deployments]
        stable = {{ static = {{ addresses = ["{}", "{}"] }}{comma} {stable} }}
        canary = {{ static = {{ addresses = ["{}"] }}, {canary} }}
        shadow = {{ static = {{ addresses = ["{}"] }}, takes_traffic = false }}
        "#,
        one.address, two.address, other.address, shadow.address
    )
}
