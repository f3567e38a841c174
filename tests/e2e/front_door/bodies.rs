//! Bodies of requests at the front door: read as far as it takes, and changed as they pass.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{CHAT, Door, ask, error, post};
use crate::support::{
    client::{RawConnection, by_pieces},
    fake::Behaviour,
    processes::memory_kib,
    soon,
};

/// A body of about so many bytes, the model at its end.
fn long(bytes: usize, model: &str) -> String {
    json!({ "a": [{ "x": "y \"\\ ".repeat(bytes / 8) }], "model": model }).to_string()
}

#[tokio::test]
async fn a_long_body_is_passed_on_as_it_came_wherever_the_model_stands() {
    let door = Door::open().await;
    for client in door.clients() {
        for bytes in [100, 60_000, 400_000, 3_000_000] {
            let last = long(bytes, "org/large");
            let first = format!(
                r#"{{"model":"org/large",{}"#,
                &last[1..].replace("model", "mode1")
            );
            for body in [last, first] {
                let reply = client.post(CHAT, body.clone()).await;
                assert_eq!(reply.status, 200, "{}", reply.reason());
                assert!(reply.text() == body, "{bytes} bytes");
            }
        }
    }
    let heads = door.large.heads();
    let lengths = heads
        .iter()
        .all(|head| !head.header("content-length").is_empty());
    assert!(lengths, "nothing is changed");
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_waited_for_until_it_has_named_its_model() {
    let door = Door::open().await;
    for client in door.clients() {
        let before = door.small.seen().started;
        let (mut sender, body) = by_pieces();
        let exchange = client.send(Method::POST, CHAT, body);
        let sends = async {
            for piece in [r#"{"messages":[],"mo"#, r#"del":"sma"#, "l"] {
                sender.send_data(Bytes::from(piece)).await.unwrap();
                assert_eq!(door.small.seen().started, before, "nobody has it yet");
            }
            sender.send_data(Bytes::from(r#"l","x":"#)).await.unwrap();
            let came = |seen: &crate::support::fake::Seen| seen.started == before + 1;
            door.small.until("the request has come", came).await;
            sender.send_data(Bytes::from("1}")).await.unwrap();
            drop(sender);
        };
        let (exchange, ()) = tokio::join!(exchange, sends);
        let wanted = r#"{"messages":[],"model":"small","x":1}"#;
        assert_eq!(exchange.whole().await.text(), wanted);
    }
}

#[tokio::test]
async fn a_model_is_renamed_and_parameters_are_taken_out_and_set_in_passing() {
    let door = Door::open().await;
    for client in door.clients() {
        let body = r#"{"user":"u","n":1.50,"model":"gpt-4o-mini","store":{"a":[1]},"x":"\u0041"}"#;
        let wanted = r#"{"temperature":0.5,"n":1.50,"model":"small","x":"\u0041"}"#;
        let reply = client.post(CHAT, body).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, wanted));
        let head = door.small.heads().pop().unwrap();
        assert_eq!(head.header("content-length"), wanted.len().to_string());

        let body = long(500_000, "gpt-4o-mini").replace(",\"model\"", ",\"user\":1,\"model\"");
        let reply = client.post(CHAT, body.clone()).await;
        let mut wanted: Value = serde_json::from_str(&body).unwrap();
        wanted["model"] = json!("small");
        wanted["temperature"] = json!(0.5);
        wanted.as_object_mut().unwrap().remove("user");
        assert!(reply.json() == wanted);

        // The rest comes when the worker has the request.
        let (mut sender, body) = by_pieces();
        let exchange = client.send(Method::POST, CHAT, body);
        let begun = door.small.seen().started;
        let sends = async {
            let piece = Bytes::from(r#"{"model":"gpt-4o-mini","a":1,"user":""#);
            sender.send_data(piece).await.unwrap();
            let came = |seen: &crate::support::fake::Seen| seen.started > begun;
            door.small.until("the request has come", came).await;
            for piece in ["u", "u\",\"b\"", ":2,\"store\":3}"] {
                sender.send_data(Bytes::from(piece)).await.unwrap();
            }
            drop(sender);
        };
        let (exchange, ()) = tokio::join!(exchange, sends);
        let wanted = r#"{"temperature":0.5,"model":"small","a":1,"b":2}"#;
        assert_eq!(exchange.whole().await.text(), wanted);
    }
}

#[tokio::test]
async fn a_form_names_its_model_in_a_field() {
    let door = Door::open().await;
    let form = [("content-type", "multipart/form-data; boundary=B")];
    let body = |model: &str| {
        let file = "x\r\n--A\r\n".repeat(20_000);
        format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{file}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n--B--\r\n"
        )
    };
    let path = "/v1/audio/transcriptions";
    for client in door.clients() {
        let reply = post(&client, path, &form, &body("org/large")).await;
        assert!(reply.text() == body("org/large"), "{}", reply.status);
        let reply = post(&client, path, &form, &body("gpt-4o-mini")).await;
        let text = reply.text();
        let user = "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n";
        let wanted = body("small").replace(user, "");
        assert!(text.ends_with(&wanted), "{}", reply.status);
        assert!(text.starts_with("--B\r\ncontent-disposition: form-data; name=\"temperature\""));
        // Elsewhere it is no form.
        let reply = post(&client, CHAT, &form, &body("small")).await;
        assert_eq!(reply.reason(), "bad_request");
    }
}

#[tokio::test]
async fn a_worker_never_gets_the_end_of_a_request_with_two_models() {
    let door = Door::open().await;
    let whole = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&whole);
    door.small.on(
        "/v1/embeddings",
        Behaviour::custom(move |request| {
            let counted = Arc::clone(&counted);
            async move {
                if request.into_body().collect().await.is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                http::Response::new(crate::support::client::empty())
            }
        }),
    );
    for client in door.clients() {
        let before = door.small.seen().started;
        let reply = client
            .post(CHAT, r#"{"model":"small","model":"org/large"}"#)
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.reason()),
            (400, "bad_request")
        );
        assert_eq!(error(&reply)["param"], "model");
        assert_eq!(door.small.seen().started, before);
        // The second one comes when the worker has the first.
        for model in ["small", "gpt-4o-mini"] {
            let begun = door.small.seen().started;
            let (mut sender, body) = by_pieces();
            let exchange = client.send(Method::POST, "/v1/embeddings", body);
            let sends = async {
                let piece = Bytes::from(format!(r#"{{"model":"{model}","a":1"#));
                sender.send_data(piece).await.unwrap();
                let came = |seen: &crate::support::fake::Seen| seen.started > begun;
                door.small.until("the request has come", came).await;
                let piece = Bytes::from(r#","model":"org/large"}"#);
                let _ = sender.send_data(piece).await;
                drop(sender);
            };
            let (exchange, ()) = tokio::join!(exchange, sends);
            let reply = exchange.whole().await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (400, "bad_request")
            );
        }
    }
    door.small
        .until("none is there", |seen| seen.current == 0)
        .await;
    assert_eq!(whole.load(Ordering::SeqCst), 0, "the end of one has come");
}

#[tokio::test]
async fn a_body_without_a_model_is_refused_and_held_within_bounds() {
    let door = Door::open().await;
    let client = door.client();
    let before = memory_kib(door.penstock.pid(), "VmRSS");
    let mut connection = RawConnection::open(door.penstock.address).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.local.localhost\r\n\
        Content-Length: 9000000000\r\n\r\n{\"a\":\"";
    connection.write(head).await;
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..40 {
        connection.write(&piece).await;
    }
    let answer = soon("an answer", connection.read_to_end()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let grown = memory_kib(door.penstock.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 120 << 10, "{grown} KiB");
    assert_eq!(client.post(CHAT, ask("small")).await.status, 200);
}
