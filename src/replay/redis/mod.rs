//! The store that replicas share: two scripts in a Redis, and what is sent for them.
//!
//! Each rule is the local store's, and the same model tests both. Redis runs a script as one step, so a pass is asked for in one round
//! trip. Keys hold 16 bytes of a SHA-256: no signature, and nothing that leads to one (DESIGN section 6).
//!
//! The commands of one call form a pipeline that ends with `QUIT`: the server then closes the connection, and the proxy knows that the
//! reply is whole without knowing RESP.

mod resp;
mod settlements;

use std::fmt::Write as _;

use resp::{Replies, write_command};
pub use settlements::{Batch, Settlements};

use super::{Claim, Fingerprint, Outcome, Repetition, Reservation, Ticket};
use crate::config::Secret;

/// Raised when the scripts change what they keep; part of every key.
const LAYOUT: u8 = 1;

const RESERVE: &str = include_str!("reserve.lua");
const SETTLE: &str = include_str!("settle.lua");

macro_rules! shared_errors {
    ($($(#[doc = $doc:literal])+ $variant:ident => $code:literal;)+) => {
        /// Why the shared store cannot say whether a request was there before. Carries nothing of what was sent or received.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum SharedError { $($(#[doc = $doc])+ $variant,)+ }

        impl SharedError {
            /// Every error.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its stable snake_case name, in metrics and log.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

shared_errors! {
    /// The proxy has no such cluster, or would not make the call because a circuit breaker of that cluster is open.
    NoCluster => "no_cluster";
    /// No answer came in time.
    Timeout => "timeout";
    /// No server could be reached: none is healthy, it refused the connection, or a circuit breaker on the way to it is open.
    Unavailable => "unavailable";
    /// The connection ended before the answer was whole.
    Reset => "reset";
    /// The answer is none that the scripts give.
    Malformed => "malformed";
    /// The server wants other credentials, or does not let these do what the scripts do.
    Denied => "denied";
    /// The server has no memory left.
    Full => "full";
    /// The server is loading, busy, a replica, or part of a cluster that is down.
    Unready => "unready";
    /// The server answered with another error.
    Refused => "refused";
}

impl SharedError {
    /// Whether the server may have carried out what it was asked all the same.
    #[must_use]
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::Malformed | Self::Unavailable)
    }
}

/// Who the filter is to the server, and where it keeps what it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The ACL user; without one, the default user.
    pub username: Option<Secret>,
    /// The password; without one, no `AUTH` is sent.
    pub password: Option<Secret>,
    /// The database; 0 is where every connection begins.
    pub database: u32,
}

/// What became of a call that settles passes, beside those that are settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// To be told again.
    pub again: Vec<(Ticket, Outcome)>,
    /// How many can never be told.
    pub lost: usize,
    /// The last reason why not all are settled.
    pub error: Option<SharedError>,
}

/// The commands of one namespace, and how their replies read.
#[derive(Debug)]
pub struct RedisStore {
    login: Login,
    prefix: String,
}

impl RedisStore {
    /// The store of a namespace under a key prefix. Whoever names both the same, on the same server and database, shares it.
    #[must_use]
    pub fn new(login: Login, key_prefix: &str, namespace: &str) -> Self {
        Self { login, prefix: format!("{key_prefix}:{LAYOUT}:{namespace}:") }
    }

    /// What to send to ask for a pass. `epoch` is a random number.
    #[must_use]
    pub fn reserve(&self, claim: &Claim, epoch: u32) -> Vec<u8> {
        let key = self.key(&claim.fingerprint);
        let born = format!("{}born", self.prefix);
        let numbers = [
            epoch,
            claim.window,
            claim.lease,
            claim.max_deliveries.into(),
            claim.max_attempts.into(),
            claim.since.unwrap_or_default(),
        ];
        let numbers = numbers.map(|number| number.to_string());
        let mut command = vec!["EVAL", RESERVE];
        match claim.since {
            Some(_) => command.extend(["2", &key, &born]),
            None => command.extend(["1", &key]),
        }
        command.extend(numbers.iter().map(String::as_str));
        self.pipeline([command])
    }

    /// Reads the answer to [`Self::reserve`].
    ///
    /// # Errors
    /// The server cannot tell, or does not answer as the script does.
    pub fn read_reservation(&self, claim: &Claim, reply: &[u8]) -> Result<Reservation, SharedError> {
        let mut replies = self.open(reply)?;
        let (verdict, epoch) = replies.pair()?;
        Self::close(replies)?;
        let ticket = Ticket { fingerprint: claim.fingerprint, epoch };
        Ok(match verdict {
            0 => Reservation::Granted(ticket, Repetition::First),
            1 => Reservation::Granted(ticket, Repetition::Again),
            2 => Reservation::InFlight,
            3 => Reservation::Delivered,
            4 => Reservation::Exhausted,
            5 => Reservation::TooYoung,
            _ => return Err(SharedError::Malformed),
        })
    }

    /// What to send to settle passes.
    #[must_use]
    pub fn settle(&self, passes: &[(Ticket, Outcome)]) -> Vec<u8> {
        let texts: Vec<_> = passes
            .iter()
            .map(|(ticket, outcome)| {
                (self.key(&ticket.fingerprint), ticket.epoch.to_string(), word(*outcome))
            })
            .collect();
        self.pipeline(
            texts.iter().map(|(key, epoch, outcome)| vec!["EVAL", SETTLE, "1", key, epoch, outcome]),
        )
    }

    /// Reads the answer to [`Self::settle`]. A pass that nobody knows any more is settled, too.
    ///
    /// # Errors
    /// Nothing is known of any of the passes.
    pub fn read_settlements(&self, passes: &[(Ticket, Outcome)], reply: &[u8]) -> Result<Told, SharedError> {
        let mut replies = self.open(reply)?;
        let mut told = Told::default();
        for pass in passes {
            match replies.integer() {
                Ok(0 | 1) => {}
                Ok(_) | Err(SharedError::Malformed) => return Err(SharedError::Malformed),
                Err(error) => {
                    told.error = Some(error);
                    if error == SharedError::Refused {
                        // The script itself failed, as it will again.
                        told.lost = told.lost.saturating_add(1);
                    } else {
                        // The node of this key cannot do it now.
                        told.again.push(*pass);
                    }
                }
            }
        }
        Self::close(replies)?;
        Ok(told)
    }

    fn pipeline<'a>(&self, commands: impl IntoIterator<Item = Vec<&'a str>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut add = |command: &[&str]| {
            let command: Vec<&[u8]> = command.iter().map(|argument| argument.as_bytes()).collect();
            write_command(&command, &mut bytes);
        };
        let Login { username, password, database } = &self.login;
        match (username, password) {
            (Some(username), Some(password)) => add(&["AUTH", username.reveal(), password.reveal()]),
            (None, Some(password)) => add(&["AUTH", password.reveal()]),
            (_, None) => {}
        }
        if *database != 0 {
            add(&["SELECT", &database.to_string()]);
        }
        commands.into_iter().for_each(|command| add(&command));
        add(&["QUIT"]);
        bytes
    }

    /// The replies, after those to what goes before the commands.
    fn open<'a>(&self, reply: &'a [u8]) -> Result<Replies<'a>, SharedError> {
        let mut replies = Replies::new(reply)?;
        if self.login.password.is_some() {
            replies.ok()?;
        }
        if self.login.database != 0 {
            replies.ok()?;
        }
        Ok(replies)
    }

    fn close(mut replies: Replies<'_>) -> Result<(), SharedError> {
        replies.ok()?;
        replies.end()
    }

    fn key(&self, fingerprint: &Fingerprint) -> String {
        let mut key = self.prefix.clone();
        for byte in fingerprint.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Released => "released",
        Outcome::Attempted => "attempted",
        Outcome::Delivered => "delivered",
    }
}
