//! A worker as probes see it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use penstock_config::{ContainerNetwork, ProbeKind, Protocol, Source, fleet::WorkerId};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{exec, grpc, http, loaded, port::Port};
use crate::{
    driver::{
        NewWorker,
        process::{ProcessTree, must_be_the_workers},
    },
    worker_http::{Failure, Secured, connect},
};

/// How long the proxy in front of a container takes at most to find out that nobody listens in there, and
/// to close the connection that it has taken.
const CLOSED_WITHIN: Duration = Duration::from_millis(100);

/// All that a probe needs to know of a worker.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) id: WorkerId,
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Secured>,
    /// Working directory of commands; that of a static worker is our own.
    pub(super) directory: PathBuf,
    /// Environment of commands: values may hold `{port}`.
    pub(super) env: BTreeMap<String, String>,
    /// Which of our own variables commands get too.
    pub(super) inherit_env: Vec<String>,
    /// Its port, where it must be the worker's own.
    port: Option<Arc<Port>>,
    /// Whether connections are taken by the engine's proxy, whoever listens behind it.
    is_published: bool,
    /// Whether the default probe has passed once.
    loaded: AtomicBool,
}

impl Target {
    pub(super) fn new(
        worker: &NewWorker,
        address: SocketAddr,
        processes: Option<ProcessTree>,
    ) -> Self {
        let (directory, env, inherit_env) = match &worker.spec.source {
            Source::Process(spec) => (
                spec.directory.clone(),
                spec.env.clone(),
                spec.inherit_env.clone(),
            ),
            // Commands for those have always had all of our environment: there is no key to choose.
            Source::Container(_) | Source::Static(_) => {
                (".".into(), BTreeMap::new(), vec!["*".to_owned()])
            }
        };
        let port = processes
            .filter(|_| must_be_the_workers(worker))
            .map(|processes| {
                let NewWorker {
                    service,
                    deployment,
                    slot,
                    ..
                } = worker;
                let title = format!("{service}/{deployment}#{slot}");
                Arc::new(Port::new(title, address.port(), processes))
            });
        Self {
            id: worker.id.clone(),
            address,
            protocol: worker.spec.protocol,
            tls: Secured::of(&worker.spec),
            directory,
            env,
            inherit_env,
            port,
            is_published: matches!(
                &worker.spec.source,
                Source::Container(spec) if spec.network == ContainerNetwork::Bridge
            ),
            loaded: AtomicBool::new(false),
        }
    }

    /// Asks once, without a limit of time; an error says why the probe failed.
    pub(super) async fn ask(&self, kind: &ProbeKind) -> Result<(), Failure> {
        let Some(port) = &self.port else {
            return self.ask_whoever(kind).await;
        };
        let listens = port.check().await?;
        if !listens && !matches!(kind, ProbeKind::Exec(_)) {
            // Somebody may take the port at this very moment: whoever opens it is looked at again before
            // anything is said to it.
            if let Err(failure) = connect(self.address).await {
                if failure.is_local() {
                    return Err(failure);
                }
                return Err(port.elsewhere().await.unwrap_or(failure));
            }
            port.check().await?;
        }
        self.ask_whoever(kind).await?;
        // A command says nothing of who has the port.
        port.check().await.map(drop)
    }

    /// Opens a connection, and sees that it stays open where that means more.
    pub(super) async fn reach(&self) -> Result<(), Failure> {
        let mut stream = connect(self.address).await?;
        if !self.is_published {
            return Ok(());
        }
        match timeout(CLOSED_WITHIN, stream.read(&mut [0])).await {
            Err(_) | Ok(Ok(1..)) => Ok(()),
            Ok(Ok(0) | Err(_)) => Err(format!(
                "the connection to {} is closed at once: nothing listens in the container on the port \
                 that PORT and {{port}} name, on all addresses (0.0.0.0)",
                self.address
            )
            .into()),
        }
    }

    async fn ask_whoever(&self, kind: &ProbeKind) -> Result<(), Failure> {
        match kind {
            ProbeKind::Http { path, headers } => http::ask(self, path, headers).await,
            ProbeKind::Tcp => self.reach().await,
            ProbeKind::Loaded => loaded::ask(self, &self.loaded).await,
            ProbeKind::Exec(command) => exec::ask(self, command).await,
            ProbeKind::Grpc(service) => grpc::ask(self, service).await,
        }
    }
}
