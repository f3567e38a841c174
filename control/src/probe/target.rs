//! A worker as probes see it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use penstock_config::{ProbeKind, Protocol, Source, fleet::WorkerId};

use super::{exec, grpc, http, loaded, port::Port};
use crate::{
    driver::{
        NewWorker,
        process::{ProcessTree, must_be_the_workers},
    },
    worker_http::{Failure, Secured, connect},
};

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
            Source::Static(_) => (".".into(), BTreeMap::new(), vec!["*".to_owned()]),
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

    async fn ask_whoever(&self, kind: &ProbeKind) -> Result<(), Failure> {
        match kind {
            ProbeKind::Http { path, headers } => http::ask(self, path, headers).await,
            ProbeKind::Tcp => connect(self.address).await.map(drop),
            ProbeKind::Loaded => loaded::ask(self, &self.loaded).await,
            ProbeKind::Exec(command) => exec::ask(self, command).await,
            ProbeKind::Grpc(service) => grpc::ask(self, service).await,
        }
    }
}
