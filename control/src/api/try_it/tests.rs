use super::*;

fn wanted(path: &str) -> Try {
    serde_json::from_value(serde_json::json!({ "service": "chat", "path": path })).unwrap()
}

fn at(address: &str, tls: bool) -> Door {
    Door {
        address: address.parse().unwrap(),
        tls,
    }
}

#[test]
fn the_path_cannot_name_another_machine() {
    let door = at("127.0.0.1:8080", false);
    for path in ["http://evil.example/", "//", "evil.example:80", "", "*"] {
        let request = request(&wanted(path), "chat.local.localhost", door);
        if let Ok(request) = request {
            assert_eq!(request.headers()[header::HOST], "chat.local.localhost:8080");
            assert!(request.uri().authority().is_none(), "{path}");
        }
    }
    let request = request(&wanted("/v1/models?a=b"), "chat.local.localhost", door).unwrap();
    assert_eq!(request.uri(), "/v1/models?a=b");
}

#[test]
fn headers_that_are_not_the_operators_and_such_as_break_the_head_are_refused() {
    let door = at("127.0.0.1:80", false);
    for (name, value) in [
        ("Host", "evil.example"),
        ("transfer-encoding", "chunked"),
        ("content-length", "9"),
        ("x-a", "b\r\nx-c: d"),
        ("x a", "b"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let wanted = Try {
            headers,
            ..wanted("/")
        };
        assert!(request(&wanted, "chat.localhost", door).is_err(), "{name}");
    }
    let headers = vec![("authorization".to_owned(), "Bearer x".to_owned())];
    let wanted = Try {
        headers,
        ..wanted("/")
    };
    let request = request(&wanted, "chat.localhost", door).unwrap();
    assert_eq!(request.headers()[header::HOST], "chat.localhost");
    assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer x");
}

#[test]
fn a_listener_without_tls_is_asked_first_and_on_this_machine() {
    let (plain, tls) = (at("0.0.0.0:8080", false), at("127.0.0.1:443", true));
    assert_eq!(door(vec![tls, plain]), Ok(at("127.0.0.1:8080", false)));
    assert_eq!(door(vec![tls]), Ok(tls));
    assert_eq!(door(vec![at("[::]:1", false)]), Ok(at("[::1]:1", false)));
    assert!(door(Vec::new()).is_err());
}
