//! HTTP/2 frames as a worker below HTTP reads them.

use std::io;

use tokio::{io::AsyncReadExt, net::TcpStream};

/// What one who speaks HTTP/2 sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;

/// Bytes of a frame's header.
const HEADER: usize = 9;

/// The frames that come after the preface.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    after_preface: bool,
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: [u8; 4],
}

impl Frames {
    /// Those of a connection from which these bytes were read.
    pub(crate) fn begin(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            after_preface: false,
        }
    }

    /// The next one. Nothing is lost when it is not waited for.
    pub(crate) async fn next(&mut self, stream: &mut TcpStream) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Ok(frame);
            }
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        if !self.after_preface {
            self.bytes.get(..PREFACE.len())?;
            self.bytes.drain(..PREFACE.len());
            self.after_preface = true;
        }
        let &[high, middle, low, kind, flags, a, b, c, d] = self.bytes.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.bytes.get(..HEADER + length)?;
        self.bytes.drain(..HEADER + length);
        Some(Frame {
            kind,
            flags,
            stream: [a, b, c, d],
        })
    }
}
