//! What operators do holds, over a crash too, until they or the file say otherwise.

use nix::sys::signal::Signal;

use super::chat;
use crate::support::{eventually, penstock::Penstock};

const QUICK: &str = "--load-time 0s";

async fn kill_and_start_again(penstock: &mut Penstock) {
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
}

#[tokio::test]
async fn revisions_are_numbered_and_switched_to_until_the_file_says_something_new() {
    let mut penstock = Penstock::start(&chat(1, QUICK)).await;
    penstock.until_all_run("chat", 1, 2).await;
    penstock.reload(&chat(2, QUICK)).await;
    penstock.until_all_run("chat", 2, 2).await;
    let table = penstock.command(&["revisions", "chat/main"]).await;
    assert!(table.contains("env.ROUND changed"), "{table}");
    assert!(table.contains("2 *"), "{table}");
    let said = penstock
        .command(&[
            "switch",
            "chat/main",
            "1",
            "--reason",
            "2 is slow",
            "--by",
            "ann",
        ])
        .await;
    assert_eq!(said, "chat/main: switched from revision 2 to 1\n");
    penstock.until_all_run("chat", 1, 2).await;
    kill_and_start_again(&mut penstock).await;
    penstock.until_all_run("chat", 1, 2).await;
    for (args, word) in [
        (["status", "chat"], "revision 1 by hand since "),
        (
            ["explain", "chat"],
            "revision 1 by hand, by ann: 2 is slow; the file's is 2",
        ),
    ] {
        let text = penstock.command(&args).await;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(word), "{text}");
    }
    // Another change of the file leaves it alone.
    let other = chat(2, QUICK).replace("max = 4", "max = 5");
    penstock.reload(&other).await;
    penstock.until_all_run("chat", 1, 2).await;
    let found = penstock.deployment("chat", "main").await;
    assert_eq!(
        (&found["max"], &found["switched"]["value"]),
        (&5.into(), &1.into())
    );
    penstock.reload(&chat(3, QUICK)).await;
    penstock.until_all_run("chat", 3, 2).await;
    let found = penstock.deployment("chat", "main").await;
    assert!(found["switched"].is_null(), "{found}");
    let error = penstock.failing(&["switch", "chat/main", "9"]).await;
    assert_eq!(
        error,
        "penstock: chat/main has no revision 9; there are: 1, 2, 3\n"
    );
    penstock.command(&["switch", "chat", "2"]).await;
    penstock.until_all_run("chat", 2, 2).await;
    let said = penstock.command(&["switch", "chat", "--reset"]).await;
    assert_eq!(
        said,
        "chat/main: switched from revision 2 to 3, that of the file\n"
    );
    penstock.until_all_run("chat", 3, 2).await;
    penstock.stop().await;
}

#[tokio::test]
async fn a_reload_that_is_asked_for_says_who_changed_the_file_and_why() {
    let penstock = Penstock::start(&chat(1, QUICK)).await;
    penstock.until_all_run("chat", 1, 2).await;
    // The file may be followed before anybody asks; then it says so, and there is another change.
    for round in 2..100 {
        penstock.write_config(&chat(round, QUICK));
        let args = ["reload", "--by", "bob", "--reason", "new model"];
        assert_eq!(penstock.command(&args).await, "reloaded\n");
        let page = "/api/v1/services/chat/revisions";
        let status = penstock.admin().get(page).await.json();
        let newest = &status["deployments"][0]["revisions"][0];
        assert_eq!(newest["number"], round);
        if newest["via"] == "api" {
            assert_eq!(
                (&newest["by"], &newest["reason"]),
                (&"bob".into(), &"new model".into())
            );
            return;
        }
        assert_eq!(newest["via"], "file");
    }
    panic!("the file was always followed before anybody asked");
}

#[tokio::test]
async fn a_restart_replaces_every_worker_by_one_that_runs_the_same() {
    let mut penstock = Penstock::start(&chat(1, QUICK)).await;
    penstock.until_all_run("chat", 1, 2).await;
    let before = penstock.worker_processes();
    let said = penstock.command(&["restart", "chat"]).await;
    assert_eq!(
        said,
        "chat/main: its 2 workers are replaced by others that run the same\n"
    );
    eventually("other workers", async || {
        let now = penstock.worker_processes();
        (now.len() == 2 && now.is_disjoint(&before)).then_some(())
    })
    .await;
    penstock.until_all_run("chat", 1, 2).await;
    // The next run knows which they are, and leaves them alone.
    let restarted = penstock.worker_processes();
    kill_and_start_again(&mut penstock).await;
    penstock.until_all_run("chat", 1, 2).await;
    assert_eq!(penstock.worker_processes(), restarted);
    penstock.stop().await;
}

