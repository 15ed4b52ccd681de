//! From what route, profile and top level say to what holds for a rule.

use std::time::Duration;

use super::raw::{RawDedupe, RawFreshness, RawMinted, RawTimeSource};
use super::{
    Dedupe, Eligible, Freshness, Minted, OnFull, OnReplay, RawReplay, RawRouteReplay, Replay, TimeSource,
};
use crate::config::ConfigError;
use crate::config::profile::ReplayPreset;
use crate::config::units::{DurationText, Size};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The levels that say something about a rule, the first that does wins: the route, its profile, the top level.
#[derive(Clone, Copy)]
pub(in crate::config) struct Levels<'a> {
    pub(in crate::config) route: Option<&'a RawRouteReplay>,
    pub(in crate::config) profile: &'a ReplayPreset,
    pub(in crate::config) top: Option<&'a RawReplay>,
    /// The path of the route, or of the top level where no route says anything.
    pub(in crate::config) path: &'a str,
    /// Whether the scheme itself signs a time.
    pub(in crate::config) signs_time: bool,
}

/// What holds for a rule.
pub(in crate::config) fn compile_replay(levels: Levels<'_>) -> Result<Replay, ConfigError> {
    let freshness = compile_freshness(levels)?;
    let dedupe = compile_dedupe(levels)?;
    let has_time = levels.signs_time || !freshness.params.is_empty() || freshness.cloudevents;
    if freshness.require && !has_time {
        return Err(levels.fault(
            "freshness.require",
            "no signed source of a time is listed",
            "list one in sources: a param, or body: cloudevents",
        ));
    }
    // Else a capture could be forgotten while it is still fresh.
    if has_time
        && dedupe.eligible != Eligible::None
        && dedupe.window < freshness.max_age.saturating_add(freshness.max_skew)
    {
        return Err(levels.fault("dedupe.window", "shorter than max_age and max_skew together", "raise it"));
    }
    let route = levels.route.and_then(|route| route.minted.as_ref());
    let top = levels.top.and_then(|top| top.minted.as_ref());
    let minted =
        |of: fn(&RawMinted) -> Option<bool>| route.and_then(of).or_else(|| top.and_then(of)).unwrap_or(false);
    let minted = Minted { require: minted(|raw| raw.require), strip: minted(|raw| raw.strip) };
    Ok(Replay { freshness, dedupe, minted })
}

impl Levels<'_> {
    fn fault(self, key: &str, problem: &str, remedy: &str) -> ConfigError {
        ConfigError::new(format!("{}.{key}", self.path), problem, remedy)
    }

    fn freshness<T>(self, of: impl Fn(&RawFreshness) -> Option<T>, preset: Option<T>) -> Option<T> {
        let route = self.route.and_then(|route| route.freshness.as_ref()).and_then(&of);
        let top = || self.top.and_then(|top| top.freshness.as_ref()).and_then(&of);
        route.or(preset).or_else(top)
    }

    fn dedupe<T>(self, of: impl Fn(&RawDedupe) -> Option<T>, preset: Option<T>) -> Option<T> {
        let route = self.route.and_then(|route| route.dedupe.as_ref()).and_then(&of);
        let top = || self.top.and_then(|top| top.dedupe.as_ref()).and_then(&of);
        route.or(preset).or_else(top)
    }

    fn duration(
        self,
        key: &str,
        own: Option<Duration>,
        default: Duration,
        least: Duration,
    ) -> Result<Duration, ConfigError> {
        let own = own.unwrap_or(default);
        if (least..=30 * DAY).contains(&own) && own.subsec_nanos() == 0 {
            return Ok(own);
        }
        Err(self.fault(key, "out of range", "give whole seconds, at most 720h"))
    }

    fn count(self, key: &str, own: Option<Size>, default: u8) -> Result<u8, ConfigError> {
        let Some(Size(own)) = own else { return Ok(default) };
        u8::try_from(own)
            .ok()
            .filter(|own| *own > 0)
            .ok_or_else(|| self.fault(key, "out of range", "give a number from 1 to 255"))
    }
}

