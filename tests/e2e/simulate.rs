//! `penstock simulate` as somebody would call it.

use std::{fs, process::Command};

const TRACE: &str = "timestamp,service_seconds\n0,1\n0.5,1\n60,2\n";

fn simulate(folder: &std::path::Path, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_penstock"))
        .arg("simulate")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_trace_is_replayed_with_references_as_table_json_and_report() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trace.csv"), TRACE).unwrap();
    let (good, table, _) = simulate(folder.path(), &["trace.csv", "--references", "--decisions"]);
    assert!(good);
    for name in [
        "Penstock",
        "Knative KPA",
        "Kubernetes HPA",
        "Ray Serve",
        "SageMaker",
        "plain rule",
    ] {
        assert!(table.contains(name), "{table}");
    }
    let arguments = [
        "trace.csv",
        "--speed",
        "1,2",
        "--json",
        "--report",
        "report.html",
    ];
    let (good, json, _) = simulate(folder.path(), &arguments);
    assert!(good);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["requests"], 3);
    // One worker all the time, from the first arrival until the last request has its answer.
    assert_eq!(rows[0]["gpu_seconds"], 62.0);
    assert_eq!(rows[1]["gpu_seconds"], 32.0);
    let report = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.ends_with("</html>\n"));
}

#[test]
fn a_trace_of_several_services_is_replayed_on_too_few_gpus() {
    let folder = tempfile::tempdir().unwrap();
    // Two models in turn, each of which takes 40 s to load.
    let lines = (0..10).map(|number| format!("{number},5,model-{}\n", number % 2));
    let trace = format!(
        "timestamp,service_seconds,service\n{}",
        lines.collect::<String>()
    );
    fs::write(folder.path().join("trace.csv"), trace).unwrap();
    let arguments = ["trace.csv", "--gpus", "1", "--start", "40s"];
    let (good, table, error) = simulate(folder.path(), &arguments);
    assert!(good, "{error}");
    assert!(
        table.contains("in order of arrival") && table.contains("Penstock"),
        "{table}"
    );
    let (_, json, _) = simulate(folder.path(), &[&arguments[..], &["--json"]].concat());
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&rows[0]["starts"], &rows[1]["starts"]),
        (&10.into(), &2.into())
    );
    // What is not one is refused with what it should be.
    fs::write(folder.path().join("trace.csv"), TRACE).unwrap();
    let (good, _, error) = simulate(folder.path(), &arguments);
    assert!(
        !good && error.contains("timestamp,service_seconds,service"),
        "{error}"
    );
}

#[test]
fn rules_on_what_workers_know_are_left_out_with_a_word_about_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trace.csv"), TRACE).unwrap();
    let config = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        [services.chat.deployments.stable]
        process.shell = "true"
        scaling.rules = [{ type = "target_tracking", metric = "worker:queue", target = 1 }]
        "#;
    fs::write(folder.path().join("chat.toml"), config).unwrap();
    let arguments = ["trace.csv", "--compare", "chat.toml", "--speed", "1,2"];
    let (good, table, words) = simulate(folder.path(), &arguments);
    assert!(good, "{words}");
    assert!(table.contains("Penstock, chat"), "{table}");
    let word =
        "Penstock, chat: simulated workers have no metrics, rules on worker:queue are left out";
    assert_eq!(words.trim(), word);
}

#[test]
fn what_cannot_be_simulated_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trace.csv"), TRACE).unwrap();
    fs::write(folder.path().join("words.csv"), "hello\n").unwrap();
    for (arguments, expected) in [
        (&["nothing.csv"][..], "cannot open nothing.csv"),
        (&["words.csv"], "words.csv is no trace: line 1 is neither"),
        (&["trace.csv", "--speed", "0"], "--speed must be above 0"),
        (&["trace.csv", "--compare", "nothing.toml"], "nothing.toml"),
        (&["trace.csv", "--min", "5", "--max", "4"], "--max must be"),
    ] {
        let (good, _, error) = simulate(folder.path(), arguments);
        assert!(!good);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
