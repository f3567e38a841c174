//! A TCP connection for what no well-behaved client would send.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::soon;

/// Most bytes an answer may have here.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub(crate) struct RawConnection {
    stream: TcpStream,
}

impl RawConnection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends bytes. That the other side has closed already is fine: its answer says why.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("room to write", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Sends zeros until the socket takes no more for a while; how many it took.
    pub(crate) async fn write_until_full(&mut self) -> usize {
        let mut taken = 0;
        let zeros = vec![0; 1 << 16];
        let quiet = std::time::Duration::from_millis(300);
        while let Ok(written) = tokio::time::timeout(quiet, self.stream.write(&zeros)).await {
            taken += written.expect("an open connection");
        }
        taken
    }

    /// Closes by a reset, which overtakes what was not sent yet.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Closes the sending side.
    pub(crate) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Whether the other side has closed by now.
    pub(crate) fn is_closed(&self) -> bool {
        match self.stream.try_read(&mut [0; 1024]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Everything until the other side closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.stream).take(ANSWER_BYTES_MAX as u64);
        // A reset counts as closing.
        let _ = soon("the other side closes", limited.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// So many bytes.
    pub(crate) async fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        let what = format!("{bytes} bytes");
        let all = soon(&what, self.stream.read_exact(&mut read)).await;
        all.expect("an open connection");
        read
    }

    /// Everything up to and with `mark`.
    pub(crate) async fn read_until(&mut self, mark: &str) -> String {
        let mut bytes = Vec::new();
        let what = format!("{mark:?} in an answer");
        while !bytes.ends_with(mark.as_bytes()) {
            let seen = || String::from_utf8_lossy(&bytes).into_owned();
            match soon(&what, self.stream.read_u8()).await {
                Ok(byte) => bytes.push(byte),
                Err(error) => panic!("no {what}, but {:?}: {error}", seen()),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
