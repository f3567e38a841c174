//! The date that goes into answers, written once a second.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(crate) type Date = [u8; 29];

/// In place of a date that nobody needs.
pub(crate) const NONE: Date = [b' '; 29];

thread_local! {
    static LAST: Cell<(u64, Date)> = const { Cell::new((u64::MAX, [b' '; 29])) };
}

/// Seconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "clients are told the time of day"
)]
pub(crate) fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The date now (RFC 9110 §5.6.7).
pub(crate) fn now() -> Date {
    let second = unix_seconds();
    let (written, date) = LAST.get();
    if written == second {
        return date;
    }
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    let date = text.as_bytes().try_into().unwrap_or([b' '; 29]);
    LAST.set((second, date));
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_can_be_read_back() {
        let date = now();
        assert!(httpdate::parse_http_date(str::from_utf8(&date).unwrap()).is_ok());
    }
}
