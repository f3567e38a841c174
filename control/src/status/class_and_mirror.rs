//! What there is to see of a service besides its load.

use penstock_config::{
    Service,
    fleet::{MirrorLoad, ServiceLoad},
};
use serde::{Deserialize, Serialize};

/// Requests of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassStatus {
    /// Its name.
    pub name: String,
    /// Requests of it that wait for a worker, by the newest reports.
    pub queued: u32,
}

/// Where copies of requests go, and what became of them since the gateways began, by the newest
/// reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// The deployment that gets them.
    pub to: String,
    /// Share of the requests that are copied, in percent.
    pub percent: f64,
    /// Copies that wait or are in flight now.
    pub in_flight: u32,
    /// Copies that got a worker.
    pub sent: u64,
    /// Copies that were not answered to the end.
    pub dropped: u64,
    /// Originals and copies that were both answered to the end.
    pub compared: u64,
    /// Of these, those whose statuses differ.
    pub different: u64,
}

/// The classes of a service, by what each gateway tells of it.
pub(crate) fn classes<'a>(
    service: &Service,
    told: impl Iterator<Item = &'a ServiceLoad> + Clone,
) -> Vec<ClassStatus> {
    let names = service.queue.classes.keys();
    let of = |name: &String| {
        let all = told.clone().flat_map(|told| &told.classes);
        let of_class = all.filter(|(class, _)| **class == **name);
        ClassStatus {
            name: name.clone(),
            queued: of_class.map(|(_, queued)| queued).sum(),
        }
    };
    names.map(of).collect()
}

/// The mirror of a service, by what each gateway tells of it.
pub(crate) fn mirror<'a>(
    service: &Service,
    told: impl Iterator<Item = &'a ServiceLoad>,
) -> Option<MirrorStatus> {
    let mirror = service.mirror.as_ref()?;
    let mut sum = MirrorLoad::default();
    told.filter_map(|told| told.mirror)
        .for_each(|load| sum += load);
    Some(MirrorStatus {
        to: mirror.to.to_string(),
        percent: mirror.percent,
        in_flight: sum.in_flight,
        sent: sum.sent,
        dropped: sum.dropped,
        compared: sum.same + sum.different,
        different: sum.different,
    })
}
