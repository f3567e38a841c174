//! A worker below HTTP: it waits for a request and sends bytes, whatever they are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::Task;

/// Answers every first request of a connection with the same bytes and closes.
pub(crate) struct ScriptedWorker {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _accepting: Task,
}

impl ScriptedWorker {
    pub(crate) async fn start(answer: &'static str) -> Self {
        Self::accept(Script::Once(answer)).await
    }

    /// One that takes requests and never answers.
    pub(crate) async fn silent() -> Self {
        Self::accept(Script::Silent).await
    }

    /// One that answers with the same bytes again and again, for as long as somebody reads them. To one
    /// who speaks HTTP/2 it says its settings first.
    pub(crate) async fn endless(bytes: &[u8]) -> Self {
        Self::begun("", bytes).await
    }

    /// The same after a beginning, which is said once.
    pub(crate) async fn begun(beginning: &'static str, bytes: &[u8]) -> Self {
        Self::accept(Script::Endless(beginning, bytes.repeat(1000).into())).await
    }

    /// How many connections brought a request.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    async fn accept(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(respond(stream, script.clone(), Arc::clone(&counter)));
            }
        });
        Self {
            address,
            requests,
            _accepting: accepting,
        }
    }
}

/// What it does with a request.
#[derive(Clone)]
enum Script {
    Once(&'static str),
    Endless(&'static str, Arc<[u8]>),
    Silent,
}

async fn respond(mut stream: TcpStream, script: Script, requests: Arc<AtomicUsize>) {
    // One read has a small request whole; none means a probe of the port.
    let mut begin = [0; 4096];
    if stream.read(&mut begin).await.unwrap_or(0) == 0 {
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    match script {
        Script::Once(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            // Not a reset, which could overtake the answer.
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
        }
        Script::Endless(beginning, bytes) => {
            if begin.starts_with(b"PRI ") {
                let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                let _ = stream.write_all(&settings).await;
                // The request comes after the settings were seen.
                let _ = stream.read(&mut [0; 4096]).await;
            }
            let _ = stream.write_all(beginning.as_bytes()).await;
            while stream.write_all(&bytes).await.is_ok() {}
        }
        Script::Silent => std::future::pending().await,
    }
}
