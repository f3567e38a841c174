use super::*;
use crate::explain::{Inputs, Record, Step};

fn entry(n: u32, deployment: &str) -> JournalEntry {
    JournalEntry {
        at_ms: n.into(),
        service: "chat".to_owned(),
        deployment: deployment.to_owned(),
        kind: "wake".into(),
        text: format!("entry {n}"),
        before: Some(n),
        desired: Some(n + 1),
        record: Some(Box::new(record(n))),
        details: vec!["one".to_owned(), "two".to_owned()],
    }
}

fn record(n: u32) -> Record {
    Record {
        reason: "woken".to_owned(),
        inputs: Inputs {
            in_flight: n,
            mean_concurrency: Some(0.5),
            ..Inputs::default()
        },
        plan: vec![Step {
            action: "start".into(),
            worker: Some(n),
            words: "it is started".to_owned(),
        }],
        ..Record::default()
    }
}

fn worker(id: &str, saved: &str) -> WorkerRow {
    WorkerRow {
        sleep: String::new(),
        id: id.to_owned(),
        service: "chat".to_owned(),
        deployment: "stable".to_owned(),
        slot: 3,
        revision: "r".to_owned(),
        saved: saved.to_owned(),
    }
}

fn desired(at_ms: u64, desired: u32) -> DesiredRow {
    DesiredRow {
        at_ms,
        service: "chat".to_owned(),
        deployment: "stable".to_owned(),
        desired,
    }
}

fn query(deployment: Option<&str>, limit: u32) -> JournalQuery {
    JournalQuery {
        service: None,
        deployment: deployment.map(str::to_owned),
        limit,
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("state.db")
    }

    fn open(&self) -> (Store, Remembered) {
        Store::open(&self.file()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> StoreError {
        Store::open(&self.file()).expect_err("it cannot be opened")
    }
}

#[tokio::test]
async fn workers_and_desired_counts_survive() {
    let folder = Folder::new();
    let (store, remembered) = folder.open();
    assert!(remembered.workers.is_empty() && remembered.desired.is_empty());
    store.put_worker(worker("a", "")).await;
    store.put_worker(worker("a", "found")).await;
    store.put_worker(worker("b", "")).await;
    store.forget_worker("b".to_owned()).await;
    store.desired(desired(1_000, 2));
    // The newest of a deployment stays, however old it is.
    let other = DesiredRow {
        deployment: "other".to_owned(),
        ..desired(2_000, 7)
    };
    store.desired(other.clone());
    store.desired(desired(100_000_000, 3));
    store.desired(desired(100_000_001, 4));
    store.desired(desired(100_000_002, 5));
    store.close().await;
    let (store, remembered) = folder.open();
    assert_eq!(remembered.workers, [worker("a", "found")]);
    let kept = [
        other,
        desired(100_000_000, 3),
        desired(100_000_001, 4),
        desired(100_000_002, 5),
    ];
    assert_eq!(
        remembered.desired, kept,
        "what is older than a day is forgotten"
    );
    store.close().await;
}

#[tokio::test]
async fn the_journal_gives_the_newest_first_and_keeps_a_thousand_per_deployment() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for n in 0..2_500 {
        store.note(entry(n, "stable"));
    }
    store.note(entry(0, "canary"));
    let newest = store.journal(query(None, 2)).await.expect("it can be read");
    assert_eq!(newest, [entry(0, "canary"), entry(2_499, "stable")]);
    let stable = store
        .journal(query(Some("stable"), 10_000))
        .await
        .expect("it can be read");
    assert!((1_000..1_200).contains(&stable.len()), "{}", stable.len());
    assert_eq!(stable[999], entry(1_500, "stable"));
    let canary = store
        .journal(query(Some("canary"), 10_000))
        .await
        .expect("it can be read");
    assert_eq!(canary.len(), 1);
    store.close().await;
}

fn traffic(service: &str, state: Option<&str>) -> ServiceRow {
    ServiceRow {
        service: service.to_owned(),
        state: state.map(str::to_owned),
    }
}

#[tokio::test]
async fn what_was_done_to_traffic_survives_in_the_order_it_was_done() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for state in ["{}", "{\"a\":1}"] {
        drop(store.put_service(Table::Traffic, traffic("chat", Some(state))));
    }
    let written = store.put_service(Table::Traffic, traffic("other", Some("{}")));
    let written = written.expect("there is room").await;
    assert_eq!(written.expect("the file is open"), Ok(()));
    drop(store.put_service(Table::Traffic, traffic("other", None)));
    store.close().await;
    let (store, remembered) = folder.open();
    assert_eq!(remembered.traffic, [traffic("chat", Some("{\"a\":1}"))]);
    store.close().await;
}

