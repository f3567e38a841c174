//! Credentials for registries, from a file as `docker login` writes it.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;

/// What Docker's tools call the registry of images without one.
const DOCKER_HUB: [&str; 4] = [
    "https://index.docker.io/v1/",
    "index.docker.io",
    "registry-1.docker.io",
    "docker.io",
];

/// A file that is larger is none of those.
const BYTES_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    token: Option<String>,
}

/// The credentials for the registry of an image.
///
/// # Errors
///
/// What is wrong with the file, for people, without anything of what is in it that is secret.
pub(super) fn read(file: &Path, image: &str) -> Result<DockerCredentials, String> {
    let shown = file.display();
    let about = |what: &str| format!("registry_credentials {shown}: {what}");
    let metadata = fs::metadata(file).map_err(|error| about(&error.to_string()))?;
    if metadata.len() > BYTES_MAX {
        return Err(about(
            "it is too large to be a file that `docker login` wrote",
        ));
    }
    let bytes = fs::read(file).map_err(|error| about(&error.to_string()))?;
    of_text(&bytes, registry(image)).map_err(|what| about(&what))
}

/// The registry of an image; `docker.io` when it names none.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

fn of_text(bytes: &[u8], registry: &str) -> Result<DockerCredentials, String> {
    // What serde says might quote a part of it.
    let form = "it is not in the form that `docker login` writes: {\"auths\": {\"REGISTRY\": {\"auth\": \"...\"}}}";
    let file: File = serde_json::from_slice(bytes).map_err(|_| form.to_owned())?;
    let is_it = |name: &str| {
        let bare = name
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let bare = bare.split('/').next().unwrap_or_default();
        bare == registry || registry == "docker.io" && DOCKER_HUB.contains(&name)
    };
    let found = file.auths.iter().find(|(name, _)| is_it(name));
    let empty =
        |entry: &Entry| entry.auth.is_none() && entry.username.is_none() && entry.token.is_none();
    let helper = file.helpers.get(registry).or(file.store.as_ref());
    let (name, entry) = match (found, helper) {
        (Some((name, entry)), _) if !empty(entry) => (name, entry),
        (_, Some(helper)) => {
            return Err(format!(
                "the password for {registry} is kept by the program docker-credential-{helper}, which \
                 Penstock does not ask: write the file with `docker login` and no credsStore"
            ));
        }
        (None, None) => {
            let known: Vec<&str> = file.auths.keys().map(String::as_str).collect();
            return Err(format!(
                "there is nothing for {registry} in it, only for: {}",
                known.join(", ")
            ));
        }
        (Some((name, _)), None) => return Err(format!("the entry for {name} is empty")),
    };
    let (username, password) = match &entry.auth {
        Some(auth) => decoded(auth)
            .ok_or_else(|| format!("`auth` of {name} is not the base64 of user:password"))?,
        None => (
            entry.username.clone().unwrap_or_default(),
            entry.password.clone().unwrap_or_default(),
        ),
    };
    Ok(DockerCredentials {
        username: Some(username),
        password: Some(password),
        identitytoken: entry.token.clone(),
        serveraddress: Some(name.clone()),
        ..Default::default()
    })
}

fn decoded(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_registry_is_of_docker_hub() {
        for (image, expected) in [
            ("nginx", "docker.io"),
            ("vllm/vllm-openai:v1", "docker.io"),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost/a", "localhost"),
            ("localhost:5000/a:b", "localhost:5000"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn the_entry_of_the_registry_is_found() {
        // joe:secret:2
        let file = br#"{"auths": {"localhost:5000": {"auth": "am9lOnNlY3JldDoy"},
            "https://index.docker.io/v1/": {"identitytoken": "t"}}, "HttpHeaders": {}}"#;
        let found = of_text(file, "localhost:5000").unwrap();
        assert_eq!(found.username.as_deref(), Some("joe"));
        assert_eq!(found.password.as_deref(), Some("secret:2"));
        let hub = of_text(file, "docker.io").unwrap();
        assert_eq!(hub.identitytoken.as_deref(), Some("t"));
        let error = of_text(file, "ghcr.io").unwrap_err();
        assert!(
            error.starts_with("there is nothing for ghcr.io in it, only for: "),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_without_its_secrets() {
        for (file, expected) in [
            (r#"{"auths": {"a.b": "s3cret"}}"#, "not in the form"),
            (
                r#"{"auths": {"a.b": {"auth": "s3cret!"}}}"#,
                "not the base64",
            ),
            (
                r#"{"auths": {"a.b": {}}, "credsStore": "desktop"}"#,
                "docker-credential-desktop",
            ),
            (r#"{"auths": {"a.b": {}}}"#, "is empty"),
        ] {
            let error = of_text(file.as_bytes(), "a.b").unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
