use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

use super::{watch::Names, *};
use crate::request::api::Api;
use std::{sync::Arc, time::Duration};

/// A watch over a stream, or over a whole answer.
fn watch(api: Api, content_type: &str, strips: bool) -> Watch {
    let names = Arc::new(Names::of([("a", "a-up"), ("b", "b-up")].into_iter()));
    let mut watch = Watch::new(api, &names, None);
    if strips {
        watch.asks();
    }
    let mut headers = HeaderMap::new();
    headers.insert("content-type", content_type.parse().unwrap());
    watch.answered(200, &headers, None);
    watch
}

/// Feeds a stream cut into pieces at `cuts`: the watch at its end, and what has passed.
fn feed(mut watch: Watch, text: &[u8], cuts: &[usize]) -> (Watch, Vec<u8>) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let (mut begin, mut passed) = (0, Vec::new());
    for (number, end) in (1..).zip(ends) {
        let piece = Bytes::copy_from_slice(&text[begin..end]);
        let (passes, _) = watch.pass(piece, Duration::from_secs(number));
        passed.extend_from_slice(&passes);
        begin = end;
    }
    passed.extend_from_slice(&watch.rest());
    (watch, passed)
}

const CHAT: &str = concat!(
    ": hello\n\n",
    r#"data: {"id":"x","object":"chat.completion.chunk","model":"b-up","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"x","choices":[{"index":0,"delta":{"reasoning_content":"h\"m"},"logprobs":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"x","choices":[{"index":0,"delta":{"content":"usage\\"}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"usage\":{}}"}}]}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
);

const CHAT_USAGE: &str = concat!(
    r#"data: {"id":"x","model":"b-up","choices":[],"usage":{"prompt_tokens":31,"total_tokens":38,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":16,"audio_tokens":null},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
    "\n\n"
);

const DONE: &str = "data: [DONE]\n\n";

const MESSAGES: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"m","model":"a","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":16,"cache_creation_input_tokens":4,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\n",
    r#"data: {"type": "ping"}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#,
    "\n\n",
);

const MESSAGES_END: &str = concat!(
    "event: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const RESPONSES: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","response":{"id":"r","model":"a-up","output":[],"usage":null}}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"i","delta":"Hi","logprobs":[]}"#,
    "\n\nevent: response.completed\n",
    r#"data: {"type":"response.completed","response":{"id":"r","output":[{"content":[{"text":"Hi","usage":{"input_tokens":99}}]}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":7}}}"#,
    "\n\n",
);

fn told(input: u64, cached: u64, output: u64, reasoning: u64) -> Told {
    Told {
        input,
        cached,
        output,
        reasoning,
        is_estimated: false,
        has_input: true,
        is_known: true,
    }
}

const EVENTS: &str = "text/event-stream; charset=utf-8";

#[test]
fn what_a_stream_tells_is_read_in_each_api_wherever_it_is_cut() {
    let chat = [CHAT, CHAT_USAGE, DONE].concat();
    let messages = [MESSAGES, MESSAGES_END].concat();
    let of_chat = (3, told(31, 16, 7, 2), "b");
    let of_messages = (2, told(25, 16, 9, 0), "a");
    let of_responses = (1, told(3, 1, 4, 3), "a");
    for (api, text, (pieces, wanted, model)) in [
        (Api::Chat, &*chat, of_chat),
        (Api::Messages, &*messages, of_messages),
        (Api::Responses, RESPONSES, of_responses),
    ] {
        for end_of_line in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end_of_line);
            for cut in 0..text.len() {
                let (watch, passed) = feed(watch(api, EVENTS, false), text.as_bytes(), &[cut]);
                assert_eq!(watch.told(), wanted, "{cut}");
                assert_eq!((watch.pieces(), &**watch.model().unwrap()), (pieces, model));
                assert!(passed == text.as_bytes());
            }
            let all: Vec<_> = (0..text.len()).collect();
            let (watch, _) = feed(watch(api, EVENTS, false), text.as_bytes(), &all);
            assert_eq!(watch.told(), wanted);
        }
    }
}

#[test]
fn a_usage_that_nobody_asked_for_is_taken_out_and_nothing_else() {
    for end_of_line in ["\n", "\r\n", "\r"] {
        let whole = [CHAT, CHAT_USAGE, DONE].concat().replace('\n', end_of_line);
        let wanted = [CHAT, DONE].concat().replace('\n', end_of_line);
        for cut in 0..whole.len() {
            let (watch, passed) = feed(watch(Api::Chat, EVENTS, true), whole.as_bytes(), &[cut]);
            assert_eq!(String::from_utf8(passed).unwrap(), wanted, "{cut}");
            assert_eq!(watch.told(), told(31, 16, 7, 2));
        }
    }
}

#[test]
fn what_looks_like_it_is_not_taken_out() {
    for text in [
        r#"data: {"choices":[],"prompt_filter_results":[]}"#,
        r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,
        r#"data: {"usage":{"prompt_tokens":1}}"#,
        r#"data: {"choices":[],"x":{"usage":{"prompt_tokens":1}}}"#,
        r#"data: {"choices":[],"usage":null}"#,
        r#"data: {"error":{"message":"choices"}}"#,
    ] {
        let text = format!("{text}\n\n");
        for cut in 0..text.len() {
            let (_, passed) = feed(watch(Api::Chat, EVENTS, true), text.as_bytes(), &[cut]);
            assert_eq!(String::from_utf8(passed).unwrap(), text, "{cut}");
        }
    }
    // Nor an event that is longer than any usage, or has no end.
    let long = format!(
        "data: {{\"choices\":[],\"x\":\"{}\",\"usage\":{{}}}}\n\n",
        "x".repeat(5000)
    );
    for text in [&*long, &long[..long.len() - 1], &long[..300]] {
        for cut in [0, 100, 4000, 4500] {
            let (_, passed) = feed(
                watch(Api::Chat, EVENTS, true),
                text.as_bytes(),
                &[cut, 4999],
            );
            assert!(passed == text.as_bytes(), "{cut}");
        }
    }
}

