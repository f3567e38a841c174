//! Puts pauses into force: of the operator's making, until they end, are taken back, or their service
//! is no longer configured.

mod describe;
mod remember;

use std::{sync::Arc, time::Duration};

use penstock_config::{ServiceName, fleet::Phase};

use super::{
    Core, ServiceState,
    deployment::Key,
    effect::{Answer, Declined, Effect},
    event::AskId,
    saving::Saved,
    traffic::by_whom,
};
use crate::{
    pause::{self, Expiry, Pause, Pauses},
    status::PauseStatus,
    weights::{Change, Refused},
};

/// What an operator asks for.
#[derive(Debug)]
pub struct PauseRequest {
    /// Of which service.
    pub service: String,
    /// Of the service the deployment; `None`: all of it.
    pub deployment: Option<String>,
    /// What.
    pub ask: PauseAsk,
    /// Who asks, as far as they say.
    pub by: Option<String>,
    /// Why, as far as they say.
    pub reason: Option<String>,
}

/// What may be asked for.
#[derive(Debug)]
pub enum PauseAsk {
    /// Only to be told how things are.
    Show,
    /// To stop, until then or until further notice.
    Pause(Option<Expiry>),
    /// To go on.
    Resume,
}

/// What an operator has stopped of a service.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    pub(super) pauses: Pauses,
    /// What the state file has of it.
    pub(super) saved: Saved<Pauses>,
}

/// A pause as a deployment sees it.
#[derive(Debug, PartialEq)]
pub(super) struct Paused {
    /// Until when, by whom and why, for operators.
    pub(super) about: Arc<str>,
    /// What the gateways are told.
    pub(super) phase: Phase,
}

/// What became of a request.
enum Done {
    Paused(Option<Pause>),
    Resumed(Option<Pause>),
}

impl Core {
    /// Does what is asked for; the answer comes when it is written down.
    pub(super) fn on_pause(&mut self, to: AskId, request: PauseRequest) {
        let asks_for_change = !matches!(request.ask, PauseAsk::Show);
        match self.do_with_pauses(request) {
            Ok((name, status)) => {
                let saving = self.save_pauses(&name);
                let answer = Answer::Pause(Ok(status));
                self.answer_when_saved(saving, asks_for_change, to, answer);
            }
            Err(refused) => {
                let answer = Answer::Pause(Err(Declined::Refused(refused)));
                self.effects.push(Effect::Answer(to, answer));
            }
        }
    }

    fn do_with_pauses(
        &mut self,
        request: PauseRequest,
    ) -> Result<(ServiceName, PauseStatus), Refused> {
        let name = self.known(&request.service)?;
        let service = self.services.get_mut(&name).expect("it is known");
        let today_ms = self.now.today_ms;
        let of = request.deployment.as_deref();
        let change = Change {
            at_ms: today_ms,
            by: request.by,
            reason: request.reason,
        };
        let pauses = &mut service.stopped.pauses;
        let (done, said) = match request.ask {
            PauseAsk::Show => {
                pause::check(&service.spec, of)?;
                (None, None)
            }
            PauseAsk::Pause(expiry) => {
                let until_ms = expiry.map(|expiry| expiry.until_ms(today_ms));
                let until_ms = until_ms.transpose().map_err(Refused::Expires)?;
                let before = pauses.pause(&service.spec, of, until_ms, change)?;
                let text = paused_anew(pauses.own(of), before.as_ref());
                (Some(Done::Paused(before)), Some(("pause", text)))
            }
            PauseAsk::Resume => {
                let before = pauses.resume(&service.spec, of)?;
                let text = before.as_ref().map(|_| {
                    let left = service.still_paused(of);
                    ("resume", format!("resumed{}{left}", by_whom(&change)))
                });
                (Some(Done::Resumed(before)), text)
            }
        };
        if let Some((kind, text)) = said {
            self.note_pause(&name, of, kind, &text);
            self.obey_pauses(&name);
        }
        let status = self.services[&name].describe_pauses(done);
        Ok((name, status))
    }

