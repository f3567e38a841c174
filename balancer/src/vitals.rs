//! What balancing remembers about one worker.

use crate::{Gate, Ramp};

/// The state of one worker that outlives changes of the fleet: keep it, behind an `Arc`, for as long
/// as the worker's identity exists.
///
/// It fills two cache lines (adjacent lines are fetched together on x86, and arm64 has lines of 128
/// bytes), so that threads counting on different workers do not disturb each other.
#[derive(Debug)]
#[repr(align(128))]
pub struct Vitals {
    gate: Gate,
    ramp: Ramp,
}

impl Vitals {
    /// A worker with nothing in flight. `max` is its `max_concurrency`, `None` for no limit;
    /// `gentle` fills it gently (see [`Ramp`]).
    pub fn new(max: Option<u32>, gentle: bool) -> Self {
        let (ramp, gate) = Ramp::new(max, gentle);
        Self { gate, ramp }
    }

    /// Admission and the count of requests in flight. Its limit belongs to the ramp: set it by
    /// [`set_max`](Self::set_max).
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Notes that the worker answered a request well. True when it may take more from now on, so that
    /// requests which wait should be offered the room.
    pub fn answered(&self) -> bool {
        self.ramp.answered(&self.gate)
    }

    /// Takes a new `max_concurrency`; a ramp under way goes on. True when the limit grew.
    pub fn set_max(&self, max: Option<u32>) -> bool {
        self.ramp.set_max(&self.gate, max)
    }

    /// The gentle filling.
    pub fn ramp(&self) -> &Ramp {
        &self.ramp
    }
}
