//! An address that neither accepts nor refuses.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Task;

/// A listener whose backlog is full: Linux drops further SYNs, so that connecting hangs.
pub(crate) struct Unreachable {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _backlog: Vec<Task>,
}

impl Unreachable {
    pub(crate) async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // A backlog of 1 takes two; the others keep it full should one of these be given up.
        let (first, second) =
            tokio::join!(TcpStream::connect(address), TcpStream::connect(address));
        let connected = [first.unwrap(), second.unwrap()];
        let hanging = async move {
            let _connected = connected;
            std::future::pending::<()>().await;
        };
        Self {
            address,
            _listener: listener,
            _backlog: vec![Task::spawn(hanging)],
        }
    }
}
