use super::*;

fn config(tokens: bool) -> Config {
    let token = |name: &str, text: &str, more: &str| {
        let hash = digest(&SHA256, text.as_bytes());
        let hash: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("[admin.tokens.{name}]\nsha256 = \"{hash}\"\n{more}\n")
    };
    let tokens = [
        token("ops", "all", "role = \"operator\""),
        token("look", "view", "role = \"viewer\""),
        token(
            "team",
            "team",
            "role = \"operator\"\nservices = [\"llama\"]",
        ),
    ]
    .map(|table| if tokens { table } else { String::new() });
    let service = |name: &str| {
        format!(
            "[services.{name}]\ndeployments.stable = {{ static = {{ addresses = [\"127.0.0.1:1\"] }} }}\n"
        )
    };
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]\n{}{}{}",
        tokens.concat(),
        service("llama"),
        service("other")
    );
    penstock_config::parse(&text, std::path::Path::new("/penstock.toml")).unwrap()
}

fn tokens() -> Tokens {
    let tokens = Tokens::default();
    tokens.set(&config(true));
    tokens
}

fn caller(tokens: &Tokens, field: &str) -> Option<Caller> {
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, field.parse().unwrap())]);
    tokens.caller(Some(Peer::Address(([10, 0, 0, 1], 1).into())), &headers)
}

#[test]
fn only_a_known_token_counts() {
    let tokens = tokens();
    for field in ["Bearer all", "bearer all", "BEARER  all "] {
        assert_eq!(
            caller(&tokens, field).unwrap().name(),
            Some("ops"),
            "{field}"
        );
    }
    for field in [
        "all",
        "Basic all",
        "Bearer",
        "Bearer ",
        "Bearer alll",
        "Bearer all,view",
    ] {
        assert!(caller(&tokens, field).is_none(), "{field}");
    }
    assert!(caller(&tokens, &format!("Bearer {}", "x".repeat(5000))).is_none());
    let two: HeaderMap = ["Bearer all", "Bearer view"]
        .map(|field| (header::AUTHORIZATION, field.parse().unwrap()))
        .into_iter()
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        });
    assert!(tokens.caller(None, &two).is_none(), "two tokens are none");
    assert!(tokens.caller(None, &HeaderMap::new()).is_none());
    let by_socket = tokens.caller(Some(Peer::Socket(1000)), &HeaderMap::new());
    assert_eq!(by_socket.unwrap().role(), Role::Operator);
    tokens.set(&config(false));
    assert!(
        tokens.caller(None, &HeaderMap::new()).is_some(),
        "nobody needs one"
    );
}

#[test]
fn a_role_and_a_scope_say_what_is_allowed() {
    let tokens = tokens();
    let refused = |token: &str, method: Method, path: &str| {
        let caller = caller(&tokens, &format!("Bearer {token}")).unwrap();
        caller.refuse(&method, path)
    };
    let llama = "/api/v1/services/llama";
    let pause = "/api/v1/services/llama/deployments/stable/pause";
    for path in ["/metrics", "/api/v1/status", llama, pause, "/api/v1/reload"] {
        assert_eq!(refused("all", Method::POST, path), None, "{path}");
        assert_eq!(refused("view", Method::GET, path), None, "{path}");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(refused("view", method, path), Some(Refusal::Role), "{path}");
        }
    }
    for path in [
        "/api/v1/status",
        "/api/v1/journal",
        "/api/v1/whoami",
        llama,
        pause,
    ] {
        assert_eq!(refused("team", Method::GET, path), None, "{path}");
    }
    assert_eq!(refused("team", Method::POST, pause), None);
    for path in [
        "/metrics",
        "/api/v1/reload",
        "/api/v1/services/llama2",
        "/api/v1/services/other/pause",
        "/api/v1/services/%6clama/pause",
        "/api/v1/services//llama",
        "/api/v1/services/other/../llama",
        "/api/v1/anything",
    ] {
        assert_eq!(
            refused("team", Method::GET, path),
            Some(Refusal::Scope),
            "{path}"
        );
    }
}

#[test]
fn texts_do_not_tell_which_other_services_there_are() {
    let tokens = tokens();
    let team = caller(&tokens, "Bearer team").unwrap();
    for (text, told) in [
        (
            "0 used by other/stable#0, 1 by llama/stable#1",
            "0 used by another service, 1 by llama/stable#1",
        ),
        ("other/a#12other/b", "another serviceanother service"),
        ("gives way to other/stable", "gives way to another service"),
        (
            "another/stable other/ /other /v1/other/x no-other/x",
            "another/stable other/ /other /v1/other/x no-other/x",
        ),
    ] {
        let mut value = serde_json::json!({ "a": [{ "b": text }], "c": 1 });
        team.hide(&mut value);
        assert_eq!(value["a"][0]["b"], told);
    }
    let mut all = serde_json::json!("other/stable");
    caller(&tokens, "Bearer all").unwrap().hide(&mut all);
    assert_eq!(all, "other/stable");
}

#[test]
fn the_journal_names_the_token_whatever_the_caller_says() {
    let tokens = tokens();
    let ops = caller(&tokens, "Bearer all").unwrap();
    let said = |by: &str| ops.author(Some(by.to_owned()));
    assert_eq!(ops.author(None).as_deref(), Some("ops"));
    assert_eq!(said("ops").as_deref(), Some("ops"));
    assert_eq!(said(" ").as_deref(), Some("ops"));
    assert_eq!(said("ann").as_deref(), Some("ann (token ops)"));
    assert_eq!(Caller::trusted().author(None), None);
    let ann = Caller::trusted().author(Some("ann".to_owned()));
    assert_eq!(ann.as_deref(), Some("ann"));
}
