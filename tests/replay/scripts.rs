//! What the scripts do to a real Redis beyond the model: races, lifetimes, age, rights, replication, memory, and keys of strangers.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use twilio_guard::replay::{Claim, Login, Outcome, RedisStore, Repetition, Reservation, SharedError, Ticket};

use crate::resp::all_settled;
use crate::scripted::{Scripted, call, key, store, store_of};
use crate::shared::claim;
use crate::support::redis::{Edition, Setup};

const RESERVE: &str = include_str!("../../src/replay/redis/reserve.lua");
const SETTLE: &str = include_str!("../../src/replay/redis/settle.lua");

/// What the scripts do, and the only command beside `EVAL` that a user of the store needs.
const COMMANDS: &[&str] = &["DEL", "EXPIRE", "GET", "HMGET", "HSET", "SET", "TIME"];

/// Both that are supported.
fn each(setup: impl Fn(Setup) -> Setup, test: impl Fn(&Scripted)) {
    for edition in [Edition::Found, Edition::Six] {
        test(&Scripted::with(setup(Setup { edition, ..Setup::default() })));
    }
}

/// Asks by Redis's own clock, with the bytes as they are.
fn ask(
    scripted: &Scripted,
    store: &RedisStore,
    claim: &Claim,
    epoch: u32,
) -> Result<Reservation, SharedError> {
    store.read_reservation(claim, &call(scripted.redis.address(), &store.reserve(claim, epoch)))
}

fn tell(scripted: &Scripted, store: &RedisStore, passes: &[(Ticket, Outcome)]) -> Result<(), SharedError> {
    all_settled(store.read_settlements(passes, &call(scripted.redis.address(), &store.settle(passes)))?)
}

fn granted(reservation: Result<Reservation, SharedError>) -> (Ticket, Repetition) {
    match reservation {
        Ok(Reservation::Granted(ticket, repetition)) => (ticket, repetition),
        other => panic!("{other:?}"),
    }
}

/// The integer that Redis answers to a command.
fn number(scripted: &Scripted, command: &[&str]) -> u32 {
    let reply = scripted.redis_command(command);
    reply.strip_prefix(':').and_then(|rest| rest.trim_end().parse().ok()).unwrap_or_else(|| panic!("{reply}"))
}

/// How many keys stay for ever, by `INFO keyspace`.
fn endless_keys(keyspace: &str) -> u32 {
    let counts = |name: &str| -> u32 {
        let values =
            keyspace.split(name).skip(1).map(|rest| rest.split([',', '\r']).next().expect("a number"));
        values.map(|value| value.parse::<u32>().expect("a number")).sum()
    };
    counts("keys=") - counts(",expires=")
}

#[test]
fn the_scripts_use_these_commands_and_no_others() {
    let used: BTreeSet<&str> = [RESERVE, SETTLE]
        .iter()
        .flat_map(|script| script.split("call('").skip(1))
        .map(|rest| rest.split('\'').next().expect("a name"))
        .collect();
    assert_eq!(used, COMMANDS.iter().copied().collect());
    let caught = |script: &str| script.matches("redis.pcall").count();
    assert_eq!((caught(RESERVE), caught(SETTLE)), (1, 0), "an error is caught in one place, and handed on");
}

