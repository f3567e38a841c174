//! What a configuration means where the file does not say it word by word.

use std::{fs, path::Path, time::Duration};

use penstock_config::{
    Balance, ConcurrencyRule, Config, Deployment, GpuSource, ProbeKind, ProcessCommand, Protocol,
    Rule, Service, Source, Split, load, parse, watched_folders,
};

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:8080\"\n";

fn config(text: &str) -> Config {
    let text = format!("{text}\n{LISTENER}");
    parse(&text, Path::new("/etc/penstock/penstock.toml")).unwrap_or_else(|e| panic!("{e}"))
}

/// The service `chat` of a configuration.
fn chat(text: &str) -> Service {
    (*config(text).services["chat"]).clone()
}

/// The deployment `stable` of the service `chat`, with these keys.
fn stable(keys: &str) -> Deployment {
    let service = chat(&format!("services.chat.deployments.stable = {{ {keys} }}"));
    (*service.deployments["stable"]).clone()
}

fn concurrency(deployment: &Deployment) -> ConcurrencyRule {
    match deployment.scaling.rules[..] {
        [Rule::Concurrency(rule)] => rule,
        ref rules => panic!("{rules:?}"),
    }
}

fn target(deployment: &Deployment) -> f64 {
    concurrency(deployment).target
}

const PROCESS: &str = "process = { command = [\"worker\"] }";

#[test]
fn settings_that_are_left_out_have_their_defaults() {
    let config = config("services.chat.deployments.stable.process.command = [\"worker\"]");
    assert_eq!((&*config.region, &*config.domain), ("local", "localhost"));
    assert_eq!(config.admin.address, "127.0.0.1:9900".parse().unwrap());
    assert_eq!(config.admin.state, Path::new("/etc/penstock/penstock.db"));
    assert_eq!(
        config.worker_logs.directory,
        Path::new("/etc/penstock/penstock-logs")
    );
    assert_eq!(config.gpus.source, GpuSource::Detect);
    assert!(config.gateway.threads >= 1);
    let service = &config.services["chat"];
    assert_eq!(service.display_name, "chat");
    assert_eq!(
        (service.balance, service.split),
        (Balance::LeastConnections, Split::Weights)
    );
    assert_eq!(service.paths, ["/"]);
    assert_eq!(
        (service.queue.max_requests, service.max_body_bytes),
        (10_000, None)
    );
    assert!(service.queue.shed_early && service.queue.headers);
    let deployment = &service.deployments["stable"];
    assert_eq!(
        (
            deployment.weight,
            deployment.ramp,
            deployment.max_concurrency
        ),
        (1, true, None)
    );
    assert_eq!((deployment.scaling.min, deployment.scaling.max), (1, 1));
}

#[test]
fn a_service_has_its_own_host_first_and_a_deployment_one_of_its_own() {
    let service = chat(
        "region = \"EU-1\"\ndomain = \"Example.org\"\n[services.chat]\nhosts = [\"Chat.Example.com:443\"]\n\
         [services.chat.deployments.stable]\nstatic = { addresses = [\"10.0.0.1:80\"] }",
    );
    assert_eq!(service.hosts, ["chat.eu-1.example.org", "chat.example.com"]);
    assert_eq!(
        service.deployments["stable"].host,
        "stable--chat.eu-1.example.org"
    );
}

#[test]
fn the_concurrency_target_is_100_or_max_concurrency_when_that_is_smaller() {
    assert_eq!(target(&stable(PROCESS)), 100.0);
    assert_eq!(
        target(&stable(&format!("{PROCESS}, max_concurrency = 8"))),
        8.0
    );
    assert_eq!(
        target(&stable(&format!("{PROCESS}, max_concurrency = 200"))),
        100.0
    );
    let rule = "scaling.rules = [{ type = \"concurrency\" }], max_concurrency = 8";
    assert_eq!(target(&stable(&format!("{PROCESS}, {rule}"))), 8.0);
    let rule = "scaling.rules = [{ type = \"concurrency\", target = 2.5 }], max_concurrency = 8";
    assert_eq!(target(&stable(&format!("{PROCESS}, {rule}"))), 2.5);
}

#[test]
fn beside_rules_that_only_move_bounds_or_look_ahead_there_is_the_default_one() {
    let rules = |rules: &str| {
        stable(&format!("{PROCESS}, scaling.rules = [{rules}]"))
            .scaling
            .rules
    };
    let schedule = "{ type = \"schedule\", cron = \"0 8 * * *\", duration = \"1h\", min = 1 }";
    let found = rules(&format!("{{ type = \"forecast\" }}, {schedule}"));
    let [Rule::Forecast(forecast), Rule::Schedule(_), default] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(*default, stable(PROCESS).scaling.rules[0]);
    assert_eq!(
        (forecast.target, forecast.headroom, forecast.ahead),
        (100.0, 1.0, None)
    );
    assert!(forecast.daily && forecast.weekly && forecast.slope);
    assert_eq!(
        rules("{ type = \"forecast\" }, { type = \"backlog\", target = 1 }").len(),
        2
    );
}

