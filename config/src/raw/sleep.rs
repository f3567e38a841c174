//! `sleep` and `preemptible` of a deployment.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{PositiveDuration, UrlPath};
use crate::sleep;

/// How idle workers give the memory of their GPUs up without ending, for engines that can. With `engine`, or with
/// both `sleep` and `wake`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sleep {
    /// The engine, whose calls are known then. vLLM must run with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1,
    /// SGLang with --enable-memory-saver.
    pub(crate) engine: Option<SleepEngine>,
    /// Makes a worker give the memory up. Default: POST.
    pub(crate) sleep: Option<Call>,
    /// Makes it take the memory again. Default: POST.
    pub(crate) wake: Option<Call>,
    /// Tells whether it sleeps: the answer is `true`, `false` or {"is_sleeping": true}. Default: GET; none without
    /// an `engine` that has it.
    pub(crate) is_sleeping: Option<Call>,
    /// Shows after waking that it works as before: a worker that fails is replaced. Default: none.
    pub(crate) check: Option<WakeCheck>,
    /// A worker that has slept for so long is ended.
    #[serde(rename = "for")]
    pub(crate) keep_for: PositiveDuration,
}

impl Default for Sleep {
    fn default() -> Self {
        Self {
            engine: None,
            sleep: None,
            wake: None,
            is_sleeping: None,
            check: None,
            keep_for: PositiveDuration(Duration::from_secs(3600)),
        }
    }
}

/// Engines whose calls are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SleepEngine {
    /// POST /sleep?level=1, POST /wake_up, GET /is_sleeping.
    Vllm,
    /// POST /release_memory_occupation, POST /resume_memory_occupation.
    Sglang,
}

/// A request to a worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// Path, with a query if there is one.
    pub(crate) path: UrlPath,
    /// GET, POST or PUT.
    #[serde(default)]
    pub(crate) method: Option<CallMethod>,
    /// What is sent; JSON unless `headers` say otherwise. Default: nothing.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// Further request headers.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Longest wait for the whole answer.
    #[serde(default = "call_timeout")]
    pub(crate) timeout: PositiveDuration,
}

/// What a worker must answer after waking.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WakeCheck {
    /// Path, with a query if there is one.
    pub(crate) path: UrlPath,
    /// GET, POST or PUT. Default: POST with a `body`, else GET.
    #[serde(default)]
    pub(crate) method: Option<CallMethod>,
    /// What is sent; JSON unless `headers` say otherwise. Default: nothing.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// Further request headers.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Longest wait for the whole answer.
    #[serde(default = "check_timeout")]
    pub(crate) timeout: PositiveDuration,
    /// The status that the answer must have.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub(crate) status: u16,
    /// Part of the answer that must be what it was before the worker slept for the first time, as a JSON pointer
    /// such as "/choices/0/text"; "" for the whole answer. Default: the status is enough.
    #[serde(default)]
    pub(crate) same: Option<String>,
}

/// Methods of calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum CallMethod {
    Get,
    Post,
    Put,
}

pub(crate) fn call_timeout() -> PositiveDuration {
    PositiveDuration(Duration::from_secs(60))
}

fn check_timeout() -> PositiveDuration {
    PositiveDuration(Duration::from_secs(10))
}

fn ok() -> u16 {
    200
}

/// How workers may be taken away.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Preemptible {
    /// A file that gives notice by being there. {slot} in it stands for the number of a worker; without that
    /// the notice is for every worker of the deployment. Taken from this file's folder. Default: none.
    #[schemars(length(min = 1))]
    pub(crate) file: Option<PathBuf>,
    /// How long a worker has from the notice on, where the notice does not say so itself.
    pub(crate) within: PositiveDuration,
}

impl Default for Preemptible {
    fn default() -> Self {
        Self {
            file: None,
            within: PositiveDuration(sleep::Preemptible::WITHIN),
        }
    }
}
