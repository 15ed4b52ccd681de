//! Redis's protocol: what is sent, and that of what comes back nothing is taken for an answer but an answer.

use proptest::collection::vec;
use proptest::prelude::*;
use twilio_guard::replay::{
    Claim, Login, Outcome, RedisStore, Repetition, Reservation, SharedError, Ticket, Told,
};

use crate::core_support::cases;
use crate::scripted::{key, store, store_of};
use crate::shared::{claim, fingerprint};

/// The commands of a pipeline, read back by the rules of the protocol.
fn commands(mut bytes: &[u8]) -> Vec<Vec<String>> {
    fn line<'a>(bytes: &mut &'a [u8], kind: u8) -> usize {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line");
        let (line, rest): (&'a [u8], _) = bytes.split_at(end);
        *bytes = &rest[2..];
        assert_eq!(line[0], kind);
        std::str::from_utf8(&line[1..]).expect("digits").parse().expect("a number")
    }
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let count = line(&mut bytes, b'*');
        let mut command = Vec::new();
        for _ in 0..count {
            let length = line(&mut bytes, b'$');
            command.push(String::from_utf8(bytes[..length].to_vec()).expect("text"));
            assert_eq!(&bytes[length..length + 2], b"\r\n");
            bytes = &bytes[length + 2..];
        }
        commands.push(command);
    }
    commands
}

fn reserved(reply: &[u8]) -> Result<Reservation, SharedError> {
    store().read_reservation(&claim(1), reply)
}

/// Reads the answer about so many passes; an error of one is one of the answer.
fn settled(passes: usize, reply: &[u8]) -> Result<(), SharedError> {
    let passes = vec![(Ticket::asked(fingerprint(1), 1), Outcome::Delivered); passes];
    all_settled(store().read_settlements(&passes, reply)?)
}

/// Whether all passes of a call are settled; else why not.
pub(crate) fn all_settled(told: Told) -> Result<(), SharedError> {
    assert_eq!(told.error.is_none(), told.again.is_empty() && told.lost == 0);
    told.error.map_or(Ok(()), Err)
}

#[test]
fn a_question_names_its_key_and_bounds_and_ends_the_connection() {
    let sent = commands(&store().reserve(&claim(1), 4_294_967_295));
    assert_eq!((sent[0][0].as_str(), sent[0][2].as_str()), ("EVAL", "1"));
    assert!(sent[0][1].contains("redis.call('TIME')"));
    assert_eq!(sent[0][3], key(&claim(1)));
    assert_eq!(sent[0][4..], ["4294967295", "600", "60", "1", "6", "0"]);
    assert_eq!(sent[1..], [["QUIT"]]);
    let strict = Claim { since: Some(77), max_deliveries: 255, max_attempts: 254, ..claim(1) };
    let sent = commands(&store().reserve(&strict, 0));
    assert_eq!(sent[0][2..5], ["2", &key(&strict), "twilio-guard:1:test:born"]);
    assert_eq!(sent[0][5..], ["0", "600", "60", "255", "254", "77"]);
}

#[test]
fn a_settlement_names_each_pass_and_what_became_of_it() {
    let pass = |capture, epoch| Ticket::asked(fingerprint(capture), epoch);
    let told =
        [(pass(1, 5), Outcome::Released), (pass(2, 6), Outcome::Attempted), (pass(1, 7), Outcome::Delivered)];
    let sent = commands(&store().settle(&told));
    let words: Vec<_> = sent[..3].iter().map(|command| command[3..].to_vec()).collect();
    assert_eq!(words[0], [key(&claim(1)), "5".into(), "released".into()]);
    assert_eq!(words[1], [key(&claim(2)), "6".into(), "attempted".into()]);
    assert_eq!(words[2], [key(&claim(1)), "7".into(), "delivered".into()]);
    assert_eq!(sent[3..], [["QUIT"]]);
}

#[test]
fn a_key_is_of_its_prefix_and_namespace_and_shows_nothing_else() {
    let of = |prefix: &str, namespace: &str| {
        commands(&RedisStore::new(Login::default(), prefix, namespace).reserve(&claim(1), 1))[0][3].clone()
    };
    let keys = [of("twilio-guard", "test"), of("twilio-guard", "other"), of("other", "test")];
    assert_eq!(keys[0], key(&claim(1)));
    let (_, digits) = keys[0].rsplit_once(':').expect("a fingerprint");
    assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
}

