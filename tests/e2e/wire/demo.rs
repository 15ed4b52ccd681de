//! The table of the demo, with the plugin configuration of `envoy/quickstart.yaml`.

use std::net::SocketAddr;

use super::probe::Probe;
use crate::support::client::Protocol;
use crate::support::config::WasmFilter;
use crate::support::quickstart::{self, Addresses};
use crate::support::scenarios::{self, Expected};
use crate::support::{Result, module};

const CONFIGURATION: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/\
                             typed_config/config/configuration/value";

#[tokio::test]
async fn every_row_of_the_demo_holds_and_no_refused_row_is_noticed_by_the_upstream() -> Result<()> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let addresses = Addresses { listener: nowhere, admin: nowhere, upstream: nowhere };
    let bootstrap = quickstart::bootstrap(addresses, module::path()?)?;
    let text = bootstrap.pointer(CONFIGURATION).and_then(|value| value.as_str()).ok_or("no configuration")?;
    let variables = scenarios::environment();
    let filter = WasmFilter::raw(module::path()?, Some(text.to_owned()))
        .host_env_keys(&variables.each_ref().map(|(name, _)| *name));
    let mut probe = Probe::with(filter, |config| config.envs(variables)).await?;

    // The refused rows come first, while the upstream has not even been connected to.
    for protocol in Protocol::BOTH {
        for scenario in scenarios::all() {
            if let Expected::Refused(status, code) = scenario.expected {
                probe.refuse(scenario.name, protocol, &scenario.request, (status, code)).await?;
            }
        }
    }
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    for protocol in Protocol::BOTH {
        for scenario in scenarios::all().into_iter().filter(|row| row.expected == Expected::Accepted) {
            let response =
                crate::support::client::send(probe.envoy.address(), protocol, &scenario.request).await?;
            assert!(response.accepted(), "{}, {protocol:?}: {}", scenario.name, response.status);
            assert_eq!(probe.next_line().await?.field("verdict"), "verified");
            let recorded = probe.arrived(scenario.name).await?;
            let proof = recorded.headers.get_all("x-twilio-guard");
            assert_eq!(proof.iter().count(), 1, "{}, {protocol:?}", scenario.name);
            assert_eq!(recorded.body, scenario.request.body, "{}, {protocol:?}", scenario.name);
        }
    }
    probe.finish().await
}
