//! Which gateways are alive, and which snapshot they obey.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use penstock_config::{
    ServiceName,
    fleet::{LoadReport, ServiceLoad},
};

use crate::scale::{Hold, HoldCause};

/// A gateway that has not reported for this long is given up; it reports every second.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// While a gateway has not reported for this long nothing shrinks.
const LATE_AFTER: Duration = Duration::from_secs(3);

/// Gateways that were given up and would be recognised if they came back.
const RETIRED_MAX: usize = 64;

/// The gateways that report.
#[derive(Debug)]
pub struct Gateways {
    /// When control began to observe.
    started_at: Duration,
    /// In a fixed order, so that sums over them are the same every time.
    live: BTreeMap<u64, Gateway>,
    retired: VecDeque<u64>,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Gateway {
    sequence: u64,
    /// Measurement time of the newest report, on the gateway's clock.
    at: Duration,
    received_at: Duration,
    generation: u64,
    /// What it told last of services besides their load.
    services: HashMap<ServiceName, ServiceLoad>,
}

/// From where the sums of a report are to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// From this gateway's last report, which lies so far back on its clock; from zero for
    /// deployments that were not in it.
    Last {
        /// Time between the two measurements.
        gap: Duration,
    },
    /// From zero: all of the gateway's life was within control's.
    Zero,
    /// From this very report: what was before is unknown.
    This,
}

