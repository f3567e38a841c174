//! A way to an address that may change or be nobody's for a while.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::Task;

/// Passes connections on; one that leads nowhere is closed at once.
pub(crate) struct Relay {
    /// What leads there.
    pub(crate) address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    _task: Task,
}

impl Relay {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = Arc::new(Mutex::new(Some(address)));
        Self {
            address: listener.local_addr().unwrap(),
            to: Arc::clone(&to),
            _task: Task::spawn(pass_on(listener, to)),
        }
    }

    /// From the next connection on it leads there.
    pub(crate) fn lead(&self, to: Option<SocketAddr>) {
        *self.to.lock().unwrap() = to;
    }
}

async fn pass_on(listener: TcpListener, to: Arc<Mutex<Option<SocketAddr>>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let to = *to.lock().unwrap();
        let Some(to) = to else {
            continue;
        };
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(to).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
