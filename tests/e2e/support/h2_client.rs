//! A client by `h2` itself: many streams on one connection, each of which is read, or not, as the test wants.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;

use super::{Task, client::Client, soon};

/// One connection.
pub(crate) struct H2Client {
    requests: SendRequest<Bytes>,
    _connection: Task,
}

/// A request that was begun.
pub(crate) struct Call {
    pub(crate) answer: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

impl H2Client {
    /// A connection with the windows that the protocol begins with.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, 65_535).await
    }

    /// One whose streams have such windows.
    pub(crate) async fn connect_with(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(window)
            .initial_connection_window_size(1 << 30)
            .max_concurrent_reset_streams(10_000)
            .max_local_error_reset_streams(None)
            .data_frame_budget(1 << 30)
            .max_header_list_size(1 << 20);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        let connection = Task::spawn(async { drop(connection.await) });
        Self {
            requests,
            _connection: connection,
        }
    }

    /// Begins a request to the service that `to` is a client of.
    pub(crate) async fn begin(&self, to: &Client, method: Method, path: &str) -> Call {
        self.begin_with(to, method, path, &HeaderMap::new()).await
    }

    pub(crate) async fn begin_with(
        &self,
        to: &Client,
        method: Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Call {
        let uri = format!("http://{}{path}", to.host);
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        *request.headers_mut() = headers.clone();
        let ready = soon("the connection to be ready", self.requests.clone().ready()).await;
        let (answer, body) = ready.unwrap().send_request(request, false).unwrap();
        Call { answer, body }
    }

    /// The head of an answer to a request without a body.
    pub(crate) async fn get(&self, to: &Client, path: &str) -> Response<RecvStream> {
        let mut call = self.begin(to, Method::GET, path).await;
        call.body.send_data(Bytes::new(), true).unwrap();
        call.head().await
    }

    /// The whole of one.
    pub(crate) async fn get_whole(&self, to: &Client, path: &str) -> (u16, String) {
        let answer = self.get(to, path).await;
        let status = answer.status().as_u16();
        (status, whole(answer.into_body()).await.0)
    }
}

impl Call {
    pub(crate) async fn head(&mut self) -> Response<RecvStream> {
        let answer = soon("the head of an answer", &mut self.answer).await;
        answer.expect("an answer")
    }

    /// Sends bytes as the windows allow, until none has been allowed for a while; how many were sent.
    pub(crate) async fn send_until_blocked(&mut self, bytes: usize) -> usize {
        let mut sent = 0;
        while sent < bytes {
            self.body.reserve_capacity((bytes - sent).min(16 << 10));
            let capacity = poll_fn(|cx| self.body.poll_capacity(cx));
            let Ok(capacity) = tokio::time::timeout(Duration::from_millis(300), capacity).await
            else {
                break;
            };
            let capacity = capacity.expect("a stream").expect("a stream that is open");
            let piece = capacity.min(bytes - sent).min(16 << 10);
            self.body.send_data(vec![0; piece].into(), false).unwrap();
            sent += piece;
        }
        self.body.reserve_capacity(0);
        sent
    }

    pub(crate) fn cancel(&mut self) {
        self.body.send_reset(Reason::CANCEL);
    }
}

/// A body to its end, and its trailers.
pub(crate) async fn whole(mut body: RecvStream) -> (String, Option<HeaderMap>) {
    let mut text = Vec::new();
    while let Some(piece) = soon("a piece of an answer", body.data()).await {
        let piece = piece.expect("a piece");
        text.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let trailers = soon("trailers", body.trailers()).await.expect("an end");
    (String::from_utf8(text).unwrap(), trailers)
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let piece = soon("a piece of an answer", body.data()).await;
    let piece = piece.expect("it goes on")?;
    let _ = body.flow_control().release_capacity(piece.len());
    Ok(piece)
}