#[tokio::test]
async fn what_is_paused_survives_beside_what_was_done_to_traffic() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for (service, state) in [("chat", Some("{}")), ("other", Some("{}")), ("other", None)] {
        let written = store.put_service(Table::Pauses, traffic(service, state));
        let written = written.expect("there is room").await;
        assert_eq!(written.expect("the file is open"), Ok(()));
    }
    drop(store.put_service(Table::Traffic, traffic("chat", None)));
    store.close().await;
    let (store, remembered) = folder.open();
    assert_eq!(remembered.pauses, [traffic("chat", Some("{}"))]);
    assert!(remembered.traffic.is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_file_of_an_older_penstock_is_brought_up_to_date_with_all_that_is_in_it() {
    let folder = Folder::new();
    let db = rusqlite::Connection::open(folder.file()).expect("a new file");
    let (tables, id) = (open::STEPS[0], open::APPLICATION_ID);
    let make = format!("{tables} PRAGMA application_id = {id}; PRAGMA user_version = 1;");
    db.execute_batch(&make).expect("it can be written");
    let row = "INSERT INTO workers VALUES ('a', 'chat', 'stable', 3, 'r', 'found')";
    db.execute_batch(row).expect("it can be written");
    let old =
        "INSERT INTO journal VALUES (1, 7, 'chat', 'stable', 'wake', 'entry 7', 7, 8, 'one\ntwo')";
    db.execute_batch(old).expect("it can be written");
    drop(db);
    let (store, remembered) = folder.open();
    assert_eq!(remembered.workers, [worker("a", "found")]);
    let journal = store.journal(query(None, 9)).await;
    let old = JournalEntry {
        record: None,
        ..entry(7, "stable")
    };
    assert_eq!(journal.expect("it can be read"), [old]);
    drop(store.put_service(Table::Traffic, traffic("chat", Some("{}"))));
    store.close().await;
    assert_eq!(folder.open().1.traffic.len(), 1);
}

#[tokio::test]
async fn only_one_process_may_have_the_file() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    assert!(matches!(folder.error(), StoreError::InUse(_)));
    store.close().await;
    folder.open().0.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_penstock_is_refused() {
    let folder = Folder::new();
    folder.open().0.close().await;
    let db = rusqlite::Connection::open(folder.file()).expect("it is there");
    db.execute_batch("PRAGMA user_version = 99")
        .expect("it can be written");
    drop(db);
    let message = folder.error().to_string();
    let known = open::STEPS.len();
    assert!(
        message.ends_with(&format!(
            "written by a newer penstock (format 99, this one knows {known})"
        )),
        "{message}"
    );
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    std::fs::write(
        folder.file(),
        "This is no database, but it is long enough to be one.".repeat(100),
    )
    .expect("it can be written");
    let message = folder.error().to_string();
    assert!(
        message.contains("not a penstock state file, or damaged"),
        "{message}"
    );
    assert!(
        std::fs::read_to_string(folder.file())
            .expect("it is there")
            .starts_with("This")
    );
}

#[tokio::test]
async fn a_file_damaged_in_its_middle_is_refused() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for n in 0..1000 {
        store.note(entry(n, "stable"));
    }
    store.close().await;
    let mut bytes = std::fs::read(folder.file()).expect("it is there");
    for byte in &mut bytes[8192..32768] {
        *byte = 0xaa;
    }
    std::fs::write(folder.file(), bytes).expect("it can be written");
    assert!(matches!(folder.error(), StoreError::Damaged { .. }));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = Folder::new();
    let db = rusqlite::Connection::open(folder.file()).expect("a new file");
    db.execute_batch("CREATE TABLE recipes (name TEXT)")
        .expect("it can be written");
    drop(db);
    let message = folder.error().to_string();
    assert!(
        message.contains("it belongs to another program"),
        "{message}"
    );
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = Folder::new();
    let path = folder.0.path().join("missing/state.db");
    let error = Store::open(&path).expect_err("there is no such folder");
    assert!(error.to_string().contains("missing/state.db"), "{error}");
}

