//! Keys that clients have for one service are for nobody else: the front door is one address for services of
//! different teams, and a client may send the same key whichever of their models it asks for.

use super::listing::services;
use crate::{
    request::request_key::RequestHead,
    route::table::{ServiceState, Table},
};

/// Adds to the fields that do not reach the workers of a service those with a key of another service. The
/// service itself has decided about its own keys; what nobody knows may be a key of its workers.
pub(super) fn hide_foreign(
    carriers: &mut [Option<&'static str>; 2],
    (to, table): (&ServiceState, &Table),
    head: &RequestHead<'_>,
) {
    let held_by = |service: &ServiceState| {
        let access = service.access.as_ref();
        access.map_or([None; 2], |access| access.keys_in(head))
    };
    let own = held_by(to);
    for foreign in services(table).map(|service| held_by(service)) {
        for ((carrier, own), foreign) in carriers.iter_mut().zip(own).zip(foreign) {
            *carrier = carrier.or(foreign.filter(|_| own.is_none()));
        }
    }
}
