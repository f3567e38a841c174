//! A driver whose workers are listening sockets.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{ProcessCommand, Source, fleet::WorkerId};
use penstock_control::driver::{
    Driver, ExitSender, NewWorker, StartError, StartedWorker, WorkerExit,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
};

/// The driver. Commands have meanings: `slow` is not ready before [`FakeDriver::make_ready`],
/// `missing` cannot be started, `crash` ends at once, everything else is ready at once.
pub(crate) struct FakeDriver {
    exits: ExitSender,
    running: Mutex<HashMap<WorkerId, Running>>,
    /// Workers there is room for.
    pub(crate) room: AtomicU32,
    pub(crate) starts: AtomicU32,
    pub(crate) changed: Notify,
}

pub(crate) struct Running {
    pub(crate) command: String,
    socket: Option<TcpSocket>,
    listener: Option<TcpListener>,
}

impl FakeDriver {
    pub(crate) fn new(exits: ExitSender) -> Arc<Self> {
        Arc::new(Self {
            exits,
            running: Mutex::default(),
            room: AtomicU32::new(u32::MAX),
            starts: AtomicU32::new(0),
            changed: Notify::new(),
        })
    }

    pub(crate) fn running(&self) -> Vec<WorkerId> {
        let mut ids: Vec<_> = self.running.lock().keys().cloned().collect();
        ids.sort();
        ids
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands: Vec<_> = self
            .running
            .lock()
            .values()
            .map(|running| running.command.clone())
            .collect();
        commands.sort();
        commands
    }

    /// Lets slow workers listen.
    pub(crate) fn make_ready(&self) {
        for running in self.running.lock().values_mut() {
            if let Some(socket) = running.socket.take() {
                running.listener = Some(socket.listen(16).expect("a bound socket can listen"));
            }
        }
    }

    /// The worker ends by itself.
    pub(crate) fn crash(&self, id: &WorkerId) {
        if self.running.lock().remove(id).is_some() {
            self.exits
                .send(WorkerExit {
                    id: id.clone(),
                    reason: "exit status 1".to_owned(),
                })
                .expect("control listens");
        }
    }
}

#[async_trait]
impl Driver for FakeDriver {
    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let Source::Process(spec) = &worker.spec.source else {
            return Err(StartError::Failed("not a process".to_owned()));
        };
        let ProcessCommand::Exec(command) = &spec.command else {
            return Err(StartError::Failed("not a command".to_owned()));
        };
        let command = command.join(" ");
        if command == "missing" {
            return Err(StartError::Failed("missing: no such program".to_owned()));
        }
        if self.running.lock().len() >= self.room.load(Ordering::Relaxed) as usize {
            return Err(StartError::NoRoom("no GPU free".to_owned()));
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let mut running = Running {
            command: command.clone(),
            socket: Some(socket),
            listener: None,
        };
        if command != "slow" {
            running.listener = running
                .socket
                .take()
                .map(|socket| socket.listen(16).expect("it listens"));
        }
        self.running.lock().insert(worker.id.clone(), running);
        if command == "crash" {
            self.crash(&worker.id);
        }
        self.changed.notify_waiters();
        Ok(StartedWorker {
            processes: None,
            gpus: worker.gpus.as_deref().unwrap_or_default().to_vec(),
            address,
            saved: address.to_string(),
        })
    }

    async fn stop(&self, id: &WorkerId) {
        self.running.lock().remove(id);
        self.changed.notify_waiters();
    }

    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker> {
        let address = saved.parse().ok()?;
        let here = self.running.lock().contains_key(&worker.id);
        here.then(|| StartedWorker {
            processes: None,
            gpus: Vec::new(),
            address,
            saved: saved.to_owned(),
        })
    }

    async fn sweep(&self, known: &[WorkerId]) -> Vec<WorkerId> {
        let mut running = self.running.lock();
        let unknown: Vec<_> = running
            .keys()
            .filter(|id| !known.contains(id))
            .cloned()
            .collect();
        running.retain(|id, _| known.contains(id));
        self.changed.notify_waiters();
        unknown
    }
}
