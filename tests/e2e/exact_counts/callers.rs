//! The clients of the storm.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HOST};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error as SocketError, Message, client::IntoClientRequest},
};

use super::{
    plan::Plan,
    settings::KEY,
    tally::Tally,
    workers::{Ids, Workers},
};
use crate::support::{
    client::{Body, Client, Connection, by_pieces, empty, full},
    soon,
};

/// One client with at most one connection.
pub(super) struct Caller {
    client: Client,
    user: String,
    connection: Option<Connection>,
    ids: Ids,
    tally: Tally,
    /// Status and reason of the last whole answer, for whoever must find out what went wrong.
    last: Option<(StatusCode, String)>,
}

/// What a client does with a request.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Reads the answer.
    Get(&'static str),
    /// Sends so many bytes and compares what comes back.
    Echo(usize),
    /// Has a key that does not exist.
    WrongKey,
    /// Asks a host that does not exist.
    Nowhere,
    /// Leaves while a worker thinks.
    LeaveWaiting,
    /// Leaves in the middle of its own body.
    LeaveUpload,
    /// Leaves in the middle of the answer.
    LeaveAnswer,
    /// Says something through a WebSocket, over a connection of its own.
    Socket,
}

const KINDS: [Kind; 23] = [
    Kind::Get("/"),
    Kind::Echo(100),
    Kind::Get("/"),
    Kind::LeaveWaiting,
    Kind::Get("/"),
    Kind::Get("/error"),
    Kind::Echo(0),
    Kind::Get("/"),
    Kind::Nowhere,
    Kind::Get("/reset"),
    Kind::Get("/"),
    Kind::LeaveAnswer,
    Kind::Echo(100_000),
    Kind::Get("/"),
    Kind::WrongKey,
    Kind::Get("/"),
    Kind::LeaveUpload,
    Kind::Get("/"),
    Kind::Socket,
    Kind::Echo(20_000),
    Kind::Get("/"),
    Kind::Get("/"),
    Kind::Echo(1),
];

impl Caller {
    pub(super) fn new(number: usize, client: Client, workers: &Workers) -> Self {
        Self {
            client,
            user: (number % 5).to_string(),
            connection: None,
            ids: workers.ids(),
            tally: Tally::default(),
            last: None,
        }
    }

    /// Asks until the plan is fulfilled.
    pub(super) async fn call(mut self, plan: Arc<Plan>) -> Tally {
        let mut turn = self.user.len();
        while plan.one_more() {
            turn += 1;
            let kind = KINDS[turn % KINDS.len()];
            soon(&format!("{kind:?}"), self.one(kind)).await;
        }
        self.tally
    }

    async fn one(&mut self, kind: Kind) {
        match kind {
            Kind::Get(path) => drop(self.whole(Method::GET, path, KEY, empty()).await),
            Kind::Echo(length) => {
                let sent = Bytes::from(vec![b'x'; length]);
                let body = full(sent.clone());
                if let Some(back) = self.whole(Method::POST, "/echo", KEY, body).await {
                    assert!(back == sent, "{} bytes came back", back.len());
                }
            }
            Kind::WrongKey => drop(self.whole(Method::GET, "/", "psk_wrong", empty()).await),
            Kind::Nowhere => {
                let host = std::mem::replace(&mut self.client.host, "nowhere.test".to_owned());
                drop(self.whole(Method::GET, "/", KEY, empty()).await);
                self.client.host = host;
            }
            Kind::LeaveWaiting => self.leave_waiting().await,
            Kind::LeaveUpload => self.leave_upload().await,
            Kind::LeaveAnswer => self.leave_answer().await,
            Kind::Socket => self.socket().await,
        }
    }

    fn request(&mut self, method: Method, path: &str, key: &str, body: Body) -> Request<Body> {
        let mut request = self.client.request(method, path, body);
        let headers = request.headers_mut();
        headers.insert("x-api-key", key.parse().unwrap());
        headers.insert("x-user", self.user.parse().unwrap());
        headers.insert("x-class", "batch".parse().unwrap());
        request
    }

    /// An answer read to its end; the body when a worker gave it.
    async fn whole(&mut self, method: Method, path: &str, key: &str, body: Body) -> Option<Bytes> {
        let request = self.request(method, path, key, body);
        let response = self.ask(request).await;
        self.read(response).await
    }

