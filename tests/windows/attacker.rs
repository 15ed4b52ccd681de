//! An attacker with one capture of each kind of traffic. Each move counts how often the application sees it.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use super::captures::{Capture, KINDS, Kind};
use super::site::{Site, send_to};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::raw::{self, RawConnection};
use crate::support::upstream::{Behaviour, Gate};

/// Eight copies at once, dealt out to these doors.
pub async fn burst(doors: &[SocketAddr], request: &crate::support::http::Request) -> Result<()> {
    let mut copies = JoinSet::new();
    for index in 0..8 {
        let (door, request) = (doors[index % doors.len()], request.clone());
        copies.spawn(async move { send_to(door, Protocol::BOTH[index / 4], &request).await });
    }
    while let Some(status) = copies.join_next().await {
        status??;
    }
    Ok(())
}

/// Eight copies at once, then each form and each relative of the capture through every door.
pub async fn send_again_in_every_way(site: &Site) -> Result<()> {
    for kind in KINDS {
        let (Kind { route, .. }, seen) = (kind, site.upstream.count());
        let capture = Capture::new(kind, 1);
        burst(&site.doors(), &capture.request).await?;
        site.settled().await?;
        if kind.bound.is_none() {
            for _ in 0..3 {
                site.everywhere(&capture.request).await?;
            }
            let delivered = site.upstream.count() - seen;
            println!("{route}: {delivered} deliveries of {}, no bound by default", 8 + 3 * 4);
            assert_eq!(delivered, 20, "{route}: legal traffic repeats like this");
            continue;
        }
        let mut sent = 8;
        for (what, copy) in capture.equals() {
            let statuses = site.everywhere(&copy).await?;
            assert_eq!(statuses, [409; 4], "{route}, {what}");
            sent += 4;
        }
        for (what, copy) in capture.relatives() {
            let statuses = site.everywhere(&copy).await?;
            let are_refused = statuses.iter().all(|status| *status == 0 || *status >= 400);
            assert!(are_refused, "{route}, {what}: {statuses:?}");
            sent += 4;
        }
        let delivered = site.upstream.count() - seen;
        println!("{route}: {delivered} deliveries of {sent}, bound {}", kind.bound.unwrap_or_default());
        assert!(delivered <= kind.bound.unwrap_or_default(), "{route}: {delivered}");
        assert_eq!(delivered, 1, "{route}: the capture itself is legal");
    }
    site.assert_alive().await
}

/// A copy in another form that comes first is the delivery; the request as Twilio sent it is then its copy.
pub async fn send_another_form_first(site: &Site) -> Result<()> {
    let mut number = 100;
    let (first_door, last_door) = (site.doors()[0], site.doors()[1]);
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let forms = Capture::new(kind, number).equals().len();
        for form in 0..forms {
            number += 1;
            let (capture, seen) = (Capture::new(kind, number), site.upstream.count());
            let (what, copy) = capture.equals().swap_remove(form);
            let first = site.copy(first_door, Protocol::Http1, &copy).await?;
            assert!(matches!(first, 101 | 200), "{}, {what}: {first}", kind.route);
            let second = site.copy(last_door, Protocol::Http2, &capture.request).await?;
            assert_eq!((second, site.upstream.count() - seen), (409, 1), "{}, {what}", kind.route);
        }
    }
    site.assert_alive().await
}

/// What keeps the application from taking a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It answers 503.
    Failing,
    /// It closes the connection.
    Reset,
    /// It takes its time, and the attacker leaves as soon as the request went upstream.
    Left,
}

impl Failure {
    /// Each.
    pub const ALL: [Self; 3] = [Self::Failing, Self::Reset, Self::Left];

    fn behaviour(self) -> Behaviour {
        match self {
            Self::Failing => Behaviour::Status(503),
            Self::Reset => Behaviour::Reset,
            Self::Left => Behaviour::Hold(Gate::closed()),
        }
    }
}

/// The attacker makes each delivery fail, more often than `most` allows it to pass. All of those tries are used up before the last
/// copies come, and they are bounded behind all doors together.
pub async fn make_it_fail(site: &Site, failure: Failure, most: impl Fn(Kind) -> usize) -> Result<()> {
    let number = 500 + Failure::ALL.iter().take_while(|own| **own != failure).count();
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let (capture, seen) = (Capture::new(kind, number), site.upstream.count());
        let own = capture.request.target.split('?').next().unwrap_or_default();
        let paths = [own, &format!("{own}/elsewhere"), "/sendgrid-events/x", "/inbound-parse/x"];
        paths.into_iter().for_each(|path| site.upstream.script(path, failure.behaviour()));
        let (mut sent, most) = (0, most(kind));
        for (form, copy) in capture.equals().into_iter().cycle() {
            if failure != Failure::Left {
                sent += site.everywhere(&copy).await?.len();
            } else if !copy.websocket {
                site.leave(&form, Protocol::Http1, &copy).await?;
                sent += 1;
            }
            if sent > most + 8 || (failure == Failure::Left && copy.websocket) {
                break;
            }
        }
        let used = site.upstream.count() - seen;
        paths.into_iter().for_each(|path| site.upstream.script(path, Behaviour::Status(200)));
        burst(&site.doors(), &capture.request).await?;
        site.settled().await?;
        let passed = site.upstream.count() - seen;
        println!("{}, {failure:?}: {passed} passes, bound {most}", kind.route);
        assert!(passed <= most, "{}, {failure:?}: {passed}", kind.route);
        let uses_all = used == most || (failure == Failure::Left && capture.request.websocket);
        assert!(uses_all, "{}, {failure:?}: {used} tries of a legal sender would have passed", kind.route);
    }
    site.assert_alive().await
}

/// Header names in another case, which HTTP/1.1 allows.
pub async fn change_the_case_of_header_names(site: &Site) -> Result<()> {
    let doors = site.doors();
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let (capture, seen) = (Capture::new(kind, 1), site.upstream.count());
        if capture.request.websocket {
            continue;
        }
        let bytes = raw::with_length(&capture.request);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let (head, body) = bytes.split_at(end);
        let head = String::from_utf8(head.to_vec())?;
        let cased = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_uppercase()),
            None => line.to_owned(),
        };
        let other: Vec<String> = head.split("\r\n").map(cased).collect();
        let mut statuses = Vec::new();
        for (door, head) in doors.iter().zip([head, other.join("\r\n")]) {
            let mut connection = RawConnection::connect(*door).await?;
            connection.write([head.as_bytes(), body].concat()).await?;
            statuses.push(connection.response().await?.status);
            site.settled().await?;
        }
        let delivered = site.upstream.count() - seen;
        assert_eq!((statuses.as_slice(), delivered), (&[200, 409][..], 1), "{}", kind.route);
    }
    site.assert_alive().await
}
