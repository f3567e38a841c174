//! Asking workers for the usage of streams, of which the client does not hear.

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use penstock_config::TokenUsage;

use super::{AtDoor, Let, Named, STREAM, held::Held};
use crate::{
    request::{api::Api, model::STREAM_OPTIONS},
    serve::failure::Failure,
    stream::request_body::ClientBody,
};

impl AtDoor<'_> {
    /// Whether the worker is to be asked for the usage of a stream. What the client itself says about that counts.
    pub(super) async fn asks_for_usage(
        &mut self,
        held: &mut Held,
        named: &Named,
    ) -> Result<bool, Failure> {
        let asks = named.0.service.spec.token_usage == TokenUsage::Ask
            && Api::of(self.parts.uri.path()).is_some_and(Api::tells_usage_if_asked)
            && ![STREAM, STREAM_OPTIONS]
                .into_iter()
                .any(|key| named.1.drops(key));
        // What is sent without a length may be sent bit by bit: its worker is to get it so.
        let is_short = |body: &ClientBody| body.length().is_some() || body.is_whole();
        let Some(body) = self.body.as_mut().filter(|body| asks && is_short(body)) else {
            return Ok(false);
        };
        held.until_done(self.exchange, body).await?;
        let found = &held.found;
        Ok(body.is_whole() && found.is_done() && found.streams() && !found.has_options())
    }

    /// Lets the request in; where its worker is to be asked for the usage, the whole body is here.
    pub(super) fn go_on(
        &mut self,
        named: Named,
        streams: bool,
        asks: bool,
    ) -> Result<Let, Failure> {
        if asks {
            self.ask_for_usage();
        }
        let entered = self.go(named, streams)?;
        if asks {
            self.exchange.asks_for_usage();
        }
        Ok(entered)
    }

    /// Asks the worker. What is compressed could not be looked into.
    fn ask_for_usage(&mut self) {
        let Some(body) = self.body.as_mut() else {
            return;
        };
        body.add_member(br#""stream_options":{"include_usage":true}"#);
        let length = body.length();
        let headers = &mut self.parts.headers;
        headers.remove(ACCEPT_ENCODING);
        if let Some(length) = length.filter(|_| headers.contains_key(CONTENT_LENGTH)) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }
}
