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
        Self::accept(Some(answer)).await
    }

    /// One that takes requests and never answers.
    pub(crate) async fn silent() -> Self {
        Self::accept(None).await
    }

    /// How many connections brought a request.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    async fn accept(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(respond(stream, answer, Arc::clone(&counter)));
            }
        });
        Self {
            address,
            requests,
            _accepting: accepting,
        }
    }
}

async fn respond(mut stream: TcpStream, answer: Option<&'static str>, requests: Arc<AtomicUsize>) {
    // One read has a small request whole; none means a probe of the port.
    if stream.read(&mut [0; 4096]).await.unwrap_or(0) == 0 {
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    match answer {
        Some(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            // Not a reset, which could overtake the answer.
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
        }
        None => std::future::pending().await,
    }
}
