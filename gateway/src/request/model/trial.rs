//! What must hold of bodies whatever bytes come: for the targets of `fuzz/`, and for a test that plays their
//! seeds. Each panics where it does not hold.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it panics where something does not hold"
)]

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::Model;
use serde_json::Value;

use super::{Fault, Found, Passing, Rules};

/// Looks at a body in pieces of this length.
fn found(content_type: Option<&[u8]>, body: &[u8], piece: usize) -> Result<Found, Fault> {
    let mut found = Found::of(content_type, true)?;
    body.chunks(piece.max(1))
        .try_for_each(|piece| found.feed(piece))?;
    Ok(found)
}

fn edited(mut passing: Passing, body: &[u8], piece: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    body.chunks(piece.max(1))
        .try_for_each(|piece| passing.feed(piece, &mut out))?;
    Ok(out)
}

fn rules() -> Arc<Rules> {
    Arc::new(Rules::of(&Model {
        name: "a".to_owned(),
        upstream: "b\"\u{e9}".to_owned(),
        strip: vec!["user".to_owned()],
        set: BTreeMap::from([("seed".to_owned(), Value::from(7))]),
    }))
}

/// JSON bodies: it does not matter in which pieces one comes, whoever reads all of it finds the same model, and
/// what is changed is nothing else. The first byte says how it is cut.
pub fn json(bytes: &[u8]) {
    let [cut, body @ ..] = bytes else { return };
    let whole = found(None, body, body.len());
    let parts = found(None, body, usize::from(*cut));
    let told = |found: &Result<Found, Fault>| match found {
        Ok(found) => Ok(found.model().map(str::to_owned)),
        Err(fault) => Err(*fault),
    };
    assert_eq!(told(&whole), told(&parts));
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let Ok(model) = told(&whole) else { return };
    assert_eq!(
        model.as_deref(),
        object.get("model").and_then(Value::as_str)
    );
    let rules = rules();
    let Ok(out) = edited(
        Passing::named_by_path(None, &rules).expect("no form"),
        body,
        usize::from(*cut),
    ) else {
        return;
    };
    let mut wanted = object;
    wanted.retain(|key, _| !key.eq_ignore_ascii_case("user") && !key.eq_ignore_ascii_case("seed"));
    wanted.insert("seed".to_owned(), Value::from(7));
    wanted.insert("model".to_owned(), Value::from("b\"\u{e9}"));
    let out: Value = serde_json::from_slice(&out).expect("valid JSON");
    assert_eq!(out, Value::Object(wanted));
}

/// Forms, in the same way; the boundary is `B`.
pub fn form(bytes: &[u8]) {
    const FORM: Option<&[u8]> = Some(b"multipart/form-data; boundary=B");
    let [cut, body @ ..] = bytes else { return };
    let told = |found: Result<Found, Fault>| found.map(|found| found.model().map(str::to_owned));
    let whole = told(found(FORM, body, body.len()));
    assert_eq!(whole, told(found(FORM, body, usize::from(*cut))));
    let passing = || Passing::named_by_path(FORM, &rules()).expect("a form");
    let out = edited(passing(), body, body.len());
    assert_eq!(out, edited(passing(), body, usize::from(*cut)));
    if let (Ok(_), Ok(out)) = (whole, out)
        && out.ends_with(b"--B--\r\n")
    {
        let again = told(found(FORM, &out, out.len()));
        assert_eq!(again, Ok(Some("b\"\u{e9}".to_owned())));
    }
}

#[cfg(test)]
mod tests;
