//! The corpus: cases in text files, which `tests/strict/README.md` describes.

/// One case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) client: Vec<Step>,
    pub(crate) worker: Worker,
    /// What is to be seen by the client and the origin through the relay.
    pub(crate) wanted: Wanted,
    /// The same by hyper, where it differs.
    pub(crate) by_hyper: Option<Wanted>,
}

/// What the client does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Wait until what came ends like this.
    Await(Vec<u8>),
    /// End its side.
    End,
}

/// What the worker does with every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Worker {
    pub(crate) sends: Vec<u8>,
    /// Before it has read the request's body.
    pub(crate) early: bool,
    /// Closes its side behind the answer.
    pub(crate) closes: bool,
}

/// What is to be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) client: Vec<u8>,
    pub(crate) origin: Vec<u8>,
    /// Whether the client's connection takes another request.
    pub(crate) is_open: bool,
    /// Whether what the origin sees depends on how far the request has come.
    pub(crate) may_break_off: bool,
}

/// What a worker answers that is not told otherwise.
const USUAL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Reads a corpus.
pub(crate) fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Draft> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Draft::named(name));
        } else if !line.is_empty() && !line.starts_with('#') {
            cases.last_mut().expect("a case begins with `==`").add(line);
        }
    }
    cases.into_iter().map(Draft::complete).collect()
}

/// A case that is being read.
#[derive(Default)]
struct Draft {
    case: Case,
    relay: Side,
    hyper: Option<Side>,
    /// Whether it tells what the worker sends.
    says: bool,
}

/// What was said about one engine.
#[derive(Default, Clone)]
struct Side {
    client: Option<Vec<u8>>,
    origin: Option<Vec<u8>>,
    is_open: Option<bool>,
    may_break_off: bool,
}

impl Draft {
    fn named(name: &str) -> Self {
        let mut draft = Self::default();
        draft.case.name = name.to_owned();
        draft
    }

    fn add(&mut self, line: &str) {
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            ">" => match self.case.client.last_mut() {
                Some(Step::Send(bytes)) => bytes.extend(bytes_of(text)),
                _ => self.case.client.push(Step::Send(bytes_of(text))),
            },
            "..." => self.case.client.push(Step::Await(bytes_of(text))),
            "<<" => {
                self.says = true;
                self.case.worker.sends.extend(bytes_of(text));
            }
            "<" => add(&mut self.side().client, text),
            ">>" if text == "nothing, or a part" => self.side().may_break_off = true,
            ">>" => add(&mut self.side().origin, text),
            "=" => self.side().is_open = Some(is_open(text)),
            "HYPER" => self.hyper = Some(Side::default()),
            "!" => match text {
                "worker early" => self.case.worker.early = true,
                "worker closes" => self.case.worker.closes = true,
                "client ends" => self.case.client.push(Step::End),
                other => panic!("{}: `! {other}`", self.case.name),
            },
            other => panic!("{}: `{other}`", self.case.name),
        }
    }

    fn side(&mut self) -> &mut Side {
        self.hyper.as_mut().unwrap_or(&mut self.relay)
    }

    fn complete(self) -> Case {
        let Self {
            mut case,
            mut relay,
            hyper,
            says,
        } = self;
        let refused = relay.client.as_ref().is_some_and(|text| is_own(text));
        if !says {
            case.worker.sends = USUAL.to_vec();
        }
        if case.client.is_empty() {
            case.client.push(Step::Send(PLAIN.to_vec()));
            relay.origin.get_or_insert_with(|| PLAIN.to_vec());
        }
        let client = relay.client.get_or_insert_with(|| USUAL.to_vec()).clone();
        case.wanted = Wanted {
            client,
            origin: relay.origin.unwrap_or_default(),
            is_open: relay.is_open.unwrap_or(!refused),
            may_break_off: relay.may_break_off,
        };
        case.by_hyper = hyper.map(|side| Wanted {
            client: side.client.unwrap_or_else(|| case.wanted.client.clone()),
            origin: side.origin.unwrap_or_else(|| case.wanted.origin.clone()),
            is_open: side.is_open.unwrap_or(case.wanted.is_open),
            may_break_off: side.may_break_off || case.wanted.may_break_off,
        });
        case
    }
}

/// Whether it is told like `400 bad_request`: an answer of the gateway's own.
pub(crate) fn is_own(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn add(to: &mut Option<Vec<u8>>, text: &str) {
    let bytes = if text == "nothing" {
        Vec::new()
    } else {
        bytes_of(text)
    };
    to.get_or_insert_default().extend(bytes);
}

fn is_open(text: &str) -> bool {
    match text {
        "open" => true,
        "closed" => false,
        other => panic!("`= {other}`: open or closed"),
    }
}

/// The bytes of a line: it ends in CR LF unless its last character is a backslash.
fn bytes_of(text: &str) -> Vec<u8> {
    let (text, end) = match text.strip_suffix('\\') {
        Some(text) => (text, ""),
        None => (text, "\r\n"),
    };
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        let Some((escaped, after)) = (first == '\\').then(|| rest.split_at(1)) else {
            // `{x*3}` is xxx.
            if first == '{'
                && let Some((inner, after)) = rest.split_once('}')
                && let Some((what, times)) = inner.rsplit_once('*')
                && let Ok(times) = times.parse::<usize>()
            {
                let what = what.replace("\\r\\n", "\r\n");
                bytes.extend_from_slice(what.repeat(times).as_bytes());
                rest = after;
                continue;
            }
            bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        };
        rest = after;
        match escaped {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "0" => bytes.push(0),
            "s" => bytes.push(b' '),
            "\\" => bytes.push(b'\\'),
            "x" => {
                let (digits, after) = rest.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = after;
            }
            other => panic!("`\\{other}` in {text:?}"),
        }
    }
    bytes.extend_from_slice(end.as_bytes());
    bytes
}
