//! Words of other systems for what is named otherwise here.

/// The words, and what to write instead.
pub(super) const FOREIGN: [(&[&str], &str); 24] = [
    (
        &[
            "replicas",
            "instances",
            "workers",
            "min_replicas",
            "max_replicas",
            "min_workers",
            "max_workers",
            "num_replicas",
            "min_scale",
            "max_scale",
        ],
        "the number of workers is `min` and `max` under `scaling` of a deployment",
    ),
    (
        &[
            "container_concurrency",
            "concurrency",
            "max_concurrent_requests",
            "max_inflight",
            "max_in_flight",
            "max_ongoing_requests",
            "max_conns",
            "maxconn",
        ],
        "the limit of requests on one worker is `max_concurrency` of a deployment",
    ),
    (
        &[
            "target_concurrency",
            "target_in_flight",
            "target_ongoing_requests",
        ],
        "write `rules = [{ type = \"concurrency\", target = 100 }]` under `scaling` of a deployment",
    ),
    (
        &[
            "cooldown",
            "cooldown_period",
            "scale_down_delay",
            "stabilization_window",
            "stabilization_window_seconds",
        ],
        "how long load must be low before workers go is `down.stable_for` under `scaling`; before the last one goes, `idle_timeout`",
    ),
    (
        &["scale_to_zero", "idle_time", "scale_to_zero_grace_period"],
        "scale to zero is `min = 0` under `scaling`, after `idle_timeout` without requests",
    ),
    (
        &[
            "timeout",
            "read_timeout",
            "request_timeout",
            "timeout_seconds",
            "proxy_read_timeout",
        ],
        "the clocks of a request are `connect`, `first_byte`, `idle` and `total` under `timeouts` of a service",
    ),
    (
        &[
            "backends",
            "servers",
            "upstreams",
            "endpoints",
            "targets",
            "upstream",
            "nodes",
        ],
        "workers at fixed addresses are `static = { addresses = [\"host:port\"] }` of a deployment",
    ),
    (
        &["cmd", "args", "entrypoint", "exec_start", "run", "script"],
        "the program of a worker is `process = { command = [\"program\", \"argument\"] }` of a deployment",
    ),
    (
        &["environment", "env_vars", "envs"],
        "environment variables are `env` under `process` of a deployment",
    ),
    (
        &["cwd", "workdir", "working_dir", "working_directory"],
        "the working directory is `directory` under `process` of a deployment",
    ),
    (
        &[
            "readiness_probe",
            "readiness",
            "health_check",
            "healthcheck",
            "health",
            "liveness_probe",
            "liveness",
            "startup_probe",
        ],
        "probes are `probes.startup`, `probes.ready` and `probes.live` of a deployment",
    ),
    (
        &[
            "failure_threshold",
            "period_seconds",
            "initial_delay_seconds",
            "http_get",
            "tcp_socket",
        ],
        "a probe has `http`, `tcp`, `exec` or `grpc`, with `initial_delay`, `timeout`, `period` and `failures`",
    ),
    (
        &["listen", "bind", "port", "ports"],
        "the gateway's addresses are `[[listeners]]` with `address = \"127.0.0.1:8080\"`",
    ),
    (
        &[
            "client_max_body_size",
            "max_body_size",
            "body_limit",
            "max_request_body",
        ],
        "the longest request body is `max_body` of a service",
    ),
    (
        &[
            "algorithm",
            "balancing",
            "lb_policy",
            "load_balancer",
            "load_balancing",
            "strategy",
        ],
        "how a worker is picked is `balance` of a service, and how a deployment is chosen `split`",
    ),
    (
        &[
            "affinity",
            "hash_by",
            "hash_on",
            "session_affinity",
            "sticky_sessions",
        ],
        "clients are kept at a worker by `balance = \"hash\"` and `hash`, and at a deployment by `sticky`",
    ),
    (
        &["request_mirror", "shadow", "shadowing", "traffic_mirror"],
        "copies of requests are `mirror = { to = \"DEPLOYMENT\" }` of a service",
    ),
    (
        &[
            "circuit_breaker",
            "circuit_breakers",
            "fail_timeout",
            "max_fails",
            "outlier_detection",
            "passive_health_check",
        ],
        "failing workers are taken out by `ejection` of a service",
    ),
    (
        &[
            "max_retries",
            "num_retries",
            "retry",
            "retry_on",
            "retry_policy",
        ],
        "requests are sent again by `retries` of a service",
    ),
    (
        &[
            "limit_req",
            "rate_limit",
            "rate_limits",
            "ratelimit",
            "requests_per_second",
            "rps",
            "throttle",
        ],
        "write `limits = [{ requests = 100, period = \"1s\" }]` in a service",
    ),
    (
        &[
            "auth",
            "authentication",
            "authorization",
            "bearer",
            "tokens",
        ],
        "who may use a service is `api_keys` of it",
    ),
    (
        &[
            "allowed_ips",
            "allowlist",
            "blacklist",
            "denylist",
            "ip_filter",
            "whitelist",
        ],
        "networks of clients are `clients = { allow = [\"10.0.0.0/8\"] }` of a service",
    ),
    (
        &["priorities", "priority", "priority_levels"],
        "priorities are `classes` and `class_header` under `queue` of a service",
    ),
    (
        &["analysis", "canary_steps", "progressive", "set_weight"],
        "a share that rises by itself is `rollout` of a deployment",
    ),
];
