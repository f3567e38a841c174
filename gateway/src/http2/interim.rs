//! Interim answers (1xx), which a worker gives before its answer, on their way to a client.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use http::{Response, StatusCode};
use parking_lot::Mutex;

use crate::base::headers;

/// Interim answers that wait for a client. Further ones are left out; none of them is needed.
const WAITING_MAX: usize = 8;

/// Where a request's interim answers are told; it is among its extensions.
#[derive(Clone, Default)]
pub(crate) struct Interim(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    waiting: Vec<Response<()>>,
    client: Option<Waker>,
}

impl Interim {
    /// Passes one on. `100 Continue` is not: the client is told that by whoever reads its body.
    pub(crate) fn tell(&self, mut answer: Response<()>) {
        let status = answer.status();
        if [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS].contains(&status) {
            return;
        }
        headers::clean_interim(answer.headers_mut());
        let mut told = self.0.lock();
        if told.waiting.len() < WAITING_MAX {
            told.waiting.push(answer);
        }
        let client = told.client.clone();
        drop(told);
        if let Some(client) = client {
            client.wake();
        }
    }

    /// Those that were told since this was asked last; whoever asks is woken when there are more.
    pub(super) fn take(&self, cx: &Context<'_>) -> Vec<Response<()>> {
        let mut told = self.0.lock();
        if !told
            .client
            .as_ref()
            .is_some_and(|client| client.will_wake(cx.waker()))
        {
            told.client = Some(cx.waker().clone());
        }
        std::mem::take(&mut told.waiting)
    }
}
