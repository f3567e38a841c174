//! The layers, held by the manifests: who may know whom. The same rules for indirect dependencies
//! are in `.deny.toml`.

use std::{fs, path::Path};

/// What a crate must not depend on, and why.
const FORBIDDEN: [(&str, &[&str], &str); 4] = [
    (
        "balancer",
        &[
            "penstock-",
            "tokio",
            "hyper",
            "pingora",
            "tracing",
            "metrics",
            "futures",
        ],
        "pure algorithms: no runtime, no logging, nothing of ours",
    ),
    (
        "config",
        &["penstock-", "tokio", "hyper", "pingora", "axum", "rusqlite"],
        "values and their rules: no runtime, nothing of ours",
    ),
    (
        "gateway",
        &["penstock-control", "axum", "rusqlite", "nix", "procfs"],
        "the data plane knows control only by `config::fleet` and starts no process",
    ),
    (
        "control",
        &["penstock-gateway", "pingora"],
        "control knows the gateway only by `config::fleet`",
    ),
];

#[test]
fn crates_depend_only_on_the_layers_below_them() {
    for (folder, forbidden, why) in FORBIDDEN {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for name in dependencies.keys() {
            let broken = forbidden.iter().find(|start| name.starts_with(**start));
            assert!(
                broken.is_none(),
                "{folder} depends on {name}, but it is: {why}"
            );
        }
    }
}

#[test]
fn no_crate_allows_unsafe_code() {
    let root: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let lints = &root["workspace"]["lints"]["rust"];
    assert_eq!(lints["unsafe_code"].as_str(), Some("forbid"));
    for folder in ["balancer", "config", "control", "gateway"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{folder}"
        );
    }
}