#[test]
fn a_user_with_exactly_these_rights_is_served_and_one_without_any_of_them_is_denied() {
    each(
        |setup| setup,
        |scripted| {
            let needed: Vec<String> = ["EVAL", "SELECT"]
                .iter()
                .chain(COMMANDS)
                .map(|name| format!("+{}", name.to_lowercase()))
                .collect();
            let user = |rights: &[&str]| {
                let fixed =
                    ["ACL", "SETUSER", "guard", "reset", "on", ">sesame", "~twilio-guard:1:*", "-@all"];
                assert_eq!(scripted.redis_command(&[&fixed, rights].concat()), "+OK\r\n");
            };
            let all: Vec<&str> = needed.iter().map(String::as_str).collect();
            let own = store_of(Some("guard"), "sesame", 3);
            let strict = Claim { since: Some(u32::MAX), ..claim(1) };
            user(&all);
            let (ticket, repetition) = granted(ask(scripted, &own, &strict, 7));
            assert_eq!((ticket, repetition), (Ticket::asked(strict.fingerprint, 7), Repetition::First));
            // Two in one call: the second finds nothing any more.
            tell(scripted, &own, &[(ticket, Outcome::Released), (ticket, Outcome::Released)])
                .expect("settled");
            assert!(granted(ask(scripted, &own, &strict, 8)).1 == Repetition::First);
            for missing in &all {
                let rest: Vec<&str> = all.iter().copied().filter(|right| right != missing).collect();
                scripted.emptied();
                user(&rest);
                let asked = ask(scripted, &own, &strict, 9);
                // Since when it remembers is all that has no end.
                let keyspace = scripted.redis_command(&["INFO", "keyspace"]);
                assert!(endless_keys(&keyspace) <= 1, "{missing}: {keyspace}");
                let told = tell(scripted, &own, &[(Ticket::asked(strict.fingerprint, 9), Outcome::Released)]);
                assert!(asked.is_err() || told.is_err(), "{missing}");
                for error in asked.err().into_iter().chain(told.err()) {
                    assert_eq!(error, SharedError::Denied, "{missing}");
                }
            }
            user(&all);
            let other_keys = RedisStore::new(Login::default(), "elsewhere", "test");
            assert_eq!(
                ask(scripted, &store_of(Some("guard"), "wrong", 0), &strict, 1),
                Err(SharedError::Denied)
            );
            assert!(ask(scripted, &other_keys, &strict, 1).is_ok(), "the default user still may");
        },
    );
}

#[test]
fn a_password_that_is_missing_or_wrong_is_denied() {
    each(
        |setup| setup.with(&["--requirepass", "sesame"]),
        |scripted| {
            assert_eq!(ask(scripted, &store(), &claim(1), 1), Err(SharedError::Denied));
            assert_eq!(ask(scripted, &store_of(None, "wrong", 0), &claim(1), 1), Err(SharedError::Denied));
            assert!(
                granted(ask(scripted, &store_of(None, "sesame", 0), &claim(1), 1)).1 == Repetition::First
            );
        },
    );
}

#[test]
fn of_copies_that_race_over_connections_of_their_own_one_passes() {
    const RACERS: u32 = 8;
    each(
        |setup| setup,
        |scripted| {
            for capture in 0..50 {
                let (claim, barrier) = (claim(capture), Barrier::new(8));
                let race = |epoch: u32| {
                    barrier.wait();
                    ask(scripted, &store(), &claim, epoch)
                };
                let race = &race;
                let answers: Vec<_> = thread::scope(|scope| {
                    let racers: Vec<_> = (0..RACERS).map(|epoch| scope.spawn(move || race(epoch))).collect();
                    racers.into_iter().map(|racer| racer.join().expect("a racer")).collect()
                });
                let passes =
                    answers.iter().filter(|answer| matches!(answer, Ok(Reservation::Granted(..)))).count();
                let refused = answers.iter().filter(|answer| **answer == Ok(Reservation::InFlight)).count();
                assert_eq!((passes, refused), (1, 7), "{answers:?}");
            }
        },
    );
}

#[test]
fn a_key_lives_for_a_window_from_its_first_copy_and_no_longer() {
    each(
        |setup| setup,
        |scripted| {
            let (claim, key) = (claim(1), key(&claim(1)));
            let lives = || number(scripted, &["PTTL", &key]);
            let (ticket, _) = granted(ask(scripted, &store(), &claim, 1));
            let first = lives();
            assert!((590_000..=600_000).contains(&first), "{first}");
            // Whatever happens afterwards, it ends when it would have ended.
            scripted.redis_command(&["EXPIRE", &key, "300"]);
            tell(scripted, &store(), &[(ticket, Outcome::Attempted)]).expect("settled");
            assert!(lives() <= 300_000);
            granted(ask(scripted, &store(), &claim, 2));
            assert!(lives() <= 300_000);
            tell(scripted, &store(), &[(Ticket::asked(claim.fingerprint, 2), Outcome::Delivered)])
                .expect("settled");
            assert!(lives() <= 300_000);
            // A key that is gone is not made again without an end.
            assert_eq!(number(scripted, &["DEL", &key]), 1);
            tell(scripted, &store(), &[(ticket, Outcome::Delivered)]).expect("nobody to tell");
            assert_eq!(number(scripted, &["EXISTS", &key]), 0);
        },
    );
}

