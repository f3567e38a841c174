//! A client of the admin address, for the commands that ask a running Penstock.

use std::{fmt, future::Future, io::ErrorKind, str::FromStr, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::{Method, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;

/// Longest time to connect, and again to get the head of the answer: whoever waits is a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer that is read whole: far above the status of ten thousand services.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where the admin API is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// Admin address of the running Penstock.
    #[arg(
        long,
        env = "PENSTOCK_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9900"
    )]
    admin: AdminAddress,
}

/// `host:port`, of which the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AdminAddress(Authority);

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be host:port, such as 127.0.0.1:9900".to_owned();
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let authority: Authority = bare
            .strip_suffix('/')
            .unwrap_or(bare)
            .parse()
            .map_err(|_| wrong())?;
        let complete = authority.port_u16().is_some() && !authority.as_str().contains('@');
        if complete {
            Ok(Self(authority))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// Why the API did not do what was asked of it: RFC 9457.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// The client. Every request has a connection of its own, for commands make one or two.
#[derive(Debug)]
pub(crate) struct AdminClient {
    address: AdminAddress,
}

impl AdminClient {
    pub(crate) fn new(args: &AdminArgs) -> Self {
        Self {
            address: args.admin.clone(),
        }
    }

    /// The answer to `GET path`, as text.
    ///
    /// # Errors
    ///
    /// When nobody answers or the answer is an error.
    pub(crate) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let body = self.get(path).await?;
        self.text_of(body).await
    }

    /// The answer to `GET path`, read as JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::get_text`]; and when the answer is not what this version of Penstock would give.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let text = self.get_text(path).await?;
        self.parse(&text)
    }

    /// Asks for a change with `body` as JSON; the answer, read as JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::get_json`].
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let text = self.change_text(method, path, body).await?;
        self.parse(&text)
    }

    /// Asks for a change with `body` as JSON; the answer as text.
    ///
    /// # Errors
    ///
    /// As [`Self::get_text`].
    pub(crate) async fn change_text(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<String> {
        let body = serde_json::to_vec(body)?;
        let answer = self.ask(method, path, body.into()).await?;
        self.text_of(answer).await
    }

    /// The body of the answer to `GET path`, as it comes.
    ///
    /// # Errors
    ///
    /// When nobody answers or the answer is an error.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Incoming> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Incoming> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer.into_body());
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(Problem { detail }) => bail!(detail),
            Err(_) => bail!(
                "{} answers {status} to {path}: is this the admin address of penstock?",
                self.address
            ),
        }
    }

    async fn text_of(&self, body: Incoming) -> anyhow::Result<String> {
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = read
            .map_err(|error| anyhow!("{}: {error}", self.address))?
            .to_bytes();
        String::from_utf8(bytes.into())
            .with_context(|| format!("the answer of {} is not text", self.address))
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> anyhow::Result<T> {
        serde_json::from_str(text).with_context(|| {
            format!(
                "{} does not answer as this version of penstock does",
                self.address
            )
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = self.connect().await?;
        let asked = async {
            let (mut requests, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the answer; an error in it is one of the answer too.
            tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, self.address.0.as_str());
            let request = request
                .body(Full::new(body))
                .expect("paths are made of checked names");
            requests.send_request(request).await
        };
        let answer = in_time(asked)
            .await
            .with_context(|| format!("no answer from {}", self.address))?;
        answer.with_context(|| format!("{} does not answer as penstock does", self.address))
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let host = self.address.0.host().trim_matches(['[', ']']);
        let port = self.address.0.port_u16().expect("checked when parsed");
        let nobody = || format!("no penstock at {}", self.address);
        match in_time(TcpStream::connect((host, port)))
            .await
            .with_context(nobody)?
        {
            Ok(stream) => Ok(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => bail!(
                "{}: connection refused — is it running? (--admin ADDRESS or PENSTOCK_ADMIN)",
                nobody()
            ),
            Err(error) => Err(error).with_context(nobody),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let timed = tokio::time::timeout(PATIENCE, work).await;
    timed.map_err(|_| anyhow!("nothing within {} s", PATIENCE.as_secs()))
}

/// Runs a command that asks a running Penstock.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("cannot start the runtime")?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_url_of_them() {
        for text in [
            "127.0.0.1:9900",
            "http://127.0.0.1:9900/",
            "[::1]:9900",
            "admin.example:80",
        ] {
            assert!(text.parse::<AdminAddress>().is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1",
            "9900",
            "https://a:1",
            "a:1/x",
            "user@a:1",
            "a:99999",
        ] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }
}
