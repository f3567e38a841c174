//! What came of a request to pause or resume, in words.

use penstock_control::status::{DeploymentPause, PauseStatus, PausedStatus};

use crate::{
    status::{at, printable},
    target::Target,
};

/// Since and until when, by whom and why something is paused: follows on "paused".
pub(crate) fn about(pause: &PausedStatus) -> String {
    let mut text = format!(" since {}", at(pause.since_ms));
    if let Some(until) = pause.until_ms {
        text += &format!(" until {}", at(until));
    }
    if let Some(by) = &pause.by {
        text += &format!(" by {by}");
    }
    if let Some(reason) = &pause.reason {
        text += &format!(": {reason}");
    }
    text
}

/// One line for what became of the request, and one for everything that is paused all the same.
pub(super) fn outcome(status: &PauseStatus, target: &Target) -> String {
    let (own, with) = own_and_others(status, target);
    let before = status.before.as_ref().map(about).unwrap_or_default();
    let now = own.map(about).unwrap_or_default();
    let has_others = !with.is_empty();
    let first = match status.done.as_deref() {
        Some("paused") => format!("{target} is paused{now} (penstock resume {target})"),
        Some("replaced") => {
            format!("{target} was paused{before}; now it is paused{now} (penstock resume {target})")
        }
        Some("resumed") => format!("{target} is resumed; it was paused{before}"),
        _ if has_others && target.deployment.is_none() => {
            format!("{target} is not paused as a whole; nothing has changed")
        }
        _ if has_others => format!("{target} has no pause of its own; nothing has changed"),
        _ => format!("{target} is not paused; nothing has changed"),
    };
    let lines = [first].into_iter().chain(with);
    lines.map(|line| printable(&line) + "\n").collect()
}

/// The pause that was asked about, and in words those that keep it, or parts of it, paused as well.
fn own_and_others<'a>(
    status: &'a PauseStatus,
    target: &Target,
) -> (Option<&'a PausedStatus>, Vec<String>) {
    let service = &status.service;
    let mut deployments = status.deployments.iter();
    let Some(wanted) = &target.deployment else {
        let each = deployments.filter_map(|DeploymentPause { name, pause, .. }| {
            let about = about(pause.as_ref()?);
            Some(format!(
                "{service}/{name} has a pause of its own{about} (penstock resume {service}/{name})"
            ))
        });
        return (status.pause.as_ref(), each.collect());
    };
    let own = deployments.find(|deployment| *deployment.name == *wanted.as_str());
    let whole = status.pause.iter().map(|whole| {
        let about = about(whole);
        format!("{target} is paused with its service{about} (penstock resume {service})")
    });
    let own = own.and_then(|own| own.pause.as_ref());
    (own, whole.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_049_600_000;

    fn pause(reason: &str, until_ms: Option<u64>) -> PausedStatus {
        PausedStatus {
            since_ms: 0,
            until_ms,
            by: Some("ann".to_owned()),
            reason: Some(reason.to_owned()),
        }
    }

    fn said(
        target: &str,
        done: &'static str,
        before: Option<PausedStatus>,
        whole: Option<PausedStatus>,
        canary: Option<PausedStatus>,
    ) -> String {
        let status = PauseStatus {
            service: "chat".to_owned(),
            done: Some(done.into()),
            before,
            deployments: vec![DeploymentPause {
                name: "canary".to_owned(),
                paused: whole.is_some() || canary.is_some(),
                pause: canary,
            }],
            pause: whole,
        };
        outcome(&status, &target.parse().expect("a target"))
    }

    #[test]
    fn a_pause_says_until_when_and_what_ends_it() {
        assert_eq!(
            said(
                "chat",
                "paused",
                None,
                Some(pause("new\nGPUs", Some(NOON))),
                None
            ),
            "chat is paused since 1970-01-01T00:00:00Z until 2023-11-15T12:00:00Z by ann: \
             new\u{fffd}GPUs (penstock resume chat)\n"
        );
        assert_eq!(
            said(
                "chat/canary",
                "replaced",
                Some(pause("old", None)),
                None,
                Some(pause("new", None))
            ),
            "chat/canary was paused since 1970-01-01T00:00:00Z by ann: old; now it is paused since \
             1970-01-01T00:00:00Z by ann: new (penstock resume chat/canary)\n"
        );
    }

    #[test]
    fn a_resume_names_what_is_paused_all_the_same() {
        assert_eq!(
            said(
                "chat",
                "resumed",
                Some(pause("old", None)),
                None,
                Some(pause("bad", None))
            ),
            "chat is resumed; it was paused since 1970-01-01T00:00:00Z by ann: old\n\
             chat/canary has a pause of its own since 1970-01-01T00:00:00Z by ann: bad \
             (penstock resume chat/canary)\n"
        );
        assert_eq!(
            said(
                "chat/canary",
                "not_paused",
                None,
                Some(pause("old", None)),
                None
            ),
            "chat/canary has no pause of its own; nothing has changed\n\
             chat/canary is paused with its service since 1970-01-01T00:00:00Z by ann: old \
             (penstock resume chat)\n"
        );
        let canary = said("chat", "not_paused", None, None, Some(pause("bad", None)));
        assert!(canary.starts_with("chat is not paused as a whole; nothing has changed\n"));
        assert_eq!(
            said("chat/canary", "not_paused", None, None, None),
            "chat/canary is not paused; nothing has changed\n"
        );
    }
}
