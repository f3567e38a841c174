//! Some of a canary's clients, each for itself: control judges it without the one whose requests fail
//! most, where there are others, so that nobody brings it down alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use penstock_config::fleet::ClientOutcomes;

use crate::clients::ClientId;

/// Clients that are watched: the first ones, and of all later those whose requests fail most.
const SUSPECTS_MAX: usize = 8;

/// Counts the requests of a few clients.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Used from the first on.
    places: [Place; SUSPECTS_MAX],
    adding: Mutex<()>,
}

#[derive(Debug, Default)]
struct Place {
    /// The number of the client; 0: free.
    client: AtomicU32,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Place {
    fn is_free(&self) -> bool {
        self.client.load(Relaxed) == 0
    }
}

impl Suspects {
    /// A request of the client was answered well.
    pub(super) fn succeeded(&self, client: ClientId) {
        let has_room = || self.places.last().is_some_and(Place::is_free);
        let place = match self.find(client) {
            None if has_room() => self.add(client),
            None => return,
            Some(place) => place,
        };
        place.succeeded.fetch_add(1, Relaxed);
    }

    /// A request of the client failed.
    pub(super) fn failed(&self, client: ClientId) {
        let place = self.find(client).unwrap_or_else(|| self.add(client));
        place.failed.fetch_add(1, Relaxed);
    }

    /// What happened so far to those who are watched.
    pub(super) fn read(&self) -> Vec<ClientOutcomes> {
        let known = self.known().map(|place| ClientOutcomes {
            client: place.client.load(Relaxed),
            succeeded: place.succeeded.load(Relaxed),
            failed: place.failed.load(Relaxed),
        });
        known.collect()
    }

    fn known(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().take_while(|place| !place.is_free())
    }

    fn find(&self, client: ClientId) -> Option<&Place> {
        let wanted = client.number();
        self.known()
            .find(|place| place.client.load(Relaxed) == wanted)
    }

    /// Takes a free place, or that of the one with the fewest failures.
    fn add(&self, client: ClientId) -> &Place {
        let _adding = self.adding.lock();
        if let Some(known) = self.find(client) {
            return known;
        }
        let free = self.places.iter().find(|place| place.is_free());
        let place = free.unwrap_or_else(|| {
            let failed = |place: &&Place| place.failed.load(Relaxed);
            let quietest = self.places.iter().min_by_key(failed);
            quietest.unwrap_or(&self.places[0])
        });
        place.succeeded.store(0, Relaxed);
        place.failed.store(0, Relaxed);
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
            suspects.succeeded(client(n));
        }
        assert_eq!(suspects.read().len(), SUSPECTS_MAX);
        let first = suspects.read()[0];
        assert_eq!(
            (first.client, first.succeeded, first.failed),
            (client(0).number(), 1, 0)
        );
        let loud = client(1_000);
        for n in 0..100 {
            suspects.failed(client(n));
            suspects.failed(loud);
        }
        suspects.succeeded(loud);
        let read = suspects.read();
        assert_eq!(read.len(), SUSPECTS_MAX);
        let found = read.iter().find(|found| found.client == loud.number());
        let counts = found.map(|found| (found.succeeded, found.failed));
        assert_eq!(counts, Some((1, 100)));
    }
}
