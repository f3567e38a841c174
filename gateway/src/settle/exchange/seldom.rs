//! What few requests need to be told about: it has memory of its own, which the others do without.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{Exchange, elsewhere::Elsewhere};
use crate::{
    admit::{classes::Class, limits::Held},
    base::wait_notice::WaitNotice,
    count::tokens::Watch,
    route::table::ServiceState,
    settle::original::Mirrored,
};

/// What is not so of most requests.
#[derive(Default)]
pub(super) struct Seldom {
    /// Places in limits on requests at once.
    pub(super) held: Option<Held>,
    /// The service that did not let it in.
    pub(super) turned_away: Option<Arc<ServiceState>>,
    /// A `Set-Cookie` for the client, whatever the answer is.
    pub(super) cookie: Option<HeaderValue>,
    /// Its class in the queue.
    pub(super) class: Option<Arc<Class>>,
    /// What it had to expect of the queue, where the client is to know.
    pub(super) wait_notice: Option<WaitNotice>,
    /// Time spent in the queue, if it was.
    pub(super) queue_wait: Option<Duration>,
    /// Of that, the time in which no worker was there.
    pub(super) wake: Duration,
    /// The answer of a model, read as it passes.
    pub(super) watch: Option<Box<Watch>>,
    /// Deployments of other tiers whose load it is part of as well.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// The lowest tier that it was counted in before it came to a higher one.
    pub(super) lowest: Option<u8>,
    /// Whether a worker of a higher tier has it.
    pub(super) overflows: bool,
    /// The link to its copy, if it has one.
    pub(super) mirrored: Option<Mirrored>,
    /// What happened to it, in full, when that is to be logged.
    pub(super) detail: Option<Box<str>>,
}

impl Exchange {
    /// Room for what is seldom.
    pub(super) fn seldom_mut(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// Notes something in the room for what is seldom, where there is something.
    fn note<T>(&mut self, some: Option<T>, place: impl FnOnce(&mut Seldom) -> &mut Option<T>) {
        if some.is_some() || self.seldom.is_some() {
            *place(self.seldom_mut()) = some;
        }
    }

    /// It has places in limits on requests at once.
    pub(crate) fn holds(&mut self, held: Option<Held>) {
        self.note(held, |seldom| &mut seldom.held);
    }

    /// A service did not let it in.
    pub(crate) fn is_turned_away(&mut self, by: Arc<ServiceState>) {
        self.note(Some(by), |seldom| &mut seldom.turned_away);
    }

    /// The client gets a `Set-Cookie`, whatever the answer is; or none.
    pub(crate) fn sets_cookie(&mut self, cookie: Option<HeaderValue>) {
        self.note(cookie, |seldom| &mut seldom.cookie);
    }

    /// It is of a class in the queue.
    pub(crate) fn is_of_class(&mut self, class: Option<Arc<Class>>) {
        self.note(class, |seldom| &mut seldom.class);
    }

    /// Its class in the queue.
    pub(crate) fn class(&self) -> Option<&Arc<Class>> {
        self.seldom.as_ref()?.class.as_ref()
    }

    /// It is told what it has to expect of the queue, unless it was told before.
    pub(crate) fn expects(&mut self, wait_notice: Option<WaitNotice>) {
        if wait_notice.is_some() {
            let known = &mut self.seldom_mut().wait_notice;
            *known = known.or(wait_notice);
        }
    }

    /// It has waited in the queue for so long, once more; `wake` of it while no worker was there.
    pub(crate) fn has_waited(&mut self, wait: Duration, wake: Duration) {
        let in_all = self.queue_wait().unwrap_or_default() + wait;
        let seldom = self.seldom_mut();
        seldom.queue_wait = Some(in_all);
        seldom.wake += wake;
    }

    /// Time spent in the queue, if it was.
    pub(crate) fn queue_wait(&self) -> Option<Duration> {
        self.seldom.as_ref()?.queue_wait
    }

    /// It has a copy, at the other end of this link.
    pub(crate) fn has_copy(&mut self, link: Mirrored) {
        self.seldom_mut().mirrored = Some(link);
    }

    /// The link to its copy.
    pub(super) fn mirrored(&mut self) -> Option<&mut Mirrored> {
        self.seldom.as_mut()?.mirrored.as_mut()
    }
}
