//! How much of a service may be used: its limits, and those of its API keys.
//!
//! A request is asked for by every limit that concerns it at once: either all of them take it, or none
//! does. A place of a limit on requests at once is held by the exchange and given back when that is
//! dropped, on whatever way out. Limits that a reload leaves as they are go on as they were.

mod book;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use penstock_config::{KeySource, Limit, LimitKind, Service, units::format_duration};

use crate::{
    base::{reason::Reason, refusal::Refusal},
    request::request_key::RequestHead,
};
use book::{Book, Draft, Ticket};

/// When a client that has too many requests at once should try again. Nobody knows when one of them
/// ends.
const AT_ONCE_RETRY: Duration = Duration::from_secs(1);

/// The limits of one service.
pub(crate) struct Limits {
    book: Arc<Book>,
    /// For all requests.
    service: Vec<Rule>,
    /// Further ones for those of an API key, by its name. Keys without limits are not here.
    api_keys: BTreeMap<String, Vec<Rule>>,
}

/// One limit.
struct Rule {
    ticket: Ticket,
    limit: Limit,
}

/// Places that an exchange has in limits on requests at once.
pub(crate) struct Held {
    book: Arc<Book>,
    places: Vec<(Ticket, u64)>,
}

impl Limits {
    /// The limits of a service, which go on from `previous` where they are the same; `None` when it has
    /// none.
    pub(crate) fn of(service: &Service, previous: Option<&Self>) -> Option<Self> {
        let of_keys = || service.access.api_keys.iter();
        if service.limits.is_empty() && of_keys().all(|(_, key)| key.limits.is_empty()) {
            return None;
        }
        let book = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.book));
        let mut draft = book.draft();
        let limits = Self {
            service: rules(&mut draft, "", &service.limits),
            api_keys: of_keys()
                .filter(|(_, key)| !key.limits.is_empty())
                .map(|(name, key)| (name.clone(), rules(&mut draft, name, &key.limits)))
                .collect(),
            book: Arc::clone(&book),
        };
        draft.commit();
        Some(limits)
    }

    /// Takes what the request needs of every limit that concerns it, or nothing if one of them refuses
    /// it. The places it holds are given back when they are dropped.
    pub(crate) fn take(
        &self,
        head: &RequestHead<'_>,
        now: Duration,
    ) -> Result<Option<Held>, Refusal> {
        let of_key = head.api_key.and_then(|name| self.api_keys.get(name));
        let rules = || self.service.iter().chain(of_key.into_iter().flatten());
        let wanted: Vec<_> = rules()
            .map(|rule| (rule.ticket, self.key(head, rule.limit.per.as_ref())))
            .collect();
        if let Err((refusing, wait)) = self.book.take(&wanted, now) {
            let limit = rules().nth(refusing).map(|rule| &rule.limit);
            return Err(refusal(limit, wait));
        }
        let places: Vec<_> = rules()
            .zip(wanted)
            .filter(|(rule, _)| matches!(rule.limit.kind, LimitKind::Concurrent(_)))
            .map(|(_, place)| place)
            .collect();
        Ok((!places.is_empty()).then(|| Held {
            book: Arc::clone(&self.book),
            places,
        }))
    }

    /// What the request counts as for a limit. Hashed with a secret, so that nobody can choose to be
    /// taken for somebody else.
    fn key(&self, head: &RequestHead<'_>, per: Option<&KeySource>) -> u64 {
        let key = per.and_then(|source| head.key(source));
        self.book.hash(key.as_ref().map(|key| key.as_bytes()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.book.give_back(&self.places);
    }
}

fn rules(draft: &mut Draft<'_>, api_key: &str, limits: &[Limit]) -> Vec<Rule> {
    limits
        .iter()
        .map(|limit| Rule {
            ticket: draft.enter(api_key, limit),
            limit: limit.clone(),
        })
        .collect()
}

fn refusal(limit: Option<&Limit>, wait: Duration) -> Refusal {
    match limit.map(|limit| limit.kind) {
        Some(LimitKind::Concurrent(most)) => Refusal::new(
            Reason::RateLimited,
            format!("{most} requests are in progress already, which is the limit"),
        )
        .retry_after(wait.max(AT_ONCE_RETRY)),
        Some(LimitKind::Rate {
            requests, period, ..
        }) => Refusal::new(
            Reason::RateLimited,
            format!(
                "the limit is {requests} request{s} per {period}",
                s = if requests == 1 { "" } else { "s" },
                period = format_duration(period)
            ),
        )
        .retry_after(wait),
        None => Refusal::new(Reason::Internal, "a limit without a rule"),
    }
}

#[cfg(test)]
mod tests;
