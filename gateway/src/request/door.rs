//! The front door: which paths name a model, and where; and which are for nobody outside.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use super::operators;
use crate::base::dialect::Dialect;

/// How a request at the front door tells its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks<'p> {
    /// It wants to know the models there are, or this one of them; percent-encoded.
    List(Option<&'p str>),
    /// In its body.
    InBody {
        /// Whether that may be a form.
        may_be_form: bool,
    },
    /// In the query, as `model`.
    InQuery,
    /// In the path, before one of the paths of the OpenAI API without its first part.
    Deployment {
        /// Percent-encoded.
        name: &'p str,
        rest: &'p str,
    },
    /// In the path, which the worker is to see.
    InPath {
        before: &'p str,
        /// Percent-encoded.
        name: &'p str,
        after: &'p str,
    },
    /// Not for anybody outside.
    Denied,
    /// Not at all.
    Nothing,
}

/// Paths of requests with JSON that names a model.
const JSON: [&str; 20] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/v1/classify",
    "/classify",
    "/v1/pooling",
    "/pooling",
    "/v1/moderations",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/tokenize",
    "/detokenize",
    "/v1/messages",
    "/v1/messages/count_tokens",
];

/// Those with a form, or with JSON.
const FORM: [&str; 4] = [
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/variations",
];

const LIST: &str = "/v1/models";
const REALTIME: &str = "/v1/realtime";
const DEPLOYMENTS: &str = "/openai/deployments/";
const GEMINI: &str = "/v1beta/models/";
const ANTHROPIC: &str = "/v1/messages";

/// How a request for this path tells its model, and what its clients expect.
pub(crate) fn asks(path: &str) -> (Asks<'_>, Dialect) {
    if let Some(asks) = in_body(path) {
        let dialect = match path.starts_with(ANTHROPIC) {
            true => Dialect::Anthropic,
            false => Dialect::OpenAi,
        };
        return (asks, dialect);
    }
    if let Some(rest) = path.strip_prefix(LIST)
        && let Some(asks) = list(rest)
    {
        return (asks, Dialect::OpenAi);
    }
    if path == REALTIME {
        return (Asks::InQuery, Dialect::OpenAi);
    }
    if let Some(asks) = deployment(path) {
        return (asks, Dialect::OpenAi);
    }
    if let Some(asks) = gemini(path) {
        return (asks, Dialect::Gemini);
    }
    match operators::path(path).is_some() {
        true => (Asks::Denied, Dialect::OpenAi),
        false => (Asks::Nothing, Dialect::OpenAi),
    }
}

fn in_body(path: &str) -> Option<Asks<'_>> {
    let may_be_form = FORM.contains(&path);
    (may_be_form || JSON.contains(&path)).then_some(Asks::InBody { may_be_form })
}

fn list(rest: &str) -> Option<Asks<'_>> {
    match rest {
        "" | "/" => Some(Asks::List(None)),
        _ => rest.strip_prefix('/').map(|id| Asks::List(Some(id))),
    }
}

fn deployment(path: &str) -> Option<Asks<'_>> {
    let (name, rest) = path.strip_prefix(DEPLOYMENTS)?.split_once('/')?;
    let is_known = in_body(&deployment_path(rest)).is_some();
    (is_known && !name.is_empty()).then_some(Asks::Deployment { name, rest })
}

/// The path of a request whose deployment is named before `rest`, as workers know it.
pub(crate) fn deployment_path(rest: &str) -> String {
    ["/v1/", rest].concat()
}

fn gemini(path: &str) -> Option<Asks<'_>> {
    let named = path.strip_prefix(GEMINI)?;
    let at = named.rfind(':').filter(|at| *at > 0)?;
    let (name, after) = named.split_at_checked(at)?;
    let is_method = after.len() > 1 && !after.contains('/');
    is_method.then_some(Asks::InPath {
        before: GEMINI,
        name,
        after,
    })
}

/// A text without percent-encoding; `None` if it is no text then. In a query a plus stands for a space.
pub(crate) fn decode(text: &str, in_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(high).zip(hex(low)),
            _ => None,
        };
        (bytes, rest) = match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                bytes.push(byte);
                (bytes, after.get(2..).unwrap_or_default())
            }
            None => {
                let is_space = in_query && *first == b'+';
                bytes.push(if is_space { b' ' } else { *first });
                (bytes, after)
            }
        };
    }
    String::from_utf8(bytes).ok()
}

/// A text as a path or a query may hold it.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// The values of a query's parameter `model`, percent-encoded.
pub(crate) fn models_in(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&');
    pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true)?.eq_ignore_ascii_case("model")).then_some(value)
    })
}

/// Whether a query asks Google's API for a stream of events: its answers in pieces are an array otherwise.
pub(crate) fn wants_events(query: &str) -> bool {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut alts = pairs
        .filter(|(name, _)| *name == "alt")
        .map(|(_, value)| value);
    alts.next() == Some("sse") && alts.all(|alt| alt == "sse")
}

/// The query with another model.
pub(crate) fn rename_in(query: &str, model: &str) -> String {
    let pairs = query.split('&').map(|pair| match models_in(pair).next() {
        Some(_) => format!("model={}", encode(model)),
        None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_tells_where_its_model_is() {
        let told = |path| asks(path).0;
        let plain = Asks::InBody { may_be_form: false };
        assert_eq!(told("/v1/chat/completions"), plain);
        assert_eq!(
            asks("/v1/messages/count_tokens"),
            (plain, Dialect::Anthropic)
        );
        let form = Asks::InBody { may_be_form: true };
        assert_eq!(told("/v1/audio/transcriptions"), form);
        assert_eq!(told("/v1/models"), Asks::List(None));
        assert_eq!(told("/v1/models/a/b"), Asks::List(Some("a/b")));
        assert_eq!(told("/v1/realtime"), Asks::InQuery);
        let deployment = Asks::Deployment {
            name: "gpt%204",
            rest: "chat/completions",
        };
        assert_eq!(
            told("/openai/deployments/gpt%204/chat/completions"),
            deployment
        );
        let gemini = Asks::InPath {
            before: "/v1beta/models/",
            name: "a:b",
            after: ":streamGenerateContent",
        };
        let path = "/v1beta/models/a:b:streamGenerateContent";
        assert_eq!(asks(path), (gemini, Dialect::Gemini));
        for path in [
            "/",
            "/v1/chat",
            "/v1/modelss",
            "/v1beta/models",
            "/openai/deployments/a/files",
            "/openai/deployments/a/../../sleep",
            "/openai/deployments//chat/completions",
        ] {
            assert_eq!(told(path), Asks::Nothing, "{path}");
        }
    }

    #[test]
    fn only_one_of_the_ways_of_google_is_a_stream_of_events() {
        assert!(wants_events("key=1&alt=sse"));
        for query in ["", "alt", "alt=json", "x=alt=sse", "alt=sse&alt=json"] {
            assert!(!wants_events(query), "{query}");
        }
    }

    #[test]
    fn a_model_in_a_query_is_found_and_renamed() {
        let query = "a=1&mod%65l=gpt%2D4o&b=model";
        let found: Vec<_> = models_in(query).collect();
        assert_eq!(found, ["gpt%2D4o"]);
        assert_eq!(decode(found[0], true).as_deref(), Some("gpt-4o"));
        assert_eq!(rename_in(query, "a b&c"), "a=1&model=a%20b%26c&b=model");
        assert_eq!(models_in("model=a&Model=b").count(), 2);
        assert_eq!(decode("a%2", false).as_deref(), Some("a%2"));
        assert_eq!(decode("%ff", false), None);
    }
}