    /// Stops and wakes what the pauses of a service ask for.
    fn obey_pauses(&mut self, name: &ServiceName) {
        let now = self.now.at;
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        self.touched.extend(service.obey_pauses(now));
        let end_ms = service.stopped.pauses.next_end_ms();
        self.tick_at_end(end_ms);
    }

    /// What has ended is forgotten.
    pub(super) fn end_pauses(&mut self) {
        let today_ms = self.now.today_ms;
        let mut ended = Vec::new();
        for (name, service) in &mut self.services {
            let of_service = service.stopped.pauses.take_ended(today_ms);
            ended.extend(of_service.into_iter().map(|ended| (name.clone(), ended)));
        }
        for (name, (of, pause)) in ended {
            let text = format!("no longer paused: it was{}", pause.about());
            self.note_pause(&name, of.as_deref(), "pause_ended", &text);
            self.obey_pauses(&name);
        }
        let services = self.services.values();
        let ends = services.filter_map(|service| service.stopped.pauses.next_end_ms());
        let end_ms = ends.min();
        self.tick_at_end(end_ms);
    }

    /// A pause ends then: not later than at the next tick.
    fn tick_at_end(&mut self, end_ms: Option<u64>) {
        if let Some(end_ms) = end_ms {
            let left = Duration::from_millis(end_ms.saturating_sub(self.now.today_ms));
            self.next_tick = self.next_tick.min(self.now.at + left);
        }
    }

    fn note_pause(&mut self, service: &ServiceName, of: Option<&str>, kind: &str, text: &str) {
        let deployment = of.and_then(|of| self.services.get(service)?.deployments.get(of));
        match deployment.map(|deployment| deployment.key.clone()) {
            Some(key) => self.note(&key, kind, text),
            None => self.note_service(service, kind, text),
        }
    }
}

impl ServiceState {
    /// Tells the deployments what the pauses say; those for which that is news.
    fn obey_pauses(&mut self, now: Duration) -> Vec<Key> {
        let mut news = Vec::new();
        for (name, deployment) in &mut self.deployments {
            let paused = self.stopped.pauses.of(name.as_str()).map(Paused::new);
            if deployment.paused.as_deref() == paused.as_ref() {
                continue;
            }
            if paused.is_none() {
                // Whoever resumes it wants it tried at once, whatever failed before.
                deployment.starts.reset();
            } else {
                deployment.hasten_drains(now + deployment.spec.drain_timeout);
            }
            deployment.paused = paused.map(Arc::new);
            news.push(deployment.key.clone());
        }
        news
    }

    /// What keeps paused that was resumed, or a part of it; nothing when nothing does.
    fn still_paused(&self, of: Option<&str>) -> String {
        let pauses = &self.stopped.pauses;
        let whole = pauses.own(None).filter(|_| of.is_some());
        if let Some(whole) = whole {
            return format!(" (its service is still paused{})", whole.about());
        }
        let names = self.deployments.keys().map(|name| name.as_str());
        let own: Vec<&str> = names.filter(|name| pauses.of(name).is_some()).collect();
        if of.is_some() || own.is_empty() {
            return String::new();
        }
        format!(" (still paused by itself: {})", own.join(", "))
    }
}

impl Paused {
    fn new(pause: &Pause) -> Self {
        Self {
            about: pause.about().into(),
            phase: Phase::Paused {
                reason: pause.reason().into(),
                until: pause.until_ms.map(pause::at),
            },
        }
    }
}

/// What the journal says of a pause that is new, or replaces another one.
fn paused_anew(now: Option<&Pause>, before: Option<&Pause>) -> String {
    let about = now.map(Pause::about).unwrap_or_default();
    let before = before.map(|before| format!(" (before: paused{})", before.about()));
    format!("paused{about}{}", before.unwrap_or_default())
}