#[test]
fn max_follows_min() {
    let scaling = |keys: &str| stable(&format!("{PROCESS}, scaling = {{ {keys} }}")).scaling;
    assert_eq!((scaling("min = 0").min, scaling("min = 0").max), (0, 1));
    assert_eq!((scaling("min = 3").min, scaling("min = 3").max), (3, 3));
    assert_eq!((scaling("max = 3").min, scaling("max = 3").max), (1, 3));
}

#[test]
fn a_shorter_window_shortens_the_default_burst_window() {
    let keys = "scaling.rules = [{ type = \"concurrency\", window = \"2s\" }]";
    let rule = concurrency(&stable(&format!("{PROCESS}, {keys}")));
    assert_eq!(rule.burst_window, Duration::from_secs(2));
}

#[test]
fn rules_on_what_workers_say_stand_beside_one_on_what_the_gateway_counts() {
    let rules = |rules: &str| {
        let keys = format!("{PROCESS}, max_concurrency = 8, scaling.rules = [{rules}]");
        stable(&keys).scaling.rules
    };
    let worker = "{ type = \"target_tracking\", metric = \"worker:waiting\", target = 5 }";
    let alone = rules(worker);
    assert_eq!(alone.len(), 2);
    assert!(alone[0].worker_metric().is_some());
    assert!(matches!(&alone[1], Rule::Concurrency(rule) if rule.target == 8.0));
    let beside = rules(&format!("{worker}, {{ type = \"backlog\", target = 1 }}"));
    assert_eq!(beside.len(), 2);
}

#[test]
fn a_page_is_not_waited_for_longer_than_until_the_next_time() {
    let page = |keys: &str| stable(&format!("{PROCESS}, metrics = {{ {keys} }}")).metrics;
    let (usual, often) = (page(""), page("interval = \"1s\""));
    assert_eq!(
        (usual.path.as_str(), usual.interval),
        ("/metrics", Duration::from_secs(5))
    );
    assert_eq!(usual.timeout, Duration::from_secs(2));
    assert_eq!(often.timeout, Duration::from_secs(1));
}

#[test]
fn processes_are_asked_whether_they_have_loaded_and_others_by_tcp_unless_that_is_turned_off() {
    let probes = stable(PROCESS).probes;
    let ready = probes.ready.unwrap();
    assert_eq!(ready.kind, ProbeKind::Loaded);
    assert_eq!((ready.initial_delay, ready.failures), (Duration::ZERO, 3));
    assert_eq!((probes.startup, probes.live), (None, None));
    let h2 = stable(&format!("{PROCESS}, protocol = \"h2\"")).probes;
    assert_eq!(h2.ready.unwrap().kind, ProbeKind::Tcp);
    let fixed = "static = { addresses = [\"10.0.0.1:80\"] }";
    let kind = stable(fixed).probes.ready.map(|probe| probe.kind);
    assert_eq!(kind, Some(ProbeKind::Tcp));
    for source in [fixed, PROCESS] {
        let probes = stable(&format!("{source}, probes.ready = {{ tcp = false }}")).probes;
        assert_eq!(probes.ready, None);
    }
}

#[test]
fn a_voluntary_drain_never_has_less_time_than_a_forced_one() {
    let minutes = |keys: &str| {
        let deployment = stable(&format!("{PROCESS}{keys}"));
        let drains = [deployment.drain_timeout, deployment.voluntary_drain_timeout];
        drains.map(|drain| drain.as_secs_f64() / 60.0)
    };
    assert_eq!(minutes(""), [0.5, 60.0]);
    assert_eq!(minutes(", voluntary_drain_timeout = \"5m\""), [0.5, 5.0]);
    assert_eq!(minutes(", drain_timeout = \"2h\""), [120.0, 120.0]);
}

#[test]
fn only_live_probes_wait_before_the_first_one() {
    let probes = stable(&format!(
        "{PROCESS}, probes = {{ startup.tcp = true, ready.grpc = \"\", live.exec = [\"./check\"] }}"
    ))
    .probes;
    let delays =
        [probes.startup, probes.ready, probes.live.clone()].map(|p| p.unwrap().initial_delay);
    assert_eq!(
        delays,
        [Duration::ZERO, Duration::ZERO, Duration::from_secs(1)]
    );
    assert_eq!(
        probes.live.unwrap().kind,
        ProbeKind::Exec(vec!["/etc/penstock/check".to_owned()])
    );
}

