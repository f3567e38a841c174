//! What a fake worker does with a request.

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture};
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio_stream::wrappers::BroadcastStream;

use super::{Counted, State, websocket};
use crate::support::client::{Body, BoxError, full};

/// What happens to requests of a path.
#[derive(Clone, Default)]
pub(crate) enum Behaviour {
    /// 200 and `ok`, without a look at the body.
    #[default]
    Ok,
    /// Reads the body, then answers this.
    Answer(u16, &'static str),
    /// Waits until the test lets it go, then 200 and `released`.
    Hold,
    /// Server-sent events: those that the test sends while the answer is open.
    Events,
    /// Sends the body back piece by piece, with its trailers.
    Echo,
    /// Closes the connection in place of an answer.
    Reset,
    /// Begins an answer of unknown length and breaks off when the test lets it go.
    CutOff,
    /// Sends WebSocket messages back.
    WebSocket,
    /// Anything else.
    Custom(Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>),
}

impl Behaviour {
    pub(crate) fn custom<F>(answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::Custom(Arc::new(move |request| Box::pin(answer(request))))
    }

    pub(super) async fn answer(
        self,
        state: &Arc<State>,
        request: Request<Incoming>,
        counted: Counted,
    ) -> Result<Response<Body>, BoxError> {
        let response = match self {
            Self::Ok => Response::new(full("ok")),
            Self::Answer(status, text) => {
                request.into_body().collect().await?;
                Response::builder().status(status).body(full(text))?
            }
            Self::Hold => {
                state.pass_gate().await;
                Response::new(full("released"))
            }
            Self::Events => Response::builder()
                .header(CONTENT_TYPE, "text/event-stream")
                .body(events(state))?,
            Self::Echo => Response::new(request.into_body().map_err(BoxError::from).boxed()),
            Self::Reset => return Err("asked to break off".into()),
            Self::CutOff => Response::new(cut_off(Arc::clone(state))),
            Self::WebSocket => return Ok(websocket::accept(request, counted)),
            Self::Custom(answer) => answer(request).await,
        };
        Ok(response.map(|body| counted.until_sent(body)))
    }
}

fn events(state: &State) -> Body {
    let pieces = BroadcastStream::new(state.events.subscribe())
        .map(|piece| piece.map(Frame::data).map_err(BoxError::from));
    BodyExt::boxed(StreamBody::new(pieces))
}

fn cut_off(state: Arc<State>) -> Body {
    let pieces = async_stream::stream! {
        yield Ok(Frame::data("the beginning of".into()));
        state.pass_gate().await;
        yield Err("asked to break off".into());
    };
    BodyExt::boxed(StreamBody::new(pieces))
}

/// The status for a handshake: HTTP/2 has no 101.
pub(super) fn switching(request: &Request<Incoming>) -> StatusCode {
    if request.method() == http::Method::CONNECT {
        StatusCode::OK
    } else {
        StatusCode::SWITCHING_PROTOCOLS
    }
}
