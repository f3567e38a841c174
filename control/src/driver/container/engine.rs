//! The engine that runs containers, Docker or Podman, at its socket.

use std::{
    error::Error as _,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::label;

/// Longest wait for the engine to say what it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for an answer where nothing else is said, in seconds: making a container of a large
/// image on a slow disk takes a while.
const ANSWER_LIMIT: u64 = 120;

/// As long as a container may live: the answer comes when it ends.
const WAIT_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The engine, as far as it is there.
#[derive(Debug)]
pub(super) struct Engine {
    /// Where the configuration has it.
    configured: Option<PathBuf>,
    /// Known once it has answered, with its socket.
    known: Mutex<Option<(Docker, String)>>,
}

/// What went wrong with a call of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The engine does not answer. That says nothing of its containers.
    Away(String),
    /// What was asked about is not there.
    NotThere(String),
    /// The engine said no; its words.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Away(text) | Self::NotThere(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

impl Engine {
    pub(super) fn new(configured: Option<PathBuf>) -> Self {
        Self {
            configured,
            known: Mutex::default(),
        }
    }

    /// The engine, ready to be asked. Only the first call costs a question.
    pub(super) async fn client(&self) -> Result<Docker, Trouble> {
        if let Some((docker, _)) = self.known.lock().clone() {
            return Ok(docker);
        }
        let socket = self.socket()?;
        let shown = socket.display().to_string();
        let away = |error: Error| Trouble::Away(does_not_answer(&shown, &error));
        let docker = Docker::connect_with_unix(&shown, ANSWER_LIMIT, API_DEFAULT_VERSION);
        let docker = docker.map_err(away)?;
        let answered = timeout(HELLO_LIMIT, docker.negotiate_version()).await;
        let docker = answered
            .unwrap_or(Err(Error::RequestTimeoutError))
            .map_err(away)?;
        let before = self.known.lock().replace((docker.clone(), shown.clone()));
        if before.is_none() {
            tracing::info!(socket = shown, "workers run as containers of this engine");
        }
        Ok(docker)
    }

    /// As [`Self::client`], for a question that is answered when a container ends.
    pub(super) async fn patient_client(&self) -> Result<Docker, Trouble> {
        Ok(self.client().await?.with_timeout(WAIT_LIMIT))
    }

    /// What an error of the engine means.
    pub(super) fn trouble(&self, error: &Error) -> Trouble {
        match error {
            Error::DockerResponseServerError {
                status_code: 404,
                message,
            } => Trouble::NotThere(message.clone()),
            Error::DockerResponseServerError { message, .. } => Trouble::Refused(message.clone()),
            Error::DockerStreamError { error } => Trouble::Refused(error.clone()),
            Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::IOError { .. }
            | Error::SocketNotFoundError(_)
            | Error::RequestTimeoutError => {
                // Another one may come in its place, at another socket or of another version.
                let known = self.known.lock().take();
                let socket = known.map_or_else(|| "its socket".to_owned(), |(_, socket)| socket);
                Trouble::Away(does_not_answer(&socket, error))
            }
            other => Trouble::Refused(chain(other)),
        }
    }

    /// Ids of the containers of an installation, with the ids of their workers; of one worker only, when
    /// that is given.
    pub(super) async fn containers(
        &self,
        installation: &str,
        worker: Option<&str>,
    ) -> Result<Vec<(String, String)>, Trouble> {
        let docker = self.client().await?;
        let mut labels = vec![format!("{}={installation}", label::INSTALLATION)];
        labels.extend(worker.map(|worker| format!("{}={worker}", label::WORKER)));
        let options = bollard::query_parameters::ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), labels)].into()),
            ..Default::default()
        };
        let found = docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| self.trouble(&error))?;
        let ours = found.into_iter().filter_map(|container| {
            let labels = container.labels?;
            // The engine has filtered; what is ended must be ours for sure.
            if labels.get(label::INSTALLATION)? != installation {
                return None;
            }
            Some((container.id?, labels.get(label::WORKER)?.clone()))
        });
        Ok(ours.collect())
    }

    /// Removes a container at once, whatever it does, with its unnamed volumes.
    pub(super) async fn remove(&self, container: &str) -> Result<(), Trouble> {
        let docker = self.client().await?;
        let options = bollard::query_parameters::RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        match docker.remove_container(container, Some(options)).await {
            Ok(()) => Ok(()),
            // Gone, or going already.
            Err(Error::DockerResponseServerError {
                status_code: 404 | 409,
                ..
            }) => Ok(()),
            Err(error) => Err(self.trouble(&error)),
        }
    }

    /// Where the engine listens: as configured, or as its own tools find it.
    fn socket(&self) -> Result<PathBuf, Trouble> {
        if let Some(socket) = &self.configured {
            return Ok(socket.clone());
        }
        for name in ["DOCKER_HOST", "CONTAINER_HOST"] {
            if let Ok(host) = std::env::var(name)
                && !host.is_empty()
            {
                return of_host(name, &host);
            }
        }
        let usual = usual_sockets(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
        let found = usual.iter().find(|socket| socket.exists());
        found.cloned().ok_or_else(|| {
            let tried: Vec<_> = usual.iter().map(|path| path.display().to_string()).collect();
            Trouble::Away(format!(
                "no container engine found: there is no socket at {}; start Docker or Podman, or set \
                 `containers.socket`",
                tried.join(", ")
            ))
        })
    }

    /// Whether there is anything that could be asked.
    pub(super) fn may_be_there(&self) -> bool {
        self.socket().is_ok_and(|socket| socket.exists())
    }
}

