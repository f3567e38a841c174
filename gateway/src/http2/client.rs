//! A connection to somebody who answers requests over HTTP/2.

use std::{
    future::poll_fn,
    mem::take,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use h2::{
    Reason, RecvStream, SendStream,
    client::{Connection, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Method, Request, Response, header::CONTENT_LENGTH};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::{
    Passing,
    content::{Content, Open, Received},
    interim::Interim,
    longest_head,
    piece::{Piece, Room},
    pump::Pump,
    taking_back::{Driver, TakingBack},
    tunnel::Tunnel,
};

/// What `h2` buffers of one stream before it says that it has no room. What is handed over is bounded here.
const SEND_BUFFER: usize = 64 << 10;

/// Streams that we took back and remember, because their peer may not know it yet. For a stream that is
/// forgotten each frame that still comes is answered, which costs little.
const REMEMBERED_MAX: usize = 4096;

/// How long they are remembered: longer than a frame is on its way.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);

/// What frames with little in them may cost beside that, until somebody takes them. `h2` ends the
/// connection beyond it, with all its streams.
const OVERHEAD_MAX: usize = 64 << 20;

/// What we allow the other side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// What it may send of a stream before we take it.
    pub(crate) stream_window: u32,
    /// The same of all its streams together.
    pub(crate) connection_window: u32,
    /// The longest head that the caller accepts.
    pub(crate) head_max: usize,
}

/// Sends requests on a connection.
#[derive(Clone)]
pub(crate) struct Sender {
    requests: SendRequest<Piece>,
    shared: Arc<Shared>,
}

struct Shared {
    room: Arc<Room>,
    is_closed: AtomicBool,
    /// Streams that were taken back.
    taken_back: Arc<AtomicU64>,
    /// Those that are about to be.
    taking_back: TakingBack<(ResponseFuture, Open)>,
}

/// A request that waits for its answer.
struct Waiting {
    /// `None` when it is there.
    stream: Option<(ResponseFuture, Open)>,
    shared: Arc<Shared>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.shared.taking_back.add(stream);
        }
    }
}

/// Why a request got no answer.
pub(crate) enum Unanswered {
    /// Nothing of it was sent, and it is where it was.
    Unsent(h2::Error),
    /// It may have been.
    Broken(h2::Error),
}

/// Begins to speak HTTP/2 on `io`. What comes with the sender must run for as long as there are streams.
pub(crate) async fn open<S>(
    io: S,
    terms: Terms,
) -> Result<(Sender, impl Future<Output = Result<(), h2::Error>>), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (requests, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(terms.stream_window)
        .initial_connection_window_size(terms.connection_window)
        .max_header_list_size(longest_head(terms.head_max))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(REMEMBERED_MAX)
        .reset_stream_duration(REMEMBERED_FOR)
        .max_local_error_reset_streams(None)
        .data_frame_budget(OVERHEAD_MAX)
        .handshake(io)
        .await?;
    let shared = Arc::new(Shared {
        room: Arc::default(),
        is_closed: AtomicBool::new(false),
        taken_back: Arc::default(),
        taking_back: TakingBack::default(),
    });
    let run = run(connection, Arc::clone(&shared));
    Ok((Sender { requests, shared }, run))
}

async fn run<S>(connection: Connection<S, Piece>, shared: Arc<Shared>) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Also when it is dropped.
    struct Closes(Arc<Shared>);
    impl Drop for Closes {
        fn drop(&mut self) {
            self.0.is_closed.store(true, Ordering::Relaxed);
            self.0.taking_back.end();
        }
    }
    let closes = Closes(shared);
    let (mut connection, mut driver) = (pin!(connection), Driver::default());
    poll_fn(|cx| {
        // Before the connection writes.
        let _ = driver.poll(&closes.0.taking_back, cx);
        connection.as_mut().poll(cx)
    })
    .await
}

