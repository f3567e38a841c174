//! The gateway's threads and listeners: started, changed and drained.

use std::{
    collections::HashMap, net::SocketAddr, os::fd::OwnedFd, sync::Arc, thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_config::Listener;
use pingora_core::server::ShutdownWatch;
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
};

use super::begin::App;
use crate::{
    count::open::{self, Oldest},
    listen::listener,
    settle::thread::{Shared, Thread},
    socket::terms::Terms,
};

/// How often a thread clears away what has been idle for too long.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// What a thread is told.
enum Command {
    /// Accept connections on a socket, on these terms, until the watch says true.
    Accept(OwnedFd, Arc<ArcSwap<Terms>>, ShutdownWatch),
    /// Tell the oldest so many open requests for deployments at these addresses.
    Oldest(Arc<[usize]>, usize, oneshot::Sender<Oldest>),
    /// Finish what is open, at the latest after this long, then end.
    Drain(Duration),
}

/// Asks threads for their open requests.
#[derive(Clone)]
pub(crate) struct Asker(Vec<mpsc::UnboundedSender<Command>>);

impl Asker {
    /// The oldest requests of each thread for deployments at these addresses, in no order. A thread
    /// that ends tells nothing.
    pub(crate) async fn oldest(&self, deployments: Vec<usize>, max: usize) -> Oldest {
        let deployments: Arc<[usize]> = deployments.into();
        let ask = |thread: &mpsc::UnboundedSender<Command>| {
            let (reply, answer) = oneshot::channel();
            let _ = thread.send(Command::Oldest(Arc::clone(&deployments), max, reply));
            answer
        };
        // All are asked before the first answer is waited for.
        let answers: Vec<_> = self.0.iter().map(ask).collect();
        let mut found = Oldest::default();
        for answer in answers {
            let Oldest { rows, all } = answer.await.unwrap_or_default();
            found.rows.extend(rows);
            found.all += all;
        }
        found
    }
}

/// A thread of the gateway, seen from outside.
struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    ended: oneshot::Receiver<Drained>,
    thread: JoinHandle<()>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Connections and tunnels that were still open when time was up, and were cut.
    pub cut: usize,
}

/// All threads, and the listeners they accept on.
pub(crate) struct Threads {
    handles: Vec<Handle>,
    listeners: HashMap<SocketAddr, Listening>,
}

struct Listening {
    bound: SocketAddr,
    /// As the configuration has it.
    listener: Listener,
    terms: Arc<ArcSwap<Terms>>,
    stop: watch::Sender<bool>,
}

impl Threads {
    /// Starts `count` threads that accept nowhere yet.
    pub(crate) fn start(count: usize, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let handles = (0..count)
            .map(|index| spawn(index, Arc::clone(shared)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            handles,
            listeners: HashMap::new(),
        })
    }

    /// Makes the listeners those of `wanted`: adds what is new first, so that a failure leaves
    /// everything as it was; then stops accepting where it is not wanted any more, and drains the
    /// connections that came from there.
    pub(crate) fn listen(
        &mut self,
        wanted: &[Listener],
    ) -> Result<(), (SocketAddr, std::io::Error)> {
        let mut added = Vec::new();
        for listener in wanted {
            let address = listener.address;
            if !self.listeners.contains_key(&address) {
                let bound = listener::bind(address, self.handles.len())
                    .map_err(|error| (address, error))?;
                added.push((listener, bound));
            }
        }
        for (listener, bound) in added {
            let (stop, stopped) = watch::channel(false);
            let terms = Arc::new(ArcSwap::from_pointee(Terms::of(listener)));
            for (handle, socket) in self.handles.iter().zip(bound.sockets) {
                // A thread that has ended takes no connections; the drain says why.
                let _ = handle.commands.send(Command::Accept(
                    socket,
                    Arc::clone(&terms),
                    stopped.clone(),
                ));
            }
            self.listeners.insert(
                listener.address,
                Listening {
                    bound: bound.address,
                    listener: listener.clone(),
                    terms,
                    stop,
                },
            );
        }
        self.listeners.retain(|address, listening| {
            let wanted = wanted.iter().find(|wanted| wanted.address == *address);
            match wanted {
                // For the connections that come from now on.
                Some(wanted) if *wanted != listening.listener => {
                    listening.terms.store(Arc::new(Terms::of(wanted)));
                    listening.listener = wanted.clone();
                }
                Some(_) => {}
                None => drop(listening.stop.send_replace(true)),
            }
            wanted.is_some()
        });
        Ok(())
    }

    /// What asks the threads for their open requests.
    pub(crate) fn asker(&self) -> Asker {
        let handles = self.handles.iter();
        Asker(handles.map(|handle| handle.commands.clone()).collect())
    }

    /// The addresses accepted on, with the ports that were taken for port 0.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .values()
            .map(|listening| listening.bound)
            .collect()
    }

    /// The listeners as the configuration has them, with the addresses that they accept on.
    pub(crate) fn listeners(&self) -> Vec<(SocketAddr, Listener)> {
        let listeners = self.listeners.values();
        listeners
            .map(|listening| (listening.bound, listening.listener.clone()))
            .collect()
    }

    /// Stops accepting, finishes what is open within `timeout`, ends all threads.
    pub(crate) async fn drain(self, timeout: Duration) -> Drained {
        for listening in self.listeners.values() {
            listening.stop.send_replace(true);
        }
        for handle in &self.handles {
            let _ = handle.commands.send(Command::Drain(timeout));
        }
        let mut drained = Drained::default();
        for handle in self.handles {
            drained.cut += handle.ended.await.unwrap_or_default().cut;
            // It has said that it ended, so this does not wait; a panic was reported by its hook.
            let _ = handle.thread.join();
        }
        drained
    }
}

fn spawn(index: usize, shared: Arc<Shared>) -> std::io::Result<Handle> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new()
        .name(format!("gateway-{index}"))
        .spawn(move || {
            let drained = runtime.block_on(run(Arc::new(Thread::new(index, shared)), inbox));
            // Drops every task that is left; their guards settle.
            drop(runtime);
            let _ = end.send(drained);
        })?;
    Ok(Handle {
        commands,
        ended,
        thread,
    })
}

async fn run(thread: Arc<Thread>, mut commands: mpsc::UnboundedReceiver<Command>) -> Drained {
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Accept(socket, terms, stop)) => {
                    let app = App::new(Arc::clone(&thread), terms);
                    tokio::spawn(listener::accept(socket, Arc::new(app), stop));
                }
                Some(Command::Oldest(deployments, max, reply)) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(open::oldest(&deployments, max));
                }
                Some(Command::Drain(timeout)) => return drain(&thread, timeout).await,
                None => return drain(&thread, Duration::ZERO).await,
            },
            _ = sweep.tick() => thread.sweep(),
        }
    }
}

async fn drain(thread: &Thread, timeout: Duration) -> Drained {
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let all_closed = async {
        let mut closed = std::pin::pin!(thread.all_closed());
        loop {
            tokio::select! {
                () = closed.as_mut() => return,
                _ = sweep.tick() => thread.sweep(),
            }
        }
    };
    // A thread without connections ends at once, whatever the timeout.
    let _ = tokio::time::timeout(timeout, all_closed).await;
    Drained { cut: thread.open() }
}
