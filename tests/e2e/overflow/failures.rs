//! Tiers of which a worker fails, or that change while requests wait in them.

use futures_util::future::join_all;
use http::Response;
use tokio::task::JoinHandle;

use super::{held, send, taken};
use crate::support::{
    client::{Client, Reply, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

/// A deployment: its name, its worker and its other settings.
type Part<'a> = (&'a str, &'a FakeWorker, &'a str);

fn service(settings: &str, parts: &[Part<'_>]) -> String {
    let mut config = format!("[services.chat]\noverflow_after = \"50ms\"\n{settings}\n");
    for (name, worker, keys) in parts {
        config += &format!(
            "[services.chat.deployments.{name}]\nstatic = {{ addresses = [\"{}\"] }}\n{keys}\n",
            worker.address
        );
    }
    config
}

/// The service `chat` of these deployments, and workers that can hold requests.
async fn started(settings: &str, parts: &[Part<'_>]) -> Penstock {
    for (_, worker, _) in parts {
        worker.on("/held", Behaviour::Hold);
    }
    let penstock = Penstock::start(&service(settings, parts)).await;
    penstock.until_known("chat", parts.len()).await;
    penstock
}

async fn until_queued(penstock: &Penstock, wanted: &[(&str, f64)]) {
    penstock
        .until(&format!("queues {wanted:?}"), |metrics| {
            wanted.iter().all(|(deployment, queued)| {
                let labels = [("service", "chat"), ("deployment", deployment)];
                metrics.sum("penstock_queued", &labels) == *queued
            })
        })
        .await;
}

/// Ways in which a worker fails that are worth another try.
fn failures() -> [Behaviour; 3] {
    let busy = Behaviour::custom(|_| async {
        let answer = Response::builder().status(503).header("retry-after", "5");
        answer.body(full("busy")).unwrap()
    });
    [Behaviour::Reset, busy, Behaviour::Answer(500, "broken")]
}

const RETRIES: &str = "retries = { attempts = 2, statuses = [500] }";

#[tokio::test]
async fn what_a_higher_tier_fails_goes_back_to_its_own_worker_in_its_turn() {
    for failure in failures() {
        let (own, cloud) = (FakeWorker::start().await, FakeWorker::start().await);
        for path in ["/0", "/1", "/2"] {
            cloud.on(path, failure.clone());
        }
        let parts: [Part<'_>; 2] = [
            ("own", &own, "max_concurrency = 1"),
            ("cloud", &cloud, "tier = 1"),
        ];
        let penstock = started(RETRIES, &parts).await;
        let client = penstock.client("chat");
        let first = held(&own, &client).await;
        let mut waiting = Vec::new();
        for number in 0..3_u8 {
            waiting.push(send(&client, &format!("/{number}")));
            let tries = usize::from(number) + 1;
            cloud.until("a try", |seen| seen.started == tries).await;
            until_queued(&penstock, &[("own", f64::from(number) + 1.0)]).await;
        }
        own.release(1);
        for reply in waiting {
            let reply = reply.await.unwrap();
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "ok"));
        }
        first.await.unwrap();
        let paths: Vec<_> = own.heads().into_iter().map(|head| head.path).collect();
        assert_eq!(paths, ["/held", "/0", "/1", "/2"]);
        assert_eq!(cloud.seen().started, 3);
        assert_eq!(taken(&penstock).await, 0.0, "it answered none");
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn what_a_deployment_fails_goes_to_another_one_of_its_tier() {
    for failure in failures() {
        let workers = [
            FakeWorker::start().await,
            FakeWorker::start().await,
            FakeWorker::start().await,
        ];
        let [own, broken, sound] = &workers;
        broken.on("/", failure);
        let parts: [Part<'_>; 3] = [
            ("own", own, "max_concurrency = 1"),
            ("broken", broken, "tier = 1"),
            ("sound", sound, "tier = 1"),
        ];
        let penstock = started(RETRIES, &parts).await;
        let client = penstock.client("chat");
        let first = held(own, &client).await;
        for number in 1..=6_u8 {
            let reply = client.get("/").await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "ok"));
            assert_eq!(sound.seen().started, usize::from(number));
            assert_eq!(taken(&penstock).await, f64::from(number));
        }
        assert!(broken.seen().started > 0);
        own.release(1);
        first.await.unwrap();
        assert_eq!(own.seen().started, 1);
        penstock.until_load("chat", 0, 0).await;
    }
}

/// Workers `a`, `b` and `c`, each with a request that it holds, and four requests that wait.
struct Full {
    workers: [FakeWorker; 3],
    held: Vec<JoinHandle<Reply>>,
    waiting: Vec<JoinHandle<Reply>>,
    penstock: Penstock,
}

impl Full {
    /// With these tiers.
    async fn of(tiers: [u8; 3]) -> Self {
        let workers = [
            FakeWorker::start().await,
            FakeWorker::start().await,
            FakeWorker::start().await,
        ];
        let penstock = started("", &Self::parts(&workers, &Self::keys(tiers))).await;
        let client: Client = penstock.client("chat");
        let mut held = Vec::new();
        for number in 1..=3_usize {
            held.push(send(&client, "/held"));
            penstock.until_load("chat", number, 0).await;
        }
        let mut waiting = Vec::new();
        for number in 1..=4_u8 {
            waiting.push(send(&client, "/"));
            let both = 2.0 * f64::from(number);
            penstock
                .until("both queues", |metrics| {
                    metrics.sum("penstock_queued", &[("service", "chat")]) == both
                })
                .await;
        }
        Self {
            workers,
            held,
            waiting,
            penstock,
        }
    }

    fn keys(tiers: [u8; 3]) -> [String; 3] {
        tiers.map(|tier| format!("max_concurrency = 1\ntier = {tier}"))
    }

    fn parts<'a>(workers: &'a [FakeWorker; 3], keys: &'a [String; 3]) -> [Part<'a>; 3] {
        let [a, b, c] = workers;
        [
            ("a", a, keys[0].as_str()),
            ("b", b, keys[1].as_str()),
            ("c", c, keys[2].as_str()),
        ]
    }

    /// Leaves a deployment out, and gives the others these tiers.
    async fn reload_without(&self, out: &str, tiers: [u8; 3]) {
        let keys = Self::keys(tiers);
        let mut parts = Self::parts(&self.workers, &keys).to_vec();
        parts.retain(|part| part.0 != out);
        self.penstock.reload(&service("", &parts)).await;
    }

    /// The worker at this place serves all who wait; nothing of them is left.
    async fn all_served_by(self, place: usize) {
        self.workers[place].release(1);
        for reply in join_all(self.waiting).await {
            let reply = reply.unwrap();
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "ok"));
        }
        for (other, worker) in self.workers.iter().enumerate() {
            let expected = if other == place { 5 } else { 1 };
            assert_eq!(worker.seen().started, expected, "worker {other}");
            if other != place {
                worker.release(1);
            }
        }
        for reply in join_all(self.held).await {
            assert_eq!(reply.unwrap().text(), "released");
        }
        self.penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn who_waits_at_a_deployment_that_is_paused_moves_to_another_one_of_its_tier() {
    let full = Full::of([0, 1, 1]).await;
    until_queued(&full.penstock, &[("a", 4.0), ("b", 2.0), ("c", 2.0)]).await;
    full.penstock.command(&["pause", "chat/b"]).await;
    until_queued(&full.penstock, &[("a", 4.0), ("b", 0.0), ("c", 4.0)]).await;
    full.all_served_by(2).await;

    let full = Full::of([0, 0, 1]).await;
    until_queued(&full.penstock, &[("a", 2.0), ("b", 2.0), ("c", 4.0)]).await;
    full.penstock.command(&["pause", "chat/a"]).await;
    until_queued(&full.penstock, &[("a", 0.0), ("b", 4.0), ("c", 4.0)]).await;
    full.all_served_by(1).await;
}

#[tokio::test]
async fn who_waits_at_a_deployment_that_is_removed_moves_to_another_one_of_its_tier() {
    let full = Full::of([0, 1, 1]).await;
    full.reload_without("b", [0, 1, 1]).await;
    until_queued(&full.penstock, &[("a", 4.0), ("c", 4.0)]).await;
    full.all_served_by(2).await;

    // All that they wait for is of another tier now.
    let full = Full::of([0, 1, 1]).await;
    full.reload_without("a", [0, 0, 1]).await;
    until_queued(&full.penstock, &[("b", 4.0), ("c", 4.0)]).await;
    full.all_served_by(1).await;
}
