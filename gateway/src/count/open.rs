//! The requests that are open on one thread, for whoever asks why something takes so long.
//!
//! Each thread keeps its own list, which no other thread touches: a request notes itself where there
//! is room from earlier ones, without a lock and without an allocation. Whoever wants to see the
//! list sends the thread a message.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use penstock_config::fleet::Stage;

use crate::base::headers::RequestId;

/// Places that are kept when no request is open.
const SPARE: usize = 1024;

thread_local! {
    static OPEN: RefCell<OpenRequests> = const { RefCell::new(OpenRequests::new()) };
}

/// One open request.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Tells this request from others that have had its place.
    serial: u32,
    /// The deployment it is for, by its address in memory; 0 where the place is free.
    pub(crate) deployment: usize,
    /// The slot of the worker it has or had last.
    pub(crate) worker: Option<u32>,
    /// What it waits for.
    pub(crate) stage: Stage,
    /// Since when it does.
    pub(crate) since: Duration,
    /// When it began.
    pub(crate) started: Duration,
    /// Who asks.
    pub(crate) client: IpAddr,
    /// Its id, as far as there is room for it; so are the others.
    pub(crate) id: Short<48>,
    pub(crate) method: Short<12>,
    pub(crate) path: Short<100>,
}

impl Row {
    /// A place that no request has.
    const FREE: Self = Self {
        serial: 0,
        deployment: 0,
        worker: None,
        stage: Stage::Queue,
        since: Duration::ZERO,
        started: Duration::ZERO,
        client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        id: Short::EMPTY,
        method: Short::EMPTY,
        path: Short::EMPTY,
    };
}

/// A text that is cut to what there is room for, so that it needs no memory of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short<const ROOM: usize> {
    len: u8,
    was_cut: bool,
    bytes: [u8; ROOM],
}

/// The requests of one thread. Places are used again.
struct OpenRequests {
    rows: Vec<Row>,
    free: Vec<u32>,
    serial: u32,
}

/// Names the entry of a request on its thread; `None` of one that is not listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry(Option<(u32, u32)>);

/// A listed request. Dropping it takes it off the list.
#[derive(Debug, Default)]
pub(crate) struct Listed(Entry);

/// The oldest open requests of a thread.
#[derive(Debug, Default)]
pub(crate) struct Oldest {
    /// Oldest first.
    pub(crate) rows: Vec<Row>,
    /// How many there are in all.
    pub(crate) all: usize,
}

impl Listed {
    /// Lists a request that began at `started` for a deployment.
    pub(crate) fn begin(
        (method, path): (&str, &[u8]),
        id: Option<&RequestId>,
        client: IpAddr,
        deployment: usize,
        started: Duration,
    ) -> Self {
        // Written where it stays.
        let write = |row: &mut Row| {
            row.deployment = deployment;
            row.worker = None;
            (row.stage, row.since, row.started) = (Stage::Queue, started, started);
            row.client = client;
            row.id.set(id.map_or(&[], RequestId::as_bytes));
            row.method.set(method.as_bytes());
            row.path.set(path);
        };
        Self(with(|open| open.add(write)).flatten().unwrap_or_default())
    }

    /// Where it stands in the list.
    pub(crate) fn entry(&self) -> Entry {
        self.0
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if self.0.0.is_some() {
            with(|open| open.remove(self.0));
        }
    }
}

impl Entry {
    /// From `now` on the request waits for something else.
    pub(crate) fn now_in(self, stage: Stage, now: Duration) {
        self.change(|row| (row.stage, row.since) = (stage, now));
    }

    /// It has got a worker, whose answer it waits for.
    pub(crate) fn has_worker(self, slot: u32, now: Duration) {
        self.change(|row| {
            (row.worker, row.stage, row.since) = (Some(slot), Stage::FirstByte, now);
        });
    }

    /// It is for another deployment now.
    pub(crate) fn is_for(self, deployment: usize) {
        self.change(|row| row.deployment = deployment);
    }

    fn change(self, change: impl FnOnce(&mut Row)) {
        with(|open| open.row(self).map(change));
    }
}

/// The oldest `max` requests of this thread for deployments at these addresses.
pub(crate) fn oldest(deployments: &[usize], max: usize) -> Oldest {
    with(|open| open.oldest(deployments, max)).unwrap_or_default()
}

/// `None` while the thread ends.
fn with<T>(work: impl FnOnce(&mut OpenRequests) -> T) -> Option<T> {
    OPEN.try_with(|open| work(&mut open.borrow_mut())).ok()
}

