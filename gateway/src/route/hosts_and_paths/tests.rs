use std::{fmt::Write as _, path::Path};

use super::*;

/// A service `name` with its own host, the deployments `canary` and `stable`, and these paths.
fn service(name: &str, paths: &[&str]) -> Service {
    let mut text =
        format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.{name}]\npaths = {paths:?}\n");
    for deployment in ["canary", "stable"] {
        let _ = write!(
            text,
            "[services.{name}.deployments.{deployment}.static]\naddresses = [\"127.0.0.1:1\"]\n"
        );
    }
    let config = penstock_config::parse(&text, Path::new("test.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    Service::clone(&config.services[name])
}

fn table(services: &[Service]) -> RouteTable {
    RouteTable::build(services.iter().enumerate())
}

fn split(service: usize) -> Option<Target> {
    Some(Target {
        service,
        deployment: None,
    })
}

#[test]
fn a_host_is_found_whatever_its_case_port_and_trailing_dot() {
    let table = table(&[service("chat", &["/"]), service("embed", &["/"])]);
    for host in [
        "chat.local.localhost",
        "Chat.LOCAL.localhost",
        "chat.local.localhost:8080",
        "chat.local.localhost.",
        "chat.local.localhost.:8080",
    ] {
        assert_eq!(table.find(host, "/v1/models"), split(0), "{host}");
    }
    assert_eq!(table.find("embed.local.localhost", "/"), split(1));
}

#[test]
fn a_host_that_nobody_has_is_not_found() {
    let table = table(&[service("chat", &["/"])]);
    let long = "a".repeat(4096);
    for host in [
        "",
        ".",
        ":80",
        "chat",
        "chat.local.localhost..",
        "[::1]:80",
        "[",
        "ü",
        &long,
    ] {
        assert_eq!(table.find(host, "/"), None, "{host}");
    }
}

#[test]
fn a_wildcard_takes_hosts_below_it_that_nobody_names_in_full_the_longest_one_first() {
    let mut services = ["all", "own", "deep"].map(|name| service(name, &["/"]));
    for (service, host) in
        services
            .iter_mut()
            .zip(["*.Example.org", "chat.example.org", "*.eu.example.org"])
    {
        service.hosts.push(host.into());
    }
    let table = table(&services);
    for (host, expected) in [
        ("chat.example.org", split(1)),
        ("CHAT.example.org.:8080", split(1)),
        ("x.example.org", split(0)),
        ("X.Example.ORG:80", split(0)),
        // The star stands for one label or more, and never for none.
        ("a.b.example.org", split(0)),
        ("x.chat.example.org", split(0)),
        ("example.org", None),
        (".example.org", None),
        ("x.eu.example.org", split(2)),
        ("a.b.eu.example.org", split(2)),
        ("eu.example.org", split(0)),
        ("xexample.org", None),
        ("x.example.org.evil.net", None),
    ] {
        assert_eq!(table.find(host, "/"), expected, "{host}");
    }
    let long = format!("{}.example.org", "a.".repeat(100));
    assert_eq!(table.find(&long, "/"), split(0));
}

#[test]
fn the_default_service_takes_the_hosts_that_are_left_and_only_its_paths() {
    let mut services = [service("chat", &["/v1"]), service("embed", &["/e"])];
    services[0].is_default = true;
    services[1].hosts.push("*.example.org".into());
    let table = table(&services);
    for host in [
        "127.0.0.1:8080",
        "[::1]:8080",
        "localhost",
        "",
        "example.org",
    ] {
        assert_eq!(table.find(host, "/v1/models"), split(0), "{host}");
        assert_eq!(table.find(host, "/v2"), None, "{host}");
    }
    // A host that somebody names is not left, whatever its path.
    for host in ["embed.local.localhost", "x.example.org"] {
        assert_eq!(table.find(host, "/v1/models"), None, "{host}");
        assert_eq!(table.find(host, "/e"), split(1), "{host}");
    }
}

#[test]
fn services_share_a_wildcard_by_their_paths() {
    let mut services = [service("a", &["/"]), service("b", &["/v1"])];
    for service in &mut services {
        service.hosts.push("*.example.org".into());
    }
    let table = table(&services);
    assert_eq!(table.find("x.example.org", "/v1/models"), split(1));
    assert_eq!(table.find("x.example.org", "/v2"), split(0));
}

#[test]
fn an_ipv6_literal_is_a_host_of_its_own() {
    let mut chat = service("chat", &["/"]);
    chat.hosts.push("[::1]".into());
    let table = table(&[chat]);
    assert_eq!(table.find("[::1]", "/"), split(0));
    assert_eq!(table.find("[::1]:8080", "/"), split(0));
    assert_eq!(table.find("[::2]:8080", "/"), None);
}

#[test]
fn the_longest_path_prefix_wins_on_whole_segments() {
    let mut services = [
        service("a", &["/"]),
        service("b", &["/v1/"]),
        service("c", &["/v1/chat", "/x"]),
    ];
    for service in &mut services {
        service.hosts = vec!["example.org".into()];
    }
    let table = table(&services);
    for (path, expected) in [
        ("/", 0),
        ("/v10", 0),
        ("*", 0),
        ("", 0),
        ("/v1", 1),
        ("/v1/", 1),
        ("/v1/models", 1),
        ("/v1/chats", 1),
        ("/v1/chat", 2),
        ("/v1/chat/completions", 2),
        ("/x/v1", 2),
    ] {
        assert_eq!(table.find("example.org", path), split(expected), "{path}");
    }
}

#[test]
fn a_path_outside_the_prefixes_or_climbing_out_of_them_is_not_found() {
    let table = table(&[service("chat", &["/v1/"])]);
    for path in [
        "/",
        "/v2",
        "/v10",
        "//v1",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "*",
        "",
    ] {
        assert_eq!(table.find("chat.local.localhost", path), None, "{path}");
    }
}

#[test]
fn the_host_of_a_deployment_leads_there_and_obeys_the_paths_of_its_service() {
    let table = table(&[service("chat", &["/"]), service("embed", &["/v1"])]);
    let straight = |service, deployment| {
        Some(Target {
            service,
            deployment: Some(deployment),
        })
    };
    assert_eq!(
        table.find("canary--chat.local.localhost", "/"),
        straight(0, 0)
    );
    assert_eq!(
        table.find("stable--chat.local.localhost:80", "/x"),
        straight(0, 1)
    );
    assert_eq!(
        table.find("stable--embed.local.localhost", "/v1/x"),
        straight(1, 1)
    );
    assert_eq!(table.find("stable--embed.local.localhost", "/v2"), None);
    assert_eq!(table.find("blue--chat.local.localhost", "/"), None);
}

#[test]
fn ten_thousand_services_are_each_found() {
    let services: Vec<_> = (0..10_000)
        .map(|n| service(&format!("s{n}"), &["/"]))
        .collect();
    let table = table(&services);
    for n in 0..10_000 {
        assert_eq!(
            table.find(format!("S{n}.local.localhost:8080"), "/"),
            split(n)
        );
    }
}

#[test]
fn the_hosts_of_deployments_can_be_closed() {
    let mut closed = service("chat", &["/"]);
    closed.access.deployment_hosts = DeploymentHosts::Closed;
    let table = table(&[closed]);
    assert_eq!(table.find("canary--chat.local.localhost", "/"), None);
    assert_eq!(table.find("chat.local.localhost", "/"), split(0));
}
