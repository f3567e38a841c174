//! Threads that send requests, and one run of them at a given rate.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval_at},
};

use super::{
    client::Client,
    endpoint::Endpoint,
    now,
    pacer::{Gaps, pace},
    requests::Requests,
    run::{Ran, Second},
    tally::{Failure, Tally},
};

/// Requests that may wait for a thread to take them up; beyond that the generator is too slow.
const ORDERS_MAX: usize = 1 << 16;

/// How long requests may take to end after their run, before they are given up.
const SETTLE: Duration = Duration::from_secs(10);

/// How a generator is made.
pub(super) struct Settings {
    /// Above 0.
    pub(super) threads: usize,
    /// Most connections of all threads together.
    pub(super) connections: usize,
    /// Longest time for a request, from when it was due.
    pub(super) timeout: Duration,
    /// For the times between requests.
    pub(super) seed: u64,
}

/// Sends requests at whatever rate it is told. Its threads end when it is dropped.
pub(super) struct Generator {
    threads: Vec<Thread>,
    shared: Arc<Shared>,
    seed: u64,
    begun: Instant,
}

struct Thread {
    orders: mpsc::Sender<Order>,
    tally: Arc<Mutex<Tally>>,
}

enum Order {
    Send { number: u64, due: Instant },
    GiveUp,
}

#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    /// Told when nothing is under way any more.
    is_idle: Notify,
    /// Requests that were due so far.
    due: AtomicU64,
    /// Those of them that no thread could take.
    unsent: AtomicU64,
}

/// A request that is under way.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Release) == 1 {
            self.0.is_idle.notify_one();
        }
    }
}

impl Generator {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system has no more threads or descriptors.
    pub(super) fn start(
        endpoint: &Arc<Endpoint>,
        requests: &Arc<Requests>,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let each = settings.connections.div_ceil(settings.threads);
        let start = |number: usize| {
            let (orders, received) = mpsc::channel(ORDERS_MAX);
            let tally = Arc::default();
            let (endpoint, requests) = (Arc::clone(endpoint), Arc::clone(requests));
            let (counts, shared) = (Arc::clone(&tally), Arc::clone(&shared));
            let timeout = settings.timeout;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start a runtime")?;
            thread::Builder::new()
                .name(format!("load {number}"))
                .spawn(move || {
                    let serve = async move {
                        let client = Client::new(endpoint, requests, counts, each, timeout);
                        obey(received, client, shared).await;
                    };
                    LocalSet::new().block_on(&runtime, serve);
                })
                .context("cannot start a thread")?;
            Ok(Thread { orders, tally })
        };
        let threads: anyhow::Result<_> = (0..settings.threads).map(start).collect();
        Ok(Self {
            threads: threads?,
            shared,
            seed: settings.seed,
            begun: now(),
        })
    }

