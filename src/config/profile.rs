//! Profiles: what one kind of Twilio traffic looks like, so that a route need only name it.

use std::time::Duration;

use super::Eligible;
use super::params::RequiredParam;
use super::raw::Verify;

/// A preset of `methods`, `require_params` and `replay`. Explicit keys of the route win over it, key by key.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    /// The scheme by which this traffic is signed.
    pub(super) verify: Verify,
    pub(super) methods: &'static [&'static str],
    require_params: &'static [&'static str],
    /// Whether the signed material never carries an `AccountSid`, so that the route needs a single account.
    pub(super) carries_no_account: bool,
    pub(super) replay: ReplayPreset,
}

/// The part of a profile that is about replay. What it leaves out comes from the top level.
#[derive(Debug)]
pub(super) struct ReplayPreset {
    pub(super) eligible: Option<Eligible>,
    /// Signed parameters that say when the event was.
    pub(super) time_params: &'static [&'static str],
    /// Whether the body is CloudEvents, each with its time.
    pub(super) cloudevents: bool,
    pub(super) require: Option<bool>,
    pub(super) max_age: Option<Duration>,
    pub(super) max_skew: Option<Duration>,
    pub(super) window: Option<Duration>,
    pub(super) max_attempts: Option<u8>,
}

impl ReplayPreset {
    /// Nothing of its own: bounded in count where the request identifies one event.
    pub(super) const COUNTED: Self = Self {
        eligible: None,
        time_params: &[],
        cloudevents: false,
        require: None,
        max_age: None,
        max_skew: None,
        window: None,
        max_attempts: None,
    };

    /// The same bytes come again in legal traffic: a menu that is heard twice, streams of many calls to one URL.
    const REPEATED: Self = Self { eligible: Some(Eligible::None), ..Self::COUNTED };

    /// A time of the event is signed, and the sender gives up within minutes: 15 for it and its retries, and a window that
    /// outlasts them.
    const TIMED: Self = Self {
        time_params: &["Timestamp"],
        require: Some(true),
        max_age: Some(Duration::from_secs(15 * 60)),
        window: Some(Duration::from_secs(17 * 60)),
        ..Self::COUNTED
    };

    /// Event Streams tries for four hours, with pauses that grow, and says of no number of attempts that it is the last; each
    /// event of a batch has its time.
    const STREAMED: Self = Self {
        time_params: &[],
        cloudevents: true,
        max_age: Some(Duration::from_secs(24 * 3600)),
        window: Some(Duration::from_secs(25 * 3600)),
        max_attempts: Some(Self::PATIENT),
        ..Self::TIMED
    };

    /// SendGrid tries for up to 72 hours (Inbound Parse: each five to ten minutes in the first, then each three hours, which
    /// makes 36), and whether it signs again is not known.
    pub(super) const SENDGRID: Self = Self {
        max_age: Some(Duration::from_secs(73 * 3600)),
        max_skew: Some(Duration::from_secs(5 * 60)),
        window: Some(Duration::from_secs(74 * 3600)),
        max_attempts: Some(Self::PATIENT),
        ..Self::COUNTED
    };

    /// Of a sender that tries for hours. An attempt too few loses an event for good. The price: who captures a request before it
    /// is delivered, and leaves each time before the answer, has it processed as often.
    const PATIENT: u8 = 100;
}

impl Profile {
    pub(super) fn require_params(&self) -> Vec<RequiredParam> {
        self.require_params.iter().map(|name| RequiredParam::named(name)).collect()
    }
}

const FORM: &[&str] = &["POST", "GET"];
const POST: &[&str] = &["POST"];

/// The parameters are those that Twilio's webhook references list as always sent for the kind of traffic.
const PROFILES: &[Profile] = &[
    // Nothing is assumed.
    Profile {
        name: "generic",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &[],
        carries_no_account: false,
        replay: ReplayPreset::COUNTED,
    },
    // Inbound SMS, MMS, WhatsApp and RCS.
    Profile {
        name: "messaging",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "MessageSid"],
        carries_no_account: false,
        replay: ReplayPreset::COUNTED,
    },
    // StatusCallback of an outbound message.
    Profile {
        name: "message-status",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "MessageSid", "MessageStatus"],
        carries_no_account: false,
        replay: ReplayPreset::COUNTED,
    },
    // TwiML requests of a call: first request, `Gather` and `Redirect` actions.
    Profile {
        name: "voice",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "CallSid"],
        carries_no_account: false,
        replay: ReplayPreset::REPEATED,
    },
    // StatusCallback of a call; number and time are what tells two events of one call apart.
    Profile {
        name: "call-status",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "CallSid", "CallStatus", "SequenceNumber", "Timestamp"],
        carries_no_account: false,
        replay: ReplayPreset::TIMED,
    },
    // RecordingStatusCallback, and the action URL of `Record`.
    Profile {
        name: "recording",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "RecordingSid"],
        carries_no_account: false,
        replay: ReplayPreset::COUNTED,
    },
    // The upgrade request of Media Streams and ConversationRelay.
    Profile {
        name: "media-stream",
        verify: Verify::Twilio,
        methods: &["GET"],
        require_params: &[],
        carries_no_account: true,
        replay: ReplayPreset::REPEATED,
    },
    // Event Streams sinks: JSON arrays of CloudEvents.
    Profile {
        name: "event-streams",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &[],
        carries_no_account: true,
        replay: ReplayPreset::STREAMED,
    },
    // TaskRouter event callbacks (not assignment callbacks, which carry no time).
    Profile {
        name: "taskrouter",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "WorkspaceSid", "EventType", "Timestamp"],
        carries_no_account: false,
        replay: ReplayPreset::TIMED,
    },
    // SendGrid's signed Event Webhook: JSON arrays.
    Profile {
        name: "sendgrid-events",
        verify: Verify::Sendgrid,
        methods: POST,
        require_params: &[],
        carries_no_account: true,
        replay: ReplayPreset::SENDGRID,
    },
    // SendGrid's Inbound Parse with a signature policy: multipart, as large as a mail.
    Profile {
        name: "inbound-parse",
        verify: Verify::Sendgrid,
        methods: POST,
        require_params: &[],
        carries_no_account: true,
        replay: ReplayPreset::SENDGRID,
    },
];

/// The profile of this name.
pub(super) fn find(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// The names of all profiles, for an error's remedy.
pub(super) fn names() -> String {
    PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ")
}
