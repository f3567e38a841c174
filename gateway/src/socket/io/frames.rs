//! Where one HTTP/2 frame ends and the next begins: enough to tell a client that is idle from one
//! that stopped in the middle of something, and one that talks from one that only makes work. And how many
//! streams a worker allows.

use std::time::Duration;

use super::settings::Settings;

/// Bytes of a frame's header: length (3), type, flags, stream (RFC 9113 §4.1).
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// Frames without content that a client may send ahead: pings, settings, window updates, priorities, empty
/// data, resets. Each costs little, but a client can send millions of them in a second. A page of ninety
/// streams that is closed again and again is far below that.
const AHEAD_MAX: i64 = 10_000;

/// So many more it may send in a second, whatever else happens.
const AHEAD_PER_SECOND: i64 = 1000;

/// What a request costs that is taken back.
const TAKEN_BACK: i64 = 3;

/// And one more for so many bytes that were written to it, because who reads must send window updates, and
/// may measure the way by pings.
const WRITTEN_PER_FRAME: usize = 128;

/// Follows the frames of what a client sends.
#[derive(Debug)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    /// Bytes of `header` that are known.
    known: usize,
    /// Bytes of the payload, or of the preface, that are still to come.
    payload: usize,
    /// Whether a head was begun by HEADERS and not ended yet.
    in_head: bool,
    /// Heads that nobody has asked about.
    heads: u32,
    /// Frames without content that it may still send; below zero, those that were too many.
    ahead: i64,
    /// Streams that it took back.
    resets: u32,
    /// Streams that ended before their time and that it did not take back, as far as they were counted.
    provoked: u32,
    /// When it was last allowed more because of the time.
    allowed: Duration,
    settings: Settings,
    /// Whether the payload is that of settings.
    in_settings: bool,
}

impl Frames {
    /// Begins with a preface of so many bytes.
    pub(crate) fn after(preface: usize) -> Self {
        Self {
            header: [0; HEADER],
            known: 0,
            payload: preface,
            in_head: false,
            heads: 0,
            ahead: AHEAD_MAX,
            resets: 0,
            provoked: 0,
            allowed: Duration::ZERO,
            settings: Settings::default(),
            in_settings: false,
        }
    }

    /// How many streams the peer allows at once, if it has said something since this was asked last.
    pub(crate) fn take_streams_allowed(&mut self) -> Option<u32> {
        self.settings.take_streams_allowed()
    }

    /// How many heads have begun since this was asked last.
    pub(crate) fn take_heads(&mut self) -> u32 {
        std::mem::take(&mut self.heads)
    }

    /// So many requests were given up in all before their answer came to its end. A client that provokes that by
    /// breaking the rules makes as much work as one that takes them back.
    pub(crate) fn given_up(&mut self, requests: u32) {
        let provoked = requests.saturating_sub(self.resets);
        let more = provoked.saturating_sub(self.provoked);
        self.provoked += more;
        self.ahead -= TAKEN_BACK * i64::from(more);
    }

    /// Bytes were written to the client.
    pub(crate) fn written(&mut self, bytes: usize) {
        let more = i64::try_from(bytes / WRITTEN_PER_FRAME).unwrap_or(AHEAD_MAX);
        self.allow(more);
    }

    /// Whether the client has sent more frames without content than any client needs. `now` is asked only
    /// when that seems so.
    pub(crate) fn is_flood(&mut self, now: impl FnOnce() -> Duration) -> bool {
        if self.ahead > 0 {
            return false;
        }
        let now = now();
        let passed = now.saturating_sub(self.allowed).as_secs_f64();
        let more = (passed * AHEAD_PER_SECOND as f64) as i64;
        if more > 0 {
            self.allowed = now;
            self.allow(more);
        }
        self.ahead <= 0
    }

    fn allow(&mut self, more: i64) {
        self.ahead = self.ahead.saturating_add(more).min(AHEAD_MAX);
    }

    /// The part of a frame's header that has come and was not kept by [`Self::sift`].
    pub(super) fn held(&self) -> &[u8] {
        &self.header[..self.known]
    }

    /// What is held is all that comes of it.
    pub(super) fn forget_held(&mut self) {
        self.known = 0;
    }