    /// Sends `rate` requests a second for `length`, waits for their answers and tells what came of them.
    /// `each_second` sees every second as it ends; what it answers `Break` to ends the run.
    pub(super) async fn run(
        &mut self,
        rate: f64,
        length: Duration,
        mut each_second: impl FnMut(&Second) -> ControlFlow<()>,
    ) -> Ran {
        self.seed = self.seed.wrapping_add(1);
        let (begin, cpu) = (now(), cpu_time());
        let is_over = Arc::new(AtomicBool::new(false));
        let due_before = self.shared.due.load(Ordering::Relaxed);
        let unsent = self.shared.unsent.load(Ordering::Relaxed);
        let mut due = due_before;
        let pacing = self.pace(rate, begin, length, &is_over);
        let mut ran = Ran::new(rate, length);
        let mut ticks = interval_at(
            (begin + Duration::from_secs(1)).into(),
            Duration::from_secs(1),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let since = begin.elapsed();
            if since >= length {
                // Whatever is due has been sent, but for what a slow pacer still has.
                is_over.store(true, Ordering::Relaxed);
            }
            // Before the counts are taken: what has ended by now is in them.
            let in_flight = self.shared.in_flight.load(Ordering::Acquire);
            let tally = self.take();
            let all = self.shared.due.load(Ordering::Relaxed);
            let at = self.begun.elapsed();
            let second = Second::of(at, since, all - due, in_flight, &tally);
            due = all;
            if since <= length + Duration::from_millis(500) {
                ran.cpu = (cpu_time() - cpu).as_secs_f64() / since.as_secs_f64();
            }
            let flow = each_second(&second);
            ran.add(second, &tally);
            let is_settled = since >= length && (in_flight == 0 || since >= length + SETTLE);
            ran.is_cut |= flow.is_break();
            if is_settled || flow.is_break() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        // It sleeps for a tenth of a second at most.
        let _ = pacing.join();
        ran.due = self.shared.due.load(Ordering::Relaxed) - due_before;
        ran.unsent = self.shared.unsent.load(Ordering::Relaxed) - unsent;
        self.give_up(&mut ran).await;
        ran
    }

    fn pace(
        &self,
        rate: f64,
        begin: Instant,
        length: Duration,
        is_over: &Arc<AtomicBool>,
    ) -> thread::JoinHandle<()> {
        let mut gaps = Gaps::new(rate, StdRng::seed_from_u64(self.seed));
        let shared = Arc::clone(&self.shared);
        let is_over = Arc::clone(is_over);
        let threads: Vec<_> = self
            .threads
            .iter()
            .map(|thread| thread.orders.clone())
            .collect();
        thread::spawn(move || {
            let send = |due| {
                let number = shared.due.fetch_add(1, Ordering::Relaxed);
                shared.in_flight.fetch_add(1, Ordering::Relaxed);
                let thread = &threads[(number % threads.len() as u64) as usize];
                match thread.try_send(Order::Send { number, due }) {
                    Ok(()) => return ControlFlow::Continue(()),
                    Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Closed(_)) => return ControlFlow::Break(()),
                }
                shared.in_flight.fetch_sub(1, Ordering::Relaxed);
                shared.unsent.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Continue(())
            };
            pace(&mut gaps, begin, length, send, || {
                is_over.load(Ordering::Relaxed)
            });
        })
    }

    /// What all threads counted since the last call.
    fn take(&self) -> Tally {
        let mut sum = Tally::default();
        for thread in &self.threads {
            let mut tally = thread.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = std::mem::take(&mut *tally);
            drop(tally);
            sum.add(&taken);
        }
        sum
    }

    /// Ends what is still under way, so that the next run begins with nothing.
    async fn give_up(&self, ran: &mut Ran) {
        for thread in &self.threads {
            // A thread that has ended has nothing under way.
            let _ = thread.orders.send(Order::GiveUp).await;
        }
        while self.shared.in_flight.load(Ordering::Acquire) > 0 {
            self.shared.is_idle.notified().await;
        }
        let tally = self.take();
        ran.total.add(&tally);
        // Exact, because nothing is under way any more.
        let ended = ran.total.good + ran.total.failed() + ran.unsent;
        let given_up = ran.due.saturating_sub(ended);
        if given_up > 0 {
            ran.total.fail(Failure::Unfinished, given_up);
        }
    }
}

/// Does what it is told until nobody is there to tell anything.
async fn obey(mut orders: mpsc::Receiver<Order>, client: std::rc::Rc<Client>, shared: Arc<Shared>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Send { number, due }) => {
                    let in_flight = InFlight(Arc::clone(&shared));
                    let client = std::rc::Rc::clone(&client);
                    under_way.spawn_local(async move {
                        let _in_flight = in_flight;
                        client.send(number, due).await;
                    });
                }
                Some(Order::GiveUp) => under_way.abort_all(),
                None => return,
            },
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(micros.unsigned_abs())
    };
    micros(usage.user_time()) + micros(usage.system_time())
}
