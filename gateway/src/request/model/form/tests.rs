use std::collections::BTreeMap;

use penstock_config::Model;
use serde_json::json;

use super::*;

const BODY: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a; name=\\\"model\\\".wav\"\r\n\
    Content-Type: audio/wav\r\n\r\n\r\n--B\r\r\n--A data \r\n\r\n--B\r\n\
    content-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--B\r\n\
    Content-Disposition: form-data; name=user\r\n\r\nu\r\n--B--\r\n";

fn rules() -> Arc<Rules> {
    Arc::new(Rules::of(&Model {
        name: "whisper".to_owned(),
        upstream: "whisper-large".to_owned(),
        strip: vec!["user".to_owned()],
        set: BTreeMap::from([
            ("language".to_owned(), json!("de")),
            ("n".to_owned(), json!(2)),
        ]),
    }))
}

fn scan(body: &str, piece: usize) -> Result<Option<String>, Fault> {
    let mut form = Form::new(b"B", None);
    for piece in body.as_bytes().chunks(piece) {
        form.feed(piece, &mut Vec::new())?;
    }
    Ok(form.model().map(str::to_owned))
}

#[test]
fn the_boundary_is_that_of_the_content_type() {
    let read = |text: &'static str| boundary_of(text.as_bytes());
    assert_eq!(read("application/json"), None);
    assert_eq!(read("multipart/form-data; boundary=B"), Some(Ok(&b"B"[..])));
    let quoted = "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"";
    assert!(read(quoted).unwrap().is_err());
    assert_eq!(
        read("multipart/form-data;boundary=\"a-b\""),
        Some(Ok(&b"a-b"[..]))
    );
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; boundary*0=b",
    ] {
        assert!(read(bad).unwrap().is_err(), "{bad}");
    }
}

#[test]
fn the_model_is_found_behind_a_file_that_looks_like_a_form() {
    let body = BODY.replace("\r\n\r\n\r\n--B\r\r\n--A", "\r\n\r\n\r\n-B\r\r\n--A");
    for piece in [1, 2, 3, 5, 64, 10_000] {
        assert_eq!(
            scan(&body, piece).unwrap().as_deref(),
            Some("whisper"),
            "{piece}"
        );
    }
    assert!(scan(BODY, 7).is_err(), "a boundary in a file");
}

#[test]
fn fields_are_renamed_taken_out_and_set() {
    let body = BODY.replace("\r\n\r\n\r\n--B\r\r\n--A", "\r\n\r\n\r\n-B\r\r\n--A");
    let wanted = body.replace("whisper\r\n", "whisper-large\r\n").replace(
        "--B\r\nContent-Disposition: form-data; name=user\r\n\r\nu\r\n",
        "",
    );
    let set = "--B\r\ncontent-disposition: form-data; name=\"language\"\r\n\r\nde\r\n\
        --B\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n2\r\n";
    for piece in [1, 4, 33, 10_000] {
        let mut form = Form::new(b"B", Some(rules()));
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(piece) {
            form.feed(piece, &mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{set}{wanted}"),
            "{piece}"
        );
    }
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let part = |head: &str| format!("--B\r\n{head}\r\n\r\na\r\n--B--\r\n");
    assert!(scan(&part("Content-Disposition: form-data; name=\"model\""), 9).is_ok());
    for head in [
        "Content-Disposition: form-data; name=\"model\"; name=\"x\"",
        "Content-Disposition: form-data; name*=utf-8''model",
        "Content-Disposition: form-data; name=\"mo\\del\"",
        "Content-Disposition: form-data; name=\"model",
        "Content-Disposition: form-data; name=\"MODEL\"",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data;\r\n name=\"model\"",
        "Content-Disposition: form-data; name=x\r\nContent-Disposition: form-data; name=model",
        "X: y\nContent-Disposition: form-data; name=model",
        "Content-Type: text/plain",
        "Content-Disposition: form-data; name=\"x\"; name*0=\"mod\"; name*1=\"el\"",
        "Content-Disposition: form-data; name=x; NAME*0*=utf-8''mod; name*1=el",
        "Content-Disposition: form-data; name=x; name *0=model",
        "Content-Disposition: form-data; name=x\r\nContent-Type: a/b\r\nContent-Type: c/d",
    ] {
        let told = scan(&part(head), 9);
        let is_split = head.contains("y\n");
        assert!(
            told.is_err() || is_split && told.as_ref().unwrap().is_some(),
            "{head}: {told:?}"
        );
    }
    let model = "Content-Disposition: form-data; name=\"model\"";
    let twice = format!("--B\r\n{model}\r\n\r\na\r\n{}", part(model));
    assert_eq!(scan(&twice, 8), Err(Fault::Twice));
    let long = part(model).replace(
        "\r\na\r\n",
        &format!("\r\n{}\r\n", "a".repeat(NAME_MAX + 1)),
    );
    assert_eq!(scan(&long, 100), Err(Fault::TooLong));
    assert!(scan(&format!("x\r\n{}", part(model)), 5).is_err());
    let endless = format!("--B\r\nX: {}", "y".repeat(2 * HEAD_MAX));
    assert!(scan(&endless, 1000).is_err());
}