#[test]
fn who_signs_in_does_so_first_and_the_replies_to_that_are_read_first() {
    for (store, preamble, replies) in [
        (store(), vec![], ""),
        (store_of(None, "sesame", 0), vec![vec!["AUTH", "sesame"]], "+OK\r\n"),
        (store_of(Some("guard"), "se\r\nsame", 0), vec![vec!["AUTH", "guard", "se\r\nsame"]], "+OK\r\n"),
        (
            store_of(None, "sesame", 65_535),
            vec![vec!["AUTH", "sesame"], vec!["SELECT", "65535"]],
            "+OK\r\n+OK\r\n",
        ),
        (
            RedisStore::new(Login { database: 3, ..Login::default() }, "twilio-guard", "test"),
            vec![vec!["SELECT", "3"]],
            "+OK\r\n",
        ),
    ] {
        for sent in [store.reserve(&claim(1), 1), store.settle(&[])] {
            assert_eq!(commands(&sent)[..preamble.len()], preamble);
        }
        let body = "*2\r\n:3\r\n:0\r\n+OK\r\n";
        let read = |reply: String| store.read_reservation(&claim(1), reply.as_bytes());
        assert_eq!(read(format!("{replies}{body}")), Ok(Reservation::Delivered));
        assert_eq!(read(format!("{replies}+OK\r\n{body}")), Err(SharedError::Malformed));
        let denied = format!("-WRONGPASS invalid username-password pair\r\n-NOAUTH x\r\n{body}");
        assert_eq!(read(denied), Err(SharedError::Denied));
        if let Some(fewer) = replies.strip_suffix("+OK\r\n") {
            assert_eq!(read(format!("{fewer}{body}")), Err(SharedError::Malformed));
            assert_eq!(read(format!("{fewer}+QUEUED\r\n{body}")), Err(SharedError::Malformed));
        }
    }
}

#[test]
fn each_verdict_reads_as_what_the_script_means() {
    let pass = Ticket::asked(fingerprint(1), 4_294_967_295);
    for (reply, reservation) in [
        ("*2\r\n:0\r\n:4294967295\r\n+OK\r\n", Reservation::Granted(pass, Repetition::First)),
        ("*2\r\n:1\r\n:4294967295\r\n+OK\r\n", Reservation::Granted(pass, Repetition::Again)),
        ("*2\r\n:2\r\n:0\r\n+OK\r\n", Reservation::InFlight),
        ("*2\r\n:3\r\n:0\r\n+OK\r\n", Reservation::Delivered),
        ("*2\r\n:4\r\n:0\r\n+OK\r\n", Reservation::Exhausted),
        ("*2\r\n:5\r\n:0\r\n+OK\r\n", Reservation::TooYoung),
    ] {
        assert_eq!(reserved(reply.as_bytes()), Ok(reservation));
    }
    assert_eq!(settled(0, b"+OK\r\n"), Ok(()));
    assert_eq!(settled(3, b":1\r\n:0\r\n:1\r\n+OK\r\n"), Ok(()));
}

#[test]
fn whatever_is_no_answer_is_malformed() {
    for reply in [
        "*2\r\n:6\r\n:0\r\n+OK\r\n",
        "*2\r\n:-1\r\n:0\r\n+OK\r\n",
        "*2\r\n:00\r\n:1\r\n+OK\r\n",
        "*2\r\n:01\r\n:1\r\n+OK\r\n",
        "*2\r\n:+0\r\n:1\r\n+OK\r\n",
        "*2\r\n: 0\r\n:1\r\n+OK\r\n",
        "*2\r\n:0 \r\n:1\r\n+OK\r\n",
        "*2\r\n:\r\n:1\r\n+OK\r\n",
        "*2\r\n:0\r\n:4294967296\r\n+OK\r\n",
        "*2\r\n:0\r\n:99999999999999999999999999\r\n+OK\r\n",
        "*2\r\n:0\r\n:\u{661}\r\n+OK\r\n",
        "*2\r\n:0\r\n$1\r\n1\r\n+OK\r\n",
        "*2\n:0\n:1\n+OK\n",
        "*02\r\n:0\r\n:1\r\n+OK\r\n",
        "*3\r\n:0\r\n:1\r\n:1\r\n+OK\r\n",
        "*1\r\n:0\r\n+OK\r\n",
        "*-1\r\n+OK\r\n",
        "~2\r\n:0\r\n:1\r\n+OK\r\n",
        "$-1\r\n+OK\r\n",
        "_\r\n+OK\r\n",
        ":0\r\n+OK\r\n",
        "+OK\r\n",
        "*2\r\n:0\r\n:1\r\n+ok\r\n",
        "*2\r\n:0\r\n:1\r\n+OK \r\n",
        "*2\r\n:0\r\n:1\r\n:1\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "",
        "\r\n",
    ] {
        assert_eq!(reserved(reply.as_bytes()), Err(SharedError::Malformed), "{reply:?}");
    }
    for (passes, reply) in [
        (1, ":2\r\n+OK\r\n"),
        (1, ":-1\r\n+OK\r\n"),
        (1, ":1\r\n:1\r\n+OK\r\n"),
        (2, ":1\r\n+OK\r\n"),
        (1, "+OK\r\n"),
        (1, ":1\r\n"),
        (0, ""),
    ] {
        assert_eq!(settled(passes, reply.as_bytes()), Err(SharedError::Malformed), "{reply:?}");
    }
}