#[test]
fn a_strict_store_is_as_old_as_its_key_says_and_forgets_that_with_the_rest() {
    each(
        |setup| setup,
        |scripted| {
            let now = 1_000_000;
            let since = |second: u32, capture| Claim { since: Some(second), ..claim(capture) };
            // The first who asks makes it; it is not older than now.
            assert_eq!(scripted.reserve(&since(now - 1, 1), now, 1), Ok(Reservation::TooYoung));
            assert_eq!(scripted.redis_command(&["GET", "twilio-guard:1:test:born"]), "$7\r\n1000000\r\n");
            assert_eq!(scripted.redis_command(&["TTL", "twilio-guard:1:test:born"]), ":-1\r\n");
            assert_eq!(number(scripted, &["EXISTS", &key(&claim(1))]), 0, "what is refused leaves nothing");
            assert!(granted(scripted.reserve(&since(now, 1), now + 5, 1)).1 == Repetition::First);
            assert_eq!(scripted.reserve(&since(now - 1, 2), now + 5, 1), Ok(Reservation::TooYoung));
            // A window later it knows all of it.
            assert!(granted(scripted.reserve(&since(now + 1, 2), now + 601, 1)).1 == Repetition::First);
            // Who does not ask for the age makes no such key.
            scripted.emptied();
            granted(scripted.reserve(&claim(3), now + 602, 1));
            assert_eq!(scripted.keys(), 1);
            assert_eq!(scripted.reserve(&since(now + 1, 2), now + 603, 1), Ok(Reservation::TooYoung));
        },
    );
}

#[test]
fn a_settlement_that_comes_after_its_lease_or_window_counts_what_was_delivered_and_nothing_else() {
    each(
        |setup| setup,
        |scripted| {
            let now = 1_000_000;
            let settle =
                |ticket, outcome, second| scripted.settle(&[(ticket, outcome)], second).expect("settled");
            for outcome in [Outcome::Released, Outcome::Attempted, Outcome::Delivered] {
                scripted.emptied();
                let claim = claim(1);
                let (first, _) = granted(scripted.reserve(&claim, now, 1));
                let (second, repetition) = granted(scripted.reserve(&claim, now + 60, 2));
                assert!(repetition == Repetition::Again, "the lease ended");
                settle(first, outcome, now + 61);
                let answer = scripted.reserve(&claim, now + 62, 3);
                let was_delivered = outcome == Outcome::Delivered;
                let expected = if was_delivered { Reservation::Delivered } else { Reservation::InFlight };
                assert_eq!(answer, Ok(expected), "{outcome:?}: the second's pass is its own");
                settle(second, Outcome::Attempted, now + 63);
                // The window is over: a new one begins as if nothing had been.
                settle(second, outcome, now + 600);
                assert!(granted(scripted.reserve(&claim, now + 600, 4)).1 == Repetition::First);
            }
        },
    );
}

/// Where several copies may be under way, they share an epoch: what is told twice then ends the pass of another. It never lets more copies
/// be delivered than one for each such telling.
#[test]
fn what_is_told_twice_ends_at_most_one_pass_of_another_copy() {
    each(
        |setup| setup,
        |scripted| {
            let (now, two) = (1_000_000, Claim { max_deliveries: 2, ..claim(1) });
            let (first, _) = granted(scripted.reserve(&two, now, 1));
            let (second, _) = granted(scripted.reserve(&two, now, 2));
            assert_eq!((first, scripted.reserve(&two, now, 3)), (second, Ok(Reservation::InFlight)));
            let told = [(first, Outcome::Attempted), (first, Outcome::Attempted)];
            scripted.settle(&told, now).expect("settled");
            granted(scripted.reserve(&two, now, 4));
            granted(scripted.reserve(&two, now, 5));
            assert_eq!(scripted.reserve(&two, now, 6), Ok(Reservation::InFlight));
            scripted.settle(&[(second, Outcome::Delivered)], now).expect("settled");
            assert_eq!(scripted.reserve(&two, now, 7), Ok(Reservation::InFlight));
        },
    );
}

#[test]
fn a_key_of_another_type_is_an_error_and_stays_as_it_is() {
    each(
        |setup| setup,
        |scripted| {
            let (claim, key) = (claim(1), key(&claim(1)));
            let strict = Claim { since: Some(u32::MAX), ..claim };
            for (key, asked) in [(key.as_str(), &claim), ("twilio-guard:1:test:born", &strict)] {
                scripted.emptied();
                scripted.redis_command(&["RPUSH", key, "stranger"]);
                assert_eq!(ask(scripted, &store(), asked, 1), Err(SharedError::Refused));
                if asked.since.is_none() {
                    let ticket = Ticket::asked(claim.fingerprint, 1);
                    let told = tell(scripted, &store(), &[(ticket, Outcome::Delivered)]);
                    assert_eq!(told, Err(SharedError::Refused));
                }
                assert_eq!(scripted.redis_command(&["LRANGE", key, "0", "-1"]), "*1\r\n$8\r\nstranger\r\n");
            }
        },
    );
}

