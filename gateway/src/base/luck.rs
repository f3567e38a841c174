//! Numbers drawn at random that nobody has to be unable to guess: which of two workers, and ids.

use std::cell::RefCell;

use rand::{Rng, SeedableRng, rngs::SmallRng};

thread_local! {
    static OWN: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

/// Random bits, the next of this thread's.
pub(crate) fn number() -> u64 {
    let [number] = numbers();
    number
}

/// Several such.
pub(crate) fn numbers<const N: usize>() -> [u64; N] {
    // A thread that ends draws from what is dearer.
    OWN.try_with(|own| {
        let mut own = own.borrow_mut();
        [(); N].map(|()| own.next_u64())
    })
    .unwrap_or_else(|_| [(); N].map(|()| rand::random()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_threads_draw_the_same() {
        let draw = || (0..1000).map(|_| number()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw).join().unwrap();
        let all: HashSet<_> = draw().into_iter().chain(other).collect();
        assert_eq!(all.len(), 2000);
    }
}
