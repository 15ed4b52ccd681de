//! The one state machine of a request: head, body, end or timeout in, [`Step`]s out.
//!
//! What may go upstream is a [`Disposition`]. There are three, and only [`Disposition::Verified`] carries the proof that
//! the signature module alone can make.

mod admission;
mod log_view;
mod report;
mod transaction;

pub use admission::{NoAnswer, Passes, ReplayMark, Store};
pub use log_view::LogView;
pub use report::{Refusal, Report, client_request_id, verified_header_value};
pub use transaction::{Transaction, Wait};

use crate::replay::Claim;
use crate::signature::{Refused, Verified};

/// What the host has to do next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Keep head and body here and wait for more.
    Hold,
    /// Let the head go upstream and keep the body here (`hold: body`).
    HoldBody,
    /// The signature is genuine: ask [`Transaction::admit`] whether the request may pass.
    Admit(Verified),
    /// Keep the request here, ask the shared store this, and tell [`Transaction::answer`] what it says.
    Ask(Claim),
    /// Let the request go upstream.
    Forward(Disposition),
    /// Answer the request here; nothing more of it may go upstream.
    Refuse(Refused),
    /// The decision fell earlier: let what comes pass.
    Pass,
}

/// Why a request may go upstream.
#[derive(Debug)]
pub enum Disposition {
    /// Its signature is genuine, and neither its time nor its number stands against it.
    Verified(Verified, ReplayMark),
    /// Its rule demands nothing.
    Unprotected,
    /// It would be refused, and the rule only observes.
    ObservedReject(Refused),
}
