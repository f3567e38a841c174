//! One answer of a model, watched as it passes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    events::Events,
    json::Walk,
    meter::{ModelMeter, ModelMeters, Operation},
    strip::Strip,
    usage::{NameHash, Told, Usage},
};
use crate::{
    base::{dialect::Dialect, headers::Fields},
    request::api::Api,
};

/// Longest whole answer that is looked into: what is beyond holds vectors or pictures, and costs work.
const WHOLE_MAX: usize = 16 << 20;

/// The models of a service, as answers name them.
#[derive(Debug, Default)]
pub(crate) struct Names(Box<[Name]>);

#[derive(Debug)]
struct Name {
    name: Arc<str>,
    hash: u64,
    upstream: u64,
}

/// What becomes of an answer.
#[derive(Debug)]
enum Form {
    /// It has not begun, or cannot be looked into.
    Dark,
    Events(Events),
    /// One document, of which so many bytes have come.
    Whole(Walk, usize),
}

/// The answer to a request for a model.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) api: Api,
    /// The name that the client used, once it is known.
    model: Option<Arc<str>>,
    names: Arc<Names>,
    form: Form,
    usage: Usage,
    /// Pieces of text so far.
    pieces: u64,
    first: Option<Duration>,
    last: Duration,
    /// Where the client did not ask for the usage, and the gateway did.
    strip: Option<Box<Strip>>,
    meter: Option<Arc<ModelMeter>>,
}

impl Names {
    /// Each with the name that clients use, and the one of workers.
    pub(crate) fn of<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> Self {
        let names = names.map(|(name, upstream)| Name {
            name: name.into(),
            hash: NameHash::of(name),
            upstream: NameHash::of(upstream),
        });
        Self(names.collect())
    }

    /// The one that clients use.
    fn named(&self, name: &str) -> Option<&Arc<str>> {
        let found = self.0.iter().find(|known| *known.name == *name);
        found.map(|known| &known.name)
    }

    /// The one that it must be where nobody has looked at the request.
    fn only(&self) -> Option<&Arc<str>> {
        match &*self.0 {
            [only] => Some(&only.name),
            _ => None,
        }
    }

    /// The one that has answered.
    fn answered(&self, hash: u64) -> Option<&Arc<str>> {
        let mut all = self.0.iter();
        let same = all.find(|known| known.hash == hash);
        same.or_else(|| self.0.iter().find(|known| known.upstream == hash))
            .map(|known| &known.name)
    }
}

impl Watch {
    /// The answer to a request by this API, for this model where the request was looked into.
    pub(crate) fn new(api: Api, names: &Arc<Names>, model: Option<&str>) -> Self {
        let model = match model {
            Some(model) => names.named(model),
            None => names.only(),
        };
        Self {
            api,
            model: model.cloned(),
            names: Arc::clone(names),
            form: Form::Dark,
            usage: Usage::default(),
            pieces: 0,
            first: None,
            last: Duration::ZERO,
            strip: None,
            meter: None,
        }
    }

    /// The gateway asks for the usage, and the client did not.
    pub(crate) fn asks(&mut self) {
        self.strip = Some(Box::default());
    }

    /// Whether part of the answer may be taken out.
    pub(crate) fn strips(&self) -> bool {
        self.strip.is_some() && matches!(self.form, Form::Events(_))
    }

    /// Whether an error can be told in the answer by an event of its own, and how: what ends the event that has
    /// begun, and in whose words.
    pub(crate) fn tells_errors(&self) -> Option<(&'static [u8], Dialect)> {
        let Form::Events(events) = &self.form else {
            return None;
        };
        // One that is held back is never seen.
        let is_held = self.strip.as_ref().is_some_and(|strip| !strip.has_passed());
        let end: &[u8] = match events.is_between() || is_held {
            true => b"",
            false => b"\n\n",
        };
        Some((end, self.api.dialect()))
    }

