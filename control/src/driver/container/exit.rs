//! How a container ended, in words.

use bollard::models::{ContainerInspectResponse, ContainerState};
use penstock_config::units;

use crate::driver::process::describe;

/// How the engine says that a signal ended a program: with the shell's numbers.
const SIGNALS: std::ops::RangeInclusive<i64> = 129..=159;

/// How a container that does not run any more has ended, with the last words of its program.
pub(super) fn reason(container: &ContainerInspectResponse, last_words: Option<&str>) -> String {
    let state = container.state.clone().unwrap_or_default();
    let limit = container.host_config.as_ref().and_then(|host| host.memory);
    let how = how(&state, limit);
    let engine = state.error.filter(|text| !text.trim().is_empty());
    match engine.as_deref().or(last_words) {
        Some(words) => format!("{how}: {words}"),
        None => how,
    }
}

fn how(state: &ContainerState, limit: Option<i64>) -> String {
    let code = state.exit_code.unwrap_or_default();
    let limit = limit
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0);
    if state.oom_killed == Some(true) {
        return match limit {
            Some(limit) => format!(
                "out of memory, killed at its limit of {}",
                units::format_size(limit)
            ),
            None => "out of memory, killed by the kernel".to_owned(),
        };
    }
    let number = i32::try_from(code).unwrap_or(i32::MAX);
    if SIGNALS.contains(&code) {
        describe(None, Some(number - 128))
    } else {
        describe(Some(number), None)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    fn ended(code: i64, oom_killed: bool, limit: i64) -> ContainerInspectResponse {
        ContainerInspectResponse {
            state: Some(ContainerState {
                exit_code: Some(code),
                oom_killed: Some(oom_killed),
                ..Default::default()
            }),
            host_config: Some(HostConfig {
                memory: Some(limit),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn an_end_is_told_as_that_of_a_process_is() {
        assert_eq!(reason(&ended(0, false, 0), None), "exit status 0");
        assert_eq!(
            reason(&ended(3, false, 0), Some("no such model")),
            "exit status 3: no such model"
        );
        assert_eq!(reason(&ended(139, false, 0), None), "killed by SIGSEGV");
        assert_eq!(reason(&ended(255, false, 0), None), "exit status 255");
        assert_eq!(
            reason(&ended(137, true, 64 << 20), None),
            "out of memory, killed at its limit of 64MiB"
        );
        assert_eq!(
            reason(&ended(137, true, 0), None),
            "out of memory, killed by the kernel"
        );
    }
}
