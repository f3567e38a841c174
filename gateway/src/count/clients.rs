//! Who says so. A client can make a worker fail, by a request that no worker can answer. So where
//! several clients send, one of them alone proves nothing about a worker: see [`Witnesses`].

use std::{
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use foldhash::fast::RandomState;

use crate::request::request_key::RequestHead;

/// Clients that have sent to a worker within this time are several.
const WINDOW_SECONDS: u64 = 300;

/// What is known is written down anew only after this time, so that threads rarely write to what
/// they share.
const REFRESH_SECONDS: u64 = 30;

/// Makes the numbers of clients differ from run to run, lest somebody choose addresses by them.
static NUMBERS: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A client as far as it is told from others: by its API key where it has one, else by its address,
/// of IPv6 the first half. A number, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(u32);

impl ClientId {
    /// Whoever sends the copies that a worker gets for trial.
    pub(crate) const COPIES: Self = Self(1);

    /// Whoever sends a request that no service has let in yet.
    pub(crate) const UNTOLD: Self = Self(2);

    /// The client of a request.
    pub(crate) fn of(head: &RequestHead<'_>) -> Self {
        match head.api_key {
            Some(key) => Self::numbered(NUMBERS.hash_one(key)),
            None => Self::at(head.client_address()),
        }
    }

    /// The client at an address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::numbered(match address.to_canonical() {
            IpAddr::V4(address) => NUMBERS.hash_one(address.to_bits()),
            // Whoever has one address of IPv6 has as a rule all of its network of 64 bits.
            IpAddr::V6(address) => NUMBERS.hash_one((address.to_bits() >> 64) as u64),
        })
    }

    fn numbered(hash: u64) -> Self {
        Self((hash as u32).max(2))
    }

    /// The number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Who has used a worker lately, and who saw it fail: as much as is needed to tell one from several.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    /// The client that was last written down, and when: number and second.
    last: AtomicU64,
    /// The second when there were last two clients, plus one; 0: never.
    several: AtomicU64,
    /// The first that saw it fail since it last did well, and in the lowest bit of the upper half
    /// whether another one did too. 0: nobody.
    accusers: AtomicU64,
}

/// Marks accusers as several.
const AND_OTHERS: u64 = 1 << 32;

impl Witnesses {
    /// A client sends a request.
    pub(crate) fn sees(&self, client: ClientId, now: Duration) {
        let now = now.as_secs();
        let several = self.several.load(Relaxed);
        if several != 0 && now.saturating_sub(several - 1) < REFRESH_SECONDS {
            return;
        }
        let last = self.last.load(Relaxed);
        let (known, at) = (last >> 32, last & 0xffff_ffff);
        let is_old = now.saturating_sub(at) >= REFRESH_SECONDS;
        if known == u64::from(client.0) && !is_old {
            return;
        }
        let is_another = known != 0 && known != u64::from(client.0);
        if is_another && now.saturating_sub(at) <= WINDOW_SECONDS {
            self.several.store(now + 1, Relaxed);
        }
        let entry = u64::from(client.0) << 32 | now & 0xffff_ffff;
        self.last.store(entry, Relaxed);
    }

    /// The worker failed a request: of this client or, where no client can have caused it, of nobody.
    /// Whether its failures since it last did well prove something.
    pub(crate) fn failed(&self, client: Option<ClientId>, now: Duration) -> bool {
        let entry = match client {
            Some(client) => u64::from(client.0),
            None => AND_OTHERS,
        };
        let with = |known: u64| match client {
            Some(client) if known == 0 || known == u64::from(client.0) => known | entry,
            _ => known | AND_OTHERS,
        };
        let known = self
            .accusers
            .fetch_update(Relaxed, Relaxed, |known| Some(with(known)))
            .unwrap_or(0);
        with(known) & AND_OTHERS != 0 || !self.are_several(now)
    }

    /// The worker did well.
    pub(crate) fn did_well(&self) {
        // The usual case must not write to a shared line.
        if self.accusers.load(Relaxed) != 0 {
            self.accusers.store(0, Relaxed);
        }
    }

    fn are_several(&self, now: Duration) -> bool {
        let several = self.several.load(Relaxed);
        several != 0 && now.as_secs().saturating_sub(several - 1) <= WINDOW_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(7);
    const B: ClientId = ClientId(8);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_only_client_of_a_worker_is_believed() {
        let witnesses = Witnesses::default();
        witnesses.sees(A, at(0));
        assert!(witnesses.failed(Some(A), at(1)));
    }

    #[test]
    fn one_of_several_is_not_believed_before_another_one_says_the_same() {
        let witnesses = Witnesses::default();
        witnesses.sees(A, at(0));
        witnesses.sees(B, at(1));
        for _ in 0..100 {
            assert!(!witnesses.failed(Some(A), at(2)));
        }
        assert!(witnesses.failed(Some(B), at(3)));
        assert!(witnesses.failed(Some(A), at(3)));
        witnesses.did_well();
        assert!(!witnesses.failed(Some(B), at(4)), "it begins anew");
    }

    #[test]
    fn what_no_client_can_cause_needs_no_second_witness() {
        let witnesses = Witnesses::default();
        witnesses.sees(A, at(0));
        witnesses.sees(B, at(0));
        assert!(witnesses.failed(None, at(1)));
    }

    #[test]
    fn clients_of_long_ago_do_not_count() {
        let witnesses = Witnesses::default();
        witnesses.sees(A, at(0));
        witnesses.sees(B, at(10));
        // The two are forgotten when only one has been there for long.
        for second in 11..1_000 {
            witnesses.sees(B, at(second));
        }
        assert!(witnesses.failed(Some(B), at(1_000)));
        witnesses.did_well();
        witnesses.sees(A, at(1_001));
        assert!(!witnesses.failed(Some(B), at(1_002)));
        let late = Witnesses::default();
        late.sees(A, at(0));
        late.sees(B, at(2_000));
        assert!(late.failed(Some(B), at(2_000)), "it is alone by now");
    }

    #[test]
    fn a_client_is_its_address_and_of_ipv6_its_network() {
        let id = |text: &str| ClientId::at(text.parse().expect("an address"));
        assert_eq!(id("192.0.2.1"), id("::ffff:192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_eq!(id("2001:db8::1"), id("2001:db8::ffff:2"));
        assert_ne!(id("2001:db8::1"), id("2001:db8:0:1::1"));
    }
}
