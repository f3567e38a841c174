//! Servers to probe.

use std::{convert::Infallible, net::SocketAddr};

use ::http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_config::Protocol;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers every request with the status that `answer` gives.
pub(super) async fn serve(
    protocol: Protocol,
    answer: impl Fn(&Request<Incoming>) -> u16 + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = hyper::service::service_fn(move |request| {
        let status = answer(&request);
        async move {
            let response = Response::builder()
                .status(status)
                .body(Empty::<Bytes>::new());
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (io, service) = (TokioIo::new(stream), service.clone());
            match protocol {
                Protocol::Http1 => {
                    let connection = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(connection.serve_connection(io, service));
                }
                Protocol::H2 => {
                    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(connection.serve_connection(io, service));
                }
            }
        }
    });
    address
}

pub(super) async fn serve_grpc(router: tonic::transport::server::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(router.serve_with_incoming(incoming));
    address
}

/// A server that sends these bytes to everybody who connects and closes the connection; or keeps
/// silent for ever.
pub(super) async fn says(bytes: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            match bytes {
                Some(bytes) => {
                    // What was asked is read first, so that the close is no reset.
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(bytes).await;
                }
                None => silent.push(stream),
            }
        }
    });
    address
}
