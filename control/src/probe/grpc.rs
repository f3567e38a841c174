//! Probes by gRPC's standard health service.

use http::Uri;
use hyper_util::rt::TokioIo;
use penstock_config::{Protocol, is_shortage};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::target::Target;
use crate::worker_http::{Cause, Failure, open};

/// Passes when the worker says SERVING for `service`; the empty name means all of it.
pub(super) async fn ask(target: &Target, service: &str) -> Result<(), Failure> {
    let url = format!("http://{}", target.address);
    let mut endpoint = Endpoint::from_shared(url).map_err(|error| error.to_string())?;
    if target.tls.is_some() {
        let origin = Uri::try_from(format!("https://{}", target.address));
        endpoint = endpoint.origin(origin.map_err(|error| error.to_string())?);
    }
    // Connecting by ourselves gives a plain reason.
    let opened = open(target.address, Protocol::H2, target.tls.as_ref()).await?;
    let mut opened = Some(TokioIo::new(opened));
    let connector = tower::service_fn(move |_: Uri| {
        let opened = opened.take().ok_or("the connection has ended");
        std::future::ready(opened)
    });
    let channel = endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| Failure {
            text: format!("gRPC: {error}"),
            cause: match is_caused_here(&error) {
                true => Cause::Local,
                false => Cause::Worker,
            },
        })?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let response = HealthClient::new(channel).check(request).await;
    let response = response.map_err(|status| match status.code() {
        Code::Unimplemented => "the worker does not offer grpc.health.v1.Health".to_owned(),
        Code::NotFound => format!("the worker does not know the service {service:?}"),
        code => format!("gRPC status {code:?}: {}", status.message()),
    })?;
    match response.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        status => Err(format!("the worker says {}", status.as_str_name()).into()),
    }
}

fn is_caused_here(error: &tonic::transport::Error) -> bool {
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    causes.any(|cause| cause.downcast_ref().is_some_and(is_shortage))
}
