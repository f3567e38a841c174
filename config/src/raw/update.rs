//! `update` of a deployment.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Part;

/// How workers of one revision make place for those of the next: "recreate", or how many at a time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Update {
    /// In one word.
    Word(UpdateWord),
    /// A few at a time.
    Pace(UpdatePace),
}

/// How an update goes, in one word.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UpdateWord {
    /// All old workers end before the first new one starts: for those that cannot stand beside each
    /// other. Requests wait meanwhile.
    Recreate,
}

/// How many workers are replaced at a time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpdatePace {
    /// Most workers above the desired count during an update, as a number or in percent of it, rounded
    /// up. Old ones that still drain count.
    pub(crate) max_surge: WorkerPart,
    /// Most workers that may be missing from the desired count during an update, as a number or in
    /// percent of it, rounded down.
    pub(crate) max_unavailable: WorkerPart,
}

impl Default for UpdatePace {
    fn default() -> Self {
        Self {
            max_surge: WorkerPart(Part::Percent(25)),
            max_unavailable: WorkerPart(Part::Percent(0)),
        }
    }
}

/// A number of workers, or text with a percentage of them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "TextOrNumber", into = "String")]
pub(crate) struct WorkerPart(pub(crate) Part);

/// Most workers there can be.
const WORKERS_MAX: u32 = 10_000;

/// Largest percentage.
const PERCENT_MAX: u32 = 100;

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u32),
}

impl WorkerPart {
    pub(crate) const FORMAT: &str = "penstock-worker-part";

    /// Reads it as it stands in the file.
    pub(crate) fn parse(text: &str) -> Result<Part, String> {
        let rule = || {
            format!(
                "must be a number of workers up to {WORKERS_MAX}, or a percentage up to \"{PERCENT_MAX}%\""
            )
        };
        let (digits, most) = match text.strip_suffix('%') {
            Some(digits) => (digits, PERCENT_MAX),
            None => (text, WORKERS_MAX),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u32> = digits.parse().ok().filter(|n| is_number && *n <= most);
        let number = number.ok_or_else(rule)?;
        Ok(match most {
            PERCENT_MAX => Part::Percent(number),
            _ => Part::Workers(number),
        })
    }
}

impl TryFrom<TextOrNumber> for WorkerPart {
    type Error = String;
    fn try_from(value: TextOrNumber) -> Result<Self, String> {
        match value {
            TextOrNumber::Text(text) => Self::parse(&text).map(Self),
            TextOrNumber::Number(number) => Ok(Self(Part::Workers(number))),
        }
    }
}

impl From<WorkerPart> for String {
    fn from(part: WorkerPart) -> Self {
        match part.0 {
            Part::Workers(count) => count.to_string(),
            Part::Percent(percent) => format!("{percent}%"),
        }
    }
}

impl JsonSchema for WorkerPart {
    fn schema_name() -> Cow<'static, str> {
        "WorkerPart".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "format": Self::FORMAT,
            "pattern": r"^\d+%?$",
            "minimum": 0,
            "maximum": WORKERS_MAX
        })
    }
}
