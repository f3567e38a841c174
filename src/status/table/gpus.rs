//! The GPUs by group, and who has them.

use penstock_control::status::{GpuGroupStatus, GpuStatus};

use super::{BOLD, CHANGING, DIM, GOOD, printable, styled};

/// A table below that of the services; nothing where no worker is given GPUs.
pub(super) fn about(groups: &[GpuGroupStatus]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", styled("GPUS", BOLD));
    for group in groups {
        text += &format!("{}\n", styled(&head(group), BOLD));
        let longest = |of: fn(&GpuStatus) -> usize| group.devices.iter().map(of).max();
        let name = longest(|gpu| gpu.name.chars().count()).unwrap_or_default();
        let state = longest(|gpu| gpu.state.chars().count()).unwrap_or_default();
        for gpu in &group.devices {
            let who = gpu.worker.as_deref().unwrap_or_default();
            let promised = match (&gpu.promised_to, gpu.worker.is_some()) {
                (Some(to), true) => format!(", then for {to}"),
                (Some(to), false) => format!("for {to}"),
                (None, _) => String::new(),
            };
            let line = format!(
                "  {:name$}  {:state$}  {who}{promised}",
                printable(&gpu.name),
                gpu.state
            );
            let style = match gpu.state.as_str() {
                "ready" => GOOD,
                "free" => DIM,
                _ => CHANGING,
            };
            text += &format!("{}\n", styled(line.trim_end(), style));
        }
    }
    text
}

fn head(group: &GpuGroupStatus) -> String {
    let free = group
        .devices
        .iter()
        .filter(|gpu| gpu.worker.is_none())
        .count();
    let mut text = printable(&group.name);
    if let Some(kind) = &group.kind {
        text += &format!(" ({})", printable(kind));
    }
    text += &format!(": {free} of {} free", group.devices.len());
    if !group.reserved_for.is_empty() {
        text += &format!(", reserved for {}", group.reserved_for.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_gpu_has_a_line_with_who_has_it() {
        let groups: Vec<GpuGroupStatus> = serde_json::from_value(json!([
            {"name": "h100", "kind": "NVIDIA H100", "reserved_for": ["chat"], "devices": [
                {"name": "0", "state": "draining", "worker": "chat/stable#0", "promised_to": "talk/stable"},
                {"name": "1", "state": "free", "promised_to": "talk/stable"},
                {"name": "GPU-2", "state": "ready", "worker": "chat/stable#1"}]},
            {"name": "spare", "devices": [{"name": "3", "state": "free"}]},
        ]))
        .unwrap();
        let expected = "
GPUS
h100 (NVIDIA H100): 1 of 3 free, reserved for chat
  0      draining  chat/stable#0, then for talk/stable
  1      free      for talk/stable
  GPU-2  ready     chat/stable#1
spare: 1 of 1 free
  3  free
";
        assert_eq!(strip_str(&about(&groups)).to_string(), expected);
        assert_eq!(about(&[]), "");
    }
}
