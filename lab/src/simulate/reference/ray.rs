//! Ray Serve's request-based autoscaler, with the defaults of `autoscaling_config`.

use std::time::Duration;

use super::{Bounds, toward::toward};
use crate::simulate::scaler::{Scaler, Seen, Turn};
use penstock_control::window::Window;

/// `target_ongoing_requests`.
const TARGET: f64 = 2.0;
/// `look_back_period_s`.
const LOOK_BACK: Duration = Duration::from_secs(30);
/// `upscale_delay_s`.
const UPSCALE_DELAY: Duration = Duration::from_secs(30);
/// `downscale_delay_s`.
const DOWNSCALE_DELAY: Duration = Duration::from_secs(600);

/// Ray Serve's autoscaler.
#[derive(Debug)]
pub struct Ray {
    bounds: Bounds,
    ongoing: Window,
    desired: u32,
    /// Since when every turn has asked for more, or for fewer.
    asks: Option<(Direction, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

impl Ray {
    /// With its defaults.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ongoing: Window::new(LOOK_BACK),
            desired: bounds.min,
            asks: None,
        }
    }
}

impl Scaler for Ray {
    fn name(&self) -> &'static str {
        "Ray Serve"
    }

    /// Its control loop runs ten times a second; what it looks at changes more slowly.
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// From zero there is no delay.
    fn wakes_at_once(&self) -> bool {
        self.desired == 0
    }

    fn begins_with(&self) -> u32 {
        self.bounds.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        self.ongoing.record(
            seen.observation.load.request_seconds,
            seen.observation.load.over,
            now,
        );
        if self.desired == 0 {
            if seen.observation.current > 0 {
                self.desired = self.bounds.hold(1.0);
            }
            return toward(self.desired, seen.workers, now);
        }
        let ongoing = self.ongoing.average().unwrap_or(0.0);
        // Smoothing factors are 1 by default, so the wish is taken as it is. Zero only from one.
        let mut wish = self.bounds.hold((ongoing / TARGET).ceil());
        if wish == 0 && self.desired > 1 {
            wish = 1;
        }
        let direction = match wish.cmp(&self.desired) {
            std::cmp::Ordering::Greater => Some((Direction::Up, UPSCALE_DELAY)),
            std::cmp::Ordering::Less => Some((Direction::Down, DOWNSCALE_DELAY)),
            std::cmp::Ordering::Equal => None,
        };
        match direction {
            None => self.asks = None,
            Some((direction, delay)) => {
                let since = match self.asks {
                    Some((before, since)) if before == direction => since,
                    _ => now,
                };
                self.asks = Some((direction, since));
                if now - since >= delay {
                    self.desired = wish;
                    self.asks = None;
                }
            }
        }
        toward(self.desired, seen.workers, now)
    }
}
