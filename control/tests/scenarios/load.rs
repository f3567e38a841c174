//! Makes the load that a script asks for.

use std::time::Duration;

use crate::{
    STEP,
    random::Random,
    script::Event,
    world::{Request, World, key},
};

/// Makes requests come.
pub(crate) struct LoadMaker {
    rate: Option<(f64, Duration)>,
    /// Part of a request that has not come yet.
    due: f64,
    clients: u32,
    random: Random,
}

impl Default for LoadMaker {
    fn default() -> Self {
        Self {
            rate: None,
            due: 0.0,
            clients: 0,
            random: Random::new(7),
        }
    }
}

impl LoadMaker {
    pub(crate) fn follow(&mut self, event: Event, world: &mut World) {
        match event {
            Event::Rate {
                per_second,
                service,
            } => self.rate = Some((per_second, service)),
            Event::Clients { count, service } => {
                for _ in self.clients..count {
                    world.arrive(Request {
                        service,
                        again: true,
                    });
                }
                if count < self.clients {
                    world.gateway.send_away(&key(), self.clients - count);
                }
                self.clients = count;
            }
            Event::Burst { count, service } => {
                for _ in 0..count {
                    world.arrive(Request {
                        service,
                        again: false,
                    });
                }
            }
            Event::Copies(count) => world.gateway.copy(&key(), count, world.now),
            Event::Outside(change) => world.change(change),
        }
    }

    pub(crate) fn arrivals(&mut self, noise: f64, world: &mut World) {
        let Some((per_second, service)) = self.rate else {
            return;
        };
        let expected = per_second * STEP.as_secs_f64();
        // Even without noise, and with full noise each step may have none or twice as many.
        self.due += expected * (1.0 + noise * (2.0 * self.random.share() - 1.0));
        while self.due >= 1.0 {
            self.due -= 1.0;
            let stretch = 1.0 + noise * (2.0 * self.random.share() - 1.0);
            world.arrive(Request {
                service: service.mul_f64(stretch),
                again: false,
            });
        }
    }
}
