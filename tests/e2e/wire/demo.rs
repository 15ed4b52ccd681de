//! The table of the demo, with the plugin configuration of `envoy/quickstart.yaml`.

use std::net::SocketAddr;

use super::probe::Probe;
use crate::guarded::assert_vm_alive;
use crate::support::client::Protocol;
use crate::support::config::WasmFilter;
use crate::support::quickstart::{self, Addresses};
use crate::support::scenarios::{self, Expected, Scenario};
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
    // A replay is one only after the row that it repeats.
    let is_independent =
        |row: &Scenario| matches!(row.expected, Expected::Refused(_, code) if code != "replayed");
    for protocol in Protocol::BOTH {
        let filter = WasmFilter::raw(module::path()?, Some(text.to_owned()))
            .host_env_keys(&variables.each_ref().map(|(name, _)| *name));
        let mut probe = Probe::with(filter, |config| config.envs(variables.clone())).await?;
        // The refused rows come first, while the upstream has not even been connected to.
        let (refused, others): (Vec<_>, Vec<_>) = scenarios::all().into_iter().partition(is_independent);
        assert!(refused.len() >= 9 && others.len() >= 9);
        for Scenario { name, request, expected } in refused {
            let Expected::Refused(status, code) = expected else { panic!("{name}") };
            probe.refuse(name, protocol, &request, (status, code)).await?;
        }
        assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
        for scenario in others {
            scenario.prepare(&probe.upstream);
            let Scenario { name, request, expected } = scenario;
            if let Expected::Refused(status, code) = expected {
                probe.refuse(name, protocol, &request, (status, code)).await?;
                continue;
            }
            let response = crate::support::client::send(probe.envoy.address(), protocol, &request).await?;
            let is_accepted = expected == Expected::Accepted;
            assert_eq!(response.accepted(), is_accepted, "{name}, {protocol:?}: {}", response.status);
            assert_eq!(probe.next_line().await?.field("verdict"), "verified");
            let recorded = probe.arrived(name).await?;
            let proof = recorded.headers.get_all("x-twilio-guard");
            assert_eq!(proof.iter().count(), 1, "{name}, {protocol:?}");
            assert_eq!(recorded.body, request.body, "{name}, {protocol:?}");
        }
        probe.nothing_arrived("at the end");
        assert_vm_alive(&probe.envoy).await?;
    }
    Ok(())
}
