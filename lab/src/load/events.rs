//! Events of a stream (`text/event-stream`), as far as a load test needs them: when tokens came.

/// Longest line that is looked at; of a longer one the rest is passed over.
const LINE_MAX: usize = 64 << 10;

/// Finds the events in the pieces of a body, wherever these begin and end.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// Whether the event has data that is a token.
    has_token: bool,
}

impl Events {
    /// Takes the next piece; how many events with a token ended in it.
    pub(super) fn take(&mut self, piece: &[u8]) -> u64 {
        let mut tokens = 0;
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.keep(&rest[..end]);
            tokens += u64::from(self.end_line());
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        tokens
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_MAX - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether the line ended an event with a token.
    fn end_line(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let ends = line.is_empty();
        if let Some(data) = line.strip_prefix(b"data:") {
            self.has_token |= is_token(data);
        }
        self.line.clear();
        ends && std::mem::take(&mut self.has_token)
    }
}

/// Whether the data of an event brings text. Frames around it do not count: OpenAI's first chunk with
/// the role, the last ones with the reason and the usage, `[DONE]`, Anthropic's starts and stops. Data
/// of any other kind does.
fn is_token(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    if data.is_empty() || data == b"[DONE]" {
        return false;
    }
    if contains(data, b"\"choices\"") {
        let texts: [&[u8]; 4] = [
            b"\"content\":",
            b"\"text\":",
            b"\"reasoning_content\":",
            b"\"arguments\":",
        ];
        return texts.iter().any(|key| has_text(data, key));
    }
    if contains(data, b"\"type\":") {
        return contains(data, b"delta\"");
    }
    true
}

/// Whether a key has a string that is not empty.
fn has_text(data: &[u8], key: &[u8]) -> bool {
    data.windows(key.len())
        .enumerate()
        .filter(|(_, window)| *window == key)
        .any(|(at, _)| {
            let value = data[at + key.len()..].trim_ascii_start();
            value.first() == Some(&b'"') && value.get(1).is_some_and(|&byte| byte != b'"')
        })
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAT: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\": \"\\\"\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    const MESSAGES: &str = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );

    #[test]
    fn only_events_with_text_count() {
        assert_eq!(Events::default().take(CHAT.as_bytes()), 2);
        assert_eq!(Events::default().take(MESSAGES.as_bytes()), 1);
        assert_eq!(
            Events::default().take(b"data: 1\n\ndata: 2\ndata: 3\n\n"),
            2
        );
        assert_eq!(Events::default().take(b"data: not ended\n"), 0);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..4 {
            assert_eq!(events.take(&piece), 0);
        }
        assert!(events.line.capacity() <= 2 * LINE_MAX);
    }

    proptest! {
        #[test]
        fn where_pieces_end_does_not_matter(cuts in proptest::collection::vec(0..CHAT.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.push(CHAT.len());
            cuts.sort_unstable();
            let mut events = Events::default();
            let (mut tokens, mut from) = (0, 0);
            for cut in cuts {
                tokens += events.take(&CHAT.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(tokens, 2);
        }
    }
}
