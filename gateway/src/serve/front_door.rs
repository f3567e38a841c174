//! The front door: the model of a request names the service.
//!
//! A body is held until its model has come, and no longer; the request takes no place anywhere meanwhile. What
//! is held is bounded, for each request and for all of a thread. From then on the request is like any other
//! one of that service, but that its body is watched, or changed, as it passes (`request::model`).

mod held;
mod keys;
mod listing;
mod usage;

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Response, StatusCode, Uri,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};

use self::held::Held;
use super::{
    destination::Destination,
    entry::{Entered, enter},
    failure::{Failure, not_one_model},
};
use crate::{
    base::{dialect::Dialect, reason::Reason, refusal::Refusal, reserve::Reserved},
    request::{
        door::{self, Asks},
        model::{Fault, NAME_MAX, Passing, Rules},
        request_key::RequestHead,
    },
    route::table::{ServiceState, Table},
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::request_body::ClientBody,
};

/// The parameter that asks for a stream.
const STREAM: &str = "stream";

/// What Google calls an answer in pieces.
const GEMINI_STREAM: &str = ":streamGenerateContent";

/// A request at the front door.
pub(super) struct AtDoor<'r> {
    exchange: &'r mut Exchange,
    connection: &'r Arc<Connection>,
    parts: &'r mut Parts,
    body: &'r mut Option<Box<ClientBody>>,
}

/// A service that has a model, and what is changed in requests for it.
type Named = (Destination, Arc<Rules>);

/// A request that was let in, and after how long its answer begins without a worker.
type Let = (Entered, Option<Duration>);

impl<'r> AtDoor<'r> {
    pub(super) fn new(
        exchange: &'r mut Exchange,
        connection: &'r Arc<Connection>,
        parts: &'r mut Parts,
        body: &'r mut Option<Box<ClientBody>>,
    ) -> Self {
        Self {
            exchange,
            connection,
            parts,
            body,
        }
    }

    /// Lets the request in to the service that has its model; or answers what the gateway knows itself. And when
    /// the answer begins, should there be no worker by then.
    pub(super) async fn enter(mut self) -> Result<Let, Failure> {
        let path = self.parts.uri.path().to_owned();
        let (asks, dialect) = door::asks(&path);
        self.exchange.dialect = match asks {
            Asks::List(_) if self.parts.headers.contains_key(listing::ANTHROPIC_VERSION) => {
                Dialect::Anthropic
            }
            _ => dialect,
        };
        match asks {
            Asks::List(id) => Err(self.list(id)),
            Asks::InBody { may_be_form } => self.by_body(may_be_form).await,
            Asks::Deployment { name, rest } => {
                let named = self.find(door::decode(name, false))?;
                self.retarget(door::deployment_path(rest))?;
                let (streams, asks) = self.body_is_for(&named).await?;
                self.go_on(named, streams, asks)
            }
            Asks::InPath {
                before,
                name,
                after,
            } => {
                let named = self.find(door::decode(name, false))?;
                if named.1.changes_parameters() {
                    self.check_encoding()?;
                    self.pass_by(Some(Passing::named_in_path(&named.1)), Vec::new())?;
                }
                if named.1.name != named.1.upstream {
                    let name = door::encode(&named.1.upstream);
                    let query = self.parts.uri.query().map(|query| format!("?{query}"));
                    self.retarget([before, &name, after, &query.unwrap_or_default()].concat())?;
                }
                let query = self.parts.uri.query().unwrap_or_default();
                let streams = after == GEMINI_STREAM && door::wants_events(query);
                self.go(named, streams)
            }
            Asks::InQuery => self.by_query(&path),
            Asks::Denied => Err(Refusal::new(
                Reason::Forbidden,
                format!("{path} is for operators: it cannot be reached at the front door"),
            )
            .into()),
            Asks::Nothing => Err(Refusal::new(
                Reason::NoRoute,
                format!("{path} is none of the paths at which a request names a model"),
            )
            .into()),
        }
    }

    /// Lets the request in that names its model in its body.
    async fn by_body(&mut self, may_be_form: bool) -> Result<Let, Failure> {
        self.check_method(&[Method::POST], "POST, OPTIONS")?;
        self.check_encoding()?;
        let content_type = self.content_type(may_be_form)?;
        let mut held = Held::of(content_type, may_be_form, self.connection)?;
        let Some(body) = self.body.as_mut() else {
            return Err(no_model().into());
        };
        held.until_model(self.exchange, body).await?;
        let named = self.find(held.found.model().map(str::to_owned))?;
        let streams = self.streams(&mut held, &named).await?;
        let asks = self.asks_for_usage(&mut held, &named).await?;
        let passing = held.found.passing(&named.1);
        self.pass_by(passing, held.memory)?;
        self.go_on(named, streams, asks)
    }

