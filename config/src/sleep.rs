//! How workers give their GPUs' memory up, and how they are taken away.

use std::{path::PathBuf, time::Duration};

/// How an engine gives the memory of its GPUs up, and takes it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleep {
    /// What makes a worker give the memory up; any status from 200 to 299 says that it has.
    pub sleep: Call,
    /// What makes it take it again.
    pub wake: Call,
    /// What tells whether it sleeps; `None`: nothing does.
    pub is_sleeping: Option<Call>,
    /// What shows after waking that it works as before; `None`: its probes alone.
    pub check: Option<WakeCheck>,
    /// How long a worker sleeps at most before it is ended.
    pub keep_for: Duration,
}

/// A request that Penstock makes of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: CallMethod,
    /// Path with query, beginning with `/`.
    pub path: String,
    /// Extra request headers.
    pub headers: Vec<(String, String)>,
    /// What is sent; `None`: nothing.
    pub body: Option<String>,
    /// Longest wait for the whole answer.
    pub timeout: Duration,
}

/// Methods of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

impl CallMethod {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What shows after waking that a worker works as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeCheck {
    /// What is asked.
    pub call: Call,
    /// The status that the answer must have.
    pub status: u16,
    /// The part of the answer that must be what it was before the worker slept for the first time, as a JSON
    /// pointer; empty for the whole answer, which need not be JSON then. `None`: the status is enough.
    pub same: Option<String>,
}

/// How workers of a deployment may be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preemptible {
    /// A file that gives notice by being there; `{slot}` in it stands for a worker's number, and without that the
    /// notice is for every worker. `None`: notice is given by command or API alone.
    pub file: Option<PathBuf>,
    /// How long workers have from the notice on, unless it says otherwise.
    pub within: Duration,
}

impl Default for Preemptible {
    fn default() -> Self {
        Self {
            file: None,
            within: Self::WITHIN,
        }
    }
}

impl Preemptible {
    /// The time that a worker has by default.
    pub const WITHIN: Duration = Duration::from_secs(120);
}
