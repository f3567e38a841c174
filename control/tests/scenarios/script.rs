//! Reads a scenario: settings, then what happens when.
//!
//! ```text
//! target 10                     settings, one per line
//! clock 2026-03-29T00:00:00Z    what wall clocks show at the beginning
//! rule { type = "backlog", … }  as in the configuration; in place of the default one
//! at 0s rate 5 service 2s       requests per second from then on, each so long on a worker
//! at 0s clients 40 service 2s   so many clients, each asking again when answered
//! at 9s request 600s            one request
//! at 9s burst 100 service 1s    many at once
//! at 9s restart gateway         or control
//! until 10m
//! ```

use std::{str::FromStr, time::Duration};

use penstock_config::{ConcurrencyRule, Rule, Scaling};

use crate::world::Setup;

/// A whole scenario.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) setup: Setup,
    /// In the order of time.
    pub(crate) events: Vec<(Duration, Event)>,
    /// Random part of the rate, 0 to 1, of a made-up but fixed sequence.
    pub(crate) noise: f64,
    pub(crate) until: Duration,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Rate { per_second: f64, service: Duration },
    Clients { count: u32, service: Duration },
    Burst { count: u32, service: Duration },
    RestartGateway,
    RestartControl,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Self {
        let mut script = Self::default();
        let mut rules = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() {
                script.take(&words, &mut rules);
            }
        }
        if !rules.is_empty() {
            script.setup.scaling.rules = parse_rules(&rules, script.setup.max_concurrency);
        }
        script.events.sort_by_key(|(at, _)| *at);
        script
    }

    fn take(&mut self, words: &[&str], rules: &mut Vec<String>) {
        let Setup {
            scaling,
            max_concurrency,
            start,
            drain_timeout,
            wall_ms,
            ..
        } = &mut self.setup;
        match *words {
            ["target", value] => concurrency(scaling).target = number(value),
            ["window", value] => concurrency(scaling).window = duration(value),
            ["headroom", value] => concurrency(scaling).headroom = value.parse().expect("a number"),
            ["burst_window", value] => concurrency(scaling).burst_window = duration(value),
            ["rule", ..] => rules.push(words[1..].join(" ")),
            ["min", value] => scaling.min = number(value),
            ["max", value] => scaling.max = number(value),
            ["idle_timeout", value] => scaling.idle_timeout = duration(value),
            ["stable_for", value] => scaling.down.stable_for = duration(value),
            ["burst_from_zero"] => scaling.up.burst_from_zero = true,
            ["max_concurrency", value] => *max_concurrency = number(value),
            ["start", value] => *start = duration(value),
            ["drain_timeout", value] => *drain_timeout = duration(value),
            ["clock", value] => {
                let time: jiff::Timestamp = value.parse().expect("a time");
                *wall_ms = time.as_millisecond() as u64;
            }
            ["noise", value] => self.noise = number(value),
            ["until", value] => self.until = duration(value),
            ["at", at, ref what @ ..] => self.events.push((duration(at), event(what))),
            _ => panic!("not understood: {}", words.join(" ")),
        }
    }
}

/// The rule that a script begins with.
fn concurrency(scaling: &mut Scaling) -> &mut ConcurrencyRule {
    match &mut scaling.rules[..] {
        [Rule::Concurrency(rule)] => rule,
        rules => panic!("{rules:?}"),
    }
}

/// Rules as the configuration reads them.
fn parse_rules(rules: &[String], max_concurrency: u32) -> Vec<Rule> {
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
         [services.s.deployments.d]
         process = {{ command = [\"worker\"] }}
         max_concurrency = {max_concurrency}
         scaling.max = 10000
         scaling.rules = [{}]",
        rules.join(", ")
    );
    let config = penstock_config::parse(&text, "scenario.toml".as_ref());
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.services["s"].deployments["d"].scaling.rules.clone()
}

fn event(words: &[&str]) -> Event {
    match *words {
        ["rate", rate, "service", service] => Event::Rate {
            per_second: number(rate),
            service: duration(service),
        },
        ["clients", count, "service", service] => Event::Clients {
            count: number(count),
            service: duration(service),
        },
        ["burst", count, "service", service] => Event::Burst {
            count: number(count),
            service: duration(service),
        },
        ["request", service] => Event::Burst {
            count: 1,
            service: duration(service),
        },
        ["restart", "gateway"] => Event::RestartGateway,
        ["restart", "control"] => Event::RestartControl,
        _ => panic!("not understood: {}", words.join(" ")),
    }
}

fn number<T: FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn duration(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
