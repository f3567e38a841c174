//! The requests of a load: one template with one or more bodies, which take turns.

use crate::simulate::trace::{Trace, Work};
use anyhow::{Context, bail, ensure};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_TYPE, HOST, TE},
};
use http_body_util::Full;
use hyper::body::Bytes;
use penstock_config::Protocol;
use serde_json::json;

use super::LoadArgs;

/// Most bytes of all bodies together: they are kept in memory.
const BODIES_MAX: u64 = 1 << 30;

/// Tokens that are generated per second where a trace knows only times; `penstock simulate` has the
/// same default.
const TOKENS_PER_SECOND: f64 = 40.0;

/// What is sent.
pub(super) struct Requests {
    method: Method,
    /// As it stands in the request: whole over HTTP/2, path and query over HTTP/1.1.
    uri: Uri,
    headers: HeaderMap,
    /// Never empty.
    bodies: Vec<Bytes>,
    /// Whether it is a call of gRPC.
    pub(super) is_grpc: bool,
}

impl Requests {
    /// What the command line asks for.
    ///
    /// # Errors
    ///
    /// Options that do not fit together, and files that cannot be read.
    pub(super) fn of(args: &LoadArgs) -> anyhow::Result<Self> {
        let mut url = args.url.clone();
        let bodies = if let Some(model) = &args.model {
            url = with_path_of_chat(&url)?;
            chats(args, model)?
        } else {
            ensure!(
                args.trace.is_none(),
                "--trace needs --model: it says how long prompts and answers are"
            );
            given(args)?
        };
        let has_body = bodies.iter().any(|body| !body.is_empty());
        let method = match &args.method {
            Some(method) => method.clone(),
            None if has_body || args.grpc => Method::POST,
            None => Method::GET,
        };
        let mut headers = headers(args, has_body)?;
        let authority = url.authority().context("the URL has no host")?;
        let uri = if args.protocol() == Protocol::H2 {
            if let Some(host) = headers.remove(HOST) {
                with_host(&url, &host)?
            } else {
                url
            }
        } else {
            if !headers.contains_key(HOST) {
                headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
            }
            let path = url.path_and_query().map_or("/", |path| path.as_str());
            path.parse()?
        };
        Ok(Self {
            method,
            uri,
            headers,
            bodies,
            is_grpc: args.grpc,
        })
    }

    /// The request that is sent as the `number`th.
    pub(super) fn nth(&self, number: u64) -> Request<Full<Bytes>> {
        let at = number % self.bodies.len() as u64;
        let body = self.bodies[usize::try_from(at).unwrap_or(0)].clone();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.version_mut() = Version::HTTP_11;
        request
    }

    /// What a person is told of them, such as `POST /v1/chat/completions`.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }
}

/// A URL that names no endpoint gets that of chat completions.
fn with_path_of_chat(url: &Uri) -> anyhow::Result<Uri> {
    let path = match url.path().trim_end_matches('/') {
        "" => "/v1/chat/completions",
        "/v1" => "/v1/chat/completions",
        _ => return Ok(url.clone()),
    };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

fn with_host(url: &Uri, host: &HeaderValue) -> anyhow::Result<Uri> {
    let mut parts = url.clone().into_parts();
    let authority = host.to_str().context("Host is not ASCII")?;
    parts.authority = Some(authority.parse().context("Host is no host")?);
    Ok(Uri::from_parts(parts)?)
}

fn headers(args: &LoadArgs, has_body: bool) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if args.grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for text in &args.header {
        let (name, value) = text
            .split_once(':')
            .with_context(|| format!("--header {text:?} must be NAME:VALUE"))?;
        let name: HeaderName = name
            .trim()
            .parse()
            .with_context(|| format!("--header {text:?}: {name:?} is no name of a field"))?;
        // What a person typed replaces what stands there by itself.
        headers.insert(name, value.trim().parse().context("--header: bad value")?);
    }
    Ok(headers)
}

/// The bodies that were given as text or in files.
fn given(args: &LoadArgs) -> anyhow::Result<Vec<Bytes>> {
    let mut bodies = Vec::new();
    if let Some(text) = &args.data {
        bodies.push(Bytes::from(text.clone()));
    }
    let mut bytes = 0;
    for path in &args.body {
        let size = std::fs::metadata(path).map(|file| file.len());
        bytes += size.with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(bytes <= BODIES_MAX, "the bodies are larger than 1 GiB");
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            let before = bodies.len();
            let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            bodies.extend(
                lines
                    .filter(|line| !line.is_empty())
                    .map(Bytes::copy_from_slice),
            );
            ensure!(bodies.len() > before, "{} has no line", path.display());
        } else {
            bodies.push(text.into());
        }
    }
    if bodies.is_empty() {
        bodies.push(Bytes::new());
    }
    if args.grpc {
        bodies = bodies
            .iter()
            .map(|body| framed(body))
            .collect::<Result<_, _>>()?;
    }
    Ok(bodies)
}

