//! Makes sure that the engine has an image.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use bollard::{errors::Error, models::CreateImageInfo, query_parameters::CreateImageOptions};
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use penstock_config::{ContainerSpec, Pull};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    credentials,
    engine::{Engine, Trouble},
    progress::Layers,
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Longest silence of the engine while it pulls. It tries again by itself for about a minute when a
/// registry does not answer.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// What is pulled: an image with somebody's credentials.
type Key = (String, Option<PathBuf>);

/// Pulls under way. Workers that need the same image wait for the same pull; when nobody waits any more
/// it ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulls(Arc<Mutex<HashMap<Key, Weak<Watched>>>>);

#[derive(Debug)]
struct Watched {
    state: watch::Receiver<State>,
    /// Ended with the last who waits.
    task: tokio::task::AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Clone)]
enum State {
    /// How far it is.
    Under(String),
    /// What came of it.
    Ended(Result<(), Trouble>),
}

/// Pulls the image if it must be.
///
/// # Errors
///
/// Why the image is not there, with the engine's own words.
pub(super) async fn ensure(
    engine: &Arc<Engine>,
    pulls: &Pulls,
    spec: &ContainerSpec,
    tell: impl Fn(String),
) -> Result<(), Trouble> {
    if spec.pull != Pull::Always && is_there(engine, &spec.image).await? {
        return Ok(());
    }
    if spec.pull == Pull::Never {
        return Err(Trouble::Refused(format!(
            "image {} is not there, and pull = \"never\"",
            spec.image
        )));
    }
    let pull = pulls.join(engine, spec);
    let mut state = pull.state.clone();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Ended(result) => return result,
            State::Under(text) => tell(text),
        }
        if state.changed().await.is_err() {
            return Err(Trouble::Refused(format!(
                "the pull of {} was ended",
                spec.image
            )));
        }
    }
}

async fn is_there(engine: &Engine, image: &str) -> Result<bool, Trouble> {
    let docker = engine.client().await?;
    match docker.inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(error) => match engine.trouble(&error) {
            Trouble::NotThere(_) => Ok(false),
            other => Err(other),
        },
    }
}

impl Pulls {
    /// The pull of this image; a new one if there is none under way.
    fn join(&self, engine: &Arc<Engine>, spec: &ContainerSpec) -> Arc<Watched> {
        let key = (spec.image.clone(), spec.registry_credentials.clone());
        let mut pulls = self.0.lock();
        pulls.retain(|_, pull| pull.strong_count() > 0);
        let under_way = pulls.get(&key).and_then(Weak::upgrade);
        let has_ended = |pull: &Arc<Watched>| matches!(*pull.state.borrow(), State::Ended(_));
        if let Some(pull) = under_way.filter(|pull| !has_ended(pull)) {
            return pull;
        }
        let (tell, state) = watch::channel(State::Under(format!("pulls {}", spec.image)));
        let (engine, image, file) = (Arc::clone(engine), key.0.clone(), key.1.clone());
        let task = tokio::spawn(async move {
            let result = pull(&engine, &image, file, &tell).await;
            let result = result.map_err(|trouble| about(&image, trouble));
            tell.send_replace(State::Ended(result));
        });
        let pull = Arc::new(Watched {
            state,
            task: task.abort_handle(),
        });
        pulls.insert(key, Arc::downgrade(&pull));
        pull
    }
}

async fn pull(
    engine: &Engine,
    image: &str,
    file: Option<PathBuf>,
    tell: &watch::Sender<State>,
) -> Result<(), Trouble> {
    let credentials = match file {
        None => None,
        Some(file) => {
            let of = image.to_owned();
            let read = spawn_blocking(move || credentials::read(&file, &of)).await;
            let read = read.unwrap_or_else(|error| Err(error.to_string()));
            Some(read.map_err(Trouble::Refused)?)
        }
    };
    let docker = engine.client().await?;
    let (name, tag) = name_and_tag(image);
    let options = CreateImageOptions {
        from_image: Some(name.to_owned()),
        tag: Some(tag.to_owned()),
        ..Default::default()
    };
    let docker = docker.with_timeout(SILENCE_MAX);
    let said = docker.create_image(Some(options), None, credentials);
    follow(engine, image, said, tell).await?;
    // Podman says in the stream alone that it has failed, and not always.
    if is_there(engine, image).await? {
        Ok(())
    } else {
        Err(Trouble::Refused(
            "the engine does not have it after the pull".to_owned(),
        ))
    }
}

/// Tells how far it is until the engine has nothing more to say.
async fn follow(
    engine: &Engine,
    image: &str,
    said: impl Stream<Item = Result<CreateImageInfo, Error>>,
    tell: &watch::Sender<State>,
) -> Result<(), Trouble> {
    let mut said = std::pin::pin!(said);
    let mut layers = Layers::default();
    let mut told = Instant::now() - TELL_EVERY;
    loop {
        let next = timeout(SILENCE_MAX, said.next()).await;
        let next = next.map_err(|_| {
            Trouble::Refused(format!("the engine says nothing for {SILENCE_MAX:?}"))
        })?;
        let Some(next) = next else { return Ok(()) };
        layers.note(&next.map_err(|error| engine.trouble(&error))?);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell.send_replace(State::Under(format!("pulls {image}: {layers}")));
        }
    }
}

fn about(image: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::NotThere(text) | Trouble::Refused(text) => {
            Trouble::Refused(format!("pulling image {image}: {text}"))
        }
        away => away,
    }
}

/// The engine pulls every tag there is when it is given none.
fn name_and_tag(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    let after_slash = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[after_slash..].find(':') {
        Some(colon) => (
            &image[..after_slash + colon],
            &image[after_slash + colon + 1..],
        ),
        None => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_name_and_one_tag() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1", "nginx", "1"),
            ("localhost:5000/a", "localhost:5000/a", "latest"),
            ("localhost:5000/a:b", "localhost:5000/a", "b"),
            ("a/b@sha256:0f", "a/b", "sha256:0f"),
            ("a/b:v1@sha256:0f", "a/b:v1", "sha256:0f"),
        ] {
            assert_eq!(name_and_tag(image), (name, tag), "{image}");
        }
    }
}
