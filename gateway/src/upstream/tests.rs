use http::Response;
use penstock_config::fleet::{WorkerEntry, WorkerId, WorkerState as State};
use tokio::net::TcpListener;

use super::*;
use crate::base::clock::Clock;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(60),
    first_byte: Duration::from_secs(60),
    idle: Duration::from_secs(60),
    total: None,
    keepalive: Duration::from_secs(60),
    min_rate: 0,
    min_rate_window: Duration::from_secs(60),
};

const H2: Wire = Wire {
    protocol: Protocol::H2,
    tls: None,
};

/// A worker that speaks HTTP/2 and answers everything.
async fn worker(name: &str) -> WorkerState {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entry = WorkerEntry {
        id: WorkerId(name.into()),
        slot: 0,
        address: listener.local_addr().unwrap(),
        host: None,
        weight: 1,
        state: State::Ready,
        ramp: false,
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = ::h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    answer.send_response(Response::new(()), true).unwrap();
                }
            });
        }
    });
    WorkerState::new(&entry, None, Clock::start(), 1)
}

#[tokio::test]
async fn an_idle_http2_connection_gives_way_and_one_in_use_does_not() {
    let places = Arc::new(Places::default());
    places.limit(1, 8192);
    let upstreams = Upstreams::new(places);
    let workers = [worker("a").await, worker("b").await];
    let ask = async |worker: &WorkerState| {
        let request = Request::get("http://worker/").body(UpstreamBody::Empty);
        let (mut request, entry) = (request.unwrap(), Entry::default());
        let now = worker.now();
        let sent = upstreams.send(worker, &H2, &mut request, &TIMEOUTS, now, entry);
        sent.await
    };
    for worker in workers.iter().cycle().take(10) {
        assert!(ask(worker).await.is_ok());
    }
    let in_use = ask(&workers[0]).await;
    assert!(in_use.is_ok());
    let Err(SendError::Connect(error)) = ask(&workers[1]).await else {
        panic!("there is one place, and it is taken");
    };
    assert_eq!(error.fault, Fault::Here);
}
