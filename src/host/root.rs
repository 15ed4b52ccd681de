//! One plugin on one worker: its configuration and its clock.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::abi::{self, Level};
use super::ecdsa::HostVerifier;
use super::held::Held;
use super::shared::Shared;
use super::store::HostStore;
use super::stream::{HttpStream, Stream};
use crate::config::{Environment, KeyName, Plan, Secret};
use crate::p256::Verifier;

const SHORTEST_TICK: Duration = Duration::from_millis(50);
const LONGEST_TICK: Duration = Duration::from_millis(500);

/// What the configuration may ask of the host.
struct Host;

impl Environment for Host {
    fn variable(&self, name: &str) -> Option<Secret> {
        std::env::var(name).ok().map(Secret::from)
    }

    fn p256(&self) -> Option<Arc<dyn Verifier>> {
        Some(Arc::new(HostVerifier))
    }
}

/// The root context.
#[derive(Default)]
pub(super) struct Root {
    plan: Option<Arc<Plan>>,
    shared: Rc<Shared>,
    held: Rc<Held<Stream>>,
    store: Option<Rc<HostStore>>,
}

impl Root {
    fn configure(&mut self) -> Result<(), String> {
        let text = abi::plugin_configuration().unwrap_or_default();
        let plan = Plan::parse(&text, &Host).map_err(|fault| fault.to_string())?;
        let tick = (plan.shortest_body_timeout() / 10).clamp(SHORTEST_TICK, LONGEST_TICK);
        abi::set_tick_period(tick).map_err(|_| "the host has no clock".to_owned())?;
        self.held.set_period(tick);
        self.shared.counters.forget();
        abi::log(Level::Info, &format!("twilio-guard {}", summary(&plan)));
        let store = HostStore::new(&plan);
        store.show_age();
        self.store = Some(Rc::new(store));
        self.plan = Some(Arc::new(plan));
        Ok(())
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match self.configure() {
            Ok(()) => true,
            Err(fault) => {
                abi::log(Level::Error, &format!("twilio-guard configuration refused: {fault}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(store) = &self.store {
            store.show_age();
        }
        for (id, stream) in self.held.tick() {
            if abi::set_effective_context(id).is_ok() {
                stream.borrow_mut().time_out();
            }
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let configured = self.plan.clone().zip(self.store.clone());
        Some(Box::new(HttpStream::new(id, configured, Rc::clone(&self.shared), Rc::clone(&self.held))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One line that says what is running: version, rules, and which keys are loaded, by name.
fn summary(plan: &Plan) -> String {
    let mut keys: Vec<&str> =
        plan.rules().flat_map(|rule| rule.protection.key_names()).map(KeyName::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    format!(
        "{} configured: {} routes, default {}, keys {}{}",
        env!("CARGO_PKG_VERSION"),
        plan.routes().len(),
        plan.default_rule().protection.as_str(),
        keys.join(" "),
        remembered(plan),
    )
}

/// What rate of requests the store remembers for the longest window.
fn remembered(plan: &Plan) -> String {
    let Some(window) = plan.longest_window() else { return String::new() };
    let capacity = plan.replay_store().capacity;
    // A capture is remembered one second longer than its window says.
    let seconds = usize::try_from(window.as_secs()).unwrap_or_default().saturating_add(1);
    let per_minute = capacity.saturating_mul(60) / seconds;
    format!("; replay store for {capacity} requests: {per_minute} a minute over {} s", window.as_secs())
}
