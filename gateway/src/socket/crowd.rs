//! How many connections of clients there may be, and which of them gives way to a new one.
//!
//! Every connection takes a descriptor, and whoever can connect could take them all: then no probe, no
//! worker and no operator would get one. So there are never more than the descriptor limit has room for,
//! and one address has only a share of them. When all places are taken, those that have been idle for
//! longest are closed; only when everybody is busy is the new one refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use penstock_config::RequestLimits;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

use crate::base::{networks::told_apart, tally::Tally};

/// Of all connections, the part that is asked to leave at a time: looking for those that have been idle
/// for longest takes a look at each.
const PART: usize = 64;

/// Most descriptors that are kept for admin, probes, files and the pipes of workers; a quarter where
/// there are few.
const KEPT_MAX: usize = 1024;

/// Most connections at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Most {
    /// In all.
    pub(crate) all: usize,
    /// From one address.
    pub(crate) of_one: usize,
    /// To workers.
    pub(crate) upstream: usize,
}

impl Most {
    /// As the settings say; by default as many as the descriptor limit has room for.
    pub(crate) fn of(limits: &RequestLimits) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        Self::within(limit.unwrap_or(usize::MAX), limits)
    }

    fn within(descriptors: usize, limits: &RequestLimits) -> Self {
        let room = descriptors - (descriptors / 4).min(KEPT_MAX);
        // A request needs a connection to a worker too.
        let all = limits.max_connections.unwrap_or(room / 2).max(1);
        if all > room {
            tracing::warn!(
                max_connections = all,
                descriptors,
                "gateway.limits.max_connections is more than the limit of open files has room for: there \
                 will be at most {room} connections"
            );
        }
        let all = all.min(room.max(1));
        Self {
            all,
            of_one: limits
                .max_connections_per_address
                .unwrap_or_else(|| all.div_ceil(2)),
            // Not less than a few, where somebody wants nearly all for clients.
            upstream: room.saturating_sub(all).max(KEPT_MAX.min(room / 4)).max(1),
        }
    }
}

/// All connections of clients.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    present: AtomicUsize,
    /// Of these, asked to leave.
    leaving: AtomicUsize,
    list: Mutex<List>,
    /// Closed, because they were idle for longest.
    pub(crate) idlest: Tally,
    /// Refused, because nobody was idle.
    pub(crate) full: Tally,
    /// Refused, because the address has as many as it may.
    pub(crate) of_one: Tally,
}

#[derive(Debug, Default)]
struct List {
    seats: Vec<Weak<Seat>>,
    /// Connections by what clients are told apart by.
    by_client: HashMap<[u8; 16], usize, RandomState>,
}

/// One connection, for who looks for one that can leave.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// Requests begun and not finished.
    pub(crate) in_flight: AtomicU32,
    /// When it last became idle, or when the first byte of the current head came; ms of the clock.
    pub(crate) since: AtomicU64,
    /// Whether it has ever had a request.
    pub(crate) known: AtomicBool,
    asked: AtomicBool,
    leave: Notify,
}

impl Seat {
    /// Returns when the connection is to give way.
    pub(crate) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Whether it was asked to.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Those that never asked for anything go first, then those that have been idle for longest.
    fn order(&self) -> Option<(bool, u64)> {
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0 && !self.is_asked();
        is_idle.then(|| {
            let known = self.known.load(Ordering::Relaxed);
            (known, self.since.load(Ordering::Relaxed))
        })
    }
}

/// Whose a connection is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    address: IpAddr,
    key: [u8; 16],
}

/// A connection's place; given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    pub(crate) seat: Arc<Seat>,
    client: Option<[u8; 16]>,
}

impl Crowd {
    /// A place for one more connection, which begins at `now`; `None` when there is none for it.
    ///
    /// Whose it is is looked at first, where that is known: nobody gives way to a client who has too many.
    pub(crate) fn enter(
        self: &Arc<Self>,
        client: Option<Client>,
        most: Most,
        now: Duration,
    ) -> Option<Place> {
        let present = self.present.fetch_add(1, Ordering::Relaxed) + 1;
        let mut place = Place {
            crowd: Arc::clone(self),
            seat: Arc::new(Seat {
                since: AtomicU64::new(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
                ..Seat::default()
            }),
            client: None,
        };
        if let Some(client) = client
            && !place.belongs_to(client, most, now)
        {
            return None;
        }
        if present > most.all + self.leaving.load(Ordering::Relaxed) && self.make_room(now) == 0 {
            if let Some(count) = self.full.add(now) {
                let most = most.all;
                tracing::warn!(
                    count,
                    most,
                    "connections refused: gateway.limits.max_connections are open and none is idle"
                );
            }
            return None;
        }
        let mut list = self.list.lock();
        if list.seats.len() == list.seats.capacity() {
            list.seats.retain(|seat| seat.strong_count() > 0);
            // Else a list that is full of the living would be walked for each newcomer.
            let spare = list.seats.len().max(64);
            list.seats.reserve(spare);
        }
        list.seats.push(Arc::downgrade(&place.seat));
        drop(list);
        Some(place)
    }

    /// Asks a part of the idle connections to leave; how many.
    fn make_room(&self, now: Duration) -> usize {
        let mut idle: Vec<_> = {
            let list = self.list.lock();
            let alive = list.seats.iter().filter_map(Weak::upgrade);
            alive
                .filter_map(|seat| Some((seat.order()?, seat)))
                .collect()
        };
        if idle.is_empty() {
            return 0;
        }
        let part = idle.len().div_ceil(PART);
        idle.select_nth_unstable_by_key(part - 1, |(order, _)| *order);
        idle.truncate(part);
        let mut asked = 0;
        for (_, seat) in &idle {
            // Of two threads that look, one asks.
            if seat.asked.swap(true, Ordering::Relaxed) {
                continue;
            }
            asked += 1;
            self.leaving.fetch_add(1, Ordering::Relaxed);
            seat.leave.notify_one();
            if let Some(count) = self.idlest.add(now) {
                tracing::warn!(
                    count,
                    "idle connections closed: gateway.limits.max_connections are open"
                );
            }
        }
        asked
    }
}

impl Client {
    /// The client at this address.
    pub(crate) fn at(address: IpAddr, ipv6_prefix: u8) -> Self {
        Self {
            address,
            key: told_apart(address, || ipv6_prefix),
        }
    }
}

impl Place {
    /// Says whose connection it is. Whether that client may have one more.
    pub(crate) fn belongs_to(&mut self, client: Client, most: Most, now: Duration) -> bool {
        let mut list = self.crowd.list.lock();
        let count = list.by_client.entry(client.key).or_default();
        if *count >= most.of_one {
            drop(list);
            if let Some(count) = self.crowd.of_one.add(now) {
                let client = client.address;
                tracing::warn!(
                    %client,
                    count,
                    "connections refused: a client has gateway.limits.max_connections_per_address"
                );
            }
            return false;
        }
        *count += 1;
        self.client = Some(client.key);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.present.fetch_sub(1, Ordering::Relaxed);
        if self.seat.is_asked() {
            self.crowd.leaving.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(client) = self.client else { return };
        let by_client = &mut self.crowd.list.lock().by_client;
        if let Some(count) = by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests;
