//! What the README and the other pages say is so.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer")]

mod pages;
mod running;

use std::{collections::BTreeSet, fs, process::Command};

use pages::PAGES;
use running::Running;

fn penstock(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(args)
        .output()
        .unwrap()
}

fn help(command: &str) -> String {
    let output = penstock(&[command, "--help"]);
    assert!(output.status.success(), "there is no penstock {command}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn exactly_the_commands_that_exist_are_listed_with_options_they_have() {
    let page = String::from_utf8(penstock(&["--help"]).stdout).unwrap();
    let (_, page) = page.split_once("Commands:\n").unwrap();
    let (page, _) = page.split_once("\n\n").unwrap();
    let exist = page.lines().map(|line| line.split_whitespace().next());
    let exist: BTreeSet<&str> = exist.flatten().filter(|name| *name != "help").collect();
    let rows = pages::table("The commands");
    let listed = rows.iter().map(|row| row[0].split(' ').nth(1).unwrap());
    assert_eq!(listed.collect::<BTreeSet<_>>(), exist);
    for row in &rows {
        let help = help(row[0].split(' ').nth(1).unwrap());
        for option in pages::code(row[1]).filter(|code| code.starts_with('-')) {
            assert!(help.contains(option), "{} has no {option}:\n{help}", row[0]);
        }
    }
}

#[test]
fn every_command_that_is_mentioned_anywhere_exists() {
    let code =
        |page: &'static pages::Page| pages::code(&page.text).chain(pages::blocks(page, "sh"));
    let mentioned: BTreeSet<&str> = PAGES
        .iter()
        .flat_map(code)
        .flat_map(str::lines)
        .filter_map(|code| code.split_once("penstock ").map(|(_, rest)| rest))
        .filter_map(|rest| rest.split([' ', '`']).next())
        // What follows the name of an image or a volume is no command.
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .filter(|word| !word.is_empty())
        .collect();
    assert!(mentioned.contains("status"), "{mentioned:?}");
    mentioned
        .into_iter()
        .for_each(|command| drop(help(command)));
}

#[test]
fn every_example_can_be_added_to_the_first_one_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    // The certificate that docs/https.md has its reader make.
    for (option, name) in [("cert", "tls.crt"), ("key", "tls.key")] {
        assert!(
            help("cert").contains(&format!("[default: {name}]")),
            "{option}"
        );
    }
    let [cert, key] = ["tls.crt", "tls.key"].map(|name| dir.path().join(name));
    let [cert, key] = [&cert, &key].map(|file| file.to_str().unwrap());
    let made = penstock(&[
        "cert",
        "--self-signed",
        "localhost",
        "--cert",
        cert,
        "--key",
        key,
    ]);
    assert!(made.status.success());
    let file = dir.path().join("penstock.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = penstock(&["check", file.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{errors}");
    };
    // Those of the README are files as they stand.
    pages::blocks(pages::page("README.md"), "toml").for_each(check);
    let first = pages::blocks(pages::page("docs/configuration.md"), "toml").next();
    let first = first.unwrap();
    let others = PAGES.iter().filter(|page| page.path.starts_with("docs"));
    let others = others.flat_map(|page| pages::blocks(page, "toml"));
    let mut count = 0;
    for example in others.filter(|example| *example != first) {
        check(&pages::added(first, example));
        count += 1;
    }
    assert!(count > 10, "{count} examples");
    check(first);
}

#[test]
fn the_commands_do_with_the_example_what_the_page_says() {
    let penstock = Running::start_example("canary.toml");
    let weights = pages::commands("Weights while it runs");
    // Of twenty requests, those that the canary gets after the first command, and once that is back.
    let first = match weights[0].contains("canary=10%") {
        true => 2,
        false => 10,
    };
    for (command, canary) in weights.iter().zip([first, 20, first, 2]) {
        penstock.run_command(command);
        penstock.until("the weights are in force", || {
            let models = (0..20).map(|_| penstock.model_that_answers());
            models.filter(|model| model == "canary").count() == canary
        });
    }
    assert_eq!(weights.len(), 4);
    for command in pages::commands("Pause and resume") {
        penstock.run_command(command);
    }
    penstock.run_command("penstock rollout speech");
    penstock.stop();
}

