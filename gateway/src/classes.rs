//! Classes of requests: which of those that wait is first in need of a worker.

use std::{sync::Arc, time::Duration};

use penstock_config::{Queue, Service};

use crate::request_key::RequestHead;

/// The classes of one service, by name.
pub(crate) struct Classes(Box<[Arc<Class>]>);

/// One class.
pub(crate) struct Class {
    /// Its name.
    pub(crate) name: Box<str>,
    /// How much later than it came a request of it counts.
    pub(crate) delay: Duration,
}

impl Classes {
    /// The classes that the file names.
    pub(crate) fn new(queue: &Queue) -> Self {
        let class = |(name, delay): (&String, &Duration)| {
            Arc::new(Class {
                name: name.as_str().into(),
                delay: *delay,
            })
        };
        Self(queue.classes.iter().map(class).collect())
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
        let found = self
            .0
            .binary_search_by(|class| class.name.as_bytes().cmp(name));
        Some(Arc::clone(&self.0[found.ok()?]))
    }
}
