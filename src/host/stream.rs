//! One request: the proxy's callbacks in, the guard's steps out.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use uuid::Uuid;

use super::abi::{self, HostError, Map};
use super::calls::Token;
use super::header_map::HeaderMap;
use super::held::Held;
use super::shared::{Shared, random_request_id};
use super::shared_store::{Asked, SharedAccess};
use super::shown::{show_report, show_unjudged, show_view};
use super::store::HostStore;
use crate::config::{Hold, Mode, Plan, Protection, SharedStore};
use crate::guard::{
    Disposition, LogView, NoAnswer, Refusal, Report, Step, Transaction, Wait, client_request_id,
    verified_header_value,
};
use crate::headers::is_unwanted;
use crate::replay::{Claim, Reservation, SharedError};
use crate::request::RequestHead;
use crate::route;
use crate::signature::explain::Hint;
use crate::signature::{Refused, Verified};

/// The context that the proxy's callbacks reach.
pub(super) struct HttpStream {
    id: u32,
    shared: Rc<Shared>,
    held: Rc<Held<Stream>>,
    configured: Option<(Arc<Plan>, Rc<HostStore>)>,
    stream: Option<Rc<RefCell<Stream>>>,
}

impl HttpStream {
    pub(super) const fn new(
        id: u32,
        configured: Option<(Arc<Plan>, Rc<HostStore>)>,
        shared: Rc<Shared>,
        held: Rc<Held<Stream>>,
    ) -> Self {
        Self { id, shared, held, configured, stream: None }
    }

    /// Carries a later callback to the request, if its head was seen; without a head nothing may pass.
    fn on_more(&self, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
        let Some(stream) = &self.stream else { return Action::Pause };
        let before = stream.borrow().transaction.waits_for();
        let action = callback(&mut stream.borrow_mut());
        if stream.borrow().transaction.waits_for() != before {
            self.wait(stream);
        }
        action
    }

    /// Lets the clock end what the request waits for now.
    fn wait(&self, stream: &Rc<RefCell<Stream>>) {
        let wait = stream.borrow().wait();
        match wait {
            Some((timeout, weight)) => self.held.insert(self.id, timeout, weight, Rc::clone(stream)),
            None => self.held.remove(self.id),
        }
    }

    /// Carries a callback about a call to the request that made it, and lets the request go on if it may.
    fn on_call(&self, token: Token, callback: impl FnOnce(&mut Stream) -> Action) {
        if self.stream.as_ref().is_some_and(|stream| stream.borrow().has_asked(token))
            && self.on_more(callback) == Action::Continue
            && abi::continue_request().is_err()
        {
            self.on_more(|stream| {
                let step = stream.transaction.host_failed();
                stream.apply(step)
            });
        }
    }
}

impl Context for HttpStream {
    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        self.on_call(token, |stream| stream.on_answer(size));
    }

    fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
        self.on_call(token, |stream| stream.on_no_answer(status));
    }
}

impl HttpContext for HttpStream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Some((plan, store)) = self.configured.clone() else {
            // A plugin without a configuration cannot vouch for anything, nor judge what the log may see.
            let _ = show_view(&LogView::unreadable());
            let _ = abi::send_local_response(503, "twilio_guard_host_error", &[], "");
            return Action::Pause;
        };
        let (mut stream, mut step) =
            Stream::begin(self.id, plan, store, Rc::clone(&self.shared), end_of_stream);
        if stream.transaction.waits_for().is_some() && !self.held.has_room(stream.transaction.weight()) {
            step = stream.transaction.overloaded();
        }
        let action = stream.apply(step);
        let stream = Rc::new(RefCell::new(stream));
        self.wait(&stream);
        self.stream = Some(stream);
        action
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.on_more(|stream| {
            stream.note_delivery();
            let step = stream.transaction.body(size, end_of_stream, |size| abi::request_body(size).ok());
            stream.apply(step)
        })
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.on_more(|stream| {
            stream.note_delivery();
            // Trailers are not signed, and some servers take them for headers.
            let step = match stream.clean_trailers() {
                Ok(()) => stream.transaction.trailers(|size| abi::request_body(size).ok()),
                Err(HostError) => stream.transaction.host_failed(),
            };
            stream.apply(step)
        })
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if let Some(stream) = &self.stream {
            stream.borrow_mut().settle(abi::response_status);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        match (&self.stream, &self.configured) {
            // Whoever was not answered left.
            (Some(stream), _) => stream.borrow_mut().leave(),
            (None, Some((plan, _))) => show_unjudged(plan),
            (None, None) => {}
        }
    }
}

impl Drop for HttpStream {
    fn drop(&mut self) {
        self.held.remove(self.id);
    }
}

