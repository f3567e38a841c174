use proptest::prelude::*;

use super::*;
use crate::{count::tokens::Told, settle::access_log::tests::record};

fn written(
    form: fn(&mut Vec<u8>, SystemTime, &AccessRecord<'_>),
    record: &AccessRecord<'_>,
) -> String {
    let mut line = Vec::new();
    form(
        &mut line,
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        record,
    );
    String::from_utf8(line).unwrap()
}

#[test]
fn a_json_line_tells_everything_with_every_clock() {
    let line = written(json, &record());
    assert_eq!(
        line,
        concat!(
            r#"{"time":"2023-11-14T22:13:20.123Z","request_id":"id-1","client":"192.0.2.1:4711","#,
            r#""method":"POST","host":"chat.local.localhost:8080","path":"/v1/x?a=b","#,
            r#""protocol":"HTTP/1.1","service":"chat","deployment":"stable","api_key":"mobile-app","class":"batch","worker":2,"status":200,"#,
            r#""reason":null,"bytes_in":12,"bytes_out":345,"queue_wait_ms":null,"connect_ms":0.25,"#,
            r#""first_byte_ms":1.5,"duration_ms":2000.0,"retries":1}"#,
            "\n"
        )
    );
}

#[test]
fn a_text_line_tells_the_same_for_people() {
    assert_eq!(
        written(text, &record()),
        "2023-11-14T22:13:20.123Z 192.0.2.1:4711 POST chat.local.localhost:8080 /v1/x?a=b HTTP/1.1 \
         200 chat/stable/2 reason=- in=12 out=345 wait=- connect=0.250ms first_byte=1.500ms \
         total=2000.000ms retries=1 key=mobile-app class=batch id=id-1\n"
    );
}

#[test]
fn what_a_model_answered_is_told_as_far_as_it_is_known() {
    let told = Told {
        input: 20,
        cached: 16,
        output: 7,
        reasoning: 2,
        has_input: true,
        is_known: true,
        is_estimated: false,
    };
    let record = |told| AccessRecord {
        model: Some(ModelRecord {
            model: Some("a b"),
            told,
            first_token: Some(Duration::from_millis(3)),
        }),
        ..record()
    };
    let line = written(text, &record(told));
    let end = " model=a\\x20b tokens_in=20 tokens_out=7 first_token=3.000ms\n";
    assert!(line.ends_with(end), "{line}");
    let line = written(json, &record(told));
    let end = concat!(
        r#","retries":1,"model":"a b","tokens_in":20,"tokens_cached":16,"tokens_out":7,"#,
        r#""tokens_reasoning":2,"tokens_estimated":false,"first_token_ms":3.0}"#,
        "\n"
    );
    assert!(line.ends_with(end), "{line}");
    let unknown = written(json, &record(Told::default()));
    assert!(unknown.contains(r#""tokens_in":null"#), "{unknown}");
    assert!(unknown.contains(r#""tokens_out":null"#), "{unknown}");
}

#[test]
fn a_request_that_got_nowhere_has_dashes() {
    let nowhere = AccessRecord {
        host: "",
        service: None,
        deployment: None,
        api_key: None,
        class: None,
        worker: None,
        reason: Some("no_route"),
        status: 404,
        detail: Some("no service at \"x\"\n"),
        ..record()
    };
    let line = written(text, &nowhere);
    assert!(
        line.ends_with(" id=id-1 detail=\"no service at \\\"x\\\"\\n\"\n"),
        "{line}"
    );
    assert!(
        line.contains(" POST - /v1/x?a=b HTTP/1.1 404 -/-/- reason=no_route "),
        "{line}"
    );
}

proptest! {
    #[test]
    fn no_input_breaks_a_line_or_adds_a_field(host: String, path in "\\PC*|[ -~]*", id: String) {
        let record = AccessRecord { host: &host, path: &path, request_id: &id, ..record() };
        let line = written(text, &record);
        prop_assert_eq!(line.find(|c: char| c.is_control()), Some(line.len() - 1));
        prop_assert_eq!(line.split(' ').count(), written(text, &super::super::tests::record()).split(' ').count());

        let line = written(json, &record);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&object["host"], &host);
        prop_assert_eq!(&object["path"], &path);
    }
}
