//! Frames as bytes, for what no library would send.

use crate::support::client::{Client, RawConnection};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The head of a request, whole, and of its body nothing or all.
pub(crate) fn head(method: u8, stream: u32, to: &Client, path: &str, ends: bool) -> Vec<u8> {
    let literal = |index: u8, text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127);
        [&[index, length], text.as_bytes()].concat()
    };
    // Without indexing, names from the static table: `:path` is 4, `:authority` is 1.
    let fields = [vec![method, 0x86], literal(4, path), literal(1, &to.host)];
    frame(HEADERS, 4 | u8::from(ends), stream, &fields.concat())
}

pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;

/// The kind of the next frame, and its stream.
pub(crate) async fn next(client: &mut RawConnection) -> (u8, u32) {
    let head = client.read_exactly(9).await;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    client.read_exactly(length as usize).await;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    (head[3], stream)
}

/// Settings and an update that open all windows as far as they go.
pub(crate) const WIDE_OPEN: [u8; 28] = [
    0,
    0,
    6,
    SETTINGS,
    0,
    0,
    0,
    0,
    0,
    0,
    4,
    0x7f,
    0xff,
    0xff,
    0xff, // INITIAL_WINDOW_SIZE
    0,
    0,
    4,
    WINDOW_UPDATE,
    0,
    0,
    0,
    0,
    0,
    0x7f,
    0xff,
    0,
    0,
];
