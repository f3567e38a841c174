//! Who may ask the admin address for what.
//!
//! Without tokens whoever reaches it may do everything, and the configuration keeps it on loopback. With
//! tokens each request needs one; those that come through the Unix socket need none, for the file's
//! permissions have let them in. Every change is logged with who asked for it.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use metrics::counter;
use penstock_config::{Config, Role, ServiceName};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::Problem;

/// Pages for machines that only ask whether this process lives, and the console, which says nothing by
/// itself: what it shows it asks for with a token.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/"];

/// Where the console's files are.
const CONSOLE: &str = "/console/";

/// Pages that show to each caller what it may see; they ask the [`Caller`] themselves.
const OWN_VIEW: [&str; 6] = [
    "/api/v1/status",
    "/api/v1/events",
    "/api/v1/history",
    "/api/v1/journal",
    "/api/v1/try",
    "/api/v1/whoami",
];

/// Where the pages of one service are.
const SERVICES: &str = "/api/v1/services/";

/// Longest answer that is looked through for names of services that the caller may not know, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Longest token that is looked at, in bytes; as for API keys.
const TOKEN_BYTES_MAX: usize = 4096;

/// From where a request came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// By the address, from there.
    Address(std::net::SocketAddr),
    /// By the Unix socket, from a process of this user.
    Socket(u32),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Socket(user) => write!(f, "the admin socket, user {user}"),
        }
    }
}

/// Who asks, and what that allows.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The token's name; `None` where none is needed.
    name: Option<Arc<str>>,
    role: Role,
    /// `None`: all.
    services: Option<Arc<BTreeSet<ServiceName>>>,
    /// The other services of the configuration, of which it is told nothing.
    others: Arc<BTreeSet<ServiceName>>,
}

/// What stands in texts for a worker or a deployment of a service that the caller may not know of.
const ANOTHER: &str = "another service";

impl Caller {
    /// Somebody who needs no token.
    fn trusted() -> Self {
        Self {
            name: None,
            role: Role::Operator,
            services: None,
            others: Arc::default(),
        }
    }

    /// The token's name, if it needed one.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it may do.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The services that it may see; `None`: all.
    pub(super) fn services(&self) -> Option<&BTreeSet<ServiceName>> {
        self.services.as_deref()
    }

    /// Whether it may know of this service.
    pub(super) fn sees(&self, service: &str) -> bool {
        self.services()
            .is_none_or(|services| services.contains(service))
    }

    /// Takes out of texts which other services there are: who has a GPU stands in the words about who waits.
    pub(super) fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.contains('/') => *text = without(text, &self.others),
            Value::Array(values) => values.iter_mut().for_each(|value| self.hide(value)),
            Value::Object(members) => members.values_mut().for_each(|value| self.hide(value)),
            _ => {}
        }
    }

    /// Fails if it may not know of this service, or not of all services.
    pub(super) fn may_ask_about(&self, service: Option<&str>) -> Result<(), Problem> {
        let may = match service {
            Some(service) => self.sees(service),
            None => self.services().is_none(),
        };
        let detail = "the token is for certain services: ask for one of them, with `service`";
        if may {
            return Ok(());
        }
        Refusal::Scope.count(1);
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Who stands in the journal for a change: with a token its name, beside whom the caller says to be.
    pub(super) fn author(&self, said: Option<String>) -> Option<String> {
        let Some(name) = self.name() else {
            return said;
        };
        match said.filter(|said| said != name && !said.trim().is_empty()) {
            Some(said) => Some(format!("{said} (token {name})")),
            None => Some(name.to_owned()),
        }
    }

    /// Why it may not ask for this page, if so.
    fn refuse(&self, method: &Method, path: &str) -> Option<Refusal> {
        if self.role == Role::Viewer && !matches!(*method, Method::GET | Method::HEAD) {
            return Some(Refusal::Role);
        }
        if self.services.is_none() || OWN_VIEW.contains(&path) {
            return None;
        }
        // Names of services need no escapes: a path with some is that of no service here.
        let service = path
            .strip_prefix(SERVICES)
            .and_then(|rest| rest.split('/').next());
        let may = service.is_some_and(|service| self.sees(service));
        (!may).then_some(Refusal::Scope)
    }
}

/// The text with [`ANOTHER`] for each `SERVICE/DEPLOYMENT` and `SERVICE/DEPLOYMENT#SLOT` of these services.
fn without(text: &str, services: &BTreeSet<ServiceName>) -> String {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('/') {
        let (before, after) = (&rest[..slash], &rest[slash + 1..]);
        let kept = before.trim_end_matches(of_name);
        let name = &before[kept.len()..];
        let deployment = after.find(|c| !of_name(c)).unwrap_or(after.len());
        let in_path = kept.ends_with('/') || kept.is_empty() && told.ends_with('/');
        if deployment == 0 || in_path || !services.contains(name) {
            told.push_str(&rest[..=slash]);
            rest = after;
            continue;
        }
        told.push_str(kept);
        told.push_str(ANOTHER);
        rest = &after[deployment..];
        if let Some(slot) = rest.strip_prefix('#') {
            rest = slot.trim_start_matches(|c: char| c.is_ascii_digit());
        }
    }
    told + rest
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It has no token, or one that is not known.
    Token,
    /// The token is only for looking.
    Role,
    /// The token is for other services.
    Scope,
}

