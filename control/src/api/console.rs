//! The console: a page and what it loads, all of it in the program.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use ring::digest::{SHA256, digest};

use super::{Problem, Shared};

/// What the page may do: run and load what is served here, and nothing else. No text becomes a script or
/// markup: the browser itself refuses it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the console, and its type.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $content_type:expr,)*) => {
        [$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/", $name)),
        }),*]
    };
}

/// All of them. The first one is the page.
static ASSETS: [Asset; 17] = assets! {
    "index.html": HTML,
    "console.css": CSS,
    "icon.svg": SVG,
    "main.js": SCRIPT,
    "live.js": SCRIPT,
    "dom.js": SCRIPT,
    "words.js": SCRIPT,
    "chart.js": SCRIPT,
    "dialog.js": SCRIPT,
    "actions.js": SCRIPT,
    "overview.js": SCRIPT,
    "service.js": SCRIPT,
    "slow.js": SCRIPT,
    "gpus.js": SCRIPT,
    "logs.js": SCRIPT,
    "tryit.js": SCRIPT,
    "token.js": SCRIPT,
};

/// What tells one version of a file from another, in the order of [`ASSETS`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(tag).collect());

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { answer(0, &headers) }),
        )
        .route("/console/{file}", get(file))
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().position(|asset| asset.name == name) {
        Some(place) => answer(place, &headers),
        None => Problem::new(StatusCode::NOT_FOUND, "no such page").into_response(),
    }
}

fn answer(place: usize, headers: &HeaderMap) -> Response {
    let (asset, tag) = (&ASSETS[place], TAGS[place].as_str());
    let said = [
        (header::ETAG, tag),
        // Asked for anew each time, which costs nothing: after an upgrade nobody has half of the old one.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CONTENT_TYPE, asset.content_type),
    ];
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|known| known.to_str().ok());
    if known.any(|known| known.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, said).into_response();
    }
    (said, asset.bytes).into_response()
}

fn tag(asset: &Asset) -> String {
    let mut tag = "\"".to_owned();
    for byte in &digest(&SHA256, asset.bytes).as_ref()[..12] {
        // Writing to a string never fails.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(asset: &Asset) -> &str {
        std::str::from_utf8(asset.bytes).unwrap()
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let first = answer(0, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, tag);
        assert_eq!(answer(0, &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer(1, &headers).status(), StatusCode::OK);
    }

    #[test]
    fn every_file_that_is_named_is_there_and_all_of_them_are_small() {
        let mut named = 0;
        for asset in &ASSETS {
            let quoted = text(asset).split(['"', '\'']);
            for file in quoted.filter_map(|text| {
                text.strip_prefix("/console/")
                    .or_else(|| text.strip_prefix("./"))
            }) {
                let known = ASSETS.iter().any(|known| known.name == file);
                assert!(known, "{} names {file}", asset.name);
                named += 1;
            }
        }
        assert!(named >= ASSETS.len() - 1, "{named}");
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes < 200 << 10, "{bytes}");
    }

    #[test]
    fn no_text_becomes_markup_and_nothing_is_loaded_from_elsewhere() {
        for asset in &ASSETS {
            for wrong in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "https://",
            ] {
                assert!(!text(asset).contains(wrong), "{} has {wrong}", asset.name);
            }
        }
        let page = text(&ASSETS[0]);
        assert_eq!(page.matches("<script").count(), 1);
        for wrong in [" onclick", "<style", "style=\""] {
            assert!(!page.contains(wrong), "{wrong}");
        }
        assert!(page.contains("<script type=\"module\" src=\"/console/main.js\"></script>"));
    }
}
