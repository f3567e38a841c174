//! Logs and metrics of the whole program.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use penstock_control::MetricsRegistry;
use penstock_gateway::{Lines, Output};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// How long the end of the program waits for its last words to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Standard error, written by a thread of its own: nobody reads a terminal that was stopped by Ctrl-S or
/// the pipe of a log shipper that hangs, and nothing may wait for that.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Lines>);

impl Logs {
    /// Writes a text for people between the lines of the log.
    pub(crate) fn print(&self, text: &str) {
        self.0.push(text.as_bytes());
    }

    /// Waits a moment until what was said last is written.
    pub(crate) fn finish(&self) {
        self.0.finish(LAST_WORDS);
    }
}

impl Write for Logs {
    /// Is given whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged unless `RUST_LOG` says otherwise.
const LOGGED: &str = "info,pingora_core=warn";

/// What an engine answers holds the environments of containers, with the secrets in them: the library that
/// speaks with it writes all of it down from this level on.
const NEVER_LOGGED: &str = "bollard=info";

/// Logs to standard error: text, or JSON when `json` says so. `RUST_LOG` chooses what is logged. Panics
/// are told there too.
///
/// # Errors
///
/// When `RUST_LOG` cannot be read: who sets it wants something, and must not get something else. When
/// there is no standard error.
pub(crate) fn start_logs(json: bool) -> anyhow::Result<Logs> {
    let filter = filter(std::env::var_os("RUST_LOG").as_deref())?;
    let lines = Output::stderr()
        .and_then(|stderr| {
            Lines::start("log", stderr, Duration::ZERO, "penstock_log_dropped_total")
        })
        .context("cannot write logs to standard error")?;
    let writer = Logs(Arc::new(lines));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer({
            let writer = writer.clone();
            move || writer.clone()
        })
        .with_ansi(io::stderr().is_terminal());
    if json {
        logs.json().init();
    } else {
        logs.with_target(false).init();
    }
    // The usual hook writes to standard error by itself, and waits until somebody reads it.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread = thread.name(), "{panic}\n{backtrace}");
    }));
    Ok(writer)
}

fn filter(wanted: Option<&OsStr>) -> anyhow::Result<EnvFilter> {
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let Some(wanted) = wanted else {
        return Ok(EnvFilter::new(LOGGED));
    };
    let text = wanted.to_str().context("RUST_LOG is not UTF-8")?;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        check_level(part)?;
    }
    let with_limits = format!("{text},{NEVER_LOGGED}");
    let whole = if text.contains("bollard") {
        text
    } else {
        &with_limits
    };
    EnvFilter::builder().parse(whole).map_err(|_| {
        anyhow::anyhow!(
            "RUST_LOG={text:?} cannot be read: it takes a level ({LEVELS}), or TARGET=LEVEL, separated by commas, such as {LOGGED:?}"
        )
    })
}

/// A word that is no level is a target for the filter, of which everything is logged and of all others
/// nothing: `RUST_LOG=wran` would be silent for ever.
fn check_level(part: &str) -> anyhow::Result<()> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let is_level = || part.parse::<LevelFilter>().is_ok();
    let is_ours =
        || part.starts_with("penstock") || part.starts_with("pingora") || part.contains("::");
    if part.chars().all(is_word) && !is_level() && !is_ours() {
        anyhow::bail!(
            "RUST_LOG: {part:?} is no level; the levels are {LEVELS}, that of one target is set with {part}=debug"
        );
    }
    Ok(())
}

const LEVELS: &str = "off, error, warn, info, debug, trace";

/// Makes `/metrics` possible: from now on what is recorded is on the registry's page.
pub(crate) fn start_metrics() -> anyhow::Result<Arc<MetricsRegistry>> {
    let registry = penstock_control::install_metrics()
        .map_err(|_| anyhow!("cannot start metrics: something else records them"))?;
    penstock_control::describe_metrics();
    metrics::describe_counter!(
        "penstock_config_reloads_total",
        "Readings of the configuration, by result."
    );
    for result in ["applied", "refused"] {
        // From 0 on: an alert sees the first one only as the growth of a counter that is there.
        metrics::counter!("penstock_config_reloads_total", "result" => result).increment(0);
    }
    metrics::describe_counter!(
        "penstock_access_log_dropped_total",
        "Lines of the access log that were lost because they could not be written fast enough."
    );
    metrics::describe_counter!(
        "penstock_log_dropped_total",
        "Lines of the log that were lost because nobody reads standard error."
    );
    metrics::describe_gauge!("penstock_build_info", "1, with the version of the program.");
    metrics::gauge!("penstock_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wanted: &str) -> Result<String, String> {
        let found = filter(Some(OsStr::new(wanted)));
        found
            .map(|filter| filter.to_string())
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn levels_and_targets_are_taken_and_what_is_neither_is_refused() {
        assert_eq!(read("warn").unwrap(), "bollard=info,warn");
        assert_eq!(read("").unwrap(), EnvFilter::new(LOGGED).to_string());
        assert!(read("info,penstock_gateway=debug").is_ok());
        assert!(read("penstock_control").is_ok());
        // Whoever asks for it by name wants it.
        assert_eq!(read("bollard=trace").unwrap(), "bollard=trace");
        let error = read("wran").unwrap_err();
        assert!(error.contains("\"wran\" is no level"), "{error}");
        let error = read("penstock_control=verbose").unwrap_err();
        assert!(
            error.starts_with("RUST_LOG=\"penstock_control=verbose\" cannot be read"),
            "{error}"
        );
    }
}
