//! Labels by which a later run of Penstock finds its containers.

/// Which installation a container belongs to. Containers without it, or with another value, are never
/// touched.
pub(super) const INSTALLATION: &str = "penstock.installation";
/// The worker's id.
pub(super) const WORKER: &str = "penstock.worker";
/// For people: the service.
pub(super) const SERVICE: &str = "penstock.service";
/// For people: the deployment.
pub(super) const DEPLOYMENT: &str = "penstock.deployment";
/// For people: the number within the deployment.
pub(super) const SLOT: &str = "penstock.slot";
/// What the next run must know of the worker, see [`Saved`](super::saved::Saved).
pub(super) const SAVED: &str = "penstock.saved";