    /// Sends a request. The gateway never fails to answer.
    async fn ask(&mut self, request: Request<Body>) -> Response<Incoming> {
        let what = request.uri().path().to_owned();
        let connection = self.connection().await;
        let response = connection.send(request).await;
        response
            .unwrap_or_else(|error| panic!("no answer to {what} after {:?}: {error:?}", self.last))
    }

    /// A connection that takes a request.
    async fn connection(&mut self) -> &mut Connection {
        let usable = match &mut self.connection {
            Some(connection) => connection.is_usable().await,
            None => false,
        };
        if !usable {
            self.connection = Some(self.client.connect().await.expect("a listener"));
        }
        self.connection.as_mut().expect("it was just made")
    }

    async fn read(&mut self, response: Response<Incoming>) -> Option<Bytes> {
        let (head, body) = response.into_parts();
        let whole = body.collect().await;
        let whole = whole.unwrap_or_else(|error| panic!("half an answer, {head:?}: {error:?}"));
        let reason = reason(&head.headers).to_owned();
        self.last = Some((head.status, reason.clone()));
        self.tally.answered(head.status.as_u16(), &reason);
        if head.headers.contains_key("connection") {
            self.connection = None;
        }
        reason.is_empty().then(|| whole.to_bytes())
    }

    async fn leave_waiting(&mut self) {
        let id = self.ids.next();
        let mut request = self.request(Method::GET, "/wait", KEY, empty());
        request.headers_mut().insert("x-id", id.parse().unwrap());
        self.leave_when_arrived(request, &id).await;
    }

    async fn leave_upload(&mut self) {
        let id = self.ids.next();
        let (mut sender, body) = by_pieces();
        let mut request = self.request(Method::POST, "/upload", KEY, body);
        request.headers_mut().insert("x-id", id.parse().unwrap());
        let _ = sender.send_data(Bytes::from("a part")).await;
        self.leave_when_arrived(request, &id).await;
        sender.abort("the client left".into());
    }

    /// Breaks a request off once a worker has it, unless it is answered before.
    async fn leave_when_arrived(&mut self, request: Request<Body>, id: &str) {
        self.connection().await;
        let mut connection = self.connection.take().expect("it was just made");
        let answered = tokio::select! {
            response = connection.send(request) => Some(response),
            () = self.ids.arrived() => None,
        };
        match answered {
            Some(response) => {
                self.ids.forget(id);
                let response = response.unwrap_or_else(|error| panic!("no answer: {error:?}"));
                self.read(response).await;
            }
            None => {
                self.tally.left();
                if connection.is_h2() {
                    self.connection = Some(connection);
                }
            }
        }
    }

    async fn leave_answer(&mut self) {
        let request = self.request(Method::GET, "/endless", KEY, empty());
        let mut response = self.ask(request).await;
        if !reason(response.headers()).is_empty() {
            drop(self.read(response).await);
            return;
        }
        let piece = response.body_mut().frame().await;
        let piece = piece.expect("a piece").expect("a piece").into_data();
        assert_eq!(piece.expect("data"), "begun");
        self.tally.left();
        drop(response);
        if !self.connection().await.is_h2() {
            self.connection = None;
        }
    }

    async fn socket(&mut self) {
        let stream = TcpStream::connect(self.client.address).await.unwrap();
        let url = format!("ws://{}/ws", self.client.host);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("x-api-key", KEY.parse().unwrap());
        headers.insert("x-user", self.user.parse().unwrap());
        assert_eq!(headers[HOST], self.client.host);
        match client_async(request, stream).await {
            Ok((mut socket, _)) => {
                socket.send(Message::text("hello")).await.unwrap();
                let back = socket.next().await.unwrap().unwrap();
                assert_eq!(back.to_text().unwrap(), "hello");
                socket.close(None).await.unwrap();
                while socket.next().await.is_some_and(|message| message.is_ok()) {}
                self.tally.answered(101, "");
            }
            Err(SocketError::Http(response)) => {
                let status = response.status().as_u16();
                self.tally.answered(status, reason(response.headers()));
            }
            Err(error) => panic!("no answer to a handshake: {error:?}"),
        }
    }
}

fn reason(headers: &HeaderMap) -> &str {
    headers
        .get("x-penstock-reason")
        .map_or("", |reason| reason.to_str().expect("ASCII"))
}