#[test]
fn each_error_of_a_server_has_its_class() {
    for (line, error) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", SharedError::Full),
        ("NOAUTH Authentication required.", SharedError::Denied),
        ("WRONGPASS invalid username-password pair or user is disabled.", SharedError::Denied),
        ("NOPERM this user has no permissions to run the 'eval' command", SharedError::Denied),
        (
            "ERR The user executing the script can't run this command or subcommand script: 2",
            SharedError::Denied,
        ),
        ("LOADING Redis is loading the dataset in memory", SharedError::Unready),
        ("BUSY Redis is busy running a script.", SharedError::Unready),
        ("READONLY You can't write against a read only replica.", SharedError::Unready),
        ("MASTERDOWN Link with MASTER is down", SharedError::Unready),
        ("CLUSTERDOWN The cluster is down", SharedError::Unready),
        ("TRYAGAIN Multiple keys request during rehashing of slot", SharedError::Unready),
        ("MISCONF Redis is configured to save RDB snapshots", SharedError::Unready),
        ("NOREPLICAS Not enough good replicas to write.", SharedError::Unready),
        ("upstream failure", SharedError::Unavailable),
        ("no upstream host", SharedError::Unavailable),
        (
            "ERR Error running script (call to f_2): @user_script:12: @user_script: 12: -OOM x",
            SharedError::Full,
        ),
        (
            "ERR Error running script (call to f_2): @user_script:12: @user_script: 12: -READONLY x",
            SharedError::Unready,
        ),
        (
            "ERR Error running script (call to f_2): @user_script:12: @user_script: 12: -MISCONF x",
            SharedError::Unready,
        ),
        ("ERR unknown command `EVAL`", SharedError::Refused),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", SharedError::Refused),
        ("MOVED 3999 127.0.0.1:6381", SharedError::Unready),
        ("ASK 3999 127.0.0.1:6381", SharedError::Unready),
        ("ERR max number of clients reached", SharedError::Unready),
        ("CROSSSLOT Keys in request don't hash to the same slot", SharedError::Refused),
        ("oom", SharedError::Refused),
        ("OOMPH", SharedError::Refused),
        ("upstream failure ", SharedError::Refused),
        (": -: -: -OOM", SharedError::Refused),
        ("", SharedError::Refused),
    ] {
        for rest in ["\r\n+OK\r\n", "\r\n"] {
            let reply = format!("-{line}{rest}");
            assert_eq!(reserved(reply.as_bytes()), Err(error), "{line}");
        }
        let reply = format!(":1\r\n-{line}\r\n:0\r\n+OK\r\n");
        assert_eq!(settled(3, reply.as_bytes()), Err(error), "{line}");
    }
}

#[test]
fn of_a_call_that_settles_many_each_pass_has_its_own_answer() {
    let passes: Vec<_> =
        (0..4).map(|capture| (Ticket::asked(fingerprint(capture), 1), Outcome::Delivered)).collect();
    let told = store()
        .read_settlements(&passes, b":1\r\n-upstream failure\r\n-WRONGTYPE x\r\n:0\r\n+OK\r\n")
        .expect("an answer");
    assert_eq!((told.again, told.lost), (vec![passes[1]], 1));
    assert_eq!(told.error, Some(SharedError::Refused));
    // What came before an answer broke off counts for nothing: all are told again.
    let torn = store().read_settlements(&passes, b":1\r\n:1\r\n");
    assert_eq!(torn, Err(SharedError::Malformed));
}

