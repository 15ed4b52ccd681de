//! Edges of the rules that the conformance cases leave open, by section of spec phi-redaction. What is expected comes from
//! a second implementation, written from the text alone.
//!
//! Where the text has two readings, the one that shows less is expected; the comment says which these are.

use twilio_guard::config::Secret;
use twilio_guard::redact::Policy;

const CALL: &str = "CAc93bf9a243a391a65da5b60116ee9a5c";
const USER: &str = "US3b8114914a1c8b2faab8e73f0339f5ed";
const UUID: &str = "7d3e2f10-1c2b-4a5d-8e9f-001122334455";

/// Checks a table of targets and what is shown of them. `CA..`, `US..` and `UUID` stand for whole ones.
fn check(rows: &[(&str, &str)]) {
    let full = |text: &str| text.replace("CA..", CALL).replace("US..", USER).replace("UUID", UUID);
    let wrong: Vec<String> = rows
        .iter()
        .map(|(target, expected)| (full(target), full(expected)))
        .map(|(target, expected)| (Policy::default().target(target.as_bytes()), target, expected))
        .filter(|(shown, _, expected)| shown != expected)
        .map(|(shown, target, expected)| format!("{target}\n  expected {expected}\n  got      {shown}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn section_3_input() {
    check(&[
        ("", ""),
        ("*", "*"),
        ("*x", "[REDACTED]"),
        ("?From=1", "[REDACTED]"),
        ("#jane", "[REDACTED]"),
        (" /sms", "[REDACTED]"),
        ("hooks.example.org:443", "[REDACTED]"),
        ("/sms#", "/sms#[REDACTED]"),
        ("/sms#a#b?c", "/sms#[REDACTED]"),
        ("/sms?Body=x#jane", "/sms#[REDACTED]"),
        ("/sms%23jane", "/[REDACTED]"),
        ("/sms%3FFrom=1", "/[REDACTED]"),
    ]);
}

#[test]
fn section_3_limits() {
    let shown = |target: String| Policy::default().target(target.as_bytes());
    let x = |count: usize| "x".repeat(count);
    // A path of 2048 bytes is whole; of one more, its last segment goes, even where the cut falls on a slash.
    let whole = format!("/sms/{}", "x/".repeat(1021)) + "x";
    assert_eq!((whole.len(), shown(whole.clone())), (2048, whole.clone()));
    let all_but_last = &whole[..2046];
    assert_eq!(shown(format!("{whole}y")), format!("{all_but_last}/[TRUNCATED]"));
    assert_eq!(shown(format!("{whole}/y")), format!("{all_but_last}/[TRUNCATED]"));
    assert_eq!(shown(format!("/{}", x(2048))), "/[TRUNCATED]");
    assert_eq!(shown(format!("/{}?NumMedia=0", x(2048))), "/[TRUNCATED]?NumMedia=0");
    assert_eq!(shown(format!("/{}", "/".repeat(2048))), format!("{}/[TRUNCATED]", "/".repeat(2047)));
    // A query of 8192 bytes is whole; a separator at offset 8192 still ends a whole pair.
    assert_eq!(shown(format!("/x?q={}", x(8190))), "/x?q=[REDACTED]");
    assert_eq!(shown(format!("/x?q={}", x(8191))), "/x?[TRUNCATED]");
    for separator in ["&", ";", "?"] {
        assert_eq!(shown(format!("/x?q={}{separator}", x(8190))), "/x?q=[REDACTED]&[TRUNCATED]");
        assert_eq!(shown(format!("/x?q={}{separator}", x(8191))), "/x?[TRUNCATED]");
        assert_eq!(shown(format!("/x?a=1{separator}q={}", x(8190))), "/x?a=[REDACTED]&[TRUNCATED]");
    }
    // Pairs that are dropped count, empty pieces do not, and there is one mark of truncation.
    let drops = |count: usize| "Body=x&&".repeat(count);
    assert_eq!(shown(format!("/x?{}NumMedia=0", drops(255))), "/x?NumMedia=0");
    assert_eq!(shown(format!("/x?{}NumMedia=0", drops(256))), "/x?[TRUNCATED]");
    assert_eq!(shown(format!("/x?{}q={}", drops(256), x(8192))), "/x?[TRUNCATED]");
}

#[test]
fn section_4_2_decoding() {
    check(&[
        ("/x?CallStatus=in%252Dprogress", "/x?CallStatus=in-progress"),
        ("/x?CallStatus=in%25252Dprogress", "/x?CallStatus=in-progress"),
        ("/x?CallStatus=in%2525252Dprogress", "/x?CallStatus=[REDACTED]"),
        ("/x?CallStatus=busy+", "/x?CallStatus=[REDACTED]"),
        ("/x?CallStatus=busy%2B", "/x?CallStatus=[REDACTED]"),
        ("/x?CallStatus=100%", "/x?CallStatus=[REDACTED]"),
        ("/x?%%46rom=1", "/x?[REDACTED]=[REDACTED]"),
        ("/x?%2%36rom=1", "/x?[REDACTED]=[REDACTED]"),
        ("/%63%61lls/%2561bc", "/calls/abc"),
        ("/a+b", "/[REDACTED]"),
        // «as is»: of an escaped dot segment the dots are shown.
        ("/%2e/%2E%2e/%252e", "/./../."),
    ]);
}

#[test]
fn section_4_3_names() {
    check(&[
        ("/x?From[12][]=1", "/x?From[12][]=[REDACTED]"),
        ("/x?From[1234]=1", "/x?[REDACTED]=[REDACTED]"),
        ("/x?Body[1234]=1", "/x"),
        ("/x?Body[a]=1", "/x?Body[a]=[REDACTED]"),
        ("/x?Body[=1", "/x?Body[=[REDACTED]"),
        ("/x?[]=1", "/x?[REDACTED]=[REDACTED]"),
        ("/x?=1", "/x?[REDACTED]=[REDACTED]"),
        ("/x?=", "/x?[REDACTED]="),
        ("/x?Call~Status=busy", "/x?[REDACTED]=busy"),
        ("/x?1CallStatus=busy", "/x?[REDACTED]=[REDACTED]"),
        ("/x?-CallStatus=busy", "/x?[REDACTED]=busy"),
        ("/x?CallStatus%2F=busy", "/x?[REDACTED]=[REDACTED]"),
        ("/x?MediaUrl123=1&MediaUrl1234=1", "/x?MediaUrl123=[REDACTED]&[REDACTED]=[REDACTED]"),
        ("/x?MediaContentType1234=x", "/x?[REDACTED]=[REDACTED]"),
        ("/x?attachment12=x&attachments=2", "/x?attachments=2"),
        ("/x?lastName=x&LastReadMessageIndex=4", "/x?LastReadMessageIndex=4"),
        ("/x?orig=CA..x&orig=%20CA..&orig%00=CA..", "/x?orig=[REDACTED]&orig=[REDACTED]&orig=CA.."),
        ("/x?jane%40x=CA..", "/x?[REDACTED]=[REDACTED]"),
        ("/x?CA..=1", "/x?[REDACTED]=[REDACTED]"),
    ]);
    let name = |length: usize| "a".repeat(length);
    let long = [64, 65].map(|length| Policy::default().target(format!("/x?{}=", name(length)).as_bytes()));
    assert_eq!(long, [format!("/x?{}=", name(64)), "/x?[REDACTED]=".to_owned()]);
}

#[test]
fn section_4_3_pieces_without_a_value() {
    check(&[
        ("/x?From&call_status&MediaUrl0", "/x?From&call_status&MediaUrl0"),
        ("/x?From%20&From[]", "/x?From&From[]"),
        ("/x?Fr~om", "/x?[REDACTED]"),
        ("/x?US..", "/x?[REDACTED]"),
        ("/x?%20CA..", "/x?[REDACTED]"),
        // A name that is to be dropped leaves nothing here either: what follows a stem such as `patient*` could be anything.
        ("/x?Body", "/x"),
        ("/x?patientJaneRoe&firstJane&NumMedia", "/x?NumMedia"),
    ]);
}

#[test]
fn section_4_4_values() {
    check(&[
        ("/x?ApiVersion=2008-08-01&ApiVersion=1.0", "/x?ApiVersion=2008-08-01&ApiVersion=[REDACTED]"),
        ("/x?CallSid=US..&CallSid=CA..0", "/x?CallSid=US..&CallSid=[REDACTED]"),
        ("/x?MediaSid0=x&MediaSid0=CA..", "/x?MediaSid0=[REDACTED]&MediaSid0=CA.."),
        (
            "/x?FromState=D&FromState=DCA&FromState=D1&CalledViaCountry=USAX",
            "/x?FromState=[REDACTED]&FromState=DCA&FromState=[REDACTED]&CalledViaCountry=[REDACTED]",
        ),
        (
            "/x?PayloadType=text/x-1234567&PayloadType=text/x-123456&PayloadType=Text/x&PayloadType=text",
            "/x?PayloadType=[REDACTED]&PayloadType=text/x-123456&PayloadType=[REDACTED]&PayloadType=text",
        ),
        (
            "/x?Level=123456&Level=1234567&Level=-1.5&Level=--1&Level=1.",
            "/x?Level=123456&Level=[REDACTED]&Level=-1.5&Level=--1&Level=1.",
        ),
        (
            "/x?Level=123456.12345678901234567890&Level=1.123456789012345678901",
            "/x?Level=123456.12345678901234567890&Level=[REDACTED]",
        ),
        (
            "/x?Level=a123456&Level=a1234567&Level=1-2.3_4x5y6z7",
            "/x?Level=a123456&Level=[REDACTED]&Level=[REDACTED]",
        ),
        ("/x?Level=eyJ&Level=a.eyJ&Level=EYJ", "/x?Level=[REDACTED]&Level=a.eyJ&Level=EYJ"),
        ("/x?Level=CA..&Level=US..&Level=UUID", "/x?Level=CA..&Level=US..&Level=UUID"),
        ("/x?Level=%7BUUID%7D", "/x?Level=[REDACTED]"),
        (
            "/x?Level=x.1.2.3.4&Level=1.2.3&Level=01.02.3.4",
            "/x?Level=[REDACTED]&Level=1.2.3&Level=[REDACTED]",
        ),
        ("/x?Level=x1eg4-te5-mk73&Level=1EG4-TE5MK73", "/x?Level=[REDACTED]&Level=[REDACTED]"),
        (
            "/x?Level=%20busy&Level=bu%20sy&Level=bu%00sy",
            "/x?Level=[REDACTED]&Level=[REDACTED]&Level=[REDACTED]",
        ),
        ("/x?From=%20&From=", "/x?From=[REDACTED]&From="),
    ]);
    let level = |value: &str| Policy::default().target(format!("/x?Level={value}").as_bytes());
    let letters = |count: usize| "abcdefgh".repeat(9)[..count].to_owned();
    for (value, shown) in [
        (letters(32), true),
        (letters(33), false),
        (format!("{}-{}", letters(32), letters(31)), true),
        (format!("{}-{}", letters(32), letters(32)), false),
        (format!("{}1", letters(18)), true),
        (format!("{}1", letters(19)), false),
        (format!("{}-1", letters(19)), true),
    ] {
        let expected = if shown { value.as_str() } else { "[REDACTED]" };
        assert_eq!(level(&value), format!("/x?Level={expected}"));
    }
}

/// Section 8: 17 characters without I, O and Q, and a check digit, which can be X. Nothing says that one has a digit.
#[test]
fn section_4_4_vehicle_numbers() {
    check(&[
        ("/x?Level=1M8GDM9AXKP042788", "/x?Level=[REDACTED]"),
        ("/x?Level=FNJXFDYPXUVXDWGYC", "/x?Level=[REDACTED]"),
        ("/x?Level=fnjxfdypxuvxdwgyc", "/x?Level=[REDACTED]"),
        ("/x?Level=a.WCPVENJEXMBKZXRCHz", "/x?Level=[REDACTED]"),
        ("/x?Level=FNJXFDYPXUVXDWGYD", "/x?Level=FNJXFDYPXUVXDWGYD"),
        ("/x?Level=participantjoined", "/x?Level=participantjoined"),
    ]);
}

#[test]
fn section_5_paths() {
    check(&[
        ("/CA../jane", "/CA../jane"),
        ("/patients/CA../jane", "/patients/CA../jane"),
        ("/patients/US../jane", "/patients/[REDACTED]/[REDACTED]"),
        ("/patients/UUID/jane", "/patients/[REDACTED]/[REDACTED]"),
        ("/CA...wav/CA...json.json", "/CA...wav/[REDACTED]"),
        ("/US...json", "/[REDACTED]"),
        ("/patients/v1/jane", "/patients/v1/jane"),
        ("/patients/v123/V1/jane", "/patients/[REDACTED]/[REDACTED]/[REDACTED]"),
        ("/patients/2010-04-01/jane", "/patients/2010-04-01/jane"),
        ("/patients//./../jane", "/patients//./../[REDACTED]"),
        ("/patients/SMS.json/jane", "/patients/SMS.json/jane"),
        ("/patients/sms.abcdef/jane", "/patients/[REDACTED]/[REDACTED]"),
        ("/patients/sms./jane", "/patients/[REDACTED]/[REDACTED]"),
        ("/patients/record-complete/jane", "/patients/record-complete/jane"),
        ("/patients/names/roe", "/patients/names/[REDACTED]"),
        ("/patients/name1/contact-names/contact.names", "/patients/[REDACTED]/contact-names/contact.names"),
        ("/jane.phone/roe", "/jane.phone/roe"),
        ("/jane.phones/roe", "/jane.phones/[REDACTED]"),
        ("/byMRN/a/MRNlookup/HTTPPatient", "/byMRN/[REDACTED]/[REDACTED]/[REDACTED]"),
        ("/MRNlookup/a", "/MRNlookup/a"),
        ("/a123/a1234/1a", "/a123/[REDACTED]/1a"),
        ("/-a/_a/~a/.a", "/[REDACTED]/[REDACTED]/[REDACTED]/[REDACTED]"),
    ]);
    let word = |length: usize| Policy::default().target(format!("/{}", "a".repeat(length)).as_bytes());
    assert_eq!([word(64), word(65)], [format!("/{}", "a".repeat(64)), "/[REDACTED]".to_owned()]);
}

#[test]
fn section_5_parameters_of_segments() {
    check(&[
        ("/x;;a=1;", "/x;a=[REDACTED]"),
        ("/;From=1/x", "/;From=[REDACTED]/x"),
        ("/x;CallStatus=busy;jane;NumMedia", "/x;CallStatus=busy;[REDACTED];NumMedia"),
        ("/x;CallStatus=in+progress", "/x;CallStatus=[REDACTED]"),
        // One pair: `&` separates nothing in a path.
        ("/x;CallStatus=busy&NumMedia=1", "/x;CallStatus=[REDACTED]"),
        ("/patients;Body=1/jane;orig=CA..", "/patients/[REDACTED];orig=CA.."),
    ]);
}

#[test]
fn section_2_pseudonyms() {
    let policy = Policy::default().with_hash_key(&Secret::from("unit-test-key-not-secret".to_owned()));
    let shown = |target: &str| policy.target(target.as_bytes());
    let same = |targets: &[&str]| {
        let first = shown(targets[0]);
        assert!(first.contains("[h:"), "{first}");
        for target in targets {
            assert_eq!(shown(target), first, "{target}");
        }
    };
    same(&[
        "/x?To=%2B12025550123",
        "/x?To=+12025550123",
        "/x?To=tel:1.202.555-0123",
        "/x?To=1%20(202)555-0123%00",
    ]);
    same(&["/x?To=jane", "/x?To=JANE", "/x?To=sip2:Jane", "/x?To=%20jane%09"]);
    same(
        &["/UUID", &format!("/{}", UUID.to_uppercase())]
            .map(|target| target.replace("UUID", UUID))
            .each_ref()
            .map(String::as_str),
    );
    // A scheme begins with a letter; only one is removed; a SID's case is its own.
    for (one, other) in [
        ("/x?To=2sip:jane", "/x?To=jane"),
        ("/x?To=sip:tel:jane", "/x?To=jane"),
        ("/x?To=si.p:jane", "/x?To=jane"),
        ("/x?UserSid=jane", "/x?UserSid=Jane"),
        ("/x?UserSid=jane", "/x?UserSid=sip:jane"),
    ] {
        assert_ne!(shown(one), shown(other), "{one} {other}");
    }
    assert_eq!(shown(&format!("/{USER}.json")), shown(&format!("/{USER}")));
}
