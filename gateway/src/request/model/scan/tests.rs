use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn scan(text: &str) -> Result<Option<String>, Fault> {
    let mut scan = Scan::default();
    scan.feed(text.as_bytes())?;
    Ok(scan.model().map(str::to_owned))
}

fn model(text: &str) -> Option<String> {
    scan(text).unwrap()
}

#[test]
fn the_model_is_found_wherever_it_stands_at_the_top_and_nowhere_else() {
    for text in [
        r#"{"model":"a"}"#,
        " {\n\t\"model\" : \"a\" , \"x\":1}\r\n",
        r#"{"x":{"model":"b","y":[{"model":"c"}]},"z":"\"model\":\"d\"","model":"a"}"#,
        r#"{"\u006dod\u0065l":"\u0061"}"#,
        r#"{"x":[[],{},"}]",1.5e-3,true,null],"model":"a"}"#,
        r#"{"x\\":"\\","model":"a"}"#,
        // All that is needed of it.
        r#"{"model":"a","x":"#,
    ] {
        assert_eq!(model(text).as_deref(), Some("a"), "{text}");
    }
    for text in [
        "{}",
        r#"{"x":{"model":"a"}}"#,
        r#"{"x":"model"}"#,
        r#"{"model":"a"#,
        "",
    ] {
        assert_eq!(model(text), None, "{text}");
    }
    let name = r#"{"model":"\ud83d\ude00 \"\\\/\n ü"}"#;
    assert_eq!(model(name).as_deref(), Some("\u{1f600} \"\\/\n ü"));
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    for text in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","x":[1],"\u006dodel":"a"}"#,
    ] {
        assert_eq!(scan(text), Err(Fault::Twice), "{text}");
    }
    for text in [
        r#"{"model":1}"#,
        r#"{"model":null}"#,
        r#"{"model":["a"]}"#,
        r#"{"model":{"a":"b"}}"#,
    ] {
        assert_eq!(scan(text), Err(Fault::NotText), "{text}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "a".repeat(NAME_MAX + 1));
    assert_eq!(scan(&long), Err(Fault::TooLong));
    for text in [
        r#"{"model":"a","MODEL":"b"}"#,
        r#"{"Model":"b"}"#,
        r#"{"model":"\ud83d"}"#,
        r#"{"model":"\x"}"#,
        "{\"model\":\"a\nb\"}",
        r#"[{"model":"a"}]"#,
        r#""model""#,
        "\u{feff}{\"model\":\"a\"}",
        r#"{"model":"a"}{"model":"b"}"#,
        r#"{"model":"a",}"#,
        r#"{'model':'a'}"#,
        r#"{model:"a"}"#,
        r#"{"model" "a"}"#,
        r#"{"model":"a" "x":1}"#,
        r#"{/**/"model":"a"}"#,
        "{\0\"\0m\0",
    ] {
        let told = scan(text);
        assert!(matches!(told, Err(Fault::Malformed(_))), "{text}: {told:?}");
    }
    let mut broken = Scan::default();
    let told = broken.feed(b"{\"model\":\"\xff\"}");
    assert!(matches!(told, Err(Fault::Malformed(_))), "{told:?}");
}

#[test]
fn a_second_model_is_seen_in_what_comes_after_the_first() {
    let mut scan = Scan::default();
    scan.feed(br#"{"model":"a","messages":["#).unwrap();
    assert_eq!(scan.model(), Some("a"));
    scan.feed(br#"{"model":"b"}],"mod"#).unwrap();
    assert_eq!(scan.feed(br#"el":"b"}"#), Err(Fault::Twice));
}

#[test]
fn whether_a_stream_is_asked_for_is_told_by_the_last_word_at_the_top() {
    for (text, wanted) in [
        (r#"{"model":"a","stream":true}"#, true),
        (r#"{"stream" : true ,"model":"a"}"#, true),
        (r#"{"model":"a","stream":false}"#, false),
        (r#"{"model":"a","stream":"true"}"#, false),
        (r#"{"model":"a","x":{"stream":true}}"#, false),
        (r#"{"stream":true,"model":"a","stream":null}"#, false),
        (r#"{"model":"a"}"#, false),
    ] {
        for piece in 1..text.len() {
            let mut scan = Scan::default();
            for piece in text.as_bytes().chunks(piece) {
                scan.feed(piece).unwrap();
            }
            assert_eq!(scan.streams(), wanted, "{text}");
        }
    }
}

/// Any JSON.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\\\\"{}\\[\\],: a\u{1f600}]{0,12}",
        Just("model".to_owned()),
    ]
}

/// A string as JSON, each character written in one of the ways there are.
fn written(text: &str, ways: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut units = [0; 2];
    for (character, way) in text.chars().zip(ways.iter().cycle()) {
        match way % 3 {
            0 => {
                for unit in character.encode_utf16(&mut units) {
                    out += &format!("\\u{unit:04x}");
                }
            }
            _ => {
                let quoted = Value::from(character.to_string()).to_string();
                out += &quoted[1..quoted.len() - 1];
            }
        }
    }
    out + "\""
}

proptest! {
    #[test]
    fn any_document_in_any_pieces_is_read_as_serde_reads_it(
        members in prop::collection::vec((text(), json()), 0..8),
        name in prop::option::of(text()),
        at in 0_usize..9,
        ways in prop::collection::vec(any::<u8>(), 1..9),
        pieces in prop::collection::vec(1_usize..40, 1..9),
        space in "[ \n\r\t]{0,3}",
    ) {
        let mut members: Vec<_> = members
            .into_iter()
            .filter(|(key, _)| !key.eq_ignore_ascii_case("model"))
            .collect();
        if let Some(name) = &name {
            members.insert(at.min(members.len()), ("model".to_owned(), Value::from(&**name)));
        }
        let written: Vec<_> = members
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(text) => written(text, &ways),
                    other => other.to_string(),
                };
                format!("{space}{}{space}:{space}{value}{space}", written(key, &ways))
            })
            .collect();
        let document = format!("{space}{{{}}}{space}", written.join(","));
        let read: Value = serde_json::from_str(&document).unwrap();
        let mut scan = Scan::default();
        let mut rest = document.as_bytes();
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
            scan.feed(piece).unwrap();
            rest = after;
        }
        prop_assert!(scan.is_done());
        prop_assert_eq!(scan.model(), read.get("model").and_then(Value::as_str));
    }

    #[test]
    fn whatever_comes_it_does_not_matter_in_which_pieces(
        bytes in prop_oneof![
            "[{}\\[\\]\":,\\\\ model1u06dbae]{0,60}",
            "\\{\"model\":\"[a-z\\\\u0-9\"]{0,9}[,}\"]{0,3}\"?model\"?:?.{0,9}",
        ],
        piece in 1_usize..20,
    ) {
        let whole = scan(&bytes);
        let mut parts = Scan::default();
        let told = bytes.as_bytes().chunks(piece).try_for_each(|piece| parts.feed(piece));
        prop_assert_eq!(&whole, &told.map(|()| parts.model().map(str::to_owned)));
        // Who reads it all and finds a model finds this one.
        if let (Ok(Value::Object(object)), Ok(model)) = (serde_json::from_str(&bytes), whole) {
            prop_assert_eq!(object.get("model").and_then(Value::as_str), model.as_deref());
        }
    }
}
