//! Tokens of models.

use serde::{Deserialize, Serialize};

use crate::reports::TokenRates;

/// Tokens of the models of a deployment or a service, as far as answers tell them. Those of open streams are
/// counted as they pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Of prompts, since the gateways began.
    pub input: u64,
    /// Of answers, since the gateways began.
    pub output: u64,
    /// Of prompts, over the last seconds.
    pub input_per_second: f64,
    /// Of answers, over the last seconds.
    pub output_per_second: f64,
}

impl TokenStatus {
    /// What there is to tell, if anything is.
    pub(crate) fn of(rates: TokenRates) -> Option<Self> {
        let TokenRates { sum, .. } = rates;
        let rounded = |rate: f64| (rate * 10.0).round() / 10.0;
        (sum.input > 0 || sum.output > 0).then(|| Self {
            input: sum.input,
            output: sum.output,
            input_per_second: rounded(rates.input_per_second),
            output_per_second: rounded(rates.output_per_second),
        })
    }

    /// Those of all deployments together.
    pub(crate) fn sum(all: impl Iterator<Item = Self>) -> Option<Self> {
        all.reduce(|one, other| Self {
            input: one.input.saturating_add(other.input),
            output: one.output.saturating_add(other.output),
            input_per_second: one.input_per_second + other.input_per_second,
            output_per_second: one.output_per_second + other.output_per_second,
        })
    }
}
