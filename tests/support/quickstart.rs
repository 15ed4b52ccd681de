//! `envoy/quickstart.yaml` as the demo and the tests run it: the file itself, with only addresses and the module's
//! path replaced.

use super::config::{address, own_port, replace};
use super::{Result, project_root};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// The addresses that replace those in the file. Port 0 is a free port.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Where Twilio's requests arrive.
    pub listener: SocketAddr,
    /// The admin interface.
    pub admin: SocketAddr,
    /// The application.
    pub upstream: SocketAddr,
}

/// The bootstrap.
pub fn bootstrap(addresses: Addresses, module: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(project_root().join("envoy/quickstart.yaml"))?;
    let mut bootstrap: Value = serde_saphyr::from_str(&text)?;
    let replacements = [
        ("/admin/address", address(addresses.admin)),
        ("/static_resources/listeners/0/address", address(addresses.listener)),
        (
            "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address",
            address(addresses.upstream),
        ),
        (
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/\
             vm_config/code/local/filename",
            module.to_str().ok_or("the module's path is not UTF-8")?.into(),
        ),
    ];
    for (pointer, value) in replacements {
        replace(&mut bootstrap, pointer, value)?;
    }
    if addresses.listener.port() == 0 {
        own_port(&mut bootstrap);
    }
    Ok(bootstrap)
}
