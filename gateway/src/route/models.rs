//! Which service has a model.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use penstock_config::Service;

use crate::request::model::Rules;

/// A model, and whose it is.
#[derive(Debug)]
pub(crate) struct Known {
    /// The number that its service has in the table.
    pub(crate) service: usize,
    /// What is changed in requests for it.
    pub(crate) rules: Arc<Rules>,
}

/// All models of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Models {
    /// In the order of the services, and in each in the order of the file.
    all: Vec<Known>,
    by_name: HashMap<Box<str>, usize, RandomState>,
}

impl Models {
    /// Adds those of a service. The first service that has a name keeps it; a checked configuration holds none
    /// twice.
    pub(super) fn add(&mut self, service: usize, spec: &Service) {
        for model in &spec.models {
            let at = self.all.len();
            self.by_name.entry(model.name.as_str().into()).or_insert(at);
            self.all.push(Known {
                service,
                rules: Arc::new(Rules::of(model)),
            });
        }
    }

    /// The one of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Known> {
        self.all.get(*self.by_name.get(name)?)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Known] {
        &self.all
    }
}