#[tokio::test]
async fn the_newest_start_times_of_every_deployment_survive() {
    let folder = Folder::new();
    let row = |deployment: &str, at_ms: u64| StartRow {
        woke: false,
        at_ms,
        service: "chat".to_owned(),
        deployment: deployment.to_owned(),
        revision: format!("{at_ms}"),
        took_ms: at_ms + 1,
    };
    let (store, remembered) = folder.open();
    assert_eq!(remembered.starts, []);
    store.started(row("canary", 5));
    for at_ms in 0..100 {
        store.started(row("stable", at_ms));
    }
    store.close().await;
    let (store, Remembered { starts, .. }) = folder.open();
    let oldest = 100 - u64::from(crate::plan::TIMES_MAX);
    let mut expected = vec![row("canary", 5)];
    expected.extend((oldest..100).map(|at_ms| row("stable", at_ms)));
    assert_eq!(starts, expected);
    // Half a year later the others are forgotten.
    store.started(row("canary", 180 * 24 * 3_600_000));
    store.close().await;
    assert_eq!(folder.open().1.starts.len(), 1);
}

#[tokio::test]
async fn the_load_of_the_last_days_of_every_deployment_survives_until_it_is_forgotten() {
    let folder = Folder::new();
    let row = |deployment: &str, day: u64, mean: u8| DemandRow {
        service: "chat".to_owned(),
        deployment: deployment.to_owned(),
        day,
        means: vec![mean; 8],
    };
    let (store, remembered) = folder.open();
    assert_eq!(remembered.demand, []);
    store.put_demand(row("canary", 7, 1));
    for day in 20_000..20_040 {
        store.put_demand(row("stable", day, 1));
        store.put_demand(row("stable", day, 2));
    }
    store.put_demand(row("gone", 20_000, 3));
    store.forget_demand("chat".to_owned(), "gone".to_owned());
    // A clock that was wrong for a while.
    store.put_demand(row("stable", 99_999, 4));
    store.put_demand(row("stable", 20_040, 2));
    store.close().await;
    let mut expected = vec![row("canary", 7, 1)];
    expected.extend((20_010..20_040).map(|day| row("stable", day, 2)));
    expected.extend([row("stable", 99_999, 4), row("stable", 20_040, 2)]);
    assert_eq!(folder.open().1.demand, expected);
}

/// Keeps the file from being written, as a full disk would, until it is dropped.
fn occupy(folder: &Folder) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(folder.file()).expect("it is there");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody else writes");
    other
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_tried_again_until_it_is() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let occupied = occupy(&folder);
    let written = store.put_service(Table::Pauses, traffic("chat", Some("{}")));
    let written = written.expect("there is room").await;
    let error = written
        .expect("the file is open")
        .expect_err("it is not written");
    assert!(error.contains("locked"), "{error}");
    tokio::join!(
        store.put_worker(worker("a", "")),
        store.put_worker(worker("b", "")),
        store.put_worker(worker("a", "found")),
        store.forget_worker("b".to_owned()),
    );
    let failure = store.failure().expect("it is known");
    assert_eq!((failure.reason, failure.unwritten), (error, 3));
    drop(occupied);
    store.retry();
    store.flush().await;
    assert_eq!(store.failure(), None);
    store.close().await;
    let (store, remembered) = folder.open();
    assert_eq!(remembered.pauses, [traffic("chat", Some("{}"))]);
    assert_eq!(remembered.workers, [worker("a", "found")]);
    store.close().await;
}