    /// Where that says whether the body is a form there must be no second one: a worker might take that.
    fn content_type(&self, may_be_form: bool) -> Result<Option<&[u8]>, Refusal> {
        let mut lines = self.parts.headers.get_all(CONTENT_TYPE).iter();
        let content_type = lines.next().map(HeaderValue::as_bytes);
        match may_be_form && lines.next().is_some() {
            true => Err(Refusal::new(
                Reason::BadRequest,
                "the request has more than one Content-Type, so that its body can be read in two ways",
            )),
            false => Ok(content_type),
        }
    }

    /// Whether the request asks for a stream, where that counts: what tells it may come behind the model.
    async fn streams(&mut self, held: &mut Held, named: &Named) -> Result<bool, Failure> {
        let begins = named.0.service.spec.queue.begin_stream_after;
        let Some(body) = self.body.as_mut().filter(|_| begins.is_some()) else {
            return Ok(false);
        };
        held.until_whole(self.exchange, body).await?;
        Ok(held.found.streams() && !named.1.drops(STREAM))
    }

    /// Lets the request in that names its model in its query.
    fn by_query(&mut self, path: &str) -> Result<Let, Failure> {
        let query = self.parts.uri.query().unwrap_or_default().to_owned();
        let mut models = door::models_in(&query);
        let model = models.next().map(|model| door::decode(model, true));
        if models.next().is_some() {
            return Err(not_one_model(Fault::Twice).into());
        }
        let Some(model) = model else {
            let detail = format!("the query names no model: {path}?model=NAME");
            return Err(Refusal::new(Reason::BadRequest, detail)
                .about("model")
                .into());
        };
        let named = self.find(model)?;
        if named.1.name != named.1.upstream {
            let query = door::rename_in(&query, &named.1.upstream);
            self.retarget(format!("{path}?{query}"))?;
        }
        self.go(named, false)
    }

    /// The service that has this model.
    fn find(&self, name: Option<String>) -> Result<Named, Refusal> {
        let name = name.ok_or_else(no_model)?;
        let table = self.connection.thread.shared.table.load();
        let found = table.models().find(&name);
        let found = found.and_then(|known| Some((table.service_of(known)?, &known.rules)));
        let Some((service, rules)) = found else {
            return Err(self.not_found(&table, &name));
        };
        let rules = Arc::clone(rules);
        let destination = Destination::with_model(Arc::clone(service), Arc::clone(&rules));
        Ok((destination, rules))
    }

    /// Nobody has the model, as far as this client may know.
    fn not_found(&self, table: &Table, name: &str) -> Refusal {
        let known = listing::usable(table, &self.head());
        if known.is_empty() {
            // Whoever may use nothing is not told what there is.
            if let Some(refusal) = listing::needs_key(table, &self.head()) {
                return refusal;
            }
        }
        let names = known.iter().map(|(_, known)| &*known.rules.name);
        let name = name.get(..NAME_MAX).unwrap_or(name);
        let near = penstock_config::nearest(name, names);
        let near: Vec<_> = near.iter().map(|near| format!("{near:?}")).collect();
        let hint = match near.is_empty() {
            true => "GET /v1/models lists those there are".to_owned(),
            false => format!("did you mean {}?", near.join(" or ")),
        };
        let detail =
            format!("the model {name:?} does not exist, or this client may not use it; {hint}");
        Refusal::new(Reason::ModelNotFound, detail).about("model")
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead::new(self.connection, self.parts)
    }

    /// Lets the request in.
    fn go(&mut self, (to, rules): Named, streams: bool) -> Result<Let, Failure> {
        let size = body_came(self.body);
        let begins = to.service.spec.queue.begin_stream_after;
        let begins = begins.filter(|_| streams && !self.exchange.is_head());
        let head = RequestHead::new(self.connection, self.parts);
        let entered = enter(self.exchange, to, &head, size);
        let entered = entered.map_err(|refusal| {
            let is_elsewhere = refusal.reason == Reason::Unauthenticated && {
                let table = self.connection.thread.shared.table.load();
                listing::has_key(&table, &self.head())
            };
            let unknown = refusal.reason == Reason::ModelNotFound || is_elsewhere;
            match unknown {
                // A key that is good for others: this model is none of its.
                true => {
                    let table = self.connection.thread.shared.table.load();
                    Failure::from(self.not_found(&table, &rules.name))
                }
                false => Failure::from(refusal),
            }
        });
        let (entered, mut carriers) = entered?;
        if begins.is_some() {
            // The head of an answer that has begun cannot tell any more how the rest is compressed.
            self.parts.headers.remove(ACCEPT_ENCODING);
        }
        let table = self.connection.thread.shared.table.load();
        let service: &ServiceState = &entered.0.service;
        keys::hide_foreign(&mut carriers, (service, &table), &self.head());
        Ok(((entered, carriers), begins))
    }