/// A message of gRPC: not compressed, its length, the message.
fn framed(message: &[u8]) -> anyhow::Result<Bytes> {
    let length = u32::try_from(message.len()).context("a message is larger than 4 GiB")?;
    Ok([&[0], &length.to_be_bytes()[..], message].concat().into())
}

/// Chat completions that are streamed, as long as the options or the trace say.
fn chats(args: &LoadArgs, model: &str) -> anyhow::Result<Vec<Bytes>> {
    if args.data.is_some() || !args.body.is_empty() || args.grpc {
        bail!("--model makes the bodies itself: leave out --data, --body and --grpc, or --model");
    }
    let Some(path) = &args.trace else {
        return Ok(vec![chat(model, args.prompt_tokens, args.max_tokens)]);
    };
    let file = std::fs::File::open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let trace = Trace::read(std::io::BufReader::new(file), |_| {})
        .with_context(|| format!("{} is no trace", path.display()))?;
    let mut bytes = 0;
    let mut bodies = Vec::new();
    for arrival in trace.arrivals() {
        let (prompt, generated) = match arrival.work {
            Work::Tokens { prompt, generated } => (prompt, generated),
            Work::Time(time) => {
                let tokens = time.as_secs_f64() * TOKENS_PER_SECOND;
                (args.prompt_tokens, tokens.ceil() as u32)
            }
        };
        let body = chat(model, prompt, generated.max(1));
        bytes += body.len() as u64;
        if bytes > BODIES_MAX {
            break;
        }
        bodies.push(body);
    }
    Ok(bodies)
}

/// A chat with about so many tokens: a short common word is one.
fn chat(model: &str, prompt: u32, generated: u32) -> Bytes {
    let words = [
        "water", " flows", " down", " the", " hill", " to", " the", " mill",
    ];
    let prompt: String = words
        .iter()
        .copied()
        .cycle()
        .take(prompt as usize)
        .collect();
    let body = json!({
        "model": model,
        "stream": true,
        "max_tokens": generated,
        "messages": [{ "role": "user", "content": prompt }],
    });
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LoadArgs,
    }

    fn requests(line: &str) -> anyhow::Result<Requests> {
        let words = std::iter::once("load").chain(line.split(' '));
        Requests::of(&Line::try_parse_from(words)?.args)
    }

    #[test]
    fn a_model_is_asked_at_the_endpoint_of_chats() {
        for url in ["http://h", "http://h/", "http://h/v1", "http://h/v1/"] {
            let requests = requests(&format!("{url} --model m --max-tokens 3")).unwrap();
            assert_eq!(requests.text(), "POST /v1/chat/completions", "{url}");
            let body: serde_json::Value = serde_json::from_slice(&requests.bodies[0]).unwrap();
            assert_eq!(body["max_tokens"], 3);
        }
        let own = requests("http://h/my/chat --model m").unwrap();
        assert_eq!(own.text(), "POST /my/chat");
    }

    #[test]
    fn the_method_follows_from_the_body_unless_it_is_said() {
        assert_eq!(requests("http://h").unwrap().text(), "GET /");
        assert_eq!(requests("http://h/a -d x").unwrap().text(), "POST /a");
        assert_eq!(requests("http://h/a -d x -X PUT").unwrap().text(), "PUT /a");
    }

    #[test]
    fn a_host_that_is_said_replaces_that_of_the_url() {
        let one = requests("http://h:1 -H host:chat.example").unwrap();
        assert_eq!(one.nth(0).headers()[HOST], "chat.example");
        let two = requests("http://h:1/x --http 2 -H Host:chat.example").unwrap();
        assert_eq!(two.nth(0).uri(), "http://chat.example/x");
    }

    #[test]
    fn a_message_of_grpc_is_framed() {
        let requests = requests("http://h/p.S/M --grpc -d abc").unwrap();
        assert_eq!(&requests.bodies[0][..], b"\0\0\0\0\x03abc");
    }

    #[test]
    fn options_that_do_not_fit_are_refused() {
        for line in [
            "http://h -d x --model m",
            "http://h -H nonsense",
            "/path",
            "http://h --trace t",
        ] {
            assert!(requests(line).is_err(), "{line}");
        }
    }
}
