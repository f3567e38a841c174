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
            table.find(&format!("S{n}.local.localhost:8080"), "/"),
            split(n)
        );
    }
}
