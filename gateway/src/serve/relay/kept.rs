//! What was passed on of a request's body, from its beginning, for another try.

/// A copy of it, as long as there is room.
pub(super) struct Kept {
    bytes: Vec<u8>,
    max: usize,
    /// Whether something came for which there was no room.
    is_lost: bool,
}

impl Kept {
    /// One of at most so many bytes.
    pub(super) fn up_to(max: u64) -> Self {
        Self {
            bytes: Vec::new(),
            max: usize::try_from(max).unwrap_or(usize::MAX),
            is_lost: false,
        }
    }

    /// What came; nothing, where not all of it is here.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether all that came is here.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_lost
    }

    /// More came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_lost {
            return;
        }
        if bytes.len() > self.max - self.bytes.len() {
            self.lose();
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Something came that cannot be kept.
    pub(super) fn lose(&mut self) {
        self.is_lost = true;
        self.bytes = Vec::new();
    }
}
