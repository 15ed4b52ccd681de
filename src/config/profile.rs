//! Profiles: what one kind of Twilio traffic looks like, so that a route need only name it.

use super::params::RequiredParam;
use super::raw::Verify;

/// A preset of `methods` and `require_params`. Explicit keys of the route win over it, key by key.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    /// The scheme by which this traffic is signed.
    pub(super) verify: Verify,
    pub(super) methods: &'static [&'static str],
    require_params: &'static [&'static str],
    /// Whether the signed material never carries an `AccountSid`, so that the route needs a single account.
    pub(super) carries_no_account: bool,
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
    },
    // Inbound SMS, MMS, WhatsApp and RCS.
    Profile {
        name: "messaging",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "MessageSid"],
        carries_no_account: false,
    },
    // StatusCallback of an outbound message.
    Profile {
        name: "message-status",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "MessageSid", "MessageStatus"],
        carries_no_account: false,
    },
    // TwiML requests of a call: first request, `Gather` and `Redirect` actions.
    Profile {
        name: "voice",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "CallSid"],
        carries_no_account: false,
    },
    // StatusCallback of a call; number and time are what tells two events of one call apart.
    Profile {
        name: "call-status",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "CallSid", "CallStatus", "SequenceNumber", "Timestamp"],
        carries_no_account: false,
    },
    // RecordingStatusCallback, and the action URL of `Record`.
    Profile {
        name: "recording",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "RecordingSid"],
        carries_no_account: false,
    },
    // The upgrade request of Media Streams and ConversationRelay.
    Profile {
        name: "media-stream",
        verify: Verify::Twilio,
        methods: &["GET"],
        require_params: &[],
        carries_no_account: true,
    },
    // Event Streams sinks: JSON arrays of CloudEvents.
    Profile {
        name: "event-streams",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &[],
        carries_no_account: true,
    },
    // TaskRouter event callbacks (not assignment callbacks, which carry no time).
    Profile {
        name: "taskrouter",
        verify: Verify::Twilio,
        methods: FORM,
        require_params: &["AccountSid", "WorkspaceSid", "EventType", "Timestamp"],
        carries_no_account: false,
    },
    // SendGrid's signed Event Webhook: JSON arrays.
    Profile {
        name: "sendgrid-events",
        verify: Verify::Sendgrid,
        methods: POST,
        require_params: &[],
        carries_no_account: true,
    },
    // SendGrid's Inbound Parse with a signature policy: multipart, as large as a mail.
    Profile {
        name: "inbound-parse",
        verify: Verify::Sendgrid,
        methods: POST,
        require_params: &[],
        carries_no_account: true,
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
