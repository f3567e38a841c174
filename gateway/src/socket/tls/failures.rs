//! How handshakes with clients end. Whoever can connect can make them fail, so they are counted, and
//! one of them per second is logged.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustls::{AlertDescription, Error, PeerIncompatible};

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Requests may come.
    Done,
    /// The client was not done within `header_timeout`.
    Timeout,
    /// The client closed the connection.
    Closed,
    /// What came is HTTP without TLS.
    PlainHttp,
    /// What came is not TLS, or is malformed.
    Malformed,
    /// The client speaks TLS 1.1 or older only.
    OldVersion,
    /// No cipher suite, group or signature that both sides know.
    NothingInCommon,
    /// The client speaks neither HTTP/1.1 nor HTTP/2.
    NoProtocol,
    /// The client does not trust the certificate.
    NotTrusted,
    /// The client ended it for another reason.
    Refused,
    /// Any other failure.
    Other,
    /// A TLS client came to a listener without TLS.
    PlainListener,
}

impl Outcome {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 12] = [
        Self::Done,
        Self::Timeout,
        Self::Closed,
        Self::PlainHttp,
        Self::Malformed,
        Self::OldVersion,
        Self::NothingInCommon,
        Self::NoProtocol,
        Self::NotTrusted,
        Self::Refused,
        Self::Other,
        Self::PlainListener,
    ];

    /// As metrics name it.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Malformed => "malformed",
            Self::OldVersion => "old_version",
            Self::NothingInCommon => "nothing_in_common",
            Self::NoProtocol => "no_protocol",
            Self::NotTrusted => "not_trusted",
            Self::Refused => "refused",
            Self::Other => "other",
            Self::PlainListener => "plain_listener",
        }
    }

    /// What an error of rustls, or of the connection under it, means.
    pub(super) fn of(error: &io::Error) -> Self {
        let Some(error) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        else {
            return Self::Closed;
        };
        match error {
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_) => Self::Malformed,
            Error::NoApplicationProtocol => Self::NoProtocol,
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => Self::OldVersion,
            Error::PeerIncompatible(_) => Self::NothingInCommon,
            _ => Self::Other,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate => Self::NotTrusted,
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Self::Closed,
            _ => Self::Refused,
        }
    }
}

/// The handshakes of all listeners, by how they ended.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    counts: [AtomicU64; Outcome::ALL.len()],
    /// When the last failure was logged, in seconds of the gateway's clock, plus one.
    logged: AtomicU64,
}

impl Handshakes {
    /// Counts one that was successful.
    pub(crate) fn done(&self) {
        self.counts[Outcome::Done as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that failed, and logs one per second at the most.
    pub(crate) fn failed(&self, peer: SocketAddr, outcome: Outcome, error: &str, now: Duration) {
        let count = self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let second = now.as_secs() + 1;
        if self.logged.swap(second, Ordering::Relaxed) == second {
            return;
        }
        let result = outcome.slug();
        match outcome {
            Outcome::PlainListener => {
                tracing::debug!(%peer, result, count, "a TLS client came to a listener without `tls`");
            }
            _ => tracing::debug!(%peer, result, count, error, "no TLS connection"),
        }
    }

    /// How many there were of each.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counts = self.counts.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_place_and_a_name_of_its_own() {
        let mut slugs = std::collections::HashSet::new();
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            assert!(slugs.insert(outcome.slug()));
        }
    }

    #[test]
    fn errors_are_told_apart_by_who_has_to_do_something() {
        let of = |error: Error| Outcome::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        let old = PeerIncompatible::Tls12NotOfferedOrEnabled;
        assert_eq!(of(Error::PeerIncompatible(old)), Outcome::OldVersion);
        let none = PeerIncompatible::NoCipherSuitesInCommon;
        assert_eq!(of(Error::PeerIncompatible(none)), Outcome::NothingInCommon);
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(of(alert), Outcome::NotTrusted);
        assert_eq!(of(Error::NoApplicationProtocol), Outcome::NoProtocol);
        let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Outcome::of(&closed), Outcome::Closed);
    }
}
