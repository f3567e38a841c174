//! What would change the count next.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use crate::scale::{Learned, Outlook, Threshold};

/// One way in which the count may change next, or what keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Next {
    /// Which: `wake`, `more`, `up_pace`, `no_more`, `agrees` (of a rule, to fewer), `cooldown`, `fewer`,
    /// `down_pace`, `held`, `zero`, `no_fewer`; `learned` and `expects` of a `forecast` rule.
    pub what: Cow<'static, str>,
    /// The type of the rule, where it is one that would ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'static, str>>,
    /// The count that it leads to; absent where more, or fewer, than there are is all that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// What the rule measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// Which side of `value` the measure must be on: `above`, `at_least`, `at_most` or `below`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<Cow<'static, str>>,
    /// The value that the measure must pass; the concurrency that is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// In how long, or for how long still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What a `forecast` rule knows by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedRecord>,
    /// In words.
    pub words: String,
}

/// What a `forecast` rule knows by now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedRecord {
    /// Days of which the load is known.
    pub days: u64,
    /// What became of its forecasts, for each kind that it may make.
    pub proofs: Vec<ProofRecord>,
}

/// What became of one kind of forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// `daily`, `weekly` or `slope`.
    pub kind: Cow<'static, str>,
    /// Whether enough of them were compared with what came.
    pub compared: bool,
    /// Share of what they expected that came, 0 to 1; `null` when they expected nothing.
    pub came: Option<f64>,
    /// Whether it counts.
    pub counts: bool,
}

impl Next {
    pub(super) fn new(outlook: &Outlook) -> Self {
        let words = outlook.to_string();
        let named = |what: &'static str| Self {
            what: what.into(),
            words: words.clone(),
            ..Self::default()
        };
        let after = |what, left: &Duration| Self {
            seconds: Some(left.as_secs_f64()),
            ..named(what)
        };
        match outlook {
            Outlook::Wake => named("wake"),
            Outlook::More(threshold) => named("more").with(threshold),
            Outlook::Agrees(threshold) => named("agrees").with(threshold),
            Outlook::UpPace(left) => after("up_pace", left),
            Outlook::NoMore(clamp) => Self {
                workers: Some(clamp.workers()),
                ..named("no_more")
            },
            Outlook::Cooldown { rule, pause } => Self {
                rule: Some((*rule).into()),
                seconds: pause.left().map(|left| left.as_secs_f64()),
                ..named("cooldown")
            },
            Outlook::Fewer { to, left } => Self {
                workers: Some(*to),
                ..after("fewer", left)
            },
            Outlook::DownPace(left) => after("down_pace", left),
            Outlook::Held(left) => after("held", left),
            Outlook::Zero(left) => Self {
                workers: Some(0),
                ..after("zero", left)
            },
            Outlook::NoFewer(clamp) => Self {
                workers: Some(clamp.workers()),
                ..named("no_fewer")
            },
            Outlook::Learned(learned) => Self {
                rule: Some("forecast".into()),
                learned: Some(LearnedRecord::new(learned)),
                ..named("learned")
            },
            Outlook::Expects(expectation) => Self {
                rule: Some("forecast".into()),
                measure: Some(format!("concurrency at {}", expectation.at)),
                value: Some(expectation.load),
                ..named("expects")
            },
        }
    }

    fn with(self, threshold: &Threshold) -> Self {
        Self {
            rule: Some(threshold.rule.into()),
            workers: threshold.to,
            measure: Some(threshold.measure.clone()),
            edge: Some(threshold.edge.label().into()),
            value: Some(threshold.edge.value()),
            ..self
        }
    }
}

impl LearnedRecord {
    fn new(learned: &Learned) -> Self {
        let proofs = learned.proofs.iter().map(|proof| ProofRecord {
            kind: proof.kind.into(),
            compared: proof.compared,
            came: proof.came,
            counts: proof.counts,
        });
        Self {
            days: learned.days,
            proofs: proofs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scale::{Edge, Pause, Proof};

    fn json(outlook: &Outlook) -> serde_json::Value {
        serde_json::to_value(Next::new(outlook)).expect("it is JSON")
    }

    #[test]
    fn a_program_gets_the_numbers_beside_the_words() {
        let threshold = Threshold {
            rule: "step",
            than: 3,
            to: Some(2),
            measure: "the mean of queued over 60 s".to_owned(),
            edge: Edge::AtMost(5.0),
        };
        let expected = json!({
            "what": "agrees", "rule": "step", "workers": 2, "edge": "at_most", "value": 5.0,
            "measure": "the mean of queued over 60 s",
            "words": "2 will do for the step rule when the mean of queued over 60 s is 5.0 or less",
        });
        assert_eq!(json(&Outlook::Agrees(threshold)), expected);
        let cooldown = Outlook::Cooldown {
            rule: "step",
            pause: Pause::ScaleOut(Duration::from_secs(30)),
        };
        let expected = json!({
            "what": "cooldown", "rule": "step", "seconds": 30.0,
            "words": "no fewer by the step rule: scale-out cooldown for 30 s more",
        });
        assert_eq!(json(&cooldown), expected);
    }

    #[test]
    fn what_a_forecast_has_learned_is_there_for_programs_too() {
        let learned = Outlook::Learned(Learned {
            days: 8,
            proofs: vec![Proof {
                kind: "daily",
                compared: true,
                came: Some(0.5),
                counts: false,
            }],
        });
        let found = json(&learned);
        let proofs = json!([{"kind": "daily", "compared": true, "came": 0.5, "counts": false}]);
        assert_eq!(found["learned"], json!({"days": 8, "proofs": proofs}));
        let back: Next = serde_json::from_value(found).expect("it is read again");
        assert_eq!(back, Next::new(&learned));
    }
}
