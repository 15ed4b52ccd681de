//! The scripts in a real Redis, whose clock is the test's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use twilio_guard::config::Secret;
use twilio_guard::replay::{Claim, Login, Outcome, RedisStore, Reservation, SharedError, Ticket};

use crate::resp::all_settled;
use crate::support::DEADLINE;
use crate::support::redis::{Edition, Redis, Setup};

/// Where the test's second is kept.
const CLOCK: &str = "clock";

/// What stands before a script: its `TIME` is the test's. The script itself is the one that is shipped.
const TIME_TRAVEL: &str = "local true_redis, second = redis, redis.call('GET', 'clock')
local redis = {pcall = redis.pcall, call = function(name, ...)
  if name == 'TIME' then return {second, '0'} end
  return true_redis.call(name, ...)
end}
";

/// The last command of a pipeline, and one that keeps the connection.
const QUIT: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";
const ECHO: &[u8] = b"*2\r\n$4\r\nECHO\r\n$3\r\nend\r\n";
const ECHOED: &[u8] = b"$3\r\nend\r\n";
const OK: &[u8] = b"+OK\r\n";

/// A Redis, and one connection to it that is kept.
pub(crate) struct Scripted {
    pub(crate) redis: Redis,
    pub(crate) edition: Edition,
    connection: TcpStream,
    store: RedisStore,
}

impl Scripted {
    pub(crate) fn start(edition: Edition) -> Self {
        Self::with(Setup { edition, ..Setup::default() })
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let edition = setup.edition;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let redis = runtime.block_on(Redis::with(setup)).expect("a Redis");
        Self { connection: connect(redis.address()), store: store(), edition, redis }
    }

    /// The same without a key.
    pub(crate) fn emptied(&self) -> &Self {
        self.redis_command(&["FLUSHALL"]);
        self
    }

    pub(crate) fn reserve(&self, claim: &Claim, now: u32, epoch: u32) -> Result<Reservation, SharedError> {
        self.store.read_reservation(claim, &self.at(now, &self.store.reserve(claim, epoch)))
    }

    pub(crate) fn settle(&self, passes: &[(Ticket, Outcome)], now: u32) -> Result<(), SharedError> {
        all_settled(self.store.read_settlements(passes, &self.at(now, &self.store.settle(passes)))?)
    }

    /// How many captures it knows.
    pub(crate) fn keys(&self) -> usize {
        let reply = self.redis_command(&["DBSIZE"]);
        let count: usize = reply.trim_start_matches(':').trim_end().parse().expect("a number");
        count.saturating_sub(1)
    }

    /// The reply to one command, as it comes.
    pub(crate) fn redis_command(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.exchange(&command(arguments))).expect("text")
    }

    /// The reply to a pipeline, as if the second were this one.
    fn at(&self, now: u32, pipeline: &[u8]) -> Vec<u8> {
        let commands = pipeline.strip_suffix(QUIT).expect("a pipeline ends the connection");
        let clock = command(&["SET", CLOCK, &now.to_string()]);
        let reply = self.exchange(&[clock, travelling(commands)].concat());
        [reply.strip_prefix(OK).expect("the clock is set"), OK].concat()
    }

    fn exchange(&self, commands: &[u8]) -> Vec<u8> {
        let mut connection = &self.connection;
        connection.write_all(&[commands, ECHO].concat()).expect("written");
        let (mut reply, mut piece) = (Vec::new(), [0; 4096]);
        while !reply.ends_with(ECHOED) {
            let length = connection.read(&mut piece).expect("a reply");
            assert!(length > 0, "the connection ended");
            reply.extend_from_slice(&piece[..length]);
        }
        reply.truncate(reply.len() - ECHOED.len());
        reply
    }
}

/// A store that signs in nowhere.
pub(crate) fn store() -> RedisStore {
    RedisStore::new(Login::default(), "twilio-guard", "test")
}

/// One that signs in.
pub(crate) fn store_of(username: Option<&str>, password: &str, database: u32) -> RedisStore {
    let secret = |text: &str| Secret::from(text.to_owned());
    let login = Login { username: username.map(secret), password: Some(secret(password)), database };
    RedisStore::new(login, "twilio-guard", "test")
}

/// The key of a capture.
pub(crate) fn key(claim: &Claim) -> String {
    let digits: String = claim.fingerprint.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("twilio-guard:1:test:{digits}")
}

/// The reply to a pipeline exactly as it is, on a connection of its own that the server ends.
pub(crate) fn call(address: SocketAddr, pipeline: &[u8]) -> Vec<u8> {
    let mut connection = connect(address);
    connection.write_all(pipeline).expect("written");
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).expect("a reply and its end");
    reply
}

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    connection.set_nodelay(true).expect("no delay");
    connection
}

fn command(arguments: &[&str]) -> Vec<u8> {
    let arguments = arguments.iter().map(|text| format!("${}\r\n{text}\r\n", text.len()));
    let arguments: Vec<String> = arguments.collect();
    format!("*{}\r\n{}", arguments.len(), arguments.concat()).into_bytes()
}

/// Puts [`TIME_TRAVEL`] before each script.
fn travelling(commands: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(commands).expect("text");
    let mut pieces = text.split("$4\r\nEVAL\r\n$");
    let mut out = pieces.next().expect("a beginning").to_owned();
    for piece in pieces {
        let (length, rest) = piece.split_once("\r\n").expect("a length");
        let length = length.parse::<usize>().expect("a number") + TIME_TRAVEL.len();
        out += &format!("$4\r\nEVAL\r\n${length}\r\n{TIME_TRAVEL}{rest}");
    }
    out.into_bytes()
}