impl Refusal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Role => "role",
            Self::Scope => "scope",
        }
    }

    fn count(self, times: u64) {
        counter!("penstock_admin_refused_total", "reason" => self.as_str()).increment(times);
    }

    fn answer(self) -> Response {
        let problem = match self {
            Self::Token => Problem::new(
                StatusCode::UNAUTHORIZED,
                "a token of [admin.tokens] is needed: Authorization: Bearer TOKEN \
                 (PENSTOCK_TOKEN or --token-file for the commands)",
            ),
            Self::Role => Problem::new(
                StatusCode::FORBIDDEN,
                "the token has the role viewer, and changes need the role operator",
            ),
            Self::Scope => Problem::new(StatusCode::FORBIDDEN, "the token is not for this"),
        };
        let mut answer = problem.into_response();
        if self == Self::Token {
            let how = header::HeaderValue::from_static("Bearer realm=\"penstock\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        answer
    }
}

/// The tokens in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Arc<ArcSwap<HashMap<[u8; 32], Caller>>>);

impl Tokens {
    /// From now on those of this configuration alone count.
    pub(super) fn set(&self, config: &Config) {
        let tokens = &config.admin.tokens;
        let callers = tokens.iter().flat_map(|(name, token)| {
            let seen = token.services.clone();
            let is_seen =
                |name: &&ServiceName| seen.as_ref().is_none_or(|seen| seen.contains(*name));
            let others = config.services.keys().filter(|name| !is_seen(name));
            let caller = Caller {
                name: Some(name.as_str().into()),
                role: token.role,
                others: Arc::new(others.cloned().collect()),
                services: token.services.clone().map(Arc::new),
            };
            token.sha256.iter().map(move |hash| (*hash, caller.clone()))
        });
        let before = self.0.swap(Arc::new(callers.collect()));
        if tokens.is_empty() && !before.is_empty() {
            tracing::warn!(
                "there are no tokens any more: whoever reaches the admin address may do everything"
            );
        }
    }

    /// Who asks; `None`: somebody without a token that counts.
    ///
    /// Looking a hash up takes a time that depends on the hash, of which nobody can make one that is
    /// near another.
    fn caller(&self, peer: Option<Peer>, headers: &HeaderMap) -> Option<Caller> {
        let tokens = self.0.load();
        if tokens.is_empty() || matches!(peer, Some(Peer::Socket(_))) {
            return Some(Caller::trusted());
        }
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return None;
        };
        let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        tokens.get(&hash).cloned()
    }
}

/// Says what the metrics mean; to be called once a recorder is there.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "penstock_admin_refused_total",
        "Requests to the admin address that were refused, by reason."
    );
    // They show from the beginning.
    for refusal in [Refusal::Token, Refusal::Role, Refusal::Scope] {
        refusal.count(0);
    }
}

/// Lets only those pages be asked for that the caller may ask for.
pub(super) fn protect(router: Router, tokens: Tokens) -> Router {
    router.layer(middleware::from_fn(move |request, next| {
        let tokens = tokens.clone();
        async move { admit(&tokens, request, next).await }
    }))
}

async fn admit(tokens: &Tokens, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if OPEN.contains(&path.as_str()) || path.starts_with(CONSOLE) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let method = request.method().clone();
    let caller = tokens.caller(peer, request.headers());
    let refusal = match &caller {
        None => Some(Refusal::Token),
        Some(caller) => caller.refuse(&method, &path),
    };
    let by = caller.as_ref().and_then(Caller::name).map(str::to_owned);
    let answer = match (refusal, caller) {
        (None, Some(caller)) => {
            request.extensions_mut().insert(caller.clone());
            let answer = next.run(request).await;
            match caller.services() {
                Some(_) => told_to(&caller, answer).await,
                None => answer,
            }
        }
        (refusal, _) => {
            let refusal = refusal.unwrap_or(Refusal::Token);
            refusal.count(1);
            refusal.answer()
        }
    };
    // Those without a token are only counted: anybody could fill the log with them.
    if !matches!(method, Method::GET | Method::HEAD) && refusal != Some(Refusal::Token) {
        let by = by.as_deref().unwrap_or("-");
        let from = peer.map(tracing::field::display);
        let status = answer.status().as_u16();
        tracing::info!(%method, path, status, token = by, from, "a change was asked for");
    }
    answer
}

/// The answer without what the caller may not know. Event streams see to it themselves.
async fn told_to(caller: &Caller, answer: Response) -> Response {
    let of_json = |value: &header::HeaderValue| {
        matches!(
            value.as_bytes(),
            b"application/json" | b"application/problem+json"
        )
    };
    if !answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(of_json)
    {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let read = to_bytes(body, ANSWER_BYTES_MAX).await.ok();
    let read = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(mut value) = read else {
        let detail = "the answer is too long to be looked through for what the token is not for";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
    };
    caller.hide(&mut value);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, value.to_string().into())
}