#[test]
fn a_redis_without_memory_says_so_and_nothing_is_half_written() {
    each(
        |setup| setup,
        |scripted| {
            let (ticket, _) = granted(ask(scripted, &store(), &claim(1), 1));
            let before = scripted.redis_command(&["HGETALL", &key(&claim(1))]);
            scripted.redis_command(&["CONFIG", "SET", "maxmemory", "1"]);
            assert_eq!(ask(scripted, &store(), &claim(2), 1), Err(SharedError::Full));
            assert_eq!(
                ask(scripted, &store(), &Claim { since: Some(1), ..claim(2) }, 1),
                Err(SharedError::Full)
            );
            assert_eq!(tell(scripted, &store(), &[(ticket, Outcome::Delivered)]), Err(SharedError::Full));
            assert_eq!(scripted.redis_command(&["HGETALL", &key(&claim(1))]), before);
            assert_eq!(scripted.redis_command(&["DBSIZE"]), ":1\r\n");
            scripted.redis_command(&["CONFIG", "SET", "maxmemory", "0"]);
            tell(scripted, &store(), &[(ticket, Outcome::Delivered)]).expect("settled");
            assert_eq!(ask(scripted, &store(), &claim(1), 2), Ok(Reservation::Delivered));
        },
    );
}

/// Redis replicates what a script did, not the script: the replica's clock decides nothing.
#[test]
fn a_replica_knows_what_the_primary_knows_and_lets_nothing_pass() {
    each(
        |setup| setup,
        |primary| {
            let port = primary.redis.address().port().to_string();
            let edition = primary.edition;
            let replica = Scripted::with(Setup { edition, ..Setup::default() }.with(&[
                "--replicaof",
                "127.0.0.1",
                &port,
            ]));
            let (first, _) = granted(ask(primary, &store(), &claim(1), 1));
            granted(ask(primary, &store(), &claim(2), 2));
            tell(primary, &store(), &[(first, Outcome::Delivered)]).expect("settled");
            // It waits for what its own connection wrote.
            primary.redis_command(&["SET", "last", "1"]);
            assert_eq!(number(primary, &["WAIT", "1", "30000"]), 1);
            for capture in [1, 2] {
                let command = ["HGETALL", &key(&claim(capture))];
                let own = primary.redis_command(&command);
                assert!(own.contains("until") && own == replica.redis_command(&command), "{own}");
            }
            // It can refuse what it knows, and let nothing pass.
            assert_eq!(ask(&replica, &store(), &claim(1), 3), Ok(Reservation::Delivered));
            assert_eq!(ask(&replica, &store(), &claim(3), 3), Err(SharedError::Unready));
            assert_eq!(tell(&replica, &store(), &[(first, Outcome::Delivered)]), Err(SharedError::Unready));
            assert_eq!(replica.redis_command(&["REPLICAOF", "NO", "ONE"]), "+OK\r\n");
            assert_eq!(ask(&replica, &store(), &claim(1), 4), Ok(Reservation::Delivered));
        },
    );
}

/// About 290, as docs/configuration.md says; the rest is room for tables that Redis is about to free.
#[test]
fn an_entry_takes_less_than_340_bytes() {
    const ENTRIES: u32 = 4096;
    each(
        |setup| setup,
        |scripted| {
            let used = || {
                let info = scripted.redis_command(&["INFO", "memory"]);
                let line =
                    info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used_memory");
                line.trim().parse::<u32>().expect("a number")
            };
            // So that it has its scripts already.
            let (ticket, _) = granted(scripted.reserve(&claim(0), 1_700_000_000, 1));
            scripted.settle(&[(ticket, Outcome::Delivered)], 1_700_000_000).expect("settled");
            let before = used();
            for capture in 1..=ENTRIES {
                let (ticket, _) = granted(scripted.reserve(&claim(capture.into()), 1_700_000_000, u32::MAX));
                scripted.settle(&[(ticket, Outcome::Delivered)], 1_700_000_000).expect("settled");
            }
            let each = (used() - before) / ENTRIES;
            let own = number(scripted, &["MEMORY", "USAGE", &key(&claim(1))]);
            assert!((100..340).contains(&each) && own <= each, "{each}, {own}");
        },
    );
}
