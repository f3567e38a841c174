//! Classes of requests: which of those that wait is first in need of a worker.

use std::{sync::Arc, time::Duration};

use penstock_config::Service;

use crate::{
    count::metrics::{ClassMetrics, Page, WaitsInClass},
    request::request_key::RequestHead,
};

/// The classes of one service, by name.
pub(crate) struct Classes(Box<[Arc<Class>]>);

/// One class.
pub(crate) struct Class {
    /// Its name.
    pub(crate) name: Box<str>,
    /// How much later than it came a request of it counts.
    pub(crate) delay: Duration,
    metrics: Arc<ClassMetrics>,
}

impl Classes {
    /// The classes of a service; counts go on from where `previous` was.
    pub(crate) fn new(service: &Service, previous: Option<&Self>) -> Self {
        let class = |(name, delay): (&String, &Duration)| {
            let known = previous.and_then(|previous| previous.find(name.as_bytes()));
            Arc::new(Class {
                name: name.as_str().into(),
                delay: *delay,
                metrics: known.map_or_else(
                    || Arc::new(ClassMetrics::new(&service.name, name)),
                    |known| Arc::clone(&known.metrics),
                ),
            })
        };
        Self(service.queue.classes.iter().map(class).collect())
    }

    /// The class of a request to `service`: that of its API key, or the one that the header names. An
    /// unknown name is no class.
    pub(crate) fn of(&self, head: &RequestHead<'_>, service: &Service) -> Option<Arc<Class>> {
        if self.0.is_empty() {
            return None;
        }
        let key = head
            .api_key
            .and_then(|key| service.access.api_keys.get(key));
        let of_key = key.and_then(|key| key.class.as_deref());
        let of_header = || {
            let name = service.queue.class_header.as_deref()?;
            head.headers(name).next()
        };
        let name = of_key.map(str::as_bytes).or_else(of_header)?;
        self.find(name).map(Arc::clone)
    }

    /// Adds what is counted of them to the metrics page.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        self.0
            .iter()
            .for_each(|class| page.add_class(&class.metrics));
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many requests of each wait now.
    pub(crate) fn queued(&self) -> Vec<(Box<str>, u32)> {
        let queued = |class: &Arc<Class>| (class.name.clone(), class.metrics.queued());
        self.0.iter().map(queued).collect()
    }

    fn find(&self, name: &[u8]) -> Option<&Arc<Class>> {
        let found = self
            .0
            .binary_search_by(|class| class.name.as_bytes().cmp(name));
        Some(&self.0[found.ok()?])
    }
}

impl Class {
    /// Counts a request of it that begins to wait.
    pub(crate) fn waits(&self) -> WaitsInClass {
        self.metrics.waits()
    }
}
