//! Configurations of the storm: each number stands for other settings of everything.

use super::workers::Workers;

/// The key of all clients.
pub(super) const KEY: &str = "psk_storm";

/// `printf %s psk_storm | sha256sum`
const KEY_HASH: &str = "a7e93e2479c1afcb9c9b6e5466b771a8881fae03b7510f1f9faef84642a46e08";

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

const CLIENTS: [&str; 5] = [
    "",
    r#"clients = { allow = ["127.0.0.0/8"] }"#,
    r#"clients = { deny = ["10.0.0.0/8"] }"#,
    "",
    r#"clients = { deny = ["127.0.0.0/8"] }"#,
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

const GATEWAYS: [&str; 3] = [
    "",
    r#"gateway.access_log = { path = "access.log" }"#,
    r#"gateway.trusted_proxies = ["127.0.0.1"]"#,
];

fn pick<'c>(choices: &[&'c str], number: usize) -> &'c str {
    choices[number % choices.len()]
}

/// No setting but what the workers need.
pub(super) fn plain(workers: &Workers) -> String {
    service("", "weight = 1", "", workers)
}

/// The limit of requests at once, and workers without a limit.
pub(super) fn limited(workers: &Workers) -> String {
    service(&limits(1), "weight = 1", "", workers)
}

/// Settings that differ in something from those of all numbers near. The lists have lengths without a
/// common divisor where it matters, so that everything meets everything.
pub(super) fn variant(number: usize, workers: &Workers) -> String {
    let balance = pick(&BALANCES, number);
    let split = pick(&SPLITS, number);
    let hash = match (balance, split) {
        ("hash", _) => format!(
            r#"hash = {{ header = "x-user", {} }}"#,
            pick(&OVERFLOWS, number / 5)
        ),
        (_, "hash") => r#"hash = { cookie = "user" }"#.to_owned(),
        _ => String::new(),
    };
    let sticky = if split == "weights" {
        pick(&STICKY, number)
    } else {
        ""
    };
    let api_keys = if number.is_multiple_of(3) {
        format!(r#"api_keys.all = {{ sha256 = "{KEY_HASH}" }}"#)
    } else {
        String::new()
    };
    let lines = [
        format!("balance = \"{balance}\""),
        format!("split = \"{split}\""),
        hash,
        sticky.to_owned(),
        pick(&MATCHES, number).to_owned(),
        format!("retries = {{ {} }}", pick(&RETRIES, number)),
        format!("ejection = {{ {} }}", pick(&EJECTION, number)),
        format!("queue = {{ {} }}", pick(&QUEUES, number)),
        pick(&MIRRORS, number).to_owned(),
        pick(&CLIENTS, number).to_owned(),
        api_keys,
        limits(number),
        if number % 4 == 1 {
            "max_body = \"10KiB\"".to_owned()
        } else {
            String::new()
        },
    ];
    let stable = [
        "",
        "max_concurrency = 2",
        "max_concurrency = 1, ramp = false",
    ];
    service(
        &lines.join("\n"),
        pick(&CANARIES, number),
        pick(&stable, number),
        workers,
    )
    .replacen("#gateway", pick(&GATEWAYS, number), 1)
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