fn compile_freshness(levels: Levels<'_>) -> Result<Freshness, ConfigError> {
    let preset = levels.profile;
    let time = |of: fn(&RawFreshness) -> Option<DurationText>, preset: Option<Duration>| {
        levels.freshness(|raw| of(raw).map(|DurationText(own)| own), preset)
    };
    let max_age = time(|raw| raw.max_age, preset.max_age);
    let max_skew = time(|raw| raw.max_skew, preset.max_skew);
    let mut freshness = Freshness {
        max_age: levels.duration("freshness.max_age", max_age, 5 * MINUTE, Duration::from_secs(1))?,
        max_skew: levels.duration("freshness.max_skew", max_skew, MINUTE, Duration::ZERO)?,
        require: levels.freshness(|raw| raw.require, preset.require).unwrap_or(false),
        params: Vec::new(),
        headers: Vec::new(),
        cloudevents: false,
    };
    let own = |raw: Option<&RawFreshness>| raw.is_some_and(|raw| raw.sources.is_some());
    let route = levels.route.and_then(|route| route.freshness.as_ref());
    let top = levels.top.and_then(|top| top.freshness.as_ref());
    if own(route) {
        add_sources(levels, route, &mut freshness)?;
    } else if preset.time_params.is_empty() && !preset.cloudevents {
        add_sources(levels, top, &mut freshness)?;
    } else {
        let params = preset.time_params.iter();
        freshness.params =
            params.map(|name| TimeSource { name: (*name).to_owned(), format: Default::default() }).collect();
        freshness.cloudevents = preset.cloudevents;
    }
    Ok(freshness)
}

fn add_sources(
    levels: Levels<'_>,
    raw: Option<&RawFreshness>,
    freshness: &mut Freshness,
) -> Result<(), ConfigError> {
    let sources = raw.and_then(|raw| raw.sources.as_deref()).unwrap_or_default();
    for (index, source) in sources.iter().enumerate() {
        let key = format!("freshness.sources[{index}]");
        let format = source.format.unwrap_or_default();
        match source {
            RawTimeSource { param: Some(name), header: None, body: None, .. } if is_name(name) => {
                if levels.signs_time {
                    return Err(levels.fault(&key, "SendGrid signs no parameters", "remove it"));
                }
                freshness.params.push(TimeSource { name: name.clone(), format });
            }
            RawTimeSource { param: None, header: Some(name), body: None, .. } if is_name(name) => {
                freshness.headers.push(TimeSource { name: name.to_ascii_lowercase(), format });
            }
            RawTimeSource { param: None, header: None, body: Some(_), format: None } => {
                freshness.cloudevents = true;
            }
            _ => {
                return Err(levels.fault(
                    &key,
                    "not one source",
                    "write {\"param\": NAME}, {\"header\": NAME}, each with or without a format, or {\"body\": \"cloudevents\"}",
                ));
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn compile_dedupe(levels: Levels<'_>) -> Result<Dedupe, ConfigError> {
    let preset = levels.profile;
    let second = Duration::from_secs(1);
    let window = levels.dedupe(|raw| raw.window.map(|DurationText(own)| own), preset.window);
    let lease = levels.dedupe(|raw| raw.lease.map(|DurationText(own)| own), None);
    let dedupe = Dedupe {
        eligible: levels.dedupe(|raw| raw.eligible, preset.eligible).unwrap_or(Eligible::EventId),
        window: levels.duration("dedupe.window", window, 10 * MINUTE, second)?,
        max_deliveries: levels.count(
            "dedupe.max_deliveries",
            levels.dedupe(|raw| raw.max_deliveries, None),
            1,
        )?,
        max_attempts: levels.count(
            "dedupe.max_attempts",
            levels.dedupe(|raw| raw.max_attempts, preset.max_attempts.map(|own| Size(own.into()))),
            6,
        )?,
        lease: levels.duration("dedupe.lease", lease, MINUTE, second)?,
        on_replay: levels.dedupe(|raw| raw.on_replay, None).unwrap_or(OnReplay::Deny),
        on_full: levels.dedupe(|raw| raw.on_full, None).unwrap_or(OnFull::EvictOldest),
    };
    if dedupe.lease > dedupe.window {
        return Err(levels.fault("dedupe.lease", "longer than the window", "shorten it"));
    }
    Ok(dedupe)
}
