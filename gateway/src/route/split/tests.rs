mod paused;
mod tiers;

use std::{net::SocketAddr, path::Path};

use arc_swap::ArcSwap;
use http::{Request, request::Parts};
use penstock_config::fleet::{Coming, Phase, WorkerEntry, WorkerId};

use super::*;
use crate::{
    base::{clock::Clock, headers::Forwarding},
    fleet::{deployment::Surroundings, ejection, pick_by, poke::Poke, queue::Places},
    route::table::ServiceState,
    socket::terms::Settings,
};

/// A service as the gateway sees it. Deployments are named `a`, `b`, `c`, in the order given.
struct Fixture {
    fleet: ServiceFleet,
    state: ServiceState,
    settings: ArcSwap<Settings>,
    forwarding: Forwarding,
}

impl Fixture {
    /// A service with these keys of its own, and per deployment its keys and its ready workers.
    fn new(keys: &str, deployments: &[(&str, u32)]) -> Self {
        let mut text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
            [services.chat]\n{keys}\n"
        );
        for (name, (keys, _)) in ('a'..).zip(deployments) {
            text.push_str(&format!(
                "[services.chat.deployments.{name}]
                process = {{ command = [\"true\"] }}
                {keys}\n"
            ));
        }
        let config = penstock_config::parse(&text, Path::new("/test.toml"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let spec = config.services.values().next().unwrap();
        let ready: Vec<u32> = deployments.iter().map(|(_, ready)| *ready).collect();
        let fleet = fleet(spec, &ready);
        let clock = Clock::start();
        let part = |part: &DeploymentFleet| {
            let around = Surroundings {
                reminders: Arc::default(),
                service: &spec.name,
                places: Arc::<Places>::default(),
                poke: Poke::default(),
                clock,
                threads: 1,
            };
            Arc::new(DeploymentState::new(
                part,
                pick_by::policy(spec),
                ejection::rules(&spec.ejection),
                around,
            ))
        };
        let parts = fleet.deployments.iter().map(part).collect();
        Self {
            state: ServiceState::new(&fleet, parts, None),
            fleet,
            settings: ArcSwap::from_pointee(Settings::new(&config.gateway)),
            forwarding: Forwarding::new([192, 0, 2, 1].into(), false, false),
        }
    }

    /// Puts other weights into force.
    fn weigh(&mut self, weights: &[u32]) {
        for (part, weight) in self.fleet.deployments.iter_mut().zip(weights) {
            part.weight = *weight;
        }
        self.follow();
    }

    /// Other numbers of workers are ready.
    fn ready(&mut self, ready: &[u32]) {
        self.fleet = fleet(&self.fleet.spec, ready);
        self.apply();
        self.follow();
    }

    /// The deployments obey the fleet; the split does not know yet.
    fn apply(&self) {
        for (state, part) in self.state.deployments.iter().zip(&self.fleet.deployments) {
            let spec = &self.fleet.spec;
            state.apply(part, pick_by::policy(spec), ejection::rules(&spec.ejection));
        }
    }

    fn follow(&mut self) {
        if !self.state.suits(&self.fleet) {
            let deployments = self.state.deployments.clone();
            self.state = ServiceState::new(&self.fleet, deployments, Some(&self.state));
        }
    }

    fn choose(&self, request: &Parts) -> Choice {
        let head = RequestHead::of(request, &self.forwarding, &self.settings);
        self.state
            .choose(&head, Duration::ZERO)
            .expect("somebody takes requests")
    }

    /// How many of so many requests without anything special each deployment gets.
    fn shares(&self, requests: usize) -> Vec<u32> {
        let mut had = vec![0; self.state.deployments.len()];
        for _ in 0..requests {
            had[self.choose(&get(&[])).deployment] += 1;
        }
        had
    }

    /// Requests of which each deployment was told that it has no worker for them.
    fn no_capacity(&self) -> Vec<u64> {
        let now = Duration::ZERO;
        let deployments = self.state.deployments.iter();
        deployments
            .map(|state| state.report(now).no_capacity)
            .collect()
    }
}

fn fleet(spec: &Arc<Service>, ready: &[u32]) -> ServiceFleet {
    let worker = |slot: u32| WorkerEntry {
        id: WorkerId(format!("worker {slot}").into()),
        slot,
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        host: None,
        state: WorkerState::Ready,
        weight: 1,
        ramp: false,
    };
    let part = |(spec, ready): (&Arc<penstock_config::Deployment>, &u32)| DeploymentFleet {
        spec: Arc::clone(spec),
        weight: spec.weight,
        phase: Phase::Warm,
        workers: (0..*ready).map(worker).collect(),
        coming: Coming::default(),
    };
    ServiceFleet {
        spec: Arc::clone(spec),
        deployments: spec.deployments.values().zip(ready).map(part).collect(),
    }
}

fn get(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/v1/models");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn weights_in_force_replace_those_of_the_file_and_nobody_loses_a_turn() {
    let mut service = Fixture::new("", &[("weight = 90", 1), ("weight = 10", 1)]);
    assert_eq!(service.shares(100), [90, 10]);
    assert_eq!(service.shares(5), [5, 0]);
    service.weigh(&[50, 50]);
    assert_eq!(service.shares(100), [50, 50]);
    service.weigh(&[0, 1]);
    assert_eq!(service.shares(10), [0, 10]);
}

#[test]
fn the_split_by_workers_follows_the_ready_ones() {
    let mut service = Fixture::new(
        "split = \"workers\"",
        &[("", 3), ("", 1), ("weight = 0", 5)],
    );
    assert_eq!(service.shares(40), [30, 10, 0]);
    service.ready(&[1, 4, 5]);
    assert_eq!(service.shares(50), [10, 40, 0]);
    service.ready(&[0, 0, 5]);
    let cold = service.shares(40);
    assert_eq!(cold, [20, 20, 0], "all are cold: the weights count");
}

#[test]
fn round_robin_takes_equal_turns_but_for_weight_zero() {
    let service = Fixture::new(
        "split = \"round-robin\"",
        &[("weight = 70", 1), ("weight = 5", 1), ("weight = 0", 1)],
    );
    assert_eq!(service.shares(40), [20, 20, 0]);
}

#[test]
fn least_connections_looks_at_open_requests_of_the_whole_deployment() {
    let service = Fixture::new("split = \"least-connections\"", &[("", 1), ("", 9)]);
    let busy = &service.state.deployments[1].load;
    busy.start(0, Duration::ZERO);
    assert_eq!(service.shares(20), [20, 0]);
    busy.end(0, Duration::ZERO);
    assert!(service.shares(100).iter().all(|had| *had > 20));
}

#[test]
fn a_deployment_that_fails_at_once_does_not_seem_idle() {
    let service = Fixture::new("split = \"least-connections\"", &[("", 1), ("", 1)]);
    let failing = &service.state.deployments[0];
    (0..3).for_each(|_| failing.strikes.failed(Duration::ZERO));
    // Three doublings: it is the better choice only when the other one has eight requests.
    let other = &service.state.deployments[1].load;
    (0..6).for_each(|_| other.start(0, Duration::ZERO));
    assert_eq!(service.shares(20), [0, 20]);
    (0..2).for_each(|_| other.start(0, Duration::ZERO));
    assert_eq!(service.shares(20), [20, 0]);
}

#[test]
fn a_deployment_that_takes_no_traffic_is_left_out() {
    let service = Fixture::new("", &[("", 1), ("takes_traffic = false", 1)]);
    assert_eq!(service.shares(20), [20, 0]);
}

#[test]
fn a_cold_deployment_that_spills_is_told_and_its_siblings_get_its_share_in_proportion() {
    let deployments = [
        ("weight = 60", 1),
        ("weight = 20", 1),
        ("weight = 20\nwhen_cold = \"spill\"", 0),
    ];
    let mut service = Fixture::new("", &deployments);
    let had = service.shares(400);
    assert_eq!(had[2], 0);
    assert!(had[0].abs_diff(300) <= 5, "{had:?}");
    let told = service.no_capacity();
    assert!(told[0] == 0 && told[1] == 0 && told[2] > 60, "{told:?}");
    service.ready(&[1, 1, 1]);
    let had = service.shares(100);
    assert!(had[2].abs_diff(20) <= 1, "{had:?}");
}

#[test]
fn when_all_are_cold_a_request_waits_where_it_belongs() {
    let spills = "weight = 50\nwhen_cold = \"spill\"";
    let service = Fixture::new("", &[(spills, 0), (spills, 0)]);
    let had = service.shares(100);
    assert!(had[0].abs_diff(50) <= 1, "{had:?}");
}

#[test]
fn a_cold_deployment_that_holds_keeps_its_share() {
    let service = Fixture::new("", &[("weight = 90", 1), ("weight = 10", 0)]);
    assert_eq!(service.shares(100), [90, 10]);
    assert_eq!(service.no_capacity(), [0, 0]);
}

#[test]
fn a_header_binds_and_requests_without_it_take_turns() {
    let service = Fixture::new(
        "sticky = { header = \"x-user\" }",
        &[("weight = 50", 1), ("weight = 50", 1)],
    );
    let mut seen = [0; 2];
    for user in 0..100 {
        let request = get(&[("x-user", &user.to_string())]);
        let first = service.choose(&request);
        assert!(first.cookie.is_none());
        for _ in 0..5 {
            assert_eq!(service.choose(&request).deployment, first.deployment);
        }
        seen[first.deployment] += 1;
    }
    assert!(seen.iter().all(|had| *had > 25), "{seen:?}");
    assert_eq!(service.shares(100), [50, 50]);
}

/// Name and value of a `Set-Cookie`, and its attributes.
fn parsed(cookie: &HeaderValue) -> (String, String) {
    let text = cookie.to_str().unwrap();
    let (pair, attributes) = text.split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

#[test]
fn a_client_without_the_cookie_gets_one_that_leads_where_it_was_sent() {
    let mut service = Fixture::new(
        "sticky = { cookie = \"variant\", max_age = \"1h\" }",
        &[("weight = 50", 1), ("weight = 50", 1)],
    );
    let mut cookies = BTreeSet::new();
    for _ in 0..50 {
        let first = service.choose(&get(&[]));
        let (pair, attributes) = parsed(&first.cookie.expect("a cookie"));
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
        let value = pair.strip_prefix("variant=").expect("its name");
        assert!(value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let again = service.choose(&get(&[("cookie", &pair)]));
        assert_eq!(again.deployment, first.deployment);
        assert!(again.cookie.is_none());
        assert!(cookies.insert(pair), "each client has its own");
    }
    service.forwarding = Forwarding::new([192, 0, 2, 1].into(), false, true);
    let by_https = service.choose(&get(&[("x-forwarded-proto", "https")]));
    assert!(parsed(&by_https.cookie.unwrap()).1.ends_with("; Secure"));
}

#[test]
fn the_first_rule_that_fits_wins_over_the_split_and_over_stickiness() {
    let service = Fixture::new(
        "sticky = { cookie = \"variant\" }
        [[services.chat.match]]
        to = \"b\"
        headers = { x-canary = \"yes\" }
        methods = [\"GET\"]
        [[services.chat.match]]
        to = \"c\"
        path = \"/v1\"
        cookies = { tester = \"*\" }",
        &[("", 1), ("weight = 0", 1), ("takes_traffic = false", 1)],
    );
    for (headers, expected) in [
        (&[("x-canary", "yes")][..], 1),
        (&[("x-canary", "no")], 0),
        (&[("x-canary", "no"), ("x-canary", "yes")], 1),
        (&[("cookie", "a=1; tester=")], 2),
        (&[("cookie", "tester=1"), ("x-canary", "yes")], 1),
        (&[], 0),
    ] {
        let choice = service.choose(&get(headers));
        assert_eq!(choice.deployment, expected, "{headers:?}");
        assert_eq!(choice.cookie.is_some(), expected == 0, "{headers:?}");
    }
    let mut post = get(&[("x-canary", "yes")]);
    post.method = http::Method::POST;
    assert_eq!(service.choose(&post).deployment, 0);
    let mut elsewhere = get(&[("cookie", "tester=1")]);
    for (path, expected) in [
        ("/v1", 2),
        ("/v1/x?y", 2),
        ("/v10", 0),
        ("/v1/../x", 0),
        ("/", 0),
    ] {
        elsewhere.uri = path.parse().unwrap();
        assert_eq!(service.choose(&elsewhere).deployment, expected, "{path}");
    }
}

#[test]
fn a_split_by_hash_is_stable_and_in_proportion() {
    let service = Fixture::new(
        "split = \"hash\"\nhash = { header = \"x-user\" }",
        &[("weight = 80", 1), ("weight = 20", 1)],
    );
    let mut had = [0_u32; 2];
    for user in 0..2_000 {
        let request = get(&[("x-user", &format!("user {user}"))]);
        let first = service.choose(&request).deployment;
        assert_eq!(service.choose(&request).deployment, first);
        had[first] += 1;
    }
    assert!(had[1].abs_diff(400) < 90, "{had:?}");
    let without = service.shares(2_000);
    assert!(without[1].abs_diff(400) < 90, "{without:?}");
}
