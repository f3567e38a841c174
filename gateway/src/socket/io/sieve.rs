//! Takes DATA frames that hold nothing out of what is read, and makes one of those that follow one another.
//!
//! Some senders write an empty frame now and then, and none of them means anything unless it ends its
//! stream. `h2` ends a connection at the 101st of its life, however slowly they came. So it never sees them,
//! and how many are too many in a time is for [`Frames`] to judge.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tokio::io::ReadBuf;

use super::{frames::Frames, read_ahead::ReadAhead};

/// Less room than this is not read into, because what is read may be more than what was asked for.
const ROOM_MIN: usize = 64;

/// What is read at a time where there is less room.
const ASIDE: usize = 512;

/// Bytes that are read before others have their turn. Each small frame costs many times its bytes until those
/// who wait for it have taken it.
const AT_ONCE: usize = 64 << 10;

/// Follows frames and takes empty ones out.
#[derive(Debug)]
pub(crate) struct Sieve {
    /// What is known of the frames that came.
    pub(crate) frames: Frames,
    /// What came when there was little room.
    aside: ReadAhead,
    /// Bytes that were read since others had their turn.
    at_once: usize,
}

impl Sieve {
    /// Begins with a preface of so many bytes.
    pub(crate) fn after(preface: usize) -> Self {
        Self {
            frames: Frames::after(preface),
            aside: ReadAhead::default(),
            at_once: 0,
        }
    }

    /// Reads frames by `read` and gives them out.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut read: impl FnMut(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if self.at_once >= AT_ONCE {
            self.at_once = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.aside.bytes().is_empty() {
            if buf.remaining() >= ROOM_MIN {
                return self.poll_sifted(cx, buf, &mut read);
            }
            let mut room = [0; ASIDE];
            let mut room = ReadBuf::new(&mut room);
            ready!(self.poll_sifted(cx, &mut room, &mut read))?;
            self.aside.add(room.filled());
        }
        let given = self.aside.give(buf.initialize_unfilled());
        buf.advance(given);
        Poll::Ready(Ok(()))
    }

    fn poll_sifted(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        read: &mut impl FnMut(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            // The beginning of a frame's header that came last time, of which nobody knew what it is.
            buf.put_slice(self.frames.held());
            let held = buf.filled().len();
            let polled = read(cx, buf);
            if !matches!(polled, Poll::Ready(Ok(()))) {
                self.at_once = 0;
                buf.set_filled(before);
                return polled;
            }
            if buf.filled().len() == held {
                // The end, in the middle of something perhaps.
                self.frames.forget_held();
                return Poll::Ready(Ok(()));
            }
            self.at_once += buf.filled().len() - held;
            let kept = self.frames.sift(&mut buf.filled_mut()[before..]);
            buf.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// The frames in these bytes, with DATA taken apart to the byte, and what is left of one.
    fn apart(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
            let length = usize::from(header[2]) | usize::from(header[1]) << 8;
            let (payload, rest) = rest.split_at(length);
            match header[3] {
                0 => {
                    frames.extend(payload.iter().map(|byte| vec![*byte]));
                    frames.extend((header[4] & 1 > 0).then(Vec::new));
                }
                _ => frames.push([header, payload].concat()),
            }
            bytes = rest;
        }
        frames.push(bytes.to_vec());
        frames
    }

    const EMPTY: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1];
    const LAST: &[u8] = &[0, 0, 0, 0, 1, 0, 0, 0, 1];
    const DATA: &[u8] = &[0, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    proptest! {
        /// However what comes is cut, and whatever room there is for it.
        #[test]
        fn nothing_is_lost_but_frames_without_content(
            frames in prop::collection::vec(prop::sample::select(vec![EMPTY, LAST, DATA, PING]), 0..40),
            cuts in prop::collection::vec(1..40_usize, 1..20),
            rooms in prop::collection::vec(1..200_usize, 1..20),
            end in 0..9_usize, // Of a header.
        ) {
            let all = [&frames.concat(), &PING[..end]].concat();
            let mut rest = &all[..];
            let mut cuts = cuts.iter().cycle();
            // Each read brings one piece of it.
            let mut piece = |_: &mut Context<'_>, buf: &mut ReadBuf<'_>| {
                let length = cuts.next().map_or(1, |cut| *cut).min(rest.len()).min(buf.remaining());
                let (piece, after) = rest.split_at(length);
                buf.put_slice(piece);
                rest = after;
                Poll::Ready(Ok(()))
            };
            let mut sieve = Sieve::after(0);
            let mut read = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            for room in rooms.iter().cycle() {
                let mut room = vec![0; *room];
                let mut room = ReadBuf::new(&mut room);
                let polled = sieve.poll_read(&mut cx, &mut room, &mut piece);
                prop_assert!(matches!(polled, Poll::Ready(Ok(()))), "so little is read at once");
                if room.filled().is_empty() {
                    break;
                }
                read.extend_from_slice(room.filled());
            }
            let kept = frames.iter().filter(|frame| **frame != EMPTY);
            let mut wanted = kept.copied().collect::<Vec<_>>().concat();
            wanted.extend_from_slice(&PING[..end]);
            prop_assert_eq!(apart(&read), apart(&wanted));
        }
    }
}
