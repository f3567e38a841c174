//! Where one HTTP/2 frame ends and the next begins: enough to tell a client that is idle from one
//! that stopped in the middle of something.

/// Bytes of a frame's header: length (3), type, flags, stream (RFC 9113 §4.1).
const HEADER: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of what a client sends.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// Bytes of `header` that are known.
    known: usize,
    /// Bytes of the payload, or of the preface, that are still to come.
    payload: usize,
    /// Whether a head was begun by HEADERS and not ended yet.
    in_head: bool,
}

impl Frames {
    /// Begins with a preface of so many bytes.
    pub(super) fn after(preface: usize) -> Self {
        Self {
            header: [0; HEADER],
            known: 0,
            payload: preface,
            in_head: false,
        }
    }

    /// Goes on with these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.known).min(bytes.len());
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEADER {
                self.begin_frame();
            }
        }
    }

    /// Whether something was begun and has not come to its end: a frame, or a head of several.
    pub(super) fn in_middle(&self) -> bool {
        self.known > 0 || self.payload > 0 || self.in_head
    }

    fn begin_frame(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.payload = usize::try_from(length).unwrap_or(usize::MAX);
        self.known = 0;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_head = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEAD: &[u8] = &[0, 0, 2, 1, 4, 0, 0, 0, 1, 0x82, 0x84];
    const HALF_HEAD: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    const REST_OF_HEAD: &[u8] = &[0, 0, 1, 9, 4, 0, 0, 0, 1, 0x84];

    fn after(parts: &[&[u8]]) -> bool {
        let mut frames = Frames::after(3);
        frames.read(b"PRI");
        parts.iter().for_each(|part| frames.read(part));
        frames.in_middle()
    }

    #[test]
    fn between_frames_nothing_is_in_the_middle() {
        assert!(!after(&[]));
        assert!(!after(&[SETTINGS, HEAD, SETTINGS]));
        assert!(!after(&[HALF_HEAD, REST_OF_HEAD]));
    }

    #[test]
    fn a_part_of_a_frame_is_in_the_middle_wherever_it_is_cut() {
        let all = [SETTINGS, HEAD, SETTINGS].concat();
        let ends = [0, 9, 20, 29];
        for cut in 0..=all.len() {
            assert_eq!(after(&[&all[..cut]]), !ends.contains(&cut), "{cut}");
            let bytes: Vec<_> = all[..cut].chunks(1).collect();
            assert_eq!(after(&bytes), !ends.contains(&cut), "{cut}");
        }
        assert!(Frames::after(24).in_middle());
    }

    #[test]
    fn a_head_is_in_the_middle_until_the_frame_that_ends_it() {
        assert!(after(&[HALF_HEAD]));
        assert!(after(&[HALF_HEAD, &REST_OF_HEAD[..10 - 1]]));
    }
}
