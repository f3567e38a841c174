//! How far a pull is, from what the engine says of each layer.

use std::{collections::HashMap, fmt};

use bollard::models::CreateImageInfo;

/// Layers that are followed; no image has as many.
const LAYERS_MAX: usize = 1024;

/// The layers of an image that is being pulled.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: HashMap<String, Layer>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Layer {
    bytes: u64,
    of: u64,
    done: bool,
}

impl Layers {
    /// Takes in what the engine says.
    pub(super) fn note(&mut self, said: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&said.id, &said.status) else {
            return;
        };
        // "Pulling from NAME" has the tag as its id.
        if status.starts_with("Pulling from")
            || (self.layers.len() >= LAYERS_MAX && !self.layers.contains_key(id))
        {
            return;
        }
        let layer = self.layers.entry(id.clone()).or_default();
        match status.as_str() {
            "Downloading" => {
                let detail = said.progress_detail.as_ref();
                let number = |of: Option<i64>| of.and_then(|number| u64::try_from(number).ok());
                layer.bytes = detail
                    .and_then(|d| number(d.current))
                    .unwrap_or(layer.bytes);
                layer.of = detail.and_then(|d| number(d.total)).unwrap_or(layer.of);
            }
            // Of a small layer nothing else is told.
            "Download complete" | "Verifying Checksum" | "Extracting" => layer.bytes = layer.of,
            "Pull complete" | "Already exists" => {
                layer.bytes = layer.of;
                layer.done = true;
            }
            _ => {}
        }
    }
}

/// "2 of 7 layers, 1.2 of 5.4 GB".
impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() {
            return f.write_str("asks the registry");
        }
        let done = self.layers.values().filter(|layer| layer.done).count();
        write!(f, "{done} of {} layers", self.layers.len())?;
        let sum = |of: fn(&Layer) -> u64| self.layers.values().map(of).sum::<u64>();
        let (bytes, all) = (sum(|layer| layer.bytes), sum(|layer| layer.of));
        if all == 0 {
            return Ok(());
        }
        let (unit, factor) = match all {
            0..1_000_000 => ("kB", 1e3),
            1_000_000..1_000_000_000 => ("MB", 1e6),
            _ => ("GB", 1e9),
        };
        #[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
        let shown = |bytes: u64| bytes as f64 / factor;
        write!(f, ", {:.1} of {:.1} {unit}", shown(bytes), shown(all))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn said(id: &str, status: &str, bytes: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: bytes.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn layers_and_bytes_are_summed() {
        let mut layers = Layers::default();
        assert_eq!(layers.to_string(), "asks the registry");
        layers.note(&said("v1", "Pulling from vllm/vllm-openai", None));
        for id in ["a", "b", "c"] {
            layers.note(&said(id, "Pulling fs layer", None));
        }
        assert_eq!(layers.to_string(), "0 of 3 layers");
        layers.note(&said("a", "Already exists", None));
        layers.note(&said(
            "b",
            "Downloading",
            Some((1_200_000_000, 5_000_000_000)),
        ));
        layers.note(&said("c", "Downloading", Some((100, 400_000_000))));
        assert_eq!(layers.to_string(), "1 of 3 layers, 1.2 of 5.4 GB");
        layers.note(&said("c", "Download complete", None));
        layers.note(&said("c", "Pull complete", None));
        assert_eq!(layers.to_string(), "2 of 3 layers, 1.6 of 5.4 GB");
    }

    #[test]
    fn an_engine_that_never_ends_to_name_layers_is_bounded() {
        let mut layers = Layers::default();
        for number in 0..5000 {
            layers.note(&said(&number.to_string(), "Pulling fs layer", None));
        }
        assert_eq!(layers.layers.len(), LAYERS_MAX);
    }
}