#[test]
fn pieces_of_text_are_counted_where_no_usage_came() {
    for (api, text, pieces, input) in [
        (Api::Chat, CHAT, 3, 0),
        // What Anthropic tells first is not what the answer has.
        (Api::Messages, MESSAGES, 2, 25),
    ] {
        let (watch, _) = feed(watch(api, EVENTS, false), text.as_bytes(), &[]);
        let told = watch.told();
        assert_eq!(
            (told.output, told.input, told.is_estimated),
            (pieces, input, true)
        );
    }
    let (watch, _) = feed(watch(Api::Chat, EVENTS, false), DONE.as_bytes(), &[]);
    assert_eq!(watch.told(), Told::default());
}

#[test]
fn whole_answers_tell_their_usage() {
    for (api, body, wanted) in [
        (
            Api::Chat,
            r#"{"model":"a","choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":5}}"}}], "usage" : {"prompt_tokens": 4,"completion_tokens":2, "prompt_tokens_details":null}}"#,
            told(4, 0, 2, 0),
        ),
        (
            Api::Embeddings,
            r#"{"object":"list","data":[{"embedding":[0.1,-2e5,[1]],"usage":{"prompt_tokens":9}}],"model":"a","usage":{"prompt_tokens":7,"total_tokens":7}}"#,
            told(7, 0, 0, 0),
        ),
        (
            Api::Messages,
            r#"{"type":"message","content":[{"type":"text","text":"x"}],"model":"a","usage":{"input_tokens":2,"cache_read_input_tokens":3,"output_tokens":6}}"#,
            told(5, 3, 6, 0),
        ),
    ] {
        for cut in 0..body.len() {
            let (watch, passed) = feed(
                watch(api, "application/json", false),
                body.as_bytes(),
                &[cut],
            );
            assert_eq!((watch.told(), watch.first()), (wanted, None));
            assert!(passed == body.as_bytes());
        }
    }
}

#[test]
fn what_is_compressed_or_an_error_is_not_looked_into() {
    let names = Arc::new(Names::of([("a", "a")].into_iter()));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", EVENTS.parse().unwrap());
    let mut watch = Watch::new(Api::Chat, &names, Some("a"));
    for (status, encoding) in [(200, "gzip"), (500, "identity")] {
        headers.insert("content-encoding", encoding.parse().unwrap());
        watch.answered(status, &headers, None);
        assert_eq!(watch.feed(CHAT.as_bytes(), Duration::ZERO), 0);
        assert!(!watch.told().is_known);
        assert!(watch.tells_errors().is_none());
    }
    assert_eq!(&**watch.model().unwrap(), "a");
}

#[test]
fn an_error_ends_the_event_that_has_begun() {
    for (text, strips, wanted) in [
        (CHAT, false, &b""[..]),
        (&CHAT[..CHAT.len() - 1], false, b"\n\n"),
        (&CHAT[..CHAT.len() - 40], false, b"\n\n"),
        // It was held back, and is never seen.
        (&CHAT[..CHAT.len() - 55], true, b""),
    ] {
        let (watch, _) = feed(watch(Api::Chat, EVENTS, strips), text.as_bytes(), &[]);
        assert_eq!(watch.tells_errors().unwrap().0, wanted, "{text}");
    }
}

#[test]
fn parts_of_a_time_come_to_the_whole_of_it() {
    let ms = Duration::from_millis;
    let parts = Parts::of(ms(100), [ms(10), ms(50), ms(20), ms(5)]);
    assert_eq!(parts.worker, ms(15));
    let parts = Parts::of(ms(100), [ms(10), ms(80), ms(20), ms(5)]);
    assert_eq!(
        (parts.queue, parts.connect, parts.worker),
        (ms(10), ms(0), ms(0))
    );
}

proptest! {
    /// Whatever comes, and however it is cut: all of it passes, and nothing breaks.
    #[test]
    fn anything_passes_as_it_came(
        parts in proptest::collection::vec(
            prop_oneof![
                Just(CHAT.to_owned()), Just(DONE.to_owned()), Just(MESSAGES.to_owned()),
                Just("\r\n".to_owned()), Just("data:".to_owned()), Just("{\"choices\":[".to_owned()),
                "[ -~\n\r]{0,40}", "[{}\\[\\]\",:\\\\0-9a-z]{0,30}",
            ],
            0..8,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        is_stream in any::<bool>(),
    ) {
        let text = parts.concat();
        let content_type = if is_stream { EVENTS } else { "application/json" };
        let (one, passed) = feed(watch(Api::Chat, content_type, false), text.as_bytes(), &cuts);
        prop_assert!(passed == text.as_bytes());
        let (other, _) = feed(watch(Api::Chat, content_type, false), text.as_bytes(), &[]);
        prop_assert_eq!((one.told(), one.pieces()), (other.told(), other.pieces()));
    }

    /// Nothing but the usage is taken out, wherever it stands.
    #[test]
    fn only_the_usage_is_taken_out(
        before in proptest::collection::vec(prop_oneof![Just(CHAT), Just(DONE), Just(CHAT_USAGE)], 0..5),
        rest in "[ -~\n]{0,60}",
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let text = before.concat() + &rest;
        let wanted = text.replace(CHAT_USAGE, "");
        let (_, passed) = feed(watch(Api::Chat, EVENTS, true), text.as_bytes(), &cuts);
        prop_assert_eq!(String::from_utf8(passed).unwrap(), wanted);
    }
}
