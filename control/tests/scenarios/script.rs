//! Reads a scenario: settings, then what happens when.
//!
//! ```text
//! target 10                     settings, one per line
//! clock 2026-03-29T00:00:00Z    what wall clocks show at the beginning
//! rule { type = "backlog", … }  as in the configuration; in place of the default one
//! up 200 60s                    pace: percent in a period; `down` likewise
//! given 3                       so many workers given by address
//! batch 4                       more requests wait in their workers, which tell it on their pages
//! past 7 8h 18h 40              on so many days before, at these times, so many requests at a time
//! at 0s rate 5 service 2s       requests per second from then on, each so long on a worker
//! at 0s clients 40 service 2s   so many clients, each asking again when answered
//! at 9s request 600s            one request
//! at 9s burst 100 service 1s    many at once
//! at 9s copies 3                mirrored copies that are no load and may wake
//! at 9s gateway silent          its reports get lost; until `gateway heard`
//! at 9s starts fail             no worker can be started; until `starts succeed`
//! at 9s pages 2                 of no more workers the pages can be read; until `pages all`
//! at 9s restart gateway         or control
//! at 9s min 3                   or max: other settings from then on
//! at 9s pause                   an operator stops the deployment; until `resume`
//! at 9s scale 3                 an operator sets the count of workers; until `scale auto`
//! at 9s mode advise             decisions are only told; until `mode act`
//! at 9s remove                  the deployment is not configured any more
//! at 9s shutdown                control ends
//! until 10m
//! ```

use std::{fmt, str::FromStr, time::Duration};

use penstock_config::{ConcurrencyRule, Rule, Scaling, ScalingMode};
use penstock_control::scale::PastDay;

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
    usual: Option<Usual>,
}

/// What it was like on the days before.
#[derive(Debug, Clone, Copy)]
struct Usual {
    days: u64,
    from: Duration,
    to: Duration,
    concurrency: f32,
}

impl Usual {
    /// As it is found in the state file at a time in milliseconds since 1970.
    fn past(self, wall_ms: u64) -> Vec<PastDay> {
        let bucket = Duration::from_secs(300);
        let means = (0..288).map(|number| {
            let is_busy = (self.from..self.to).contains(&(bucket * number));
            if is_busy { self.concurrency } else { 0.0 }
        });
        let means: Vec<u8> = means.flat_map(f32::to_le_bytes).collect();
        let today = wall_ms / 86_400_000;
        let days = (today - self.days..today).map(|day| PastDay {
            day,
            means: means.clone(),
        });
        days.collect()
    }
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Rate { per_second: f64, service: Duration },
    Clients { count: u32, service: Duration },
    Burst { count: u32, service: Duration },
    Copies(u64),
    Outside(Outside),
}

/// What happens beside the load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outside {
    RestartGateway,
    RestartControl,
    GatewayIsSilent(bool),
    StartsFail(bool),
    Pages(usize),
    Min(u32),
    Max(u32),
    Pause,
    Resume,
    Scale(Option<u32>),
    Mode(ScalingMode),
    Remove,
    Shutdown,
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
        let past = script.usual.map(|usual| usual.past(script.setup.wall_ms));
        script.setup.past = past.unwrap_or_default();
        script
    }

    fn take(&mut self, words: &[&str], rules: &mut Vec<String>) {
        let Setup {
            scaling,
            max_concurrency,
            start,
            drain_timeout,
            given,
            batch,
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
            ["stable_for", value] => scaling.down.stable_for = Some(duration(value)),
            ["burst_from_zero"] => scaling.up.burst_from_zero = true,
            ["up", percent, period] => {
                scaling.up.percent = number(percent);
                scaling.up.period = duration(period);
            }
            ["down", percent, period] => {
                scaling.down.percent = number(percent);
                scaling.down.period = duration(period);
            }
            ["down_step", value] => scaling.down.step = number(value),
            ["batch", value] => *batch = Some(number(value)),
            ["given", value] => *given = Some(number(value)),
            ["max_concurrency", value] => *max_concurrency = number(value),
            ["start", value] => *start = duration(value),
            ["drain_timeout", value] => *drain_timeout = duration(value),
            ["clock", value] => {
                let time: jiff::Timestamp = value.parse().expect("a time");
                *wall_ms = time.as_millisecond() as u64;
            }
            ["past", days, from, to, concurrency] => {
                self.usual = Some(Usual {
                    days: number(days),
                    from: duration(from),
                    to: duration(to),
                    concurrency: number(concurrency),
                });
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
        ["copies", count] => Event::Copies(number(count)),
        _ => Event::Outside(outside(words)),
    }
}

fn outside(words: &[&str]) -> Outside {
    match *words {
        ["restart", "gateway"] => Outside::RestartGateway,
        ["restart", "control"] => Outside::RestartControl,
        ["gateway", "silent"] => Outside::GatewayIsSilent(true),
        ["gateway", "heard"] => Outside::GatewayIsSilent(false),
        ["starts", "fail"] => Outside::StartsFail(true),
        ["starts", "succeed"] => Outside::StartsFail(false),
        ["pages", "all"] => Outside::Pages(usize::MAX),
        ["pages", count] => Outside::Pages(number(count)),
        ["min", value] => Outside::Min(number(value)),
        ["max", value] => Outside::Max(number(value)),
        ["pause"] => Outside::Pause,
        ["resume"] => Outside::Resume,
        ["scale", "auto"] => Outside::Scale(None),
        ["scale", count] => Outside::Scale(Some(number(count))),
        ["mode", "advise"] => Outside::Mode(ScalingMode::Advise),
        ["mode", "act"] => Outside::Mode(ScalingMode::Act),
        ["remove"] => Outside::Remove,
        ["shutdown"] => Outside::Shutdown,
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

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RestartGateway => f.write_str("the gateway was restarted"),
            Self::RestartControl => f.write_str("control was restarted"),
            Self::GatewayIsSilent(true) => f.write_str("the gateway's reports get lost"),
            Self::GatewayIsSilent(false) => f.write_str("the gateway is heard again"),
            Self::StartsFail(true) => f.write_str("no worker can be started from now on"),
            Self::StartsFail(false) => f.write_str("workers can be started again"),
            Self::Pages(usize::MAX) => f.write_str("all workers' pages can be read again"),
            Self::Pages(count) => write!(f, "the pages of {count} workers can be read"),
            Self::Min(min) => write!(f, "min is {min} from now on"),
            Self::Max(max) => write!(f, "max is {max} from now on"),
            Self::Pause => f.write_str("the deployment was paused"),
            Self::Resume => f.write_str("the deployment was resumed"),
            Self::Scale(Some(count)) => write!(f, "the deployment was scaled to {count} by hand"),
            Self::Scale(None) => f.write_str("the rules decide again"),
            Self::Mode(ScalingMode::Advise) => f.write_str("mode is advise from now on"),
            Self::Mode(ScalingMode::Act) => f.write_str("mode is act from now on"),
            Self::Remove => f.write_str("the deployment was removed"),
            Self::Shutdown => f.write_str("control shuts down"),
        }
    }
}
