//! A worker that keeps every byte it gets and answers with what it is told.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    case::Worker,
    message::{Kind, Message, take},
};
use crate::support::Task;

/// The worker.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: Task,
}

#[derive(Default)]
struct State {
    script: Worker,
    seen: Vec<Seen>,
    /// The number of the case. A request belongs to the one in which it began.
    number: usize,
}

/// What came: a request, or bytes that are none.
#[derive(Clone)]
pub(crate) enum Seen {
    Request(Message),
    Bytes(Vec<u8>),
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            _accepting: accepting,
        }
    }

    /// From now on it does this, and has seen nothing.
    pub(crate) fn begin(&self, script: &Worker) {
        let mut state = self.state.lock();
        let number = state.number + 1;
        *state = State {
            script: script.clone(),
            seen: Vec::new(),
            number,
        };
    }

    /// What came since.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }
}

/// Serves one connection, request after request.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    // Where the request that is coming stands in the list, and whether it was answered.
    let (mut entry, mut answered) = (None, false);
    let mut ended = false;
    loop {
        let taken = take(&bytes, Kind::Request, ended);
        if !bytes.is_empty() && (taken.is_some() || ended) {
            let seen = match &taken {
                Some((message, _)) => Seen::Request(message.clone()),
                None => Seen::Bytes(bytes.clone()),
            };
            let mut state = state.lock();
            let (number, at) = *entry.get_or_insert((state.number, state.seen.len()));
            if number == state.number {
                state.seen.truncate(at);
                state.seen.push(seen);
            }
        }
        let script = state.lock().script.clone();
        if let Some((message, length)) = taken {
            if !answered && (message.is_whole || script.early) {
                answered = true;
                if stream.write_all(&script.sends).await.is_err() {
                    return;
                }
                if script.closes {
                    let _ = stream.shutdown().await;
                }
            }
            if message.is_whole {
                bytes.drain(..length);
                (entry, answered) = (None, false);
                if !bytes.is_empty() {
                    continue;
                }
            }
        }
        if ended {
            return;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => ended = true,
        }
    }
}
