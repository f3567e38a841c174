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

/// The longest frame that a peer may send: we do not ask for longer ones than the protocol begins with.
const FRAME_MAX: usize = 16 << 10;

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
    /// DATA frames that mean nothing, and the part of a header at the end, which is held. DATA frames of one
    /// stream that follow one another become one.
    pub(super) fn sift(&mut self, bytes: &mut [u8]) -> usize {
        self.known = 0;
        let (mut read, mut kept) = (0, 0);
        // Where the header of the last frame was kept, if it is one that can grow.
        let mut last: Option<usize> = None;
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
                    let is_whole = bytes.len() - read - HEADER >= self.payload;
                    if let Some(last) = last.filter(|_| is_whole)
                        && self.joins(&mut bytes[last..last + HEADER])
                    {
                        read += HEADER;
                        continue;
                    }
                    last = (is_whole && self.can_grow()).then_some(kept);
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

    /// Whether the frame that has begun is one that another one may be added to.
    fn can_grow(&self) -> bool {
        let [_, _, _, kind, flags, ..] = self.header;
        kind == DATA && flags & (END_STREAM | PADDED) == 0
    }

    /// Adds the frame that has begun to the one with this header, if it can be: what is said in many small
    /// frames costs each of those who pass it on as many steps.
    fn joins(&self, last: &mut [u8]) -> bool {
        let [.., kind, flags, a, b, c, d] = self.header;
        let [high, middle, low, _, its_flags, stream @ ..] = last else {
            return false;
        };
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize + self.payload;
        // One that ended its stream by growing does not grow any more.
        let is_over = *its_flags & END_STREAM != 0;
        let is_plain = kind == DATA && flags & PADDED == 0;
        if !is_plain || is_over || *stream != [a, b, c, d] || length > FRAME_MAX {
            return false;
        }
        let [_, _, .., most, more, least] = length.to_be_bytes();
        (*high, *middle, *low) = (most, more, least);
        *its_flags |= flags & END_STREAM;
        true
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
mod tests;
