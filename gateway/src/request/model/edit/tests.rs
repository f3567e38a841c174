use std::collections::BTreeMap;

use penstock_config::Model;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules(strip: &[&str], set: Value) -> Arc<Rules> {
    let Value::Object(set) = set else {
        panic!("an object")
    };
    Arc::new(Rules::of(&Model {
        name: "gpt-4o".to_owned(),
        upstream: "llama \"3\"".to_owned(),
        strip: strip.iter().map(|key| (*key).to_owned()).collect(),
        set: set.into_iter().collect::<BTreeMap<_, _>>(),
    }))
}

fn edit(rules: &Arc<Rules>, text: &str, piece: usize) -> Result<String, Fault> {
    let mut edit = Edit::by(Arc::clone(rules));
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(piece) {
        edit.feed(piece, &mut out)?;
    }
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn values_stay_as_they_were_written() {
    let rules = rules(&["user"], json!({ "temperature": 0.5 }));
    let text = r#" {"messages" : [ {"role":"user", "content":"\u0041 \/"} ] , "user":"u", "model":"gpt-4o",
        "n": 1.0e2, "temperature":2 } "#;
    let wanted = r#"{"temperature":0.5,"messages" : [ {"role":"user", "content":"\u0041 \/"} ],"model":"llama \"3\"","n": 1.0e2}"#;
    for piece in [1, 2, 3, 7, 1000] {
        assert_eq!(edit(&rules, text, piece).unwrap(), wanted);
    }
}

#[test]
fn what_is_taken_out_leaves_no_comma_wherever_it_stood() {
    let all = rules(&["a", "b"], json!({}));
    for (text, wanted) in [
        (r#"{"a":1,"model":"x"}"#, r#"{"model":"llama \"3\""}"#),
        (
            r#"{"model":"x","a":[1,{"b":2}]}"#,
            r#"{"model":"llama \"3\""}"#,
        ),
        (
            r#"{"c":1,"A":1,"model":"x","b":"","d":2}"#,
            r#"{"c":1,"model":"llama \"3\"","d":2}"#,
        ),
        (r#"{"\u0061":1,"model":"x"}"#, r#"{"model":"llama \"3\""}"#),
        ("{}", r#"{"model":"llama \"3\""}"#),
        (r#"{"a":1}"#, r#"{"model":"llama \"3\""}"#),
    ] {
        assert_eq!(edit(&all, text, 3).unwrap(), wanted, "{text}");
    }
    let set = rules(&[], json!({ "b": { "c": [true] } }));
    let wanted = r#"{"b":{"c":[true]},"model":"llama \"3\""}"#;
    assert_eq!(edit(&set, "{ }", 1).unwrap(), wanted);
}

#[test]
fn a_key_of_any_length_passes() {
    let rules = rules(&["a"], json!({}));
    let key = "k\\u0041".repeat(100_000);
    let text = format!(r#"{{"{key}":1,"model":"x"}}"#);
    let wanted = format!(r#"{{"{key}":1,"model":"llama \"3\""}}"#);
    assert!(edit(&rules, &text, 100).unwrap() == wanted);
    let mut edit = Edit::by(rules);
    for piece in text.as_bytes().chunks(100) {
        edit.feed(piece, &mut Vec::new()).unwrap();
        assert!(edit.key.len() < 2000, "more is held than may be needed");
    }
}

#[test]
fn a_second_model_ends_it() {
    let rules = rules(&[], json!({}));
    let text = r#"{"model":"x","model":"y"}"#;
    assert_eq!(edit(&rules, text, 4), Err(Fault::Twice));
}

proptest! {
    #[test]
    fn nothing_else_changes(
        members in prop::collection::vec(("[a-d\\\\\"é]{1,3}", -9..9), 0..6),
        piece in 1_usize..30,
    ) {
        let object: serde_json::Map<String, Value> = members
            .into_iter()
            .map(|(key, value)| (key, json!([value, { "a": "}{\"" }])))
            .chain([("model".to_owned(), json!("x"))])
            .collect();
        let text = Value::Object(object.clone()).to_string();
        let rules = rules(&["a", "b"], json!({ "c": 1 }));
        let out: Value = serde_json::from_str(&edit(&rules, &text, piece).unwrap()).unwrap();
        let mut wanted = object;
        wanted.retain(|key, _| !["a", "b"].contains(&&**key));
        wanted.insert("c".to_owned(), json!(1));
        wanted.insert("model".to_owned(), json!("llama \"3\""));
        prop_assert_eq!(out, Value::Object(wanted));
    }
}