/// What is known of a request, reachable from its callbacks and from the clock.
pub(super) struct Stream {
    id: u32,
    /// The shared store was asked and did not answer yet.
    asked: Option<Asked>,
    transaction: Transaction,
    plan: Arc<Plan>,
    store: Rc<HostStore>,
    shared: Rc<Shared>,
    request_id: Option<Uuid>,
}

impl Stream {
    /// Reads the head, shows what may be seen of it, removes what must not go upstream, and judges.
    fn begin(
        id: u32,
        plan: Arc<Plan>,
        store: Rc<HostStore>,
        shared: Rc<Shared>,
        end_of_stream: bool,
    ) -> (Self, Step) {
        let peer = if plan.needs_peer() { abi::direct_peer().ok() } else { None };
        let headers = Map::Headers.fields();
        let pairs = headers.as_ref().ok().and_then(HeaderMap::pairs);
        let Some(pairs) = pairs else {
            // The request is refused whether or not this can be shown.
            let _ = show_view(&LogView::unreadable());
            let (transaction, step) = Transaction::unreadable(&plan);
            return (Self { id, asked: None, transaction, plan, store, shared, request_id: None }, step);
        };
        let unwanted = |name: &[u8]| is_unwanted(name, plan.verified_header());
        let time_headers = pairs.iter().filter(|(name, _)| plan.is_time_header(name)).copied().collect();
        let mut head = RequestHead::read(pairs, end_of_stream, unwanted);
        head.time_headers = time_headers;
        head.peer = peer.as_deref();
        head.host_delivers_bodies = shared.bodies_follow_held_heads.get();
        let selection = route::select(&plan, &head);
        let view = LogView::of(selection.rule, &head, || Some(random_request_id()));
        // First of all: whatever happens later, the log has its line.
        let is_shown = show_view(&view).is_ok();
        let is_protected = !matches!(selection.rule.protection, Protection::None);
        let router_controls = head.router_controls.iter().filter(|_| is_protected);
        let is_clean =
            head.unwanted.iter().chain(router_controls).all(|name| Map::Headers.remove(name).is_ok());
        let (mut transaction, mut step) = Transaction::under(selection, &plan, &head);
        if !is_shown || !is_clean {
            step = transaction.host_failed();
        }
        let request_id = view.request_id.or_else(|| client_request_id(&head));
        (Self { id, asked: None, transaction, plan, store, shared, request_id }, step)
    }

    fn clean_trailers(&self) -> Result<(), HostError> {
        let trailers = Map::Trailers.fields()?;
        for (name, _) in trailers.pairs().ok_or(HostError)? {
            if is_unwanted(name, self.plan.verified_header()) {
                Map::Trailers.remove(name)?;
            }
        }
        Ok(())
    }

    /// Notes that this host delivers bodies while a head is held.
    fn note_delivery(&self) {
        if self.transaction.waits_for() == Some(Wait::Body) && self.transaction.rule().hold == Hold::Headers {
            self.shared.bodies_follow_held_heads.set(true);
        }
    }

    /// What the request waited for took too long. Called from the clock, with this stream as the effective context.
    pub(super) fn time_out(&mut self) {
        let step = match self.asked.take() {
            Some(asked) => self.answer(|access, rule| Err(access.timed_out(rule, &asked))),
            None => self.transaction.timeout(self.shared.bodies_follow_held_heads.get()),
        };
        if self.apply(step) == Action::Continue && abi::continue_request().is_err() {
            let step = self.transaction.host_failed();
            self.apply(step);
        }
    }

    fn apply(&mut self, step: Step) -> Action {
        match step {
            Step::Hold => Action::Pause,
            Step::HoldBody | Step::Pass => Action::Continue,
            Step::Admit(verified) => {
                let step = self.admit(verified);
                self.apply(step)
            }
            Step::Ask(claim) => match self.ask(claim) {
                Ok(asked) => {
                    self.asked = Some(asked);
                    Action::Pause
                }
                Err(no_answer) => {
                    let step = self.transaction.answer(Err(no_answer), &*self.store);
                    self.apply(step)
                }
            },
            Step::Refuse(refused) => self.refuse(&refused),
            Step::Forward(disposition) => match self.forward(&disposition) {
                Ok(()) => Action::Continue,
                Err(HostError) => match self.transaction.host_failed() {
                    Step::Refuse(refused) => self.refuse(&refused),
                    _ => Action::Pause,
                },
            },
        }
    }

    fn admit(&mut self, verified: Verified) -> Step {
        let Ok(now) = abi::now() else { return self.transaction.host_failed() };
        let rule = self.plan.replay_store();
        self.transaction.admit(verified, rule, now.as_secs(), &*self.store)
    }

