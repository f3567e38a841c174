//! Who is not let wait any longer when workers are gone.

use penstock_balancer::{Overflow, key};

use super::*;
use crate::count::metrics::Settled;

const TWO: [(u32, State); 2] = [(0, State::Ready), (1, State::Ready)];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two hundred that wait before two busy workers of one place each. Requests took 10 s, so that by the
/// least that can be counted on they are served within 600 s, but not at one place.
struct Crowd {
    fixture: Fixture,
    policy: Policy,
    deployment: Arc<DeploymentState>,
    busy: Vec<Lease>,
    /// Every second one has 600 s, the others have an hour.
    waiting: Vec<Waiter>,
}

impl Crowd {
    fn with_policy(policy: Policy) -> Self {
        let fixture = Fixture::with("max_concurrency = 1\nscaling = { max = 2 }");
        let deployment = fixture.with_policy(policy, Phase::Warm, &TWO);
        let mut crowd = Self {
            fixture,
            policy,
            deployment,
            busy: Vec::new(),
            waiting: Vec::new(),
        };
        for _ in 0..1000 {
            crowd.deployment.service_time.record(seconds(10));
            crowd.deployment.metrics.request(&Settled {
                status: 200,
                reason: None,
                duration: seconds(10),
                first_byte: None,
                queue_wait: None,
            });
        }
        for number in 0..u64::MAX {
            if crowd.waiting.len() == 200 {
                break;
            }
            let hash = Some(key(&number.to_le_bytes()));
            match crowd.ask(hash, true) {
                Admission::Leased(lease) => crowd.busy.push(lease),
                other => crowd.waiting.push(queued(other)),
            }
        }
        assert_eq!(crowd.busy.len(), 2);
        crowd
    }

    fn ask(&self, hash: Option<u64>, sheds: bool) -> Admission {
        let now = self.deployment.now();
        let wanted = Wanted {
            pick_by: &PickBy { hash },
            tried: &[],
            now,
            max_queued: 1000,
            has_place: false,
        };
        let is_short = self.waiting.len() % 2 == 1;
        let until = now + seconds(if is_short { 600 } else { 3600 });
        let patience = Patience { until, sheds };
        self.deployment
            .admit(wanted, || (Turn::default(), patience))
    }

    /// What control says next, where another worker takes so long at least, or may be there at once.
    fn follow(&self, workers: &[(u32, State)], start_least: Option<u64>) {
        let fleet = DeploymentFleet {
            coming: Coming {
                start_least: start_least.map(seconds),
                ..Coming::default()
            },
            ..self.fixture.fleet(Phase::Warm, workers)
        };
        self.deployment
            .apply(&fleet, self.policy, EjectRules::default());
    }

    /// The places of those who were refused, and why.
    fn refused(self) -> (Vec<usize>, Vec<Refusal>) {
        let ends = self.waiting.into_iter().map(Waiter::give_up).enumerate();
        let refused = ends.filter_map(|(place, end)| Some((place, end?.err()?)));
        refused.unzip()
    }
}

#[tokio::test(start_paused = true)]
async fn when_one_of_two_workers_is_gone_those_too_far_back_for_their_time_hear_it_at_once() {
    let crowd = Crowd::with_policy(Policy::LeastConnections);
    crowd.follow(&READY, Some(5000));
    let deployment = Arc::clone(&crowd.deployment);
    let (places, refusals) = crowd.refused();
    let first = *places.first().expect("not all have the time");
    assert!((120..190).contains(&first), "{places:?}");
    let short_from_there: Vec<usize> = (first..200).step_by(2).collect();
    assert_eq!(places, short_from_there, "those alone, and all of those");
    assert_eq!(refusals[0].reason, Reason::TooLate);
    assert!(refusals[0].retry_after.is_some());
    assert_eq!(deployment.queue.len(), 0, "and nobody is counted twice");
}

#[tokio::test(start_paused = true)]
async fn as_long_as_another_worker_may_be_there_in_time_nobody_is_refused() {
    for (workers, start_least) in [
        (&READY[..], None),
        (&READY[..], Some(20)),
        // It takes no requests, but may be taken back.
        (&[(0, State::Ready), (1, State::Draining)], Some(5000)),
    ] {
        let crowd = Crowd::with_policy(Policy::LeastConnections);
        crowd.follow(workers, start_least);
        let (places, _) = crowd.refused();
        assert_eq!(places, [0; 0], "{workers:?}, starts take {start_least:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_are_to_wait_to_the_end_do() {
    let mut crowd = Crowd::with_policy(Policy::LeastConnections);
    crowd.waiting.clear();
    while crowd.waiting.len() < 200 {
        let waiter = queued(crowd.ask(None, false));
        crowd.waiting.push(waiter);
    }
    crowd.follow(&READY, Some(5000));
    assert_eq!(crowd.refused().0, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn where_requests_have_homes_it_is_not_said_who_is_before_whom() {
    let crowd = Crowd::with_policy(Policy::Hash(Overflow::Never));
    crowd.follow(&READY, Some(5000));
    let deployment = Arc::clone(&crowd.deployment);
    assert_eq!(deployment.queue.len(), 200);
    // But without any worker nobody is served.
    crowd.follow(&[], Some(5000));
    let (places, _) = crowd.refused();
    assert_eq!(places.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_ejected_worker_may_be_back_at_any_moment() {
    let crowd = Crowd::with_policy(Policy::LeastConnections);
    let now = crowd.deployment.now();
    for lease in &crowd.busy {
        for _ in 0..100 {
            crowd.deployment.worker_failed(lease.worker(), now);
        }
    }
    crowd.follow(&TWO, Some(5000));
    assert_eq!(crowd.refused().0, [0; 0]);
}