#[tokio::test]
async fn a_count_by_hand_holds_over_a_crash_until_the_rules_decide_again() {
    let mut penstock = Penstock::start(&chat(1, QUICK)).await;
    penstock.until_all_run("chat", 1, 2).await;
    let said = penstock.command(&["scale", "chat/main", "3"]).await;
    assert_eq!(
        said,
        "chat/main: 3 workers by hand, until penstock scale chat/main --auto\n"
    );
    penstock.until_all_run("chat", 1, 3).await;
    kill_and_start_again(&mut penstock).await;
    penstock.until_all_run("chat", 1, 3).await;
    // Fewer than `min` too.
    penstock
        .command(&["scale", "chat/main", "1", "--by", "ann"])
        .await;
    penstock.until_all_run("chat", 1, 1).await;
    let status = penstock.command(&["status", "chat"]).await;
    assert!(status.contains("1 worker by hand since "), "{status}");
    for (count, complaint) in [
        (
            "5",
            "5 workers of chat/main: at most 4 are allowed (scaling.max in the file)",
        ),
        (
            "0",
            "0 workers are not for `scale`: penstock pause chat/main stops it and answers its requests; with min = 0 it goes to zero by itself",
        ),
    ] {
        let error = penstock.failing(&["scale", "chat/main", count]).await;
        assert_eq!(error, format!("penstock: {complaint}\n"));
    }
    for (command, number, named) in [
        ("scale", None, "--auto"),
        ("scale", Some("-1"), "-1 is no number of workers"),
        ("switch", None, "--reset"),
        ("switch", Some("-3"), "-3 is no revision"),
    ] {
        let mut command = vec![command, "chat/main"];
        command.extend(number);
        let error = penstock.failing(&command).await;
        assert!(error.contains(named), "{error}");
    }
    penstock.command(&["scale", "chat/main", "--auto"]).await;
    penstock.until_all_run("chat", 1, 2).await;
    penstock.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_drained_by_hand_ends_and_is_replaced() {
    let mut penstock = Penstock::start(&chat(1, QUICK)).await;
    penstock.until_all_run("chat", 1, 2).await;
    let before = penstock.worker_processes();
    let error = penstock.failing(&["drain", "chat/main#7"]).await;
    assert_eq!(
        error,
        "penstock: chat/main has no worker 7; there are: 0, 1\n"
    );
    let said = penstock
        .command(&["drain", "chat/main#0", "--reason", "odd noise"])
        .await;
    assert_eq!(said, "chat/main: worker 0 drains, then it ends\n");
    eventually("another worker", async || {
        let now = penstock.worker_processes();
        (now.len() == 2 && now.intersection(&before).count() == 1).then_some(())
    })
    .await;
    penstock.until_all_run("chat", 1, 2).await;
    let journal = penstock.admin().get("/api/v1/journal").await;
    assert!(journal.text().contains("odd noise"), "{}", journal.text());
    penstock.stop().await;
}

#[tokio::test]
async fn workers_that_are_given_have_no_revisions_and_several_deployments_are_to_be_named() {
    let penstock = Penstock::start(
        r#"
        [services.given.deployments.main]
        static = { addresses = ["127.0.0.1:1"] }
        [services.two.deployments.a]
        process = { command = ["sleep", "1000"] }
        scaling = { min = 0 }
        [services.two.deployments.b]
        process = { command = ["sleep", "1000"] }
        scaling = { min = 0 }
        "#,
    )
    .await;
    for (args, complaint) in [
        (
            vec!["restart", "given"],
            "the workers of given are given by address: Penstock neither starts nor ends them",
        ),
        (
            vec!["scale", "two", "1"],
            "two has several deployments: name one of two/a, two/b",
        ),
        (
            vec!["restart", "two/c"],
            "two has no deployment c; there are: a, b",
        ),
        (
            vec!["revisions", "none"],
            "there is no service none; there are: given, two",
        ),
    ] {
        let error = penstock.failing(&args).await;
        assert_eq!(error, format!("penstock: {complaint}\n"), "{args:?}");
    }
    let table = penstock.command(&["revisions", "given"]).await;
    assert!(table.contains("given by address"), "{table}");
    let said = penstock.command(&["restart", "two"]).await;
    assert_eq!(said.lines().count(), 2, "{said}");
}