fn of_host(name: &str, host: &str) -> Result<PathBuf, Trouble> {
    let path = host.strip_prefix("unix://").map(Path::new);
    path.filter(|path| path.is_absolute())
        .map(Path::to_owned)
        .ok_or_else(|| {
            Trouble::Away(format!(
                "{name} is {host}, but workers are reached on this machine: it must be \
                 unix:///PATH, or set `containers.socket`"
            ))
        })
}

fn usual_sockets(runtime: Option<PathBuf>) -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(runtime.iter().map(|folder| folder.join("docker.sock")));
    sockets.push("/run/podman/podman.sock".into());
    sockets.extend(
        runtime
            .iter()
            .map(|folder| folder.join("podman/podman.sock")),
    );
    sockets
}

fn does_not_answer(socket: &str, error: &Error) -> String {
    let why = match error {
        Error::RequestTimeoutError => "it takes too long".to_owned(),
        Error::SocketNotFoundError(_) => "there is no such socket".to_owned(),
        other => root(other),
    };
    format!("the container engine at {socket} does not answer: {why}")
}

/// The innermost cause: those around it only say that it was a client who asked.
fn root(error: &Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_the_environment_must_be_a_socket_of_this_machine() {
        let socket = of_host("DOCKER_HOST", "unix:///run/user/1000/docker.sock");
        assert_eq!(socket, Ok("/run/user/1000/docker.sock".into()));
        for host in ["tcp://10.0.0.1:2375", "ssh://gpu", "unix://docker.sock"] {
            let error = of_host("DOCKER_HOST", host).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("DOCKER_HOST is {host}, but")),
                "{error}"
            );
        }
    }

    #[test]
    fn the_sockets_of_root_and_of_the_user_are_usual() {
        let usual = usual_sockets(Some("/run/user/7".into()));
        let usual: Vec<_> = usual.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            usual,
            [
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/run/podman/podman.sock",
                "/run/user/7/podman/podman.sock"
            ]
        );
    }

    #[tokio::test]
    async fn an_engine_that_is_away_is_told_with_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = Engine::new(Some(socket.clone()));
        let error = engine.client().await.unwrap_err();
        let expected = format!(
            "the container engine at {} does not answer: there is no such socket",
            socket.display()
        );
        assert_eq!(error, Trouble::Away(expected));
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let error = engine.client().await.unwrap_err().to_string();
        assert!(error.contains("Connection refused"), "{error}");
    }
}
