//! Counters that many threads write and somebody reads now and then: one copy per thread, so that
//! no two threads write to one cache line.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crossbeam_utils::CachePadded;

/// One `T` per thread, made when the first of them is asked for: of thousands of services most are
/// idle, and an idle one should cost nothing.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    count: usize,
    made: OnceLock<Box<[CachePadded<T>]>>,
}

impl<T: Default> Shards<T> {
    /// For threads numbered 0 to `count` - 1.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count: count.max(1),
            made: OnceLock::new(),
        }
    }

    /// That of a thread. Threads beyond the count share with others.
    pub(crate) fn of(&self, thread: usize) -> &T {
        let shards = self
            .made
            .get_or_init(|| (0..self.count).map(|_| CachePadded::default()).collect());
        // Dividing is dear, and nearly never needed.
        shards
            .get(thread)
            .unwrap_or_else(|| &shards[thread % shards.len()])
    }

    /// All there are: none before the first use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.made
            .get()
            .into_iter()
            .flat_map(|shards| shards.iter().map(|shard| &**shard))
    }
}

/// As many as threads can run at once.
pub(crate) fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// A number for this thread: 0, 1, 2, … in the order in which threads first count a request.
pub(crate) fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            own.set(Some(number));
            number
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_and_none_exists_before_the_first_use() {
        let shards = Shards::<Cell<u32>>::new(2);
        assert_eq!(shards.iter().count(), 0);
        shards.of(0).set(1);
        shards.of(1).set(2);
        shards.of(3).set(shards.of(3).get() + 10);
        assert!(shards.iter().map(Cell::get).eq([1, 12]));
    }
}
