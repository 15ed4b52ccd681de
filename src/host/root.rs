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
use super::shared_store::SharedAccess;
use super::store::HostStore;
use super::stream::{HttpStream, Stream};
use crate::config::{Environment, KeyName, Plan, Secret, SharedStore};
use crate::p256::Verifier;

const SHORTEST_TICK: Duration = Duration::from_millis(50);
const LONGEST_TICK: Duration = Duration::from_millis(500);

/// How many ticks a plugin that was replaced still tries to tell a shared store what it knows: a minute. Then leases have ended.
const MOST_TICKS_ENDING: u32 = 3000;

/// How often what became of requests is told to a shared store; until then other replicas take them for under way.
const SETTLING_TICK: Duration = Duration::from_millis(20);

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
pub(super) struct Root {
    id: u32,
    /// Ticks left to a plugin that was replaced.
    ending: Option<u32>,
    plan: Option<Arc<Plan>>,
    shared: Rc<Shared>,
    held: Rc<Held<Stream>>,
    store: Option<Rc<HostStore>>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self { id, ending: None, plan: None, shared: Rc::default(), held: Rc::default(), store: None }
    }

    fn configure(&mut self) -> Result<(), String> {
        let text = abi::plugin_configuration().unwrap_or_default();
        let plan = Plan::parse(&text, &Host).map_err(|fault| fault.to_string())?;
        let tick = match plan.replay_store().shared {
            Some(_) => SETTLING_TICK,
            None => (plan.shortest_body_timeout() / 10).clamp(SHORTEST_TICK, LONGEST_TICK),
        };
        abi::set_tick_period(tick).map_err(|_| "the host has no clock".to_owned())?;
        self.held.set_period(tick);
        self.shared.counters.forget();
        abi::log(Level::Info, &format!("twilio-guard {}", summary(&plan)));
        let store = HostStore::new(&plan, self.id, tick);
        store.show_age();
        self.store = Some(Rc::new(store));
        self.plan = Some(Arc::new(plan));
        Ok(())
    }

    /// The shared store, and how it is to be used.
    fn shared_store(&self) -> Option<(&SharedAccess, &SharedStore)> {
        let access = self.store.as_ref()?.shared.as_ref()?;
        Some((access, self.plan.as_ref()?.replay_store().shared.as_ref()?))
    }

    /// Lets the host end this plugin once everything is settled, if it waits for that.
    fn end_if_settled(&mut self) {
        if self.ending.is_some() && self.shared_store().is_none_or(|(access, _)| access.is_settled()) {
            self.ending = None;
            // A host that does not wait has ended it already.
            let _ = abi::done();
        }
    }

    /// A store that is gone for good must not keep what was replaced.
    fn end_in_time(&mut self) {
        self.ending = self.ending.map(|left| left.saturating_sub(1));
        if let (Some(0), Some((access, _))) = (self.ending, self.shared_store()) {
            access.give_up();
        }
        self.end_if_settled();
    }
}

impl Context for Root {
    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        if let Some((access, rule)) = self.shared_store() {
            access.on_message(rule, token, size);
        }
        self.end_if_settled();
    }

    fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
        if let Some((access, _)) = self.shared_store() {
            access.on_close(token, status);
        }
        self.end_if_settled();
    }

    fn on_done(&mut self) -> bool {
        let is_settled = self.shared_store().is_none_or(|(access, rule)| access.finish(rule));
        self.ending = (!is_settled).then_some(MOST_TICKS_ENDING);
        is_settled
    }
}

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
        // The streams were in effect, and the calls belong to this context.
        if let (Some((access, rule)), Ok(())) = (self.shared_store(), abi::set_effective_context(self.id)) {
            access.tick(rule);
        }
        self.end_in_time();
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
