//! A gRPC worker and a client for it, both by tonic. Messages are `google.protobuf.StringValue`,
//! for which no generated code is needed.

use std::{convert::Infallible, net::SocketAddr, task::Poll};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use http::uri::PathAndQuery;
use tokio::sync::watch;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    metadata::MetadataMap,
    server::NamedService,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use super::{Task, client::Client, soon};

type Codec = ProstCodec<String, String>;
type Messages = stream::BoxStream<'static, Result<String, Status>>;

const MESSAGE_BYTES_MAX: usize = 64 << 20;
pub(crate) const UNARY: &str = "/penstock.test.Echo/Unary";
const CLIENT_STREAM: &str = "/penstock.test.Echo/ClientStream";
const SERVER_STREAM: &str = "/penstock.test.Echo/ServerStream";
const BIDI: &str = "/penstock.test.Echo/Bidi";

/// A gRPC worker. Dropping it closes its port.
pub(crate) struct GrpcWorker {
    pub(crate) address: SocketAddr,
    calls: Calls,
    _serving: Task,
}

impl GrpcWorker {
    pub(crate) async fn start() -> Self {
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = incoming.local_addr().unwrap();
        let calls = Calls::default();
        let server = Server::builder()
            .add_service(Echo {
                calls: calls.clone(),
            })
            .serve_with_incoming(incoming.with_nodelay(Some(true)));
        Self {
            address,
            calls,
            _serving: Task::spawn(async { drop(server.await) }),
        }
    }

    /// Waits until so many calls are open.
    pub(crate) async fn until_open(&self, calls: usize) {
        let mut open = self.calls.0.subscribe();
        soon("calls to be open", open.wait_for(|open| *open == calls))
            .await
            .unwrap();
    }
}

/// Counts calls that the worker works on.
#[derive(Clone, Default)]
struct Calls(watch::Sender<usize>);

struct Call(Calls);

impl Calls {
    fn begin(&self) -> Call {
        self.0.send_modify(|open| *open += 1);
        Call(self.clone())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

#[derive(Clone)]
struct Echo {
    calls: Calls,
}

impl NamedService for Echo {
    const NAME: &'static str = "penstock.test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let calls = self.calls.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            Ok(match request.uri().path() {
                UNARY => {
                    grpc.unary(service_fn(|r| unary(calls.begin(), r)), request)
                        .await
                }
                CLIENT_STREAM => {
                    grpc.client_streaming(service_fn(|r| join(calls.begin(), r)), request)
                        .await
                }
                SERVER_STREAM => {
                    grpc.server_streaming(service_fn(|r| count(calls.begin(), r)), request)
                        .await
                }
                BIDI => {
                    grpc.streaming(service_fn(|r| echo(calls.begin(), r)), request)
                        .await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// The same message with the metadata `x-ask` given back as `x-answer`; `fail` ends with an error
/// that has metadata in its trailers, `hang` never ends.
async fn unary(call: Call, request: Request<String>) -> Result<Response<String>, Status> {
    let _call = call;
    if request.get_ref() == "hang" {
        std::future::pending::<()>().await;
    }
    if request.get_ref() == "fail" {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-detail", "from the worker".parse().unwrap());
        return Err(Status::with_metadata(
            Code::DataLoss,
            "as you wish",
            metadata,
        ));
    }
    let asked = request.metadata().get("x-ask").cloned();
    let mut response = Response::new(request.into_inner());
    if let Some(asked) = asked {
        response.metadata_mut().insert("x-answer", asked);
    }
    Ok(response)
}

/// All messages in one.
async fn join(call: Call, request: Request<Streaming<String>>) -> Result<Response<String>, Status> {
    let _call = call;
    let mut messages = request.into_inner();
    let mut all = String::new();
    while let Some(message) = messages.message().await? {
        all.push_str(&message);
    }
    Ok(Response::new(all))
}

/// As many messages as the number asks for.
async fn count(call: Call, request: Request<String>) -> Result<Response<Messages>, Status> {
    let many: usize = request
        .get_ref()
        .parse()
        .map_err(|_| Status::invalid_argument("not a number"))?;
    let numbers = stream::iter(0..many).map(move |number| {
        let _call = &call;
        Ok(number.to_string())
    });
    Ok(Response::new(numbers.boxed()))
}

/// Every message as it comes.
async fn echo(
    call: Call,
    request: Request<Streaming<String>>,
) -> Result<Response<Messages>, Status> {
    let echoed = request.into_inner().inspect(move |_| {
        let _call = &call;
    });
    Ok(Response::new(echoed.boxed()))
}

/// A client of [`GrpcWorker`].
#[derive(Clone)]
pub(crate) struct GrpcClient(tonic::client::Grpc<Channel>);

impl GrpcClient {
    /// One that goes where `client` goes, over one connection of its own.
    pub(crate) async fn connect(client: &Client) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", client.address))
            .unwrap()
            .origin(format!("http://{}", client.host).parse().unwrap());
        let channel = soon("a connection", endpoint.connect())
            .await
            .expect("a listener");
        Self(
            tonic::client::Grpc::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
    }

    async fn at(&self) -> tonic::client::Grpc<Channel> {
        let mut grpc = self.0.clone();
        grpc.ready().await.expect("a connection");
        grpc
    }

    pub(crate) async fn unary(
        &self,
        request: impl tonic::IntoRequest<String>,
    ) -> Result<Response<String>, Status> {
        let path = PathAndQuery::from_static(UNARY);
        let request = request.into_request();
        self.at().await.unary(request, path, Codec::default()).await
    }

    pub(crate) async fn client_stream(
        &self,
        messages: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Response<String>, Status> {
        let path = PathAndQuery::from_static(CLIENT_STREAM);
        let request = Request::new(messages);
        self.at()
            .await
            .client_streaming(request, path, Codec::default())
            .await
    }

    pub(crate) async fn server_stream(&self, many: usize) -> Result<Streaming<String>, Status> {
        let path = PathAndQuery::from_static(SERVER_STREAM);
        let request = Request::new(many.to_string());
        let answer = self
            .at()
            .await
            .server_streaming(request, path, Codec::default())
            .await;
        answer.map(Response::into_inner)
    }

    pub(crate) async fn bidi(
        &self,
        messages: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Streaming<String>, Status> {
        let path = PathAndQuery::from_static(BIDI);
        let request = Request::new(messages);
        let answer = self
            .at()
            .await
            .streaming(request, path, Codec::default())
            .await;
        answer.map(Response::into_inner)
    }
}
