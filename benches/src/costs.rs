//! What the filter costs: one redaction of a request target, and one judgement of a head for scale.
//!
//! `make bench` runs this natively, `make bench-wasm` as WebAssembly.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use twilio_guard::config::{Plan, Secret};
use twilio_guard::guard::{Disposition, Step, Transaction};
use twilio_guard::redact::Policy;
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
    if !matches!(step, Step::Forward(Disposition::Verified(_))) {
        return Err(format!("the request is not verified: {step:?}").into());
    }
    let mut group = criterion.benchmark_group("judge");
    group.bench_function("signed_get", |bencher| {
        bencher.iter(|| Transaction::begin(&plan, black_box(&head())))
    });
    group.finish();
    Ok(())
}
