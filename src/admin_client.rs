//! A client of the admin address, for the commands that ask a running Penstock.

use std::{env, fmt, fs::File, future::Future, io, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::{Method, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::key;

/// The environment variable that holds a token: an option would show it to every user of the machine.
const TOKEN: &str = "PENSTOCK_TOKEN";

/// Longest time to connect, and again to get the head of the answer: whoever waits is a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer that is read whole: far above the status of ten thousand services.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where the admin API is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// Admin address of the running Penstock, host:port, or its Unix socket, unix:/PATH.
    #[arg(
        long,
        env = "PENSTOCK_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9900"
    )]
    admin: AdminAddress,
    /// File with the token for the admin address, where one is needed [default: the token in the
    /// environment variable PENSTOCK_TOKEN].
    #[arg(long, env = "PENSTOCK_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl AdminArgs {
    /// The token, if there is one.
    fn token(&self) -> anyhow::Result<Option<String>> {
        if let Some(file) = &self.token_file {
            let token = File::open(file).map_err(Into::into).and_then(key::given);
            let token = token.with_context(|| format!("the token file {}", file.display()))?;
            return Ok(Some(token));
        }
        let token = env::var_os(TOKEN).filter(|token| !token.is_empty());
        let token = token.map(|token| key::given(token.as_encoded_bytes()));
        token.transpose().context(TOKEN)
    }
}

/// `host:port`, of which the host may be a name; or a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AdminAddress {
    Tcp(Authority),
    Unix(PathBuf),
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let wrong =
            || "must be host:port, such as 127.0.0.1:9900, or unix:/PATH of a socket".to_owned();
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let authority: Authority = bare
            .strip_suffix('/')
            .unwrap_or(bare)
            .parse()
            .map_err(|_| wrong())?;
        let complete = authority.port_u16().is_some() && !authority.as_str().contains('@');
        if complete {
            Ok(Self::Tcp(authority))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
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
    args: AdminArgs,
}

impl AdminClient {
    pub(crate) fn new(args: &AdminArgs) -> Self {
        Self { args: args.clone() }
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
                self.args.admin
            ),
        }
    }

    async fn text_of(&self, body: Incoming) -> anyhow::Result<String> {
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = read
            .map_err(|error| anyhow!("{}: {error}", self.args.admin))?
            .to_bytes();
        String::from_utf8(bytes.into())
            .with_context(|| format!("the answer of {} is not text", self.args.admin))
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> anyhow::Result<T> {
        serde_json::from_str(text).with_context(|| {
            format!(
                "{} does not answer as this version of penstock does",
                self.args.admin
            )
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let host = match &self.args.admin {
            AdminAddress::Tcp(authority) => authority.as_str(),
            AdminAddress::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host);
        if let Some(token) = self.args.token()? {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(body))
            .expect("paths are made of checked names, and tokens of visible characters");
        match &self.args.admin {
            AdminAddress::Tcp(authority) => {
                let name = authority.host().trim_matches(['[', ']']);
                let port = authority.port_u16().expect("checked when parsed");
                let stream = self.connected(TcpStream::connect((name, port))).await?;
                self.exchange(stream, request).await
            }
            AdminAddress::Unix(path) => {
                let stream = self.connected(UnixStream::connect(path)).await?;
                self.exchange(stream, request).await
            }
        }
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let asked = async {
            let (mut requests, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the answer; an error in it is one of the answer too.
            tokio::spawn(connection);
            requests.send_request(request).await
        };
        let address = &self.args.admin;
        let answer = in_time(asked)
            .await
            .with_context(|| format!("no answer from {address}"))?;
        answer.with_context(|| format!("{address} does not answer as penstock does"))
    }

    async fn connected<S>(
        &self,
        connect: impl Future<Output = io::Result<S>>,
    ) -> anyhow::Result<S> {
        let nobody = || format!("no penstock at {}", self.args.admin);
        match in_time(connect).await.with_context(nobody)? {
            Ok(stream) => Ok(stream),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => bail!(
                    "{}: connection refused — is it running? (--admin ADDRESS or PENSTOCK_ADMIN)",
                    nobody()
                ),
                io::ErrorKind::PermissionDenied => bail!(
                    "{}: permission denied — the socket is for its owner and its group",
                    nobody()
                ),
                _ => Err(error).with_context(nobody),
            },
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
            "unix:/run/penstock/admin.sock",
            "/run/penstock/admin.sock",
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
            "unix:admin.sock",
        ] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }
}
