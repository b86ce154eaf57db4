//! What a member of a database says, message by message: to the log-in, to the question for the functions, and to that for the topology.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rds_tether::database::{Login, Session, Source};
use rds_tether::lead::question::{Answer, Flavour};
use rds_tether::lead::visit::{Unheard, ask, functions};
use rds_tether::planner::lead::Says;
use rds_tether::probe::Trust;
use tokio::time::Instant;

use super::alone::{Script, alone};

const USER: &str = "rds_tether";
const PASSWORD: &str = "hunter2hunter2";
const SUFFIX: &str = "abc123.eu-west-1.rds.amazonaws.com";
const LIMIT: Duration = Duration::from_secs(1);
/// Ends each part: the server waits for the next question.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// How a server is trusted that has shown nothing yet, and whether the connection to it is encrypted.
const STRANGERS: [(&str, bool); 3] = [("disable", false), ("prefer", false), ("require", true)];

/// A member is the writer by its own word and its topology's alone; names are the database's own; and no stranger learns the password.
pub fn check(data: &[u8]) {
    let Some((way, data)) = data.split_first() else { return };
    let script = Script::new(parts(data), usize::from(way >> 2));
    let told = Arc::clone(&script.told);
    let stranger = STRANGERS.get(usize::from(way & 3));
    let source = match stranger {
        None => {
            let login = Login {
                user: USER,
                database: "postgres",
                password: PASSWORD.as_bytes(),
                application: "fuzz",
                statement_timeout: LIMIT,
            };
            Source::at(
                "127.0.0.1:5432".parse().unwrap(),
                "db.example",
                &Trust::anybody(),
                &login,
            )
        }
        Some((mode, _)) => Source::new(
            &format!("postgres://{USER}:{PASSWORD}@db.example/d?sslmode={mode}"),
            None,
        )
        .unwrap(),
    };
    let is_encrypted = stranger.is_none_or(|(_, is_encrypted)| *is_encrypted);
    alone(async {
        let session = match source.log_in(script, is_encrypted, Instant::now() + LIMIT).await {
            Ok(session) => session,
            Err(refused) => return drop(refused.to_string()),
        };
        if let Err(unheard) = questions(&session).await {
            assert!(!matches!(unheard.says(), Says::Writer | Says::Reader), "{unheard}");
        }
        session.abandon();
    });
    let told = told.lock().unwrap();
    let is_told = |secret: &[u8]| told.windows(secret.len()).any(|bytes| bytes == secret);
    assert!(
        stranger.is_none() || !is_told(PASSWORD.as_bytes()),
        "a stranger has the password"
    );
    assert!(
        stranger.is_none_or(|(mode, _)| *mode != "prefer") || !is_told(b"md5"),
        "a stranger has its hash"
    );
}

/// What is said between two questions.
fn parts(mut data: &[u8]) -> VecDeque<Vec<u8>> {
    let mut parts = VecDeque::new();
    while let Some(at) = data.windows(READY.len()).position(|bytes| bytes == READY) {
        let (part, rest) = data.split_at(at + READY.len());
        parts.push_back(part.to_vec());
        data = rest;
    }
    parts.push_back(data.to_vec());
    parts
}

async fn questions(session: &Session) -> Result<(), Unheard> {
    let functions = functions(session, LIMIT).await?;
    let Ok(flavour) = Flavour::of(&functions, USER) else {
        return Ok(());
    };
    let answer = ask(session, flavour, LIMIT).await?;
    let Answer {
        recovery,
        read_only,
        own,
        writers,
        ..
    } = &answer;
    match answer.says(flavour) {
        Says::Writer => {
            assert_eq!((recovery.as_deref(), read_only.as_deref()), (Some("f"), Some("off")));
            let own = own.as_deref().unwrap_or_default();
            let is_named = writers
                .iter()
                .flat_map(|writers| writers.split(' '))
                .any(|writer| writer == own);
            assert!(flavour == Flavour::Plain || is_named, "{answer:?}");
        }
        Says::Reader => assert_eq!(recovery.as_deref(), Some("t")),
        Says::Neither(why) => assert!(!why.is_empty()),
        other => panic!("{answer:?} is {other:?}"),
    }
    for name in answer.names(flavour, SUFFIX) {
        let label = name.strip_suffix(SUFFIX).and_then(|label| label.strip_suffix('.'));
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        assert!(label.is_some_and(is_label), "{name}");
    }
    Ok(())
}