    /// The head of an answer has come, of a deployment with these meters.
    pub(crate) fn answered(
        &mut self,
        status: u16,
        fields: &impl Fields,
        meters: Option<&ModelMeters>,
    ) {
        let is_plain = fields
            .all("content-encoding")
            .all(|encoding| encoding.eq_ignore_ascii_case(b"identity"));
        let content_type = fields.first("content-type").unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next();
        let is = |wanted: &[u8]| {
            essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(wanted))
        };
        self.form = match (200..300).contains(&status) && is_plain {
            true if is(b"text/event-stream") => Form::Events(Events::default()),
            true if is(b"application/json") => Form::Whole(Walk::default(), 0),
            _ => Form::Dark,
        };
        (self.usage, self.pieces) = (Usage::default(), 0);
        self.meter = self
            .model
            .as_ref()
            .and_then(|model| Some(meters?.of(model)));
    }

    /// The next piece of the body passes on: how many pieces of text are in it.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Duration) -> u64 {
        self.look(bytes, now, |_, _, _| {})
    }

    /// The same of one that something may be taken out of: what passes on.
    pub(crate) fn pass(&mut self, piece: Bytes, now: Duration) -> (Bytes, u64) {
        let Some(mut strip) = self.strip.take().filter(|_| self.strips_events()) else {
            let count = self.feed(&piece, now);
            return (piece, count);
        };
        strip.begin(&piece);
        let count = self.look(&piece, now, |seen, bytes, end| {
            strip.event(seen, bytes, end)
        });
        let (seen, is_between) = match &self.form {
            Form::Events(events) => (events.seen(), events.is_between()),
            _ => Default::default(),
        };
        let passes = strip.end(seen, is_between, piece);
        self.strip = Some(strip);
        (passes, count)
    }

    fn strips_events(&self) -> bool {
        matches!(self.form, Form::Events(_))
    }

    /// What was held back, when the answer is over.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.strip
            .as_mut()
            .map(|strip| strip.rest())
            .unwrap_or_default()
    }

    #[inline]
    fn look(
        &mut self,
        bytes: &[u8],
        now: Duration,
        mut each: impl FnMut(super::json::Seen, &[u8], usize),
    ) -> u64 {
        match &mut self.form {
            Form::Dark => 0,
            Form::Whole(walk, come) => {
                *come = come.saturating_add(bytes.len());
                match *come > WHOLE_MAX {
                    true => self.form = Form::Dark,
                    false => walk.feed(bytes, &mut self.usage),
                }
                0
            }
            Form::Events(events) => {
                let mut count = 0;
                events.feed(bytes, &mut self.usage, |seen, end| {
                    count += u64::from(seen.has_tokens);
                    each(seen, bytes, end);
                });
                if count > 0 {
                    self.came(count, now);
                }
                count
            }
        }
    }

    /// Pieces of text came. Those that come together count as one gap and others without any.
    fn came(&mut self, count: u64, now: Duration) {
        self.pieces += count;
        if self.first.is_none() {
            self.first = Some(now);
        } else if let Some(meter) = &self.meter {
            meter.between(now.saturating_sub(self.last), count);
        }
        self.last = now;
    }

    /// The model, as far as it is known.
    pub(crate) fn model(&self) -> Option<&Arc<str>> {
        let answered = || self.names.answered(self.usage.model?);
        self.model.as_ref().or_else(answered)
    }

    /// What is counted together with it.
    pub(crate) fn operation(&self) -> Operation {
        Operation::of(self.api)
    }

    /// When the first token came.
    pub(crate) fn first(&self) -> Option<Duration> {
        self.first
    }

    /// Pieces of text so far.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// Its tokens.
    pub(crate) fn told(&self) -> Told {
        self.usage.told(self.pieces)
    }

    /// Time for each token after the first, where there are some.
    pub(crate) fn per_token(&self) -> Option<Duration> {
        let more = u32::try_from(self.told().output.checked_sub(1)?).ok()?;
        let all = self.last.saturating_sub(self.first?);
        (self.pieces > 1).then(|| all.checked_div(more))?
    }
}
