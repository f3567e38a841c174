//! Ten thousand services.

use std::{fmt::Write, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use penstock_config::fleet::Phase;

use crate::harness::{Harness, chat, ready};

const SERVICES: usize = 10_000;

/// CPU time of this thread, on which all of control runs, in seconds.
fn cpu_time() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("it is always known");
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[tokio::test]
async fn ten_thousand_services_at_rest_cost_little_and_do_not_slow_a_wake() {
    let mut services = chat("quick", "scaling = { min = 0 }");
    for n in 0..SERVICES {
        writeln!(services, "[services.s{n}.deployments.d]\nprocess = {{ command = [\"x\"] }}\nscaling = {{ min = 0 }}")
            .expect("writing to a string");
    }
    let mut harness = Harness::start(&services).await;
    harness.until(|found| found.phase == Phase::Cold).await;
    let (before, began) = (cpu_time(), tokio::time::Instant::now());
    for _ in 0..3 {
        harness.report_everything().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let share = (cpu_time() - before) / began.elapsed().as_secs_f64();
    // Measured without optimisation: 6 %, of which a part is making the reports.
    assert!(share < 0.2, "{:.1} % of a core", share * 100.0);
    let woken = tokio::time::Instant::now();
    harness.report(1, 1, &[]).await;
    harness.until(|found| !ready(found).is_empty()).await;
    assert!(
        woken.elapsed() < Duration::from_millis(500),
        "{:?}",
        woken.elapsed()
    );
}
