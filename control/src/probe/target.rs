//! A worker as probes see it.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use penstock_config::{ProbeKind, Protocol, Source, fleet::WorkerId};

use super::{exec, grpc, http};
use crate::{
    driver::NewWorker,
    worker_http::{self, Failure},
};

/// All that a probe needs to know of a worker.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) id: WorkerId,
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    /// Working directory of commands; that of a static worker is our own.
    pub(super) directory: PathBuf,
    /// Environment of commands, in addition to our own.
    pub(super) env: BTreeMap<String, String>,
}

impl Target {
    pub(super) fn new(worker: &NewWorker, address: SocketAddr) -> Self {
        let (directory, env) = match &worker.spec.source {
            Source::Process(spec) => (spec.directory.clone(), spec.env.clone()),
            Source::Static(_) => (".".into(), BTreeMap::new()),
        };
        Self {
            id: worker.id.clone(),
            address,
            protocol: worker.spec.protocol,
            directory,
            env,
        }
    }

    /// Asks once, without a limit of time; an error says why the probe failed.
    pub(super) async fn ask(&self, kind: &ProbeKind) -> Result<(), Failure> {
        match kind {
            ProbeKind::Http { path, headers } => http::ask(self, path, headers).await,
            ProbeKind::Tcp => worker_http::connect(self.address).await.map(drop),
            ProbeKind::Exec(command) => exec::ask(self, command).await,
            ProbeKind::Grpc(service) => grpc::ask(self, service).await,
        }
    }
}
