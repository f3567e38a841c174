//! What must hold of heads and bodies whatever bytes come, one thing being that plain heads are read as all others are: for the targets of `fuzz/`, and for a test that
//! plays their seeds. Each panics where it does not hold.

use std::net::Ipv4Addr;

use super::{
    answer::{self, Answer},
    body::{Body, Framing, Passed},
    chunked::Malformed,
    request::{self, Bounds, Request},
    write::{self, Back, Onto, Onward},
};
use crate::base::headers::{Forwarding, RequestId, Trace};

const BOUNDS: Bounds = Bounds {
    bytes: 4096,
    fields: 100,
};

fn request_of(bytes: &[u8]) -> request::Parsed {
    Request::parse(&mut bytes.to_vec(), BOUNDS)
}

/// Heads of requests: none is whole before its last byte, and none that is whole could be read in two ways.
pub fn request_head(bytes: &[u8]) {
    let any = Request::parse_any(&mut bytes.to_vec(), BOUNDS);
    assert_eq!(format!("{:?}", request_of(bytes)), format!("{any:?}"));
    let request::Parsed::Whole(request, length) = request_of(bytes) else {
        return;
    };
    let head = &bytes[..length];
    assert!(head.ends_with(b"\r\n\r\n") && length <= BOUNDS.bytes);
    assert_lines(head);
    for end in 0..length {
        let part = request_of(&head[..end]);
        assert!(matches!(part, request::Parsed::Part), "{end}: {part:?}");
    }
    assert!(!request.host().contains(['/', '@', ',', ' ']));
    assert!(!request.target().contains(['#', ' ', '\r', '\n']));
}

/// Heads of answers, in the same way.
pub fn answer_head(bytes: &[u8]) {
    for is_head in [false, true] {
        let (read, any) = (
            Answer::parse(bytes, is_head),
            Answer::parse_any(bytes, is_head),
        );
        assert_eq!(format!("{read:?}"), format!("{any:?}"));
    }
    let answer::Parsed::Whole(answer, length) = Answer::parse(bytes, false) else {
        return;
    };
    let head = &bytes[..length];
    assert!(head.ends_with(b"\r\n\r\n"));
    assert_lines(head);
    assert!((100..=999).contains(&answer.status));
    for end in 0..length {
        let part = Answer::parse(&head[..end], false);
        assert!(matches!(part, answer::Parsed::Part), "{end}: {part:?}");
    }
}

/// No line ends in one of the two characters alone, and none goes on in the next.
fn assert_lines(head: &[u8]) {
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' => {
                assert_eq!(at.checked_sub(1).map(|before| head[before]), Some(b'\r'));
                assert!(!matches!(head.get(at + 1), Some(b' ' | b'\t')));
            }
            b'\r' => assert_eq!(head.get(at + 1), Some(&b'\n')),
            byte => assert_ne!(*byte, 0),
        }
    }
}

/// Bodies: it does not matter in which pieces one comes. The first byte says how it is framed, the second how
/// it is cut.
pub fn body(bytes: &[u8]) {
    let [framing, cut, bytes @ ..] = bytes else {
        return;
    };
    let framing = match framing % 3 {
        0 => Framing::Chunked,
        1 => Framing::Length(u64::from(framing / 3)),
        _ => Framing::UntilClose,
    };
    let whole = pass(framing, bytes, bytes.len().max(1));
    for size in [1, 2, usize::from(*cut).max(1)] {
        let cut = pass(framing, bytes, size);
        match (&whole, &cut) {
            (Ok(whole), Ok(cut)) => assert_eq!(whole, cut, "in pieces of {size}"),
            (Err(_), Err(_)) => {}
            _ => panic!("in pieces of {size}: {cut:?}; whole: {whole:?}"),
        }
    }
    // What passes on is a body again, and the same one.
    if let (Framing::Chunked, Ok(whole)) = (framing, &whole) {
        let again = pass(framing, &whole.passed, 7).expect("what passed on");
        assert_eq!(
            (&again.passed, &again.data, again.used),
            (&whole.passed, &whole.data, whole.passed.len())
        );
    }
}

/// What became of a body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Went {
    passed: Vec<u8>,
    data: Vec<u8>,
    trailers: Option<Vec<u8>>,
    used: usize,
    is_over: bool,
}