    /// Goes on with these bytes, which begin with what is held. How many of them are kept, in front: all but
    /// DATA frames that mean nothing, and the part of a header at the end, which is held.
    pub(super) fn sift(&mut self, bytes: &mut [u8]) -> usize {
        self.known = 0;
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            let length = match self.payload {
                0 => {
                    let Some(header) = bytes[read..].first_chunk::<HEADER>() else {
                        let rest = &bytes[read..];
                        self.header[..rest.len()].copy_from_slice(rest);
                        self.known = rest.len();
                        break;
                    };
                    self.header = *header;
                    if self.begin_frame() {
                        read += HEADER;
                        continue;
                    }
                    HEADER
                }
                payload => {
                    let length = payload.min(bytes.len() - read);
                    self.payload -= length;
                    if self.in_settings {
                        let settings = &bytes[read..read + length];
                        self.settings.read(settings, self.payload == 0);
                    }
                    length
                }
            };
            if kept < read {
                bytes.copy_within(read..read + length, kept);
            }
            read += length;
            kept += length;
        }
        kept
    }

    /// Whether something was begun and has not come to its end: a frame, or a head of several.
    pub(crate) fn in_middle(&self) -> bool {
        self.known > 0 || self.payload > 0 || self.in_head
    }

    /// A header has come; whether its frame means nothing.
    fn begin_frame(&mut self) -> bool {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.payload = usize::try_from(length).unwrap_or(usize::MAX);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_head = flags & END_HEADERS == 0;
        }
        self.in_settings = kind == SETTINGS && flags & ACK == 0;
        if self.in_settings && length == 0 {
            self.settings.read(&[], true);
        }
        match kind {
            HEADERS => {
                self.heads = self.heads.saturating_add(1);
                self.allow(1);
            }
            DATA if length > 0 => self.allow(1),
            // It takes back what it asked for.
            RST_STREAM => {
                self.resets = self.resets.saturating_add(1);
                self.ahead -= TAKEN_BACK;
            }
            _ => self.ahead -= 1,
        }
        // One that claims to be padded breaks the rules, which is for others to say.
        kind == DATA && length == 0 && flags & (END_STREAM | PADDED) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEAD: &[u8] = &[0, 0, 2, 1, 4, 0, 0, 0, 1, 0x82, 0x84];
    const HALF_HEAD: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    const REST_OF_HEAD: &[u8] = &[0, 0, 1, 9, 4, 0, 0, 0, 1, 0x84];

    /// Goes on with these bytes.
    fn read(frames: &mut Frames, bytes: &[u8]) {
        let mut bytes = [frames.held(), bytes].concat();
        frames.sift(&mut bytes);
    }

    fn after(parts: &[&[u8]]) -> bool {
        let mut frames = Frames::after(3);
        read(&mut frames, b"PRI");
        parts.iter().for_each(|part| read(&mut frames, part));
        frames.in_middle()
    }

    #[test]
    fn between_frames_nothing_is_in_the_middle() {
        assert!(!after(&[]));
        assert!(!after(&[NO_SETTINGS, HEAD, NO_SETTINGS]));
        assert!(!after(&[HALF_HEAD, REST_OF_HEAD]));
    }

    #[test]
    fn a_part_of_a_frame_is_in_the_middle_wherever_it_is_cut() {
        let all = [NO_SETTINGS, HEAD, NO_SETTINGS].concat();
        let ends = [0, 9, 20, 29];
        for cut in 0..=all.len() {
            assert_eq!(after(&[&all[..cut]]), !ends.contains(&cut), "{cut}");
            let bytes: Vec<_> = all[..cut].chunks(1).collect();
            assert_eq!(after(&bytes), !ends.contains(&cut), "{cut}");
        }
        assert!(Frames::after(24).in_middle());
    }

    fn sends(frames: &mut Frames, frame: &[u8], times: usize) -> bool {
        (0..times).any(|_| {
            read(frames, frame);
            frames.is_flood(|| Duration::ZERO)
        })
    }

    const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const UPDATE: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    const EMPTY_DATA: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1];
    const RESET: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    const DATA_OF_ONE: &[u8] = &[0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];

    #[test]
    fn frames_without_content_are_a_flood_when_nothing_else_happens() {
        for frame in [PING, UPDATE, EMPTY_DATA, NO_SETTINGS] {
            assert!(!sends(&mut Frames::after(0), frame, 9999), "{frame:?}");
            assert!(sends(&mut Frames::after(0), frame, 10_000), "{frame:?}");
        }
        let mut resets = Frames::after(0);
        assert!(sends(&mut resets, &[HEAD, RESET].concat(), 5000));
    }

    #[test]
    fn settings_are_read_and_their_acknowledgement_is_not() {
        let settings = [&[0, 0, 6, 4, 0, 0, 0, 0, 0][..], &[0, 3, 0, 0, 0, 7]].concat();
        let acknowledged = [0, 0, 0, 4, ACK, 0, 0, 0, 0];
        let mut frames = Frames::after(0);
        for piece in settings.chunks(4) {
            assert_eq!(frames.take_streams_allowed(), None);
            read(&mut frames, piece);
        }
        assert_eq!(frames.take_streams_allowed(), Some(7));
        read(&mut frames, &acknowledged);
        read(&mut frames, HEAD);
        assert_eq!(frames.take_streams_allowed(), None);
        read(&mut frames, NO_SETTINGS);
        assert_eq!(frames.take_streams_allowed(), Some(7));
    }

    #[test]
    fn requests_that_are_given_up_without_a_reset_count_like_those_with_one() {
        let mut frames = Frames::after(0);
        for requests in 1..5000 {
            assert!(!sends(&mut frames, &[HEAD, RESET].concat(), 1));
            frames.given_up(requests);
        }
        assert!(
            sends(&mut frames, &[HEAD, RESET].concat(), 1),
            "each counts once"
        );
        let mut frames = Frames::after(0);
        for requests in 1..=3333 {
            frames.given_up(requests);
            assert!(!frames.is_flood(|| Duration::ZERO));
        }
        frames.given_up(3334);
        assert!(frames.is_flood(|| Duration::ZERO));
    }

    #[test]
    fn who_reads_sends_or_takes_time_is_no_flood() {
        let mut reads = Frames::after(0);
        let mut sent = Frames::after(0);
        for _ in 0..10_000 {
            reads.written(1024);
            assert!(!sends(&mut reads, UPDATE, 2));
            assert!(!sends(&mut sent, DATA_OF_ONE, 1));
        }
        let mut slow = Frames::after(0);
        for second in 0..10_000 {
            read(&mut slow, PING);
            assert!(!slow.is_flood(|| Duration::from_secs(second)));
        }
    }

    #[test]
    fn a_head_is_in_the_middle_until_the_frame_that_ends_it() {
        assert!(after(&[HALF_HEAD]));
        assert!(after(&[HALF_HEAD, &REST_OF_HEAD[..10 - 1]]));
    }
}
