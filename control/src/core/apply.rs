//! Follows a new configuration.

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::{Config, Preemptible, Service};

use super::{
    Core, ServiceState,
    carry_out::at_address,
    deployment::{DeploymentState, Key},
    effect::{Effect, Memory},
    pauses::Stopped,
    saving::Saved,
    traffic::Traffic,
    worker::Life,
};
use crate::{remembered::DesiredRow, revisions::Origin, scale::ScaleState, status::ConfigStatus};

impl Core {
    /// Takes over a configuration. What did not change is left alone; what is not in it any more
    /// drains. Without an origin it is the first, and what an earlier run knew of revisions comes later.
    pub(super) fn apply(&mut self, config: &Arc<Config>, origin: Option<&Origin>) {
        let now = self.now.at;
        self.config = ConfigStatus::loaded(config, &self.secret_key, self.now.wall_ms);
        self.gpus.follow(&config.gpus);
        self.give_way_after = config.gpus.give_way_after;
        self.max_asleep = config.gpus.max_asleep;
        self.end_oldest_sleepers();
        let mut removed = Vec::new();
        for (name, service) in &mut self.services {
            if !config.services.contains_key(name) && !service.removed {
                service.removed = true;
                service.deployments.values_mut().for_each(remove);
                self.stale.insert(name.clone());
                removed.push(name.clone());
            }
        }
        for name in removed {
            self.forget_traffic(&name);
            self.forget_pauses(&name);
            self.save_courses(&name);
        }
        for (name, spec) in &config.services {
            let unchanged = self
                .services
                .get(name)
                .is_some_and(|known| !known.removed && *known.spec == **spec);
            if !unchanged {
                self.follow(spec, origin);
                self.follow_traffic(&spec.name);
                self.follow_pauses(&spec.name);
                self.stale.insert(name.clone());
            }
        }
        self.next_tick = now;
        self.look_for_notices(config);
    }

    /// Files that give notice.
    fn look_for_notices(&mut self, config: &Config) {
        let mut files = Vec::new();
        for service in config.services.values() {
            for deployment in service.deployments.values() {
                let Preemptible { file, within } = &deployment.preemptible;
                let Some(file) = file else {
                    continue;
                };
                let key = Key {
                    service: service.name.clone(),
                    deployment: deployment.name.clone(),
                };
                files.push((key, file.as_path().into(), *within));
            }
        }
        if std::mem::replace(&mut self.notices, !files.is_empty()) || !files.is_empty() {
            self.effects.push(Effect::Notices(files));
        }
    }

    fn follow(&mut self, spec: &Arc<Service>, origin: Option<&Origin>) {
        let (now, this_ms) = (self.now.at, self.now.wall_ms);
        let Self {
            services,
            effects,
            generation,
            secret_key,
            ..
        } = self;
        let mut news = Vec::new();
        let service = services
            .entry(spec.name.clone())
            .or_insert_with(|| ServiceState {
                spec: Arc::clone(spec),
                removed: false,
                deployments: BTreeMap::new(),
                traffic: Traffic::default(),
                saved: Saved::default(),
                stopped: Stopped::default(),
                file_changed: false,
                courses_unsaved: false,
                rolling: None,
                rollout_told: None,
                published: None,
            });
        service.spec = Arc::clone(spec);
        service.removed = false;
        for (name, deployment) in &mut service.deployments {
            if !spec.deployments.contains_key(name) && !deployment.removed {
                remove(deployment);
            }
        }
        for (name, wanted) in &spec.deployments {
            if let Some(deployment) = service.deployments.get_mut(name) {
                let probes_changed =
                    deployment.spec.probes != wanted.probes || deployment.spec.tls != wanted.tls;
                if deployment.removed {
                    deployment.scale = ScaleState::new(deployment.ready(), Default::default(), now);
                    deployment.advice = None;
                }
                let sleep_changed = deployment.spec.sleep != wanted.sleep;
                let text = deployment.follow(wanted, origin, this_ms);
                news.extend(text.map(|text| (deployment.key.clone(), text)));
                if probes_changed {
                    effects.extend(deployment.probe_anew());
                }
                if sleep_changed {
                    effects.extend(deployment.watch_sleep_anew());
                }
            } else {
                let key = Key {
                    service: spec.name.clone(),
                    deployment: name.clone(),
                };
                // Of a paused service none is desired from the start.
                let is_paused = service.stopped.pauses.of(name.as_str()).is_some();
                let desired = if is_paused { 0 } else { wanted.scaling.min };
                let scale = ScaleState::new(desired, Default::default(), now);
                let mut deployment =
                    DeploymentState::new(key, Arc::clone(wanted), scale, secret_key);
                if let Some(origin) = origin {
                    deployment.note_revision(origin, this_ms);
                }
                // What an earlier run remembers of it comes after its configuration.
                if *generation > 0 && deployment.is_counted() {
                    let row = DesiredRow::new(&deployment.key, desired, this_ms);
                    effects.push(Effect::Remember(Memory::Desired(row)));
                }
                service.deployments.insert(name.clone(), deployment);
            }
        }
        for (key, text) in news {
            self.note(&key, "revision", &text);
        }
    }
}

fn remove(deployment: &mut DeploymentState) {
    deployment.removed = true;
    // Its revisions are forgotten with it.
    deployment.course_changed = true;
    deployment.changed = true;
}

impl DeploymentState {
    /// Probes all workers by the new settings.
    fn probe_anew(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for worker in &mut self.workers {
            if let Some(spec) = at_address(&self.spec, &worker.revision) {
                worker.new.spec = spec;
            }
            let is_asked = worker.is_probed || worker.life == Life::Starting;
            if worker.address.is_some() && is_asked && worker.life != Life::Stopping {
                effects.push(worker.probe(&self.spec.probes));
            }
        }
        effects
    }
}
