//! Telling systemd how the program is, where it was started by a unit with `Type=notify`.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. A message that cannot be sent is not worth
//! more than a line of the log: requests are served all the same.

use sd_notify::NotifyState;

/// Everything listens.
pub(super) fn ready(listeners: usize) {
    let s = if listeners == 1 { "" } else { "s" };
    let status = format!("serving at {listeners} listener{s}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("systemd is not told of the reload: {error}"),
    }
}

/// It has been read, and is in force or was refused.
pub(super) fn reloaded(result: &Result<(), String>) {
    let status = match result {
        Ok(()) => "the configuration is in force",
        Err(_) => "the configuration was refused, the last good one is in force; see the log",
    };
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Requests in flight are finished, then the workers are stopped.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd is not told: {error}");
    }
}