fn pass(framing: Framing, bytes: &[u8], size: usize) -> Result<Went, Malformed> {
    let mut body = Body::new(framing);
    let mut went = Went::default();
    for piece in bytes.chunks(size) {
        let mut at = 0;
        while at < piece.len() && !body.is_over() {
            let rest = &piece[at..];
            let data = &mut went.data;
            match body.pass(rest, |range| data.extend_from_slice(&rest[range]))? {
                Passed::Some(step) => {
                    assert!(step.forward + step.skip > 0 || !rest.is_empty());
                    went.passed.extend_from_slice(&rest[..step.forward]);
                    at += step.forward + step.skip;
                }
                Passed::Trailers(taken, lines) => {
                    went.trailers = Some(lines);
                    at += taken;
                }
            }
        }
        went.used += at;
    }
    went.is_over = body.is_over();
    Ok(went)
}

/// Heads as they go on: what is written is read again as the same message, by the strict reader.
pub fn head_writing(bytes: &[u8]) {
    if let request::Parsed::Whole(request, _) = request_of(bytes) {
        written_request(&request);
    }
    for is_head in [false, true] {
        if let answer::Parsed::Whole(answer, _) = Answer::parse(bytes, is_head) {
            written_answer(&answer, is_head);
        }
    }
}

fn written_request(request: &Request) {
    let mut out = Vec::new();
    let onward = Onward {
        forwarding: &Forwarding::new(Ipv4Addr::LOCALHOST.into(), false, false),
        id: &RequestId::fresh(),
        trace: &Trace::fresh(),
        carriers: [None; 2],
        upgrade: request.asks_for_upgrade(),
        deadline: None,
    };
    write::request(&mut out, request, &onward);
    let bounds = Bounds {
        bytes: usize::MAX,
        fields: 200,
    };
    let text = String::from_utf8_lossy(&out).into_owned();
    // HTTP/1.0 can do without a host, and HTTP/1.1, as which it goes on, only with an empty one.
    if request.host().is_empty() {
        assert!(text.contains("\r\nhost: \r\n"), "{text}");
        return;
    }
    let written = out.len();
    let again = Request::parse(&mut out, bounds);
    let request::Parsed::Whole(again, length) = again else {
        panic!("{again:?}: {text}");
    };
    assert_eq!(length, written, "{text}");
    let target = match request.target_lacks_slash() {
        true => format!("/{}", request.target()),
        false => request.target().to_owned(),
    };
    assert_eq!(again.target(), target);
    assert_eq!(
        (&again.method, again.host(), again.framing),
        (&request.method, request.host(), request.framing)
    );
    assert!(!again.is_absolute && !again.is_old && !again.expects_continue);
    assert_eq!(again.asks_for_upgrade(), request.asks_for_upgrade());
}

fn written_answer(answer: &Answer, is_head: bool) {
    let mut out = Vec::new();
    if answer.is_interim() {
        write::interim(&mut out, answer);
    } else {
        let onto = match answer.framing {
            Framing::UntilClose => Onto::Chunks,
            Framing::Length(_) | Framing::Chunked => Onto::AsItIs,
        };
        let back = Back {
            id: Some(&RequestId::fresh()),
            hsts: None,
            date: b"Sun, 06 Nov 1994 08:49:37 GMT",
            onto,
            closes: false,
            is_old: false,
        };
        write::answer(&mut out, answer, &back);
        out.extend_from_slice(b"\r\n");
    }
    let text = String::from_utf8_lossy(&out).into_owned();
    let again = Answer::parse(&out, is_head);
    let answer::Parsed::Whole(again, length) = again else {
        panic!("{again:?}: {text}");
    };
    assert_eq!((length, again.status), (out.len(), answer.status), "{text}");
    let framing = match answer.framing {
        Framing::UntilClose => Framing::Chunked,
        framing => framing,
    };
    assert_eq!(again.framing, framing, "{text}");
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 4] = [
        ("request_head", request_head),
        ("answer_head", answer_head),
        ("body", body),
        ("head_writing", head_writing),
    ];

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        let files = fs::read_dir(folder.join(target)).unwrap();
        let seeds: Vec<_> = files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "{target}");
        seeds
    }

    #[test]
    fn what_must_hold_of_any_bytes_holds_of_the_seeds() {
        for (name, target) in TARGETS {
            seeds(name).iter().for_each(|seed| target(seed));
        }
    }

    proptest! {
        #[test]
        fn and_of_seeds_with_some_bytes_changed(
            target in 0..TARGETS.len(),
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop_oneof![prop::sample::select(&b"\r\n :;,#0a\t/"[..]), any::<u8>()], 0..3_usize),
                0..6,
            ),
        ) {
            let (name, target) = TARGETS[target];
            let seeds = seeds(name);
            let mut bytes = which.get(&seeds).clone();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len().max(1)).min(bytes.len());
                match how {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            target(&bytes);
        }
    }
}