#[test]
fn a_reply_over_16_kib_is_none() {
    let of = |length: usize| format!("-OOM {}\r\n", "x".repeat(length - 7)).into_bytes();
    assert_eq!(reserved(&of(16 * 1024)), Err(SharedError::Full));
    assert_eq!(reserved(&of(16 * 1024 + 1)), Err(SharedError::Malformed));
}

#[test]
fn every_error_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = SharedError::ALL.iter().map(|error| error.code()).collect();
    assert_eq!(names.len(), SharedError::ALL.len());
    let in_doubt: Vec<_> =
        SharedError::ALL.iter().filter(|error| error.is_in_doubt()).map(|error| error.code()).collect();
    assert_eq!(in_doubt, ["timeout", "unavailable", "reset", "malformed"]);
}

/// Bytes that look like replies.
fn reply_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"*2",
        b"*",
        b":",
        b"0",
        b"1",
        b"3",
        b"-",
        b"+OK",
        b"+",
        b"$-1",
        b"\r\n",
        b"\r",
        b"\n",
        b": -",
        b"OOM ",
        b"ERR ",
        b"\xff",
        b"4294967295",
        b"4294967296",
        b" ",
    ];
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let any_bytes = vec(any::<u8>(), 0..40);
    prop_oneof![
        vec(prop::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat()),
        any_bytes,
        (0u32..6, any::<u32>()).prop_map(|(verdict, epoch)| answer(verdict, epoch)),
    ]
}

fn answer(verdict: u32, epoch: u32) -> Vec<u8> {
    format!("*2\r\n:{verdict}\r\n:{epoch}\r\n+OK\r\n").into_bytes()
}

proptest! {
    #![proptest_config(cases(4000))]

    /// What is accepted is exactly what the script sends, to the byte.
    #[test]
    fn any_bytes_are_an_answer_or_an_error(reply in reply_like()) {
        if let Ok(reservation) = reserved(&reply) {
            let verdict = match reservation {
                Reservation::Granted(_, Repetition::First) => 0,
                Reservation::Granted(_, Repetition::Again) => 1,
                Reservation::InFlight => 2,
                Reservation::Delivered => 3,
                Reservation::Exhausted => 4,
                Reservation::TooYoung => 5,
                Reservation::Unrecorded => panic!("no script says so"),
            };
            let text = std::str::from_utf8(&reply).expect("text");
            let epoch: u32 = text.split("\r\n:").nth(2).and_then(|rest| rest.split_once('\r')).expect("an epoch").0.parse().expect("a number");
            prop_assert_eq!(&reply, &answer(verdict, epoch));
            if let Reservation::Granted(ticket, _) = reservation {
                prop_assert_eq!(ticket, Ticket::asked(fingerprint(1), epoch));
            }
        }
        for passes in 0..3 {
            if settled(passes, &reply).is_ok() {
                prop_assert_eq!(reply.len(), passes * 4 + 5);
            }
        }
        let _ = store_of(None, "sesame", 1).read_reservation(&claim(1), &reply);
    }

    /// Neither a part of an answer is one, nor one with something behind it.
    #[test]
    fn a_torn_or_lengthened_answer_is_none(verdict in 0u32..6, epoch: u32, more in vec(any::<u8>(), 1..8)) {
        let whole = answer(verdict, epoch);
        prop_assert!(reserved(&whole).is_ok());
        for length in 0..whole.len() {
            prop_assert_eq!(reserved(&whole[..length]), Err(SharedError::Malformed), "{}", length);
        }
        prop_assert!(reserved(&[whole.as_slice(), &more].concat()).is_err());
        let told = b":1\r\n:0\r\n+OK\r\n";
        for length in 0..told.len() {
            prop_assert_eq!(settled(2, &told[..length]), Err(SharedError::Malformed));
        }
        prop_assert!(settled(2, &[told.as_slice(), &more].concat()).is_err());
    }

    /// One changed byte makes another answer, or none.
    #[test]
    fn an_answer_with_another_byte_is_not_the_same_answer(verdict in 0u32..6, epoch: u32, at: prop::sample::Index, byte: u8) {
        let whole = answer(verdict, epoch);
        let mut changed = whole.clone();
        changed[at.index(whole.len())] = byte;
        if changed != whole && verdict < 2 {
            prop_assert_ne!(reserved(&changed), reserved(&whole));
        }
    }
}
