//! Some of a canary's clients, each for itself: control judges it without the one whose requests fail
//! most, or take longest, where there are others, so that nobody brings it down alone.

use std::{
    array,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use penstock_config::fleet::{ClientOutcomes, LatencyHistogram};

use crate::count::clients::ClientId;

/// Clients that are watched: the first ones, and of all later those whose requests fail most or are slow
/// most often.
const SUSPECTS_MAX: usize = 8;

/// Counts the requests of a few clients.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Used from the first on.
    places: [Place; SUSPECTS_MAX],
    adding: Mutex<()>,
}

/// How long the heads of one client's answers took: one entry per success, so that their sum needs no
/// counter of its own.
type Times = [AtomicU64; LatencyHistogram::BUCKETS];

#[derive(Debug, Default)]
struct Place {
    /// The number of the client; 0: free.
    client: AtomicU32,
    failed: AtomicU64,
    slow: AtomicU64,
    /// Made for the first client that takes the place: most deployments are never on trial.
    first_byte: OnceLock<Box<Times>>,
}

impl Place {
    fn is_free(&self) -> bool {
        self.client.load(Relaxed) == 0
    }

    fn times(&self) -> &Times {
        let new = || Box::new(array::from_fn(|_| AtomicU64::new(0)));
        self.first_byte.get_or_init(new)
    }

    /// What makes a client worth a place.
    fn loudness(&self) -> u64 {
        self.failed.load(Relaxed) + self.slow.load(Relaxed)
    }

    fn read(&self) -> ClientOutcomes {
        let mut first_byte = LatencyHistogram::default();
        for (total, count) in first_byte.counts.iter_mut().zip(self.times()) {
            *total = count.load(Relaxed);
        }
        ClientOutcomes {
            client: self.client.load(Relaxed),
            succeeded: first_byte.counts.iter().sum(),
            failed: self.failed.load(Relaxed),
            slow: self.slow.load(Relaxed),
            first_byte,
        }
    }
}

impl Suspects {
    /// A request of the client was answered well, with the head in this bucket of times. `is_slow`: later
    /// than most of the deployment's.
    pub(super) fn succeeded(&self, client: ClientId, bucket: usize, is_slow: bool) {
        let has_room = || self.places.last().is_some_and(Place::is_free);
        let place = match self.find(client) {
            None if is_slow || has_room() => self.add(client),
            None => return,
            Some(place) => place,
        };
        if is_slow {
            place.slow.fetch_add(1, Relaxed);
        }
        if let Some(count) = place.times().get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A request of the client failed.
    pub(super) fn failed(&self, client: ClientId) {
        let place = self.find(client).unwrap_or_else(|| self.add(client));
        place.failed.fetch_add(1, Relaxed);
    }

    /// What happened so far to those who are watched.
    pub(super) fn read(&self) -> Vec<ClientOutcomes> {
        self.known().map(Place::read).collect()
    }

    fn known(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().take_while(|place| !place.is_free())
    }

    fn find(&self, client: ClientId) -> Option<&Place> {
        let wanted = client.number();
        self.known()
            .find(|place| place.client.load(Relaxed) == wanted)
    }

    /// Takes a free place, or that of the one whose requests failed and were slow least often.
    fn add(&self, client: ClientId) -> &Place {
        let _adding = self.adding.lock();
        if let Some(known) = self.find(client) {
            return known;
        }
        let free = self.places.iter().find(|place| place.is_free());
        let place = free.unwrap_or_else(|| {
            let quietest = self.places.iter().min_by_key(|place| place.loudness());
            quietest.unwrap_or(&self.places[0])
        });
        for count in [&place.failed, &place.slow]
            .into_iter()
            .chain(place.times())
        {
            count.store(0, Relaxed);
        }
        place.client.store(client.number(), Relaxed);
        place
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn client(n: u32) -> ClientId {
        ClientId::at(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn of_few_clients_everything_is_counted_and_of_many_the_one_that_fails_most_is_among_them() {
        let suspects = Suspects::default();
        for n in 0..50 {
            suspects.succeeded(client(n), 3, false);
        }
        assert_eq!(suspects.read().len(), SUSPECTS_MAX);
        let first = &suspects.read()[0];
        assert_eq!(
            (first.client, first.succeeded, first.failed),
            (client(0).number(), 1, 0)
        );
        let loud = client(1_000);
        for n in 0..100 {
            suspects.failed(client(n));
            suspects.failed(loud);
        }
        suspects.succeeded(loud, 3, false);
        let read = suspects.read();
        assert_eq!(read.len(), SUSPECTS_MAX);
        let found = read.iter().find(|found| found.client == loud.number());
        let counts = found.map(|found| (found.succeeded, found.failed));
        assert_eq!(counts, Some((1, 100)));
    }

    #[test]
    fn of_many_clients_the_one_that_is_slow_most_often_is_among_them_with_its_times() {
        let suspects = Suspects::default();
        let slow = client(1_000);
        for n in 0..100 {
            suspects.succeeded(client(n), 3, n % 10 == 0);
            suspects.succeeded(slow, 90, true);
        }
        suspects.succeeded(slow, 3, false);
        let read = suspects.read();
        assert_eq!(read.len(), SUSPECTS_MAX);
        let found = read.iter().find(|found| found.client == slow.number());
        let found = found.expect("it is the slowest");
        assert_eq!((found.succeeded, found.failed, found.slow), (101, 0, 100));
        assert_eq!(
            (found.first_byte.counts[90], found.first_byte.counts[3]),
            (100, 1)
        );
    }
}