impl OpenRequests {
    const fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            serial: 0,
        }
    }

    /// An entry that `write` makes the request's; `None` where there is no room for more.
    fn add(&mut self, write: impl FnOnce(&mut Row)) -> Option<Entry> {
        self.serial = self.serial.wrapping_add(1);
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.rows.len()).ok()?;
                self.rows.push(Row::FREE);
                place
            }
        };
        let row = self.rows.get_mut(place as usize)?;
        write(row);
        row.serial = self.serial;
        Some(Entry(Some((place, self.serial))))
    }

    fn row(&mut self, place: Entry) -> Option<&mut Row> {
        let (place, serial) = place.0?;
        let row = self.rows.get_mut(place as usize)?;
        (row.serial == serial && row.deployment != 0).then_some(row)
    }

    fn remove(&mut self, place: Entry) {
        let (Some(row), Some((place, _))) = (self.row(place), place.0) else {
            return;
        };
        row.deployment = 0;
        self.free.push(place);
        if self.free.len() == self.rows.len() && self.rows.len() > SPARE {
            // A crowd has gone; its places need not stay.
            *self = Self {
                serial: self.serial,
                ..Self::new()
            };
        }
    }

    fn oldest(&self, deployments: &[usize], max: usize) -> Oldest {
        let rows = self.rows.iter();
        let mut found: Vec<&Row> = rows
            .filter(|row| deployments.contains(&row.deployment))
            .collect();
        let all = found.len();
        if all > max {
            found.select_nth_unstable_by_key(max, |row| row.started);
            found.truncate(max);
        }
        found.sort_by_key(|row| row.started);
        Oldest {
            rows: found.into_iter().cloned().collect(),
            all,
        }
    }
}

impl<const ROOM: usize> Short<ROOM> {
    const EMPTY: Self = Self {
        len: 0,
        was_cut: false,
        bytes: [0; ROOM],
    };

    fn set(&mut self, text: &[u8]) {
        let len = text.len().min(ROOM).min(usize::from(u8::MAX));
        self.bytes[..len].copy_from_slice(&text[..len]);
        (self.len, self.was_cut) = (len as u8, len < text.len());
    }
}

impl<const ROOM: usize> std::fmt::Display for Short<ROOM> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(bytes))?;
        if self.was_cut {
            f.write_str("…")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: usize = 16;
    const OTHER: usize = 32;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn list(path: &str, deployment: usize, started: Duration) -> Listed {
        let path = path.split('?').next().unwrap_or_default();
        let id = RequestId::given(b"id-1").unwrap();
        let client = Ipv4Addr::LOCALHOST.into();
        Listed::begin(
            ("POST", path.as_bytes()),
            Some(&id),
            client,
            deployment,
            started,
        )
    }

    #[test]
    fn the_oldest_come_first_without_their_query_and_only_of_what_is_asked_for() {
        let _late = list("/late?key=secret", CHAT, at(9));
        let early = list("/early", CHAT, at(1));
        let _other = list("/other", OTHER, at(0));
        let _middle = list("/middle", CHAT, at(5));
        early.entry().has_worker(3, at(2));
        early.entry().now_in(Stage::Stream, at(4));
        let found = oldest(&[CHAT], 2);
        let paths: Vec<_> = found.rows.iter().map(|row| row.path.to_string()).collect();
        assert_eq!(
            (paths, found.all),
            (vec!["/early".into(), "/middle".into()], 3)
        );
        let row = &found.rows[0];
        assert_eq!(
            (row.worker, row.stage, row.since),
            (Some(3), Stage::Stream, at(4))
        );
        assert_eq!(
            (row.id.to_string(), row.method.to_string()),
            ("id-1".into(), "POST".into())
        );
        assert_eq!(oldest(&[CHAT], 9).rows[2].path.to_string(), "/late");
    }

    #[test]
    fn a_request_that_is_over_is_gone_and_what_it_left_changes_nobody() {
        let first = list("/first", CHAT, at(1));
        let gone = first.entry();
        drop(first);
        assert_eq!(oldest(&[CHAT], 9).all, 0);
        let _second = list("/second", CHAT, at(2));
        gone.is_for(OTHER);
        gone.now_in(Stage::Tunnel, at(3));
        let found = oldest(&[CHAT, OTHER], 9);
        assert_eq!((found.all, found.rows[0].stage), (1, Stage::Queue));
        assert_eq!(found.rows[0].deployment, CHAT);
    }

    #[test]
    fn places_are_used_again_and_a_crowd_leaves_no_memory_behind() {
        let places = || with(|open| open.rows.len());
        for _ in 0..10 {
            list("/", CHAT, at(1));
        }
        assert_eq!(places(), Some(1));
        let crowd: Vec<_> = (0..SPARE + 1).map(|_| list("/", CHAT, at(1))).collect();
        assert_eq!(places(), Some(SPARE + 1));
        drop(crowd);
        assert_eq!(places(), Some(0));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        fn shown<const ROOM: usize>(text: &str) -> String {
            let mut short = Short::<ROOM>::EMPTY;
            short.set(b"what was there before");
            short.set(text.as_bytes());
            short.to_string()
        }
        assert_eq!(shown::<4>("/abcd"), "/abc…");
        assert_eq!(shown::<4>("/abc"), "/abc");
        // In the middle of a character.
        assert_eq!(shown::<2>("aä"), "a\u{fffd}…");
    }
}
