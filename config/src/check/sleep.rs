//! `sleep` and `preemptible` of a deployment.

use std::{ffi::OsStr, path::Path};

use super::{
    Check,
    probes::headers,
    process::placeholder::{self, Filled},
};
use crate::{Call, CallMethod, Preemptible, Sleep, WakeCheck, key_path::KeyPath, raw};

/// How its workers sleep; `None`: they do not, or there is an error.
pub(super) fn sleep(
    check: &mut Check<'_>,
    deployment: &KeyPath,
    raw: Option<raw::Sleep>,
    is_fixed: bool,
) -> Option<Sleep> {
    let (raw, path) = (raw?, deployment.key("sleep"));
    if is_fixed {
        let rule = "a static deployment has the workers it is given; `sleep` is for `process` and `container`";
        check.error_without_value(&path, rule);
    }
    let known = raw.engine.map(Known::of);
    for (name, given) in [("sleep", raw.sleep.is_some()), ("wake", raw.wake.is_some())] {
        let is_wrong = check.touches(&path.key(name)) || check.touches(&path.key("engine"));
        if known.is_none() && !given && !is_wrong {
            let rule = "without `engine` both `sleep` and `wake` must be given: nothing else tells how workers \
                        fall asleep and wake up";
            check.error_without_value(&path, rule);
            break;
        }
    }
    let mut call = |name: &str, raw: Option<raw::Call>, method| {
        Some(checked_call(check, &path.key(name), raw?, method))
    };
    let sleep = call("sleep", raw.sleep, CallMethod::Post);
    let wake = call("wake", raw.wake, CallMethod::Post);
    let is_sleeping = call("is_sleeping", raw.is_sleeping, CallMethod::Get);
    let wake_check = raw
        .check
        .map(|raw| wake_check(check, &path.key("check"), raw));
    let (known_sleep, known_wake, known_state) = match known {
        Some(known) => (Some(known.sleep), Some(known.wake), known.is_sleeping),
        None => (None, None, None),
    };
    Some(Sleep {
        sleep: sleep.or(known_sleep)?,
        wake: wake.or(known_wake)?,
        is_sleeping: is_sleeping.or(known_state),
        check: wake_check,
        keep_for: raw.keep_for.0,
    })
}

/// The calls of an engine.
struct Known {
    sleep: Call,
    wake: Call,
    is_sleeping: Option<Call>,
}

impl Known {
    fn of(engine: raw::SleepEngine) -> Self {
        let call = |method, path: &str, body: Option<&str>| Call {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.map(str::to_owned),
            timeout: raw::call_timeout().0,
        };
        match engine {
            raw::SleepEngine::Vllm => Self {
                sleep: call(CallMethod::Post, "/sleep?level=1", None),
                wake: call(CallMethod::Post, "/wake_up", None),
                is_sleeping: Some(call(CallMethod::Get, "/is_sleeping", None)),
            },
            raw::SleepEngine::Sglang => Self {
                sleep: call(CallMethod::Post, "/release_memory_occupation", Some("{}")),
                wake: call(CallMethod::Post, "/resume_memory_occupation", Some("{}")),
                is_sleeping: None,
            },
        }
    }
}

fn checked_call(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::Call,
    default: CallMethod,
) -> Call {
    placeholder::check(check, &path.key("path"), &raw.path.0, Filled::Nobody);
    let method = method(raw.method).unwrap_or(default);
    check_body(check, path, method, raw.body.is_some());
    Call {
        method,
        path: raw.path.0,
        headers: headers(check, &path.key("headers"), raw.headers),
        body: raw.body,
        timeout: raw.timeout.0,
    }
}

fn wake_check(check: &mut Check<'_>, path: &KeyPath, raw: raw::WakeCheck) -> WakeCheck {
    if let Some(same) = &raw.same
        && !same.is_empty()
        && !same.starts_with('/')
    {
        let rule =
            "must be \"\", or a JSON pointer that begins with /, such as \"/choices/0/text\"";
        check.error(&path.key("same"), rule);
    }
    let default = match raw.body {
        Some(_) => CallMethod::Post,
        None => CallMethod::Get,
    };
    let call = raw::Call {
        path: raw.path,
        method: raw.method,
        body: raw.body,
        headers: raw.headers,
        timeout: raw.timeout,
    };
    WakeCheck {
        call: checked_call(check, path, call, default),
        status: raw.status,
        same: raw.same,
    }
}

fn method(raw: Option<raw::CallMethod>) -> Option<CallMethod> {
    Some(match raw? {
        raw::CallMethod::Get => CallMethod::Get,
        raw::CallMethod::Post => CallMethod::Post,
        raw::CallMethod::Put => CallMethod::Put,
    })
}

fn check_body(check: &mut Check<'_>, path: &KeyPath, method: CallMethod, has_body: bool) {
    if has_body && method == CallMethod::Get {
        check.error_without_value(&path.key("body"), "a GET has no body");
    }
}

/// How its workers may be taken away.
pub(super) fn preemptible(
    check: &mut Check<'_>,
    deployment: &KeyPath,
    raw: Option<raw::Preemptible>,
    is_fixed: bool,
) -> Preemptible {
    let path = deployment.key("preemptible");
    let Some(raw) = raw else {
        return Preemptible::default();
    };
    if is_fixed {
        let rule = "a static deployment has the workers it is given; `preemptible` is for `process` and `container`";
        check.error_without_value(&path, rule);
    }
    if let Some(file) = &raw.file {
        let folder = file.parent().and_then(Path::to_str).unwrap_or_default();
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if folder.contains("{slot}") || name.matches("{slot}").count() > 1 {
            let rule =
                "{slot} may stand once, in the name of the file, and not in that of its folder";
            check.error(&path.key("file"), rule);
        }
    }
    Preemptible {
        file: raw
            .file
            .map(|file| check.absolute(&path.key("file"), &file)),
        within: raw.within.0,
    }
}