/// What a gateway had that fell silent is thought to be over after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl Gateways {
    /// No gateway yet. `workers_ran`: whether workers of an earlier run of control are taken over,
    /// so that there may be load that is not reported yet.
    pub fn new(workers_ran: bool, now: Duration) -> Self {
        let hold = workers_ran.then_some(Hold {
            since: now,
            cause: HoldCause::ControlStarted,
        });
        Self {
            started_at: now,
            live: BTreeMap::new(),
            retired: VecDeque::new(),
            hold,
        }
    }

    /// Takes note of a report; `None` when it is a repeated or late one that says nothing new.
    pub fn take(&mut self, report: &LoadReport, now: Duration) -> Option<Base> {
        let fresh = Gateway {
            sequence: report.sequence,
            at: report.at,
            received_at: now,
            generation: report.generation,
            services: report
                .services
                .iter()
                .map(|told| (told.service.clone(), told.clone()))
                .collect(),
        };
        if let Some(known) = self.live.get_mut(&report.gateway) {
            if report.sequence <= known.sequence {
                return None;
            }
            let gap = report.at.saturating_sub(known.at);
            *known = fresh;
            return Some(Base::Last { gap });
        }
        let returned = self.retired.contains(&report.gateway);
        let first_ever = self.live.is_empty() && self.retired.is_empty();
        self.retired.retain(|id| *id != report.gateway);
        self.live.insert(report.gateway, fresh);
        if !first_ever {
            self.hold = Some(Hold {
                since: now,
                cause: HoldCause::GatewayStarted,
            });
        } else if let Some(hold) = &mut self.hold {
            // Control began with workers of an earlier run, and only now is there anything to see.
            hold.since = now;
        }
        let younger_than_control = report.at <= now.saturating_sub(self.started_at);
        Some(if younger_than_control && !returned {
            Base::Zero
        } else {
            Base::This
        })
    }

    /// Gives up gateways that fell silent.
    pub fn expire(&mut self, now: Duration) {
        let is_silent = |gateway: &Gateway| now.saturating_sub(gateway.received_at) > SILENT_AFTER;
        let silent: Vec<u64> = self
            .live
            .iter()
            .filter(|(_, gateway)| is_silent(gateway))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.live.remove(&id);
            self.retired.push_back(id);
            self.hold = Some(Hold {
                since: now,
                cause: HoldCause::GatewaySilent,
            });
        }
        while self.retired.len() > RETIRED_MAX {
            self.retired.pop_front();
        }
    }

    /// Forgets all gateways: nobody can report any more.
    pub fn clear(&mut self) {
        let live = std::mem::take(&mut self.live);
        self.retired.extend(live.into_keys());
    }

    /// Why the measurements may say too little. A hold has no end here: how long it lasts is the
    /// business of the scaling settings.
    pub fn hold(&self, now: Duration) -> Option<Hold> {
        if self.live.is_empty() {
            return Some(Hold {
                since: now,
                cause: HoldCause::NoGateway,
            });
        }
        let is_late = |gateway: &Gateway| now.saturating_sub(gateway.received_at) > LATE_AFTER;
        if self.live.values().any(is_late) {
            return Some(Hold {
                since: now,
                cause: HoldCause::GatewaySilent,
            });
        }
        self.hold
    }

    /// Until when it is known what all of them had to do; `None` where there is none.
    pub fn heard_of_all_at(&self) -> Option<Duration> {
        self.live.values().map(|gateway| gateway.received_at).min()
    }

    /// Whether what they say now is all that there is: everybody reports, and nobody has only just come, or has
    /// fallen silent of late with requests that nobody knows of.
    pub fn say_all(&self, now: Duration) -> bool {
        let is_late = |gateway: &Gateway| now.saturating_sub(gateway.received_at) > LATE_AFTER;
        let is_over = |hold: &Hold| {
            let lasts = match hold.cause {
                HoldCause::GatewaySilent => FORGOTTEN_AFTER,
                _ => LATE_AFTER,
            };
            now.saturating_sub(hold.since) > lasts
        };
        !self.live.is_empty()
            && !self.live.values().any(is_late)
            && self.hold.as_ref().is_none_or(is_over)
    }

    /// Whether there are gateways and all of them obey this generation or a later one.
    pub fn obey(&self, generation: u64) -> bool {
        !self.live.is_empty()
            && self
                .live
                .values()
                .all(|gateway| gateway.generation >= generation)
    }

    /// The lowest generation that a live gateway obeys.
    pub fn generation(&self) -> Option<u64> {
        self.live.values().map(|gateway| gateway.generation).min()
    }

    /// What each live gateway told last of a service besides its load.
    pub fn told<'a>(
        &'a self,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = &'a ServiceLoad> + Clone {
        let gateways = self.live.values();
        gateways.filter_map(move |gateway| gateway.services.get(service))
    }

    /// Number of the newest report of a live gateway.
    pub(super) fn sequence(&self, gateway: u64) -> Option<u64> {
        self.live.get(&gateway).map(|known| known.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn report(gateway: u64, sequence: u64, uptime: u64, generation: u64) -> LoadReport {
        LoadReport {
            gateway,
            sequence,
            generation,
            at: at(uptime),
            deployments: Vec::new(),
            services: Vec::new(),
        }
    }

    #[test]
    fn what_is_told_of_a_service_is_that_of_the_newest_report_of_each_live_gateway() {
        let chat = ServiceName::try_from("chat").expect("a name");
        let told = |queued: u32| ServiceLoad {
            service: chat.clone(),
            classes: vec![("batch".into(), queued)],
            mirror: None,
            overflow: Vec::new(),
        };
        let mut gateways = Gateways::new(false, at(0));
        for (gateway, sequence, queued, now) in [(1, 1, 9, 1), (1, 2, 3, 2), (2, 1, 4, 8)] {
            let report = LoadReport {
                services: vec![told(queued)],
                ..report(gateway, sequence, now, 1)
            };
            gateways.take(&report, at(now));
        }
        let queued = |gateways: &Gateways| -> u32 {
            let told = gateways.told(&chat);
            told.map(|told| told.classes[0].1).sum()
        };
        assert_eq!(queued(&gateways), 7);
        gateways.expire(at(14));
        assert_eq!(queued(&gateways), 4, "the first one fell silent");
    }

    #[test]
    fn repeated_and_late_reports_say_nothing() {
        let mut gateways = Gateways::new(false, at(100));
        assert_eq!(
            gateways.take(&report(7, 1, 1, 0), at(101)),
            Some(Base::Zero)
        );
        assert_eq!(
            gateways.take(&report(7, 3, 3, 0), at(103)),
            Some(Base::Last { gap: at(2) })
        );
        assert_eq!(gateways.take(&report(7, 3, 3, 0), at(103)), None);
        assert_eq!(gateways.take(&report(7, 2, 2, 0), at(103)), None);
    }

    #[test]
    fn the_first_gateway_holds_nothing_and_a_restarted_one_does() {
        let mut gateways = Gateways::new(false, at(100));
        assert_eq!(
            gateways.hold(at(100)).map(|hold| hold.cause),
            Some(HoldCause::NoGateway)
        );
        gateways.take(&report(7, 1, 1, 0), at(101));
        assert_eq!(gateways.hold(at(101)), None);
        gateways.take(&report(8, 1, 0, 0), at(102));
        assert_eq!(
            gateways.hold(at(103)),
            Some(Hold {
                since: at(102),
                cause: HoldCause::GatewayStarted
            })
        );
    }

    #[test]
    fn a_silent_gateway_is_given_up_after_ten_seconds_and_holds() {
        let mut gateways = Gateways::new(false, at(100));
        gateways.take(&report(7, 1, 1, 4), at(101));
        gateways.take(&report(8, 1, 1, 9), at(101));
        assert!(gateways.obey(4) && !gateways.obey(5));
        gateways.take(&report(8, 2, 11, 9), at(111));
        gateways.expire(at(111));
        assert!(
            !gateways.obey(5),
            "ten seconds are not more than ten seconds"
        );
        gateways.expire(at(112));
        assert!(gateways.obey(9));
        assert_eq!(
            gateways.hold(at(112)),
            Some(Hold {
                since: at(112),
                cause: HoldCause::GatewaySilent
            })
        );
        assert_eq!(
            gateways.take(&report(7, 2, 20, 9), at(120)),
            Some(Base::This),
            "it came back"
        );
    }

    #[test]
    fn nobody_obeys_where_there_is_no_gateway() {
        assert!(!Gateways::new(false, at(100)).obey(0));
    }

    #[test]
    fn sums_of_a_gateway_older_than_control_begin_with_its_first_report() {
        let mut gateways = Gateways::new(true, at(3600));
        assert_eq!(
            gateways.take(&report(7, 500, 500, 0), at(3601)),
            Some(Base::This)
        );
    }

    #[test]
    fn where_workers_ran_before_control_the_hold_begins_with_the_first_gateway() {
        let mut gateways = Gateways::new(true, at(3600));
        let none = gateways.hold(at(3700)).map(|hold| hold.cause);
        assert_eq!(none, Some(HoldCause::NoGateway));
        gateways.take(&report(7, 500, 500, 0), at(3700));
        let hold = Hold {
            since: at(3700),
            cause: HoldCause::ControlStarted,
        };
        assert_eq!(gateways.hold(at(3701)), Some(hold));
    }
}
