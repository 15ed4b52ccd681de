//! What the filter costs: one redaction of a request target, one pass of the replay store, and one judgement of a head for scale.
//!
//! `make bench` runs this natively, `make bench-wasm` as WebAssembly.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use twilio_guard::config::{Plan, Secret};
use twilio_guard::guard::{Step, Transaction};
use twilio_guard::redact::Policy;
use twilio_guard::replay::{
    Claim, Fingerprint, Geometry, LocalStore, Outcome, Reservation, SharedData, Slot, StoreError,
};
use twilio_guard::request::{Occurs, RequestHead};

const TOKEN: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
const HASH_KEY: &str = "bench-key-of-32-bytes-or-more-00";

/// An inbound SMS by GET, with 20 parameters.
const SMS: &str = "/twilio/sms?ToCountry=US&ToState=CA&SmsMessageSid=SMd36c0364e3842955b2c8f86da3bd8ad6&NumMedia=0\
    &ToCity=SAN+FRANCISCO&FromZip=20001&SmsSid=SMd36c0364e3842955b2c8f86da3bd8ad6&FromState=DC&SmsStatus=received\
    &FromCity=WASHINGTON&Body=My+chest+hurts&FromCountry=US&To=%2B14155550100&ToZip=94107&NumSegments=1\
    &MessageSid=SMd36c0364e3842955b2c8f86da3bd8ad6&AccountSid=ACc814bc7d21cb80ca91783d6f1e577433\
    &From=%2B12025550123&ApiVersion=2010-04-01&MessagingServiceSid=MGd36c0364e3842955b2c8f86da3bd8ad6";

/// Its signature under [`TOKEN`].
const SIGNATURE: &str = "IgwFG2sLoY97TXOcDWqxtD3jhNY=";

const CONFIG: &str = r#"{
    "public_url": "https://hooks.example.org",
    "accounts": [{"sid": "ACc814bc7d21cb80ca91783d6f1e577433", "auth_tokens": [{"env": "TOKEN"}]}],
    "default": "deny",
    "routes": [{"name": "sms", "match": {"path": "/twilio/sms"}, "verify": "twilio"}]
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    redaction(&mut criterion);
    judgement(&mut criterion)?;
    replay(&mut criterion);
    criterion.final_summary();
    Ok(())
}

fn redaction(criterion: &mut Criterion) {
    let unkeyed = Policy::default();
    let keyed = Policy::default().with_hash_key(&Secret::from(HASH_KEY.to_owned()));
    // What costs most within the limits of 8 KiB and 256 pairs: values that pass every detector, and a pseudonym in each pair.
    let kept = query("CallStatus=abcdef-1.2.3-ghijk&");
    let hashed = query("To=%2B120255501230000000000000&");
    let mut group = criterion.benchmark_group("redact");
    for (name, policy, target) in [
        ("short_path", &unkeyed, "/twilio/voice"),
        ("sms_20_params", &unkeyed, SMS),
        ("sms_20_params_keyed", &keyed, SMS),
        ("query_8k_kept", &unkeyed, &kept),
        ("query_8k_hashed_keyed", &keyed, &hashed),
    ] {
        group.throughput(Throughput::Bytes(target.len().try_into().unwrap_or(u64::MAX)));
        group.bench_function(name, |bencher| bencher.iter(|| policy.target(black_box(target).as_bytes())));
    }
    group.finish();
}

/// The longest query of this pair that is not truncated.
fn query(pair: &str) -> String {
    let count = (8192 / pair.len()).min(256);
    format!("/x?{}", pair.repeat(count))
}

fn judgement(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| (name == "TOKEN").then(|| TOKEN.to_owned());
    let plan = Plan::parse(CONFIG.as_bytes(), &variable)?;
    let head = || RequestHead {
        method: b"GET",
        scheme: b"https",
        authority: b"hooks.example.org",
        target: SMS.as_bytes(),
        signature: Occurs::Once(SIGNATURE.as_bytes()),
        end_of_stream: true,
        ..RequestHead::default()
    };
    let (_, step) = Transaction::begin(&plan, &head());
    if !matches!(step, Step::Admit(_)) {
        return Err(format!("the request is not verified: {step:?}").into());
    }
    let mut group = criterion.benchmark_group("judge");
    group.bench_function("signed_get", |bencher| {
        bencher.iter(|| Transaction::begin(&plan, black_box(&head())))
    });
    group.finish();
    Ok(())
}

/// Shared data in this process: what the host adds (a lock, a copy into the VM) is not in it.
#[derive(Default)]
struct Shared {
    values: RefCell<HashMap<String, (Vec<u8>, u32)>>,
}

impl SharedData for Shared {
    fn get(&self, key: &str) -> Result<Slot, StoreError> {
        let found = self.values.borrow().get(key).cloned();
        Ok(found.map(|(value, version)| Slot { value: Some(value), version }).unwrap_or_default())
    }

    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
        let version = read.version.wrapping_add(1);
        self.values.borrow_mut().insert(key.to_owned(), (value.to_vec(), version));
        Ok(true)
    }
}

/// A store in which so many requests of a window were delivered, out of the 131,072 that fit by default; as many go as come.
fn replay(criterion: &mut Criterion) {
    const WINDOW: u64 = 600;
    let mut group = criterion.benchmark_group("replay");
    for live in [100, 65_536, 131_072] {
        let (shared, next) = (Shared::default(), Cell::new(0));
        let store = LocalStore::new("bench", Geometry::for_capacity(131_072));
        let pass = |number: u32| {
            let now = u32::try_from(1_000 + u64::from(number) * WINDOW / live).unwrap_or(u32::MAX);
            let reserved = store.reserve(&shared, &claim(number), now, number);
            if let Ok(Reservation::Granted(ticket, _)) = reserved.map(|reserved| reserved.reservation) {
                store.settle(&shared, &ticket, Outcome::Delivered, now).unwrap_or_default();
            }
        };
        let pass_next = || {
            let number = next.replace(next.get() + 1);
            pass(black_box(number));
        };
        (0..live).for_each(|_| pass_next());
        group.bench_function(format!("pass_{live}_live"), |bencher| bencher.iter(pass_next));
        group.bench_function(format!("copy_{live}_live"), |bencher| {
            bencher.iter(|| pass(black_box(next.get() - 1)));
        });
    }
    group.finish();
}

fn claim(number: u32) -> Claim {
    Claim {
        fingerprint: Fingerprint::of("bench", &number.to_le_bytes()),
        is_recorded: true,
        window: 600,
        lease: 60,
        max_deliveries: 1,
        max_attempts: 6,
        evicts: true,
    }
}