    fn shared_store(&self) -> Option<(&SharedAccess, &SharedStore)> {
        Some((self.store.shared.as_ref()?, self.plan.replay_store().shared.as_ref()?))
    }

    fn ask(&self, claim: Claim) -> Result<Asked, NoAnswer> {
        let (access, rule) =
            self.shared_store().ok_or(NoAnswer { error: SharedError::NoCluster, in_doubt: None })?;
        access.ask(self.id, rule, claim)
    }

    fn has_asked(&self, token: Token) -> bool {
        self.asked.is_some_and(|asked| asked.is(token))
    }

    /// The shared store answered, or did not.
    fn answer(
        &mut self,
        read: impl FnOnce(&SharedAccess, &SharedStore) -> Result<Reservation, NoAnswer>,
    ) -> Step {
        let nobody = NoAnswer { error: SharedError::NoCluster, in_doubt: None };
        let answer = self.shared_store().map_or(Err(nobody), |(access, rule)| read(access, rule));
        self.transaction.answer(answer, &*self.store)
    }

    /// The shared store answered.
    fn on_answer(&mut self, size: usize) -> Action {
        let Some(asked) = self.asked.take() else { return Action::Pause };
        let step = self.answer(|access, rule| access.answer(rule, &asked, size));
        self.apply(step)
    }

    /// The call to the shared store ended without an answer.
    fn on_no_answer(&mut self, status: u32) -> Action {
        let Some(asked) = self.asked.take() else { return Action::Pause };
        let step = self.answer(|access, rule| Err(access.closed(rule, &asked, status)));
        self.apply(step)
    }

    /// How long the request may wait for what it waits for now, and about how much it keeps meanwhile.
    fn wait(&self) -> Option<(Duration, usize)> {
        let timeout = match self.transaction.waits_for()? {
            Wait::Body => self.transaction.rule().limits.body_timeout,
            Wait::Store => self.plan.replay_store().shared.as_ref()?.timeout,
        };
        Some((timeout, self.transaction.weight()))
    }

    /// Tells the stores what became of the request, if they wait for that. While the shared one is asked, they do not yet: where only the
    /// body is held, an upstream may answer before it got one.
    fn settle(&mut self, status: impl FnOnce() -> Option<u16>) {
        if self.asked.is_none() && self.transaction.is_reserved() {
            self.transaction.settle(status(), abi::reached_upstream(), &*self.store);
        }
    }

    /// The request is over.
    fn leave(&mut self) {
        match self.asked.take() {
            Some(asked) => {
                if let Some((access, _)) = self.shared_store() {
                    access.abandon(&asked);
                }
                self.transaction.leave(asked.pass(), &*self.store);
            }
            None => self.settle(|| None),
        }
    }

    fn forward(&self, disposition: &Disposition) -> Result<(), HostError> {
        let rule = self.transaction.rule();
        let report = Report::of_disposition(rule, disposition);
        if let Disposition::Verified(verified, mark) = disposition
            && rule.hold == Hold::Headers
            && self.transaction.mode() == Mode::Enforce
        {
            let value = verified_header_value(rule, verified, *mark);
            abi::replace_request_header(self.plan.verified_header(), value.as_bytes())?;
        }
        if let (Disposition::Verified(..), Some(target)) = (disposition, self.transaction.stripped_target()) {
            abi::replace_request_header(":path", target)?;
        }
        show_report(&report)?;
        self.shared.counters.count(rule, &report);
        if let Disposition::ObservedReject(refused) = disposition {
            self.shared.log(&report, self.request_id(), self.explanation(refused));
        }
        Ok(())
    }

    fn refuse(&self, refused: &Refused) -> Action {
        let rule = self.transaction.rule();
        let report = Report::of_refusal(rule, refused);
        let request_id = self.request_id();
        // The request is refused whether or not the filter state can say so.
        let _ = show_report(&report);
        self.shared.counters.count(rule, &report);
        self.shared.log(&report, request_id, self.explanation(refused));
        let refusal = Refusal::new(rule, refused.reject, self.transaction.allowed_methods(), request_id);
        // Where even the answer fails, the request stays held: nothing of it goes upstream.
        let _ = abi::send_local_response(refusal.status, &refusal.details, &refusal.headers, &refusal.body);
        Action::Pause
    }

    fn explanation(&self, refused: &Refused) -> Option<impl FnOnce() -> Vec<Hint>> {
        let can = self.transaction.can_explain(refused);
        can.then_some(|| self.transaction.explain(&self.plan, refused))
    }

    fn request_id(&self) -> Uuid {
        self.request_id.unwrap_or_else(random_request_id)
    }
}
