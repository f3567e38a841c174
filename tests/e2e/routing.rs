//! Which service a request goes to.

use crate::support::{
    client::{Client, RawConnection},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

struct World {
    penstock: Penstock,
    _workers: Vec<FakeWorker>,
}

impl World {
    async fn new() -> Self {
        let mut workers = Vec::new();
        for name in ["blue", "green", "api", "pictures"] {
            let worker = FakeWorker::start().await;
            for path in ["/", "/v1/chat", "/pictures/1", "/pictures"] {
                worker.on(path, Behaviour::Answer(200, name));
            }
            workers.push(worker);
        }
        let address = |index: usize| workers[index].address;
        let config = format!(
            r#"
            [services.chat]
            hosts = ["chat.example.org"]
            [services.chat.deployments.blue]
            static = {{ addresses = ["{}"] }}
            [services.chat.deployments.green]
            weight = 0
            static = {{ addresses = ["{}"] }}

            [services.api]
            hosts = ["www.example.org"]
            [services.api.deployments.main]
            static = {{ addresses = ["{}"] }}

            [services.pictures]
            hosts = ["www.example.org"]
            paths = ["/pictures/"]
            [services.pictures.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            address(0),
            address(1),
            address(2),
            address(3)
        );
        Self {
            penstock: Penstock::start(&config).await,
            _workers: workers,
        }
    }

    async fn ask(&self, host: &str, path: &str) -> String {
        let client = Client::new(self.penstock.address, host);
        let answer = client.get(path).await;
        assert_eq!(client.h2().get(path).await.status, answer.status);
        match answer.status.as_u16() {
            200 => answer.text().to_owned(),
            status => format!("{status} {}", answer.reason()),
        }
    }
}

#[tokio::test]
async fn host_then_longest_path_decides() {
    let world = World::new().await;
    for (host, path, wanted) in [
        ("chat.local.localhost", "/", "blue"),
        ("chat.local.localhost:8080", "/v1/chat", "blue"),
        ("CHAT.Local.LOCALHOST", "/", "blue"),
        ("chat.example.org", "/", "blue"),
        ("blue--chat.local.localhost", "/", "blue"),
        ("green--chat.local.localhost", "/", "green"),
        ("www.example.org", "/", "api"),
        ("www.example.org", "/pictures/1", "pictures"),
        ("pictures.local.localhost", "/pictures/1", "pictures"),
        ("pictures.local.localhost", "/", "404 no_route"),
        ("red--chat.local.localhost", "/", "404 no_route"),
        ("nobody.local.localhost", "/", "404 no_route"),
        ("chat.other.localhost", "/", "404 no_route"),
        ("example.org", "/", "404 no_route"),
    ] {
        assert_eq!(world.ask(host, path).await, wanted, "{host}{path}");
    }
}

#[tokio::test]
async fn an_absolute_request_target_counts_more_than_host() {
    let world = World::new().await;
    let mut client = RawConnection::open(world.penstock.address).await;
    client
        .write("GET http://chat.example.org/ HTTP/1.1\r\nhost: chat.example.org\r\nconnection: close\r\n\r\n")
        .await;
    let answer = client.read_to_end().await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("blue"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_wildcard_and_the_default_take_the_hosts_that_nobody_names() {
    let [named, below, default] = [(); 3].map(|()| FakeWorker::start());
    let workers = [named.await, below.await, default.await];
    for (worker, name) in workers.iter().zip(["named", "below", "default"]) {
        worker.on("/v1", Behaviour::Answer(200, name));
    }
    let config = format!(
        r#"
        [services.named]
        hosts = ["named.example.org"]
        deployments.main.static.addresses = ["{}"]
        [services.below]
        hosts = ["*.example.org"]
        deployments.main.static.addresses = ["{}"]
        [services.default]
        default = true
        paths = ["/v1"]
        deployments.main.static.addresses = ["{}"]
        "#,
        workers[0].address, workers[1].address, workers[2].address
    );
    let world = World {
        penstock: Penstock::start(&config).await,
        _workers: workers.into(),
    };
    let address = world.penstock.address.to_string();
    for (host, path, wanted) in [
        ("named.example.org", "/v1", "named"),
        ("other.example.org", "/v1", "below"),
        ("a.b.example.org:8080", "/v1", "below"),
        ("example.org", "/v1", "default"),
        (&address, "/v1", "default"),
        (&address, "/v2", "404 no_route"),
        ("named.local.localhost", "/v1", "named"),
    ] {
        assert_eq!(world.ask(host, path).await, wanted, "{host}{path}");
    }
}
