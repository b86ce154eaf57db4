//! Asks the addresses whether they take sessions: those for which somebody waits, and now and then, where a load balancer wants
//! to know, those that no session speaks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::shared::Shared;
use super::socket;
use super::standing::{Question, Showed, Wants};
use crate::probe::Trouble;
use crate::probe::ready::{self, Answer};

/// How long a connection may take: one that is lost on the way is soon tried again while somebody waits.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// How long it may take while nobody does.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the answer may take. A server that is too busy to answer by then may still serve those who wait longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long, where PostgreSQL has not answered yet: what is there may wait for another language.
const STRANGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Asks for as long as the proxy lives. `is_probed` says whether a load balancer wants to know.
pub(super) async fn watch(shared: Arc<Shared>, mut is_probed: watch::Receiver<bool>) {
    let mut route = shared.route.clone();
    let mut settings = shared.settings.clone();
    let mut asked = JoinSet::new();
    loop {
        let current = Arc::clone(&route.borrow_and_update());
        let probes = settings.borrow_and_update().probes;
        let now = shared.clock.now();
        let mut wants = Wants {
            clients: shared.health.waiting.load(Ordering::Relaxed) > 0,
            spread: shared.health.is_passed_by.swap(false, Ordering::Relaxed),
            sessions: current.awaits_proof(now) && shared.counts.open.load(Ordering::Relaxed) > 0,
            health: *is_probed.borrow_and_update(),
            interval: None,
        };
        let (due, next) = shared.health.with(|known| {
            wants.interval = probes.interval(known.readiness());
            (known.ask(&current, wants, now), known.next(&current, wants, now))
        });
        for (ip, question) in due {
            let address = SocketAddr::new(ip, current.port);
            asked.spawn(ask(Arc::clone(&shared), address, question, wants));
        }
        tokio::select! {
            () = shared.clock.until(next) => {}
            () = shared.health.wanted.notified() => {}
            Some(_) = asked.join_next() => {}
            changed = route.changed() => if changed.is_err() { return },
            changed = settings.changed() => if changed.is_err() { return },
            changed = is_probed.changed() => if changed.is_err() { return },
        }
    }
}

async fn ask(shared: Arc<Shared>, address: SocketAddr, question: Question, wants: Wants) {
    let ip = address.ip();
    let told = |showed: Showed| {
        // Of what is no longer the endpoint's nothing is to be said.
        match shared.route.borrow().leads_to(address) {
            true => shared.showed(ip, showed),
            false => shared.health.with(|known| known.not_asked(ip)),
        }
    };
    let limit = match wants.clients || wants.sessions {
        true => CONNECT_TIMEOUT,
        false => PATIENT_TIMEOUT,
    };
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if socket::is_lack(&error) => {
            shared.lacks(&error, "are refused");
            shared.health.with(|known| known.not_asked(ip));
            return;
        }
        Ok(Err(error)) => return told(Showed::Failed(Trouble::of_connect(&error).to_string())),
        Err(_) => return told(Showed::Failed("no answer in time".into())),
    };
    let about_sessions = match question {
        Question::Connection => return told(Showed::Ready),
        Question::Language => {
            shared.health.with(|known| known.connected(ip, shared.clock.now()));
            false
        }
        Question::Session => true,
    };
    let is_known = shared.health.with(|known| known.is_postgres);
    let limit = match is_known {
        true => ANSWER_TIMEOUT,
        false => STRANGER_TIMEOUT,
    };
    let answer = timeout(limit, ready::ask(stream, is_known, about_sessions)).await;
    let ready = match question {
        Question::Session => Showed::Ready,
        _ => Showed::Accepted,
    };
    let showed = match answer {
        Ok(Answer::Ready) => {
            shared.health.with(|known| known.is_postgres = true);
            ready
        }
        Ok(Answer::NotNow(words)) => {
            shared.health.with(|known| known.is_postgres = true);
            Showed::Failed(words)
        }
        Ok(Answer::Ended(why)) if is_known => Showed::Ended(why),
        Ok(Answer::NotPostgres) => {
            shared.health.with(|known| known.is_not_postgres());
            Showed::Ready
        }
        Ok(Answer::Ended(_)) | Err(_) => Showed::Silent,
    };
    told(showed);
}