#[test]
fn a_deployment_speaks_the_protocol_of_its_service_unless_it_has_its_own() {
    let service = chat(&format!(
        "[services.chat]\nprotocol = \"h2\"\n[services.chat.deployments]\n\
         stable = {{ {PROCESS} }}\ncanary = {{ {PROCESS}, protocol = \"http1\" }}"
    ));
    assert_eq!(service.deployments["stable"].protocol, Protocol::H2);
    assert_eq!(service.deployments["canary"].protocol, Protocol::Http1);
}

#[test]
fn a_static_deployment_has_as_many_workers_as_addresses() {
    let deployment =
        stable("static.addresses = [\"10.0.0.1:80\", { address = \"[::1]:80\", weight = 3 }]");
    assert_eq!((deployment.scaling.min, deployment.scaling.max), (2, 2));
    let Source::Static(addresses) = deployment.source else {
        panic!("it is static")
    };
    assert_eq!(addresses[0].weight, 1);
    assert_eq!(
        (&*addresses[1].address, addresses[1].weight),
        ("[::1]:80", 3)
    );
}

#[test]
fn a_program_with_a_slash_is_taken_from_the_folder_of_the_file_and_one_without_is_left_alone() {
    let command = |program: &str| {
        let deployment = stable(&format!(
            "process = {{ command = [\"{program}\", \"./x\"] }}"
        ));
        let Source::Process(process) = deployment.source else {
            panic!("it is a process")
        };
        let ProcessCommand::Exec(command) = process.command else {
            panic!("it is no shell")
        };
        assert_eq!(process.directory, Path::new("/etc/penstock"));
        assert_eq!(command[1], "./x");
        command[0].clone()
    };
    assert_eq!(command("penstock"), "penstock");
    assert_eq!(command("./bin/worker"), "/etc/penstock/bin/worker");
    assert_eq!(command("/bin/worker"), "/bin/worker");
}

#[test]
fn included_services_are_added_and_their_paths_begin_in_their_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("penstock.toml");
    // The pattern finds the main file too, which is not read twice.
    fs::write(
        &main,
        format!("include = [\"*.toml\", \"services/*.toml\"]\n{LISTENER}"),
    )
    .unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    for name in ["chat", "speech"] {
        let file = folder.path().join(format!("services/{name}.toml"));
        let text = format!("[services.{name}.deployments.stable]\nprocess = {{ shell = \"run\" }}");
        fs::write(file, text).unwrap();
    }
    fs::write(folder.path().join("services/.hidden.toml"), "not = read").unwrap();
    let config = load(&main).unwrap();
    assert_eq!(config.services.len(), 2);
    let Source::Process(process) = &config.services["chat"].deployments["stable"].source else {
        panic!("it is a process");
    };
    assert_eq!(process.directory, folder.path().join("services"));
}

#[test]
fn a_file_that_is_missing_or_not_text_is_an_error_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.toml");
    let name = file.display();
    assert_eq!(
        load(&file).unwrap_err().to_string(),
        format!("{name}: no such file")
    );
    fs::write(&file, b"region = \"\xff\"").unwrap();
    assert_eq!(
        load(&file).unwrap_err().to_string(),
        format!("{name}:1: must be UTF-8, and byte 11 of this line (0xFF) is not")
    );
    assert!(
        load(folder.path())
            .unwrap_err()
            .to_string()
            .contains(": cannot be read: ")
    );
}

#[test]
fn the_folders_of_the_file_and_of_its_includes_are_watched_even_while_it_has_errors() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("penstock.toml");
    let names = |folders: &[&str]| {
        folders
            .iter()
            .map(|name| folder.path().join(name))
            .collect()
    };
    assert_eq!(watched_folders(&main), names(&[""]));
    let include = "include = [\"a.toml\", \"services/*.toml\", \"x/y/*/z.toml\"]\nregion = 7";
    fs::write(&main, include).unwrap();
    assert_eq!(watched_folders(&main), names(&["", "services", "x/y"]));
    assert_eq!(watched_folders(Path::new("a.toml")), [".".into()].into());
}

#[test]
fn strings_are_filled_in_from_the_environment_and_numbers_may_be_too() {
    let service = chat(
        r#"services.chat.display_name = "${CARGO_PKG_NAME}: ${PENSTOCK_TEST_MISSING:-a b}"
        services.chat.deployments.stable.max_concurrency = "${PENSTOCK_TEST_MISSING:-7}"
        services.chat.deployments.stable.takes_traffic = "${PENSTOCK_TEST_MISSING:-true}"
        services.chat.deployments.stable.drain_timeout = "${PENSTOCK_TEST_MISSING:-9s}"
        services.chat.deployments.stable.process.shell = "exec serve --port $PORT ${MODEL}""#,
    );
    assert_eq!(service.display_name, "penstock-config: a b");
    let stable = &service.deployments["stable"];
    assert_eq!(stable.max_concurrency, Some(7));
    assert!(stable.takes_traffic);
    assert_eq!(stable.drain_timeout, Duration::from_secs(9));
}