impl Sender {
    /// Whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Relaxed)
    }

    /// How many streams were taken back before their end.
    pub(crate) fn taken_back(&self) -> u64 {
        self.shared.taken_back.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for the head of its answer. Its body is sent on in a task of its own if it
    /// does not leave at once; when the answer has ended before it, for as long as the other side takes
    /// something of it within `idle`.
    ///
    /// The stream is taken back when this is dropped, and when the answer's content is before its end.
    pub(crate) async fn send<B>(
        &mut self,
        request: &mut Request<B>,
        idle: Duration,
    ) -> Result<Response<Content>, Unanswered>
    where
        B: Passing + Default + Send + 'static,
    {
        let ready = poll_fn(|cx| self.requests.poll_ready(cx)).await;
        if let Err(error) = ready {
            // The other side closes it, and only finishes what it has.
            self.shared.is_closed.store(true, Ordering::Relaxed);
            return Err(Unanswered::Unsent(error));
        }
        let (mut head, body) = take(request).into_parts();
        let is_connect = head.method == Method::CONNECT;
        if !is_connect {
            say_length(&head.method, &mut head.headers, &body);
        }
        let interim = head.extensions.remove::<Interim>();
        let ends = body.is_end_stream() && !is_connect;
        let request = Request::from_parts(head, ());
        let sent = self.requests.send_request(request, ends);
        let (answer, stream) = sent.map_err(Unanswered::Broken)?;
        let mut open = Open {
            upload: None,
            taken_back: Arc::clone(&self.shared.taken_back),
            is_answered: false,
        };
        if is_connect {
            return self.tunnel(answer, stream, open).await;
        }
        if !ends {
            let pump = Pump::new(stream, body, Arc::clone(&self.shared.room));
            open.upload = upload(pump, idle).await;
        }
        let waiting = Waiting {
            stream: Some((answer, open)),
            shared: Arc::clone(&self.shared),
        };
        waiting.answer(interim).await
    }

    async fn tunnel(
        &self,
        answer: ResponseFuture,
        stream: SendStream<Piece>,
        mut open: Open,
    ) -> Result<Response<Content>, Unanswered> {
        let answer = answer.await.map_err(Unanswered::Broken)?;
        if !answer.status().is_success() {
            // It has nothing to say on it any more.
            drop(stream);
            return Ok(with_body(answer, Some(open)));
        }
        open.is_answered = true;
        let room = Arc::clone(&self.shared.room);
        Ok(answer.map(|from| Content::Tunnel(Box::new(Tunnel::new(stream, from, room)))))
    }
}

impl Waiting {
    /// Waits for the answer itself, and passes interim ones on.
    async fn answer(mut self, interim: Option<Interim>) -> Result<Response<Content>, Unanswered> {
        let answered = poll_fn(|cx| {
            let Some((answer, _)) = &mut self.stream else {
                return Poll::Pending;
            };
            if let Some(interim) = &interim {
                while let Poll::Ready(Some(Ok(early))) = answer.poll_informational(cx) {
                    interim.tell(early);
                }
            }
            let answer = ready!(Pin::new(answer).poll(cx));
            // What is dropped now is not taken back, but over or somebody else's.
            let stream = self.stream.take();
            Poll::Ready(answer.map(|answer| (answer, stream.map(|(_, open)| open))))
        });
        let (answer, open) = answered.await.map_err(Unanswered::Broken)?;
        Ok(with_body(answer, open))
    }
}

fn with_body(answer: Response<RecvStream>, open: Option<Open>) -> Response<Content> {
    let length = length(answer.headers());
    answer.map(|stream| Content::Body(Received::new(stream, length, open)))
}

/// The length that a head tells, if it does.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Tells the length of a body where it is known, and not told already.
fn say_length<B: Passing>(method: &Method, headers: &mut HeaderMap, body: &B) {
    let Some(length) = body.size_hint().exact() else {
        return;
    };
    let may_have_one = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if (length > 0 || may_have_one) && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Sends a request's body: what is there at once, and the rest in a task of its own, which is told by what
/// is returned that the answer has ended, or else that there will be none.
async fn upload<B>(mut pump: Pump<B>, idle: Duration) -> Option<oneshot::Sender<()>>
where
    B: Passing + Send + 'static,
{
    let at_once = poll_fn(|cx| Poll::Ready(pump.poll(cx))).await;
    match at_once {
        Poll::Ready(Ok(())) => None,
        Poll::Ready(Err(_)) => {
            pump.reset(Reason::CANCEL);
            None
        }
        Poll::Pending => {
            let (tells, answer) = oneshot::channel();
            tokio::spawn(Upload {
                pump,
                answer: Some(answer),
                idle,
                gives_up: None,
            });
            Some(tells)
        }
    }
}

/// A request's body that is being sent.
struct Upload<B> {
    pump: Pump<B>,
    /// Tells that the answer has ended; an error is that nobody wants it any more.
    answer: Option<oneshot::Receiver<()>>,
    idle: Duration,
    /// When it is given up because nobody takes it.
    gives_up: Option<Pin<Box<Sleep>>>,
}

impl<B: Passing> Future for Upload<B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(answer) = &mut this.answer {
            match Pin::new(answer).poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => this.answer = None,
                Poll::Ready(Err(_)) => return this.give_up(),
            }
        }
        match this.pump.poll(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(()),
            Poll::Ready(Err(_)) => return this.give_up(),
            Poll::Pending => {}
        }
        // While there is an answer, its reader has the clocks.
        if this.answer.is_some() || !this.pump.is_blocked() {
            this.gives_up = None;
            return Poll::Pending;
        }
        let idle = this.idle;
        let gives_up = this.gives_up.get_or_insert_with(|| Box::pin(sleep(idle)));
        match gives_up.as_mut().poll(cx) {
            Poll::Ready(()) => this.give_up(),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<B: Passing> Upload<B> {
    fn give_up(&mut self) -> Poll<()> {
        self.pump.reset(Reason::CANCEL);
        Poll::Ready(())
    }
}
