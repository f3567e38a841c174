//! A worker below HTTP: it waits for a request and sends bytes, whatever they are. To one who speaks HTTP/2 it
//! says its settings first.

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

use super::{
    Task,
    h2_frames::{self, Frames},
};

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

    /// One that answers whatever comes first with these bytes, also when that is no request yet.
    pub(crate) async fn rash(answer: &'static str) -> Self {
        Self::accept(Script::Rash(answer)).await
    }

    /// One that answers with the same bytes again and again, for as long as somebody reads them.
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
    Rash(&'static str),
    Endless(&'static str, Arc<[u8]>),
    Silent,
}

async fn respond(mut stream: TcpStream, script: Script, requests: Arc<AtomicUsize>) {
    // One read has a small request whole; none means a probe of the port.
    let mut begin = [0; 4096];
    let read = stream.read(&mut begin).await.unwrap_or(0);
    if read == 0 {
        return;
    }
    let is_h2 = begin.starts_with(h2_frames::PREFACE) && !matches!(script, Script::Rash(_));
    if is_h2 && has_h2_request(&mut stream, &begin[..read]).await.is_err() {
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    match script {
        Script::Once(answer) | Script::Rash(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            // Not a reset, which could overtake the answer.
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
        }
        Script::Endless(beginning, bytes) => {
            let _ = stream.write_all(beginning.as_bytes()).await;
            while stream.write_all(&bytes).await.is_ok() {}
        }
        Script::Silent => std::future::pending().await,
    }
}

/// Says the worker's settings and waits for the head of a request, after these bytes.
async fn has_h2_request(stream: &mut TcpStream, begin: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    let mut frames = Frames::begin(begin);
    while frames.next(stream).await?.kind != h2_frames::HEADERS {}
    Ok(())
}
