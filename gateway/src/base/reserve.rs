//! Memory that is lent out by the byte, and no more of it than there is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What may be lent.
pub(crate) struct Reserve {
    left: AtomicU64,
}

/// What was lent; given back on drop.
pub(crate) struct Reserved {
    from: Arc<Reserve>,
    bytes: u64,
}

impl Reserve {
    /// So many bytes.
    pub(crate) fn of(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(bytes),
        })
    }

    /// Lends so many bytes, if they are there.
    pub(crate) fn lend(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let take = |left: u64| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(Reserved {
            from: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.from.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_lent_than_there_is_and_all_comes_back() {
        let reserve = Reserve::of(100);
        let first = reserve.lend(60);
        assert!(first.is_some() && reserve.lend(41).is_none());
        let second = reserve.lend(40);
        assert!(second.is_some() && reserve.lend(1).is_none() && reserve.lend(0).is_some());
        drop(first);
        assert!(reserve.lend(61).is_none());
        drop(second);
        assert!(reserve.lend(100).is_some());
    }
}