#[test]
fn everything_that_is_linked_exists() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in PAGES.iter() {
        let own = page.path.file_name().unwrap().to_str().unwrap();
        for target in page.text.split("](").skip(1) {
            let (target, _) = target.split_once(')').unwrap();
            if target.starts_with("http") {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { own } else { file };
            let file = top.join(&page.path).with_file_name(file);
            let from = page.path.display();
            assert!(file.exists(), "{target} of {from}");
            if !place.is_empty() {
                let text = fs::read_to_string(file).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line) == place);
                assert!(found, "{target} of {from}");
            }
        }
    }
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist_and_name_sections_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prometheus");
    let rows = pages::table("Metrics");
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    for file in ["alerts.yml", "dashboard.json"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let names = words.filter(|word| {
            ["penstock_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        });
        let mut count = 0;
        for name in names {
            assert!(
                listed.contains(name.trim_end_matches("_bucket")),
                "{name} in {file}"
            );
            count += 1;
        }
        assert!(count > 15, "{count} metrics in {file}");
    }
    let alerts = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let headings: BTreeSet<String> = pages::page("docs/operations.md")
        .text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect();
    let runbooks = alerts
        .lines()
        .filter_map(|line| line.split_once("runbook: "));
    for (_, runbook) in runbooks {
        let place = runbook.strip_prefix("docs/operations.md#").unwrap();
        assert!(headings.contains(place), "{runbook}");
    }
}

#[test]
fn every_page_can_be_found_from_the_index() {
    let index = &pages::page("docs/README.md").text;
    for page in PAGES.iter().filter(|page| page.path.starts_with("docs")) {
        let name = page.path.file_name().unwrap().to_str().unwrap();
        let linked = name == "README.md" || index.contains(&format!("]({name})"));
        assert!(linked, "docs/README.md does not link {name}");
    }
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    words.replace(' ', "-").chars().filter(kept).collect()
}

#[test]
fn every_reason_of_the_gateway_is_listed() {
    let source = include_str!("../../gateway/src/base/reason.rs");
    let (_, slugs) = source.split_once("fn slug(").unwrap();
    let (slugs, _) = slugs.split_once("fn status(").unwrap();
    let slugs: Vec<&str> = slugs.split('"').skip(1).step_by(2).collect();
    let rows = pages::table("Answers made by the gateway");
    let listed: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(listed, slugs);
}

#[test]
fn metrics_and_pages_of_a_running_program_are_those_that_are_listed() {
    let penstock = Running::start();
    penstock.reload_something_else();
    let metrics = penstock.metrics_once_a_worker_is_ready();
    let rows = pages::table("Metrics");
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    let exist: BTreeSet<&str> = metrics.keys().map(String::as_str).collect();
    assert_eq!(listed, exist);
    for row in &rows {
        let labels: BTreeSet<&str> = pages::code(row[1]).collect();
        let name = row[0];
        if let Some(exist) = &metrics[name] {
            let exist: BTreeSet<&str> = exist.iter().map(String::as_str).collect();
            assert_eq!(labels, exist, "labels of {name}");
        }
    }
    for row in pages::table("Requests to the admin address") {
        let (method, path) = row[0].split_once(' ').unwrap();
        // What stands there as JSON is an example of a body.
        let example = pages::code(row[1]).find(|code| code.starts_with('{'));
        let path = path.replace("{service}", "chat");
        let path = path.replace("{deployment}", "stable");
        let (head, body) = penstock.ask_with(method, &path, example.unwrap_or_default());
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}\n{body}");
    }
    penstock.stop();
}
