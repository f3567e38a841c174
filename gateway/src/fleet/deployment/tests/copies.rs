//! Copies beside requests: they take what nobody else wants.

use tokio::task::JoinHandle;

use super::*;
use crate::count::metrics::Dropped;

fn copy(deployment: &Arc<DeploymentState>, counts: bool) -> Result<CopyLease, Dropped> {
    deployment.lease_copy(&PickBy::default(), counts, Duration::ZERO)
}

/// A copy that waits for a place.
fn wait(deployment: &Arc<DeploymentState>) -> JoinHandle<Result<CopyLease, Dropped>> {
    let deployment = Arc::clone(deployment);
    tokio::spawn(async move {
        let pick_by = PickBy::default();
        deployment.wait_for_copy(&pick_by, false).await
    })
}

#[tokio::test]
async fn a_copy_takes_a_free_place_and_is_bound_by_the_same_limit() {
    let deployment = Fixture::new(2).deployment(Phase::Warm, &READY);
    let first = copy(&deployment, false).ok().unwrap();
    let _request = leased(admit(&deployment, 1));
    assert_eq!(copy(&deployment, false).err(), Some(Dropped::Full));
    drop(first);
    assert!(copy(&deployment, false).is_ok());

    let cold = Fixture::new(2).deployment(Phase::Cold, &[]);
    assert_eq!(copy(&cold, false).err(), Some(Dropped::NoWorker));
}

#[tokio::test]
async fn no_copy_gets_a_place_that_a_request_waits_for() {
    let deployment = Fixture::new(1).deployment(Phase::Warm, &READY);
    let held = leased(admit(&deployment, 10));
    let waiting_copy = wait(&deployment);
    tokio::task::yield_now().await;
    let mut request = queued(admit(&deployment, 10));
    assert_eq!(copy(&deployment, false).err(), Some(Dropped::Full));
    drop(held);
    let lease = request.granted().await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting_copy.is_finished(), "the request came first");
    drop(lease);
    assert!(waiting_copy.await.unwrap().is_ok());
}

#[tokio::test]
async fn waiting_copies_all_get_their_places_when_a_worker_becomes_ready() {
    let fixture = Fixture::new(3);
    let deployment = fixture.deployment(Phase::Starting, &[]);
    let copies: Vec<_> = (0..4).map(|_| wait(&deployment)).collect();
    tokio::task::yield_now().await;
    deployment.apply(
        &fixture.fleet(Phase::Warm, &READY),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    let mut leases = Vec::new();
    for (place, copy) in copies.into_iter().enumerate() {
        if place == 3 {
            // The fourth has to wait for one of them.
            leases.pop();
        }
        leases.push(copy.await.unwrap().ok().unwrap());
    }
    assert_eq!(leases.len(), 3);
    assert_eq!(deployment.report(Duration::ZERO).workers[0].in_flight, 3);
    drop(leases);
    assert_eq!(deployment.report(Duration::ZERO).workers[0].in_flight, 0);
}

#[tokio::test]
async fn copies_give_up_at_once_when_there_is_no_hope() {
    let fixture = Fixture::new(1);
    let deployment = fixture.deployment(Phase::Starting, &[]);
    let copies: Vec<_> = (0..3).map(|_| wait(&deployment)).collect();
    tokio::task::yield_now().await;
    deployment.apply(
        &fixture.fleet(failed(), &[]),
        Policy::LeastConnections,
        EjectRules::default(),
    );
    for copy in copies {
        assert_eq!(copy.await.unwrap().err(), Some(Dropped::NoWorker));
    }
}

#[tokio::test]
async fn copies_are_load_only_when_they_are_to_be() {
    let deployment = Fixture::new(4).deployment(Phase::Warm, &READY);
    let uncounted = copy(&deployment, false).ok().unwrap();
    let counted = copy(&deployment, true).ok().unwrap();
    let load = deployment.load_of_copy(0, Duration::ZERO);
    let report = deployment.report(Duration::ZERO);
    assert_eq!((report.current, report.arrivals), (1, 1));
    assert_eq!(
        (report.workers[0].in_flight, report.workers[0].copies),
        (2, 1)
    );
    drop((uncounted, counted, load));
    let report = deployment.report(Duration::ZERO);
    assert_eq!((report.current, report.completions), (0, 1));
    assert_eq!(
        (report.workers[0].in_flight, report.workers[0].copies),
        (0, 0)
    );
}

#[tokio::test]
async fn reports_say_more_and_more_while_a_copy_keeps_the_deployment_awake() {
    let deployment = Fixture::new(1).deployment(Phase::Cold, &[]);
    let woken = || deployment.report(Duration::ZERO).woken;
    assert_eq!((woken(), woken()), (0, 0));
    let waking = deployment.wake_for_copy();
    let (first, second) = (woken(), woken());
    assert!(0 < first && first < second);
    drop(waking);
    assert_eq!((woken(), woken()), (second, second));
}

/// The same hand-over as for requests: no copy waits beside a free place.
#[test]
fn copies_on_many_threads_lose_no_place() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let deployment = Fixture::new(2).deployment(Phase::Warm, &READY);
    let done = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (deployment, done) = (Arc::clone(&deployment), Arc::clone(&done));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                for _ in 0..ROUNDS {
                    let pick_by = PickBy::default();
                    let wait = deployment.wait_for_copy(&pick_by, false);
                    let lease = runtime.block_on(async {
                        tokio::time::timeout(Duration::from_secs(60), wait).await
                    });
                    assert!(lease.expect("a place in time").is_ok());
                    done.fetch_add(1, Atomic::Relaxed);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(done.load(Atomic::Relaxed), THREADS * ROUNDS);
    assert_eq!(deployment.report(Duration::ZERO).workers[0].in_flight, 0);
}