    fn check_method(&self, methods: &[Method], allow: &'static str) -> Result<(), Failure> {
        let method = &self.parts.method;
        if methods.contains(method) {
            return Ok(());
        }
        if *method == Method::OPTIONS {
            let mut answer = Response::new(bytes::Bytes::new());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            let headers = answer.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static(allow));
            return Err(Failure::Answered(Box::new(answer)));
        }
        let detail = format!("{method} is no method of this path; there is {allow}");
        let refusal = Refusal::new(Reason::MethodNotAllowed, detail).allows(allow);
        Err(refusal.into())
    }

    /// What is compressed cannot be looked into.
    fn check_encoding(&self) -> Result<(), Refusal> {
        let mut encodings = self.parts.headers.get_all(CONTENT_ENCODING).iter();
        match encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            true => Ok(()),
            false => Err(Refusal::new(
                Reason::BadRequest,
                "the request body must not be encoded (Content-Encoding), so that its model can be read",
            )),
        }
    }

    /// The body names this model, whatever the client wrote: the path has named it. Whether it asks for a stream.
    /// And whether its worker is to be asked for the usage.
    async fn body_is_for(&mut self, named: &Named) -> Result<(bool, bool), Failure> {
        self.check_encoding()?;
        let content_type = self.content_type(true)?;
        let passing = Passing::named_by_path(content_type, &named.1).map_err(not_one_model)?;
        let mut held = Held::of(content_type, true, self.connection)?;
        let streams = self.streams(&mut held, named).await?;
        let asks = self.asks_for_usage(&mut held, named).await?;
        self.pass_by(Some(passing), held.memory)?;
        Ok((streams, asks))
    }

    /// From now on the body passes in this way.
    fn pass_by(&mut self, passing: Option<Passing>, held: Vec<Reserved>) -> Result<(), Refusal> {
        let Some(body) = self.body.as_mut() else {
            return Ok(());
        };
        let changes = passing.as_ref().is_some_and(Passing::changes);
        body.pass_by(passing, held).map_err(not_one_model)?;
        if changes {
            let headers = &mut self.parts.headers;
            headers.remove(CONTENT_LENGTH);
            if let Some(length) = body.length() {
                headers.insert(CONTENT_LENGTH, length.into());
            }
        }
        Ok(())
    }

    /// The worker sees another path and query.
    fn retarget(&mut self, target: String) -> Result<(), Refusal> {
        let broken = |_| Refusal::new(Reason::BadRequest, "the path cannot be passed on");
        let mut uri = std::mem::take(&mut self.parts.uri).into_parts();
        uri.path_and_query = Some(target.try_into().map_err(broken)?);
        self.parts.uri = Uri::from_parts(uri)
            .map_err(|_| Refusal::new(Reason::BadRequest, "the path cannot be passed on"))?;
        Ok(())
    }

    /// The models that there are, or one of them.
    fn list(&self, id: Option<&str>) -> Failure {
        let methods = [Method::GET, Method::HEAD];
        if let Err(failure) = self.check_method(&methods, "GET, HEAD, OPTIONS") {
            return failure;
        }
        let table = self.connection.thread.shared.table.load();
        let ask = listing::Ask {
            table: &table,
            head: &self.head(),
            dialect: self.exchange.dialect,
            query: self.parts.uri.query().unwrap_or_default(),
        };
        let answer = match id {
            None => ask.all(),
            Some(id) => {
                let id = door::decode(id, false).unwrap_or_default();
                ask.one(&id).ok_or_else(|| self.not_found(&table, &id))
            }
        };
        match answer {
            Ok(answer) => Failure::Answered(Box::new(answer)),
            Err(refusal) => refusal.into(),
        }
    }
}

fn no_model() -> Refusal {
    Refusal::new(
        Reason::BadRequest,
        "the request must name its model, as `model`",
    )
    .about("model")
}

fn body_came(body: &Option<Box<ClientBody>>) -> u64 {
    let body = body.as_ref();
    body.map_or(0, |body| {
        body.size_hint().lower().max(body.upload().bytes())
    })
}
