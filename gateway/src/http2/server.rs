//! A connection of somebody who sends requests over HTTP/2.

use std::{
    error::Error,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use h2::{
    Reason, RecvStream,
    server::{Connection, Handshake, SendResponse},
};
use http::{
    HeaderName, Method, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use super::{
    Passing,
    client::length,
    content::{Content, Received},
    date,
    interim::Interim,
    longest_head,
    piece::{Piece, Room},
    pump::{Pump, Stopped},
    tunnel::Tunnel,
    window::Window,
};

/// Receive window of a stream. Prompts with images are large, and the protocol's 64 KiB would
/// cost a round trip each; memory is bounded by the connection's window.
const STREAM_WINDOW: u32 = 1 << 20;

/// Receive window of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What `h2` buffers of one stream before it says that it has no room. What is handed over is bounded by
/// what waits in the connection.
const SEND_BUFFER: usize = 64 << 10;

/// Streams that the client takes back before anybody has looked at them, or that we do. `h2` would end the
/// connection at some number of them, whatever the time. How many are too many in a time is judged by
/// the frames that a client sends, before `h2` sees them, and that comes first.
const RESETS_MAX: usize = 1 << 20;

/// Streams that we took back and remember, because the client may not know it yet.
const REMEMBERED_MAX: usize = 1024;

/// What frames with little in them may cost beside that, until somebody takes them.
const OVERHEAD_MAX: usize = 16 << 20;

/// Fields of HTTP/1.1 that an answer must not have here (RFC 9113 §8.2.2).
const HTTP1_ONLY: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What a client is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Streams at once.
    pub(crate) streams: u32,
    /// The longest head that the caller accepts.
    pub(crate) head_max: usize,
}

/// A connection that is being served. Each request is handled in a task of its own.
pub(crate) struct Serving<S, H> {
    state: State<S>,
    handle: H,
    room: Arc<Room>,
    window: Arc<Window>,
}

enum State<S> {
    Beginning(Handshake<S, Piece>),
    Open(Connection<S, Piece>),
    Over,
}

impl<S, H> Serving<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Serves `io`, where the client's preface comes first.
    pub(crate) fn new(io: S, limits: Limits, handle: H) -> Self {
        let handshake = h2::server::Builder::new()
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(longest_head(limits.head_max))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_concurrent_reset_streams(REMEMBERED_MAX)
            .max_local_error_reset_streams(None)
            .data_frame_budget(OVERHEAD_MAX)
            .enable_connect_protocol()
            .handshake(io);
        Self {
            state: State::Beginning(handshake),
            handle,
            room: Arc::default(),
            window: Arc::default(),
        }
    }

    /// Takes no more requests; it is over when the last one is.
    pub(crate) fn graceful_shutdown(&mut self) {
        match &mut self.state {
            State::Open(connection) => connection.graceful_shutdown(),
            // The client has not said anything.
            State::Beginning(_) | State::Over => self.state = State::Over,
        }
    }
}

impl<S, H, F, B, E> Future for Serving<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Content>) -> F + Unpin,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Passing + Send + 'static,
    E: Error + Send + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Beginning(handshake) => match ready!(Pin::new(handshake).poll(cx)) {
                    Ok(connection) => this.state = State::Open(connection),
                    Err(_) => this.state = State::Over,
                },
                State::Open(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, answer))) => {
                        let (mut content, tunnel) = content(request, &this.window);
                        let interim = Interim::default();
                        content.extensions_mut().insert(interim.clone());
                        let stream = Stream {
                            answer,
                            interim,
                            tunnel,
                            room: Arc::clone(&this.room),
                        };
                        // Boxed: what makes a task of a future copies it ten times over, and this one has
                        // thousands of bytes, which are let go as soon as there is an answer.
                        let handled = Box::pin((this.handle)(content));
                        // In its task, so that one that is given up before is not even begun.
                        tokio::spawn(Box::pin(stream.serve(handled)));
                    }
                    // An error concerns the connection, and its streams hear of it.
                    Some(Err(_)) | None => this.state = State::Over,
                },
                State::Over => return Poll::Ready(()),
            }
        }
    }
}

/// What is needed for a tunnel when the answer allows it.
type Asked = (RecvStream, oneshot::Sender<Tunnel>);

fn content(
    request: Request<RecvStream>,
    window: &Arc<Window>,
) -> (Request<Content>, Option<Asked>) {
    let (head, stream) = request.into_parts();
    if head.method == Method::CONNECT && head.extensions.get::<h2::ext::Protocol>().is_some() {
        let (opens, tunnel) = oneshot::channel();
        let request = Request::from_parts(head, Content::Asked(tunnel));
        return (request, Some((stream, opens)));
    }
    let length = length(&head.headers);
    let received = Received::new(stream, length, None);
    let body = match received.is_over() {
        true => received,
        false => received.in_window(window),
    };
    let body = Content::Body(body);
    (Request::from_parts(head, body), None)
}

/// A request's stream.
struct Stream {
    answer: SendResponse<Piece>,
    interim: Interim,
    tunnel: Option<Asked>,
    room: Arc<Room>,
}

impl Stream {
    async fn serve<F, B, E>(mut self, handled: Pin<Box<F>>)
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: Passing,
    {
        let response = {
            let mut handled = handled;
            poll_fn(|cx| {
                // A client that has left is not served, not even for a moment.
                if self.answer.poll_reset(cx).is_ready() {
                    return Poll::Ready(None);
                }
                let handled = handled.as_mut().poll(cx);
                for interim in self.interim.take(cx) {
                    // An error concerns the stream, which tells it as well.
                    let _ = self.answer.send_informational(interim);
                }
                handled.map(Some)
            })
            .await
        };
        match response {
            Some(Ok(response)) => self.respond(response).await,
            Some(Err(_)) => self.answer.send_reset(Reason::INTERNAL_ERROR),
            None => {}
        }
    }

    async fn respond<B: Passing>(mut self, response: Response<B>) {
        let (mut head, body) = response.into_parts();
        for name in &HTTP1_ONLY {
            head.headers.remove(name);
        }
        date::add(&mut head.headers);
        if let Some((from, opens)) = self.tunnel.take()
            && head.status.is_success()
        {
            head.headers.remove(CONTENT_LENGTH);
            let sent = self
                .answer
                .send_response(Response::from_parts(head, ()), false);
            if let Ok(to) = sent {
                // Whoever waited for it may have left.
                let _ = opens.send(Tunnel::new(to, from, self.room));
            }
            return;
        }
        let ends = body.is_end_stream();
        if let Some(length) = body.size_hint().exact().filter(|_| !ends)
            && !head.headers.contains_key(CONTENT_LENGTH)
        {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
        let sent = self
            .answer
            .send_response(Response::from_parts(head, ()), ends);
        let Ok(stream) = sent else {
            self.answer.send_reset(Reason::INTERNAL_ERROR);
            return;
        };
        if ends {
            return;
        }
        let mut pump = Pump::new(stream, body, self.room);
        if let Err(Stopped::ByBody) = poll_fn(|cx| pump.poll(cx)).await {
            pump.reset(Reason::INTERNAL_ERROR);
        }
    }
}
