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
fn data_of_one_stream_that_come_together_are_one_frame() {
    let data = |stream: u8, flags: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[0, 0, length, 0, flags, 0, 0, 0, stream], bytes].concat()
    };
    let sifted = |parts: &[Vec<u8>]| {
        let mut bytes = parts.concat();
        let kept = Frames::after(0).sift(&mut bytes);
        bytes.truncate(kept);
        bytes
    };
    let together = sifted(&[data(1, 0, b"ab"), data(1, 0, b""), data(1, 0, b"cd")]);
    assert_eq!(together, data(1, 0, b"abcd"));
    let ended = [data(1, 0, b"ab"), data(1, END_STREAM, b"")];
    assert_eq!(sifted(&ended), data(1, END_STREAM, b"ab"));
    for apart in [
        [data(1, 0, b"ab"), data(3, 0, b"cd")],
        [data(1, 0, b"ab"), data(1, PADDED, b"\0d")],
        [data(1, PADDED, b"\0b"), data(1, 0, b"cd")],
        [data(1, END_STREAM, b"ab"), data(1, 0, b"cd")],
        [data(1, 0, b"ab"), PING.to_vec()],
        // The rest of it is not here yet.
        [data(1, 0, b"ab"), data(1, 0, b"cd")[..10].to_vec()],
    ] {
        assert_eq!(sifted(&apart), apart.concat());
    }
    let long = [&[0, 0x40, 0, 0, 0, 0, 0, 0, 1][..], &[0; FRAME_MAX]].concat();
    let apart = [long, data(1, 0, b"ab")];
    assert_eq!(sifted(&apart), apart.concat());
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
