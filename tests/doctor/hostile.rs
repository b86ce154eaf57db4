//! A PostgreSQL that is none, or belongs to somebody else: what it gets of the password, how much of it is read, and what its words do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use testkit::certificate::{Authority, Certified, NOW};
use testkit::program::{assert_tame, finish};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::fake::{Manner, with};
use super::world::{Scratch, bare_command, said};
use super::{Diagnosis, examine};

const PASSWORD: &str = "not-for-you";
/// Log-in is over: AuthenticationOk and ReadyForQuery.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
/// What the examination may take while a server says more than it should, in KiB of address space; by itself it takes a third.
const MEMORY_MAX_KIB: u32 = 400 << 10;

/// A connection, through TLS or not, and everything that is heard of the client.
trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// A client who has said what it wants.
struct Client {
    stream: Box<dyn Wire>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Client {
    fn says(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn says_for_ever(&mut self, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat(1 + 65536 / bytes.len());
        loop {
            self.says(&many)?;
        }
    }

    /// The client's next message: its kind and its body.
    fn hears(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body)?;
        self.heard.lock().unwrap().extend(&body);
        Ok((head[0], body))
    }

    /// Hears up to the end of a question, which it does not answer.
    fn hears_question(&mut self) -> io::Result<()> {
        while self.hears()?.0 != b'S' {}
        Ok(())
    }

    /// Answers every question as `answer` does: with the types of its columns, and rows of texts, numbers and the like in binary.
    fn answers(&mut self, answer: impl Fn(&str) -> (Vec<u32>, Vec<Row>)) -> io::Result<()> {
        self.says(WELCOME)?;
        let mut rows = Vec::new();
        loop {
            let (kind, body) = self.hears()?;
            match kind {
                b'P' => {
                    let texts: Vec<_> = body.split(|byte| *byte == 0).collect();
                    let question = String::from_utf8_lossy(texts[1]).into_owned();
                    let (columns, answered) = answer(&question);
                    rows = answered;
                    let parameters: &[u32] = match question.contains("$1") {
                        true if question.contains("pg_type") => &[26],
                        true => &[25],
                        false => &[],
                    };
                    self.says(&message(b'1', &[]))?;
                    self.says(&message(
                        b't',
                        &list(parameters.iter().map(|oid| oid.to_be_bytes().to_vec())),
                    ))?;
                    self.says(&described(&columns))?;
                }
                b'E' => {
                    self.says(&message(b'2', &[]))?;
                    for row in &rows {
                        self.says(&row_of(row))?;
                    }
                    self.says(&message(b'C', b"SELECT 1\0"))?;
                }
                b'C' => self.says(&message(b'3', &[]))?,
                b'S' => self.says(b"Z\0\0\0\x05I")?,
                _ => {}
            }
        }
    }
}

type Row = Vec<Option<Vec<u8>>>;
type Script = fn(&mut Client) -> io::Result<()>;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body);
    message
}

/// A number of things of 16 bits, and those.
fn list(things: impl ExactSizeIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut list = u16::try_from(things.len()).unwrap().to_be_bytes().to_vec();
    things.for_each(|thing| list.extend(thing));
    list
}

fn described(columns: &[u32]) -> Vec<u8> {
    let column = |oid: &u32| {
        let mut column = b"c\0\0\0\0\0\0\0".to_vec();
        column.extend(oid.to_be_bytes());
        column.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1]);
        column
    };
    message(b'T', &list(columns.iter().map(column)))
}

fn row_of(row: &Row) -> Vec<u8> {
    let cell = |cell: &Option<Vec<u8>>| match cell {
        Some(bytes) => [
            u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec(),
            bytes.clone(),
        ]
        .concat(),
        None => vec![0xff; 4],
    };
    message(b'D', &list(row.iter().map(cell)))
}

/// A server that plays this with each client that has said what it wants; where it listens, and all that it hears after that.
fn serve(tls: Option<Arc<ServerConfig>>, script: Script) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (tls, heard) = (tls.clone(), Arc::clone(&kept));
            thread::spawn(move || -> io::Result<()> {
                let mut first = [0; 8];
                let mut is_begun = false;
                stream.read_exact(&mut first)?;
                let mut stream: Box<dyn Wire> = match (first == [0, 0, 0, 8, 4, 210, 22, 47], tls) {
                    (true, Some(config)) => {
                        stream.write_all(b"S")?;
                        Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream))
                    }
                    (true, None) => {
                        stream.write_all(b"N")?;
                        Box::new(stream)
                    }
                    (false, _) => {
                        is_begun = true;
                        Box::new(stream)
                    }
                };
                if !is_begun {
                    stream.read_exact(&mut first)?;
                }
                let length = u32::from_be_bytes(first[..4].try_into().unwrap());
                stream.read_exact(&mut vec![0; length as usize - 8])?;
                script(&mut Client { stream, heard })
            });
        }
    });
    (address, heard)
}

fn url(address: SocketAddr, more: &str) -> String {
    format!("postgres://tether:{PASSWORD}@{address}/orders{more}")
}

fn of(url: &str) -> Command {
    let mut command = bare_command("http://127.0.0.1:9");
    command
        .args(["doctor", "--timeout", "45s"])
        .env("RDS_TETHER_DATABASE", url);
    command
}

fn told(url: &str) -> Diagnosis {
    let told = examine(&mut of(url));
    assert_tame(told.said.as_bytes());
    assert!(!told.said.contains(PASSWORD), "{}", told.said);
    told
}

/// The command, ended by the system if it takes more memory than it may.
fn bounded(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {MEMORY_MAX_KIB}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

fn has_heard(heard: &Mutex<Vec<u8>>, text: &str) -> bool {
    String::from_utf8_lossy(&heard.lock().unwrap()).contains(text)
}

fn asks_in_clear_text(client: &mut Client) -> io::Result<()> {
    client.says(&message(b'R', &[0, 0, 0, 3]))?;
    client.hears().map(|_| ())
}

fn asks_for_md5(client: &mut Client) -> io::Result<()> {
    client.says(&message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]))?;
    client.hears().map(|_| ())
}

fn asks_for_scram(client: &mut Client, iterations: u32) -> io::Result<()> {
    client.says(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"))?;
    let (_, first) = client.hears()?;
    let first = String::from_utf8_lossy(&first).into_owned();
    let (_, nonce) = first.split_once("r=").unwrap();
    let challenge = format!("\0\0\0\x0br={nonce}more,s=c2FsdHNhbHQ=,i={iterations}");
    client.says(&message(b'R', challenge.as_bytes()))?;
    client.hears().map(|_| ())
}

fn tls(certified: Certified) -> Arc<ServerConfig> {
    match with(certified) {
        Manner::Tls(config) => config,
        _ => unreachable!("with() makes nothing else"),
    }
}

/// Fails if somebody gets the password, or a proof of it that is as good, who has not shown that it is theirs to get.
#[test]
fn a_password_is_given_to_nobody_who_could_be_anybody() {
    let authority = Authority::new();
    let scratch = Scratch::new();
    let bundle = scratch.write("ca.pem", &authority.pem);
    let anybody = || Some(tls(Certified::by_itself(&["db.example"], NOW)));
    let cases: [(_, Script, &str, &str, &str); 9] = [
        (
            None,
            asks_in_clear_text,
            PASSWORD,
            "",
            "in clear text, over a connection that is not encrypted",
        ),
        (
            None,
            asks_in_clear_text,
            PASSWORD,
            "?sslmode=disable",
            "in clear text, over a connection that is not encrypted",
        ),
        (
            anybody(),
            asks_in_clear_text,
            PASSWORD,
            "",
            "in clear text, and its certificate was not verified",
        ),
        (
            anybody(),
            asks_in_clear_text,
            PASSWORD,
            "?sslmode=require",
            "in clear text, and its certificate was not verified",
        ),
        (None, asks_in_clear_text, PASSWORD, "?sslmode=require", "speaks no TLS"),
        (None, asks_for_md5, "md5", "", "MD5 hash, by which others can log in"),
        (
            None,
            |client| asks_for_scram(client, 1),
            ",p=",
            "",
            "SCRAM with 1 iterations",
        ),
        (
            None,
            |client| asks_for_scram(client, 4095),
            ",p=",
            "?sslmode=disable",
            "SCRAM with 4095 iterations",
        ),
        (
            anybody(),
            |client| asks_for_scram(client, 1),
            ",p=",
            "?sslmode=require",
            "SCRAM with 1 iterations",
        ),
    ];
    for (tls, script, proof, mode, part) in cases {
        let (address, heard) = serve(tls, script);
        let told = told(&url(address, mode));
        told.assert("database.connect", "failure", &[part]);
        assert!(
            told.exit == 1 || part == "speaks no TLS" && told.exit == 69,
            "{}",
            told.said
        );
        // RDS asks for the tokens of IAM like that.
        assert_eq!(
            told.said.contains("users of rds_iam"),
            part.starts_with("in clear text"),
            "{}",
            told.said
        );
        assert!(!has_heard(&heard, proof), "{part}: {proof} was given");
    }
    // What is as safe as it was asked to be is answered.
    let named = |address: SocketAddr| {
        let (port, ca) = (address.port(), bundle.display());
        format!(
            "host=db.example hostaddr=127.0.0.1 port={port} user=u password={PASSWORD} sslmode=verify-full sslrootcert={ca}"
        )
    };
    let verified = || Some(tls(authority.certify(&["db.example"], NOW)));
    let cases: [(_, Script, Option<&str>, &str); 6] = [
        (verified(), asks_in_clear_text, None, PASSWORD),
        (verified(), |client| asks_for_scram(client, 1), None, ",p="),
        (anybody(), asks_for_md5, Some(""), "md5"),
        (None, asks_for_md5, Some("?sslmode=disable"), "md5"),
        (None, |client| asks_for_scram(client, 4096), Some(""), ",p="),
        (
            anybody(),
            |client| asks_for_scram(client, 4096),
            Some("?sslmode=require"),
            ",p=",
        ),
    ];
    for (tls, script, mode, proof) in cases {
        let (address, heard) = serve(tls, script);
        told(&mode.map_or_else(|| named(address), |mode| url(address, mode)));
        assert!(has_heard(&heard, proof), "{proof} was not given");
    }
}

/// Fails if blanks round the sign of a parameter, or a tab before it, make a connection less safe than it is asked to be.
#[test]
fn encryption_that_is_asked_for_is_had_however_it_is_written() {
    for parameter in ["sslmode = require", "\tsslmode=require", "sslmode='require'"] {
        let (address, heard) = serve(None, |client| asks_for_scram(client, 4096));
        let told = told(&format!(
            "host=127.0.0.1 port={} user=u password={PASSWORD} {parameter}",
            address.port()
        ));
        told.assert("database.connect", "failure", &["speaks no TLS"]);
        assert!(heard.lock().unwrap().is_empty(), "{parameter:?}");
    }
}

#[test]
fn a_password_that_is_written_as_it_is_is_refused_before_anything_of_it_is_shown() {
    for url in [
        "postgres://tether:pass@secret@127.0.0.1:9/orders",
        "postgres://tether:pass/secret@127.0.0.1:9/orders",
        "postgres://tether:pass?secret@127.0.0.1:9/orders",
        "postgres://tether:pass#secret@127.0.0.1:9/orders",
        "postgresql://tether:pass?sslmode=secret@127.0.0.1:9/orders",
        "postgres://tether:secret@pass/x@127.0.0.1:9/orders",
        "postgres://127.0.0.1:9/orders?user=tether&password=pass@secret",
    ] {
        for more in [&[][..], &["--output", "json"], &["-vv"]] {
            let output = finish(of(url).args(more));
            let said = said(&output);
            assert_eq!(output.status.code(), Some(64), "{url}: {said}");
            assert!(said.contains("write %40, %2F, %3F or %23"), "{url}: {said}");
            assert!(!said.contains("secret") && !said.contains("pass@"), "{url}: {said}");
        }
    }
    for text in [
        "host=127.0.0.1 password=my secret=7",
        "host=127.0.0.1 password='my sslmode=secret'x",
        "host=127.0.0.1 password='my secret",
        "host=127.0.0.1 password=my secret",
        "postgres://u:p@127.0.0.1/d?sslmode=secret",
        "postgres://u:p@127.0.0.1/d?password=my&secret=7",
        "mysql://u:secret@127.0.0.1/d",
    ] {
        let output = finish(&mut of(text));
        assert_eq!(output.status.code(), Some(64), "{text}: {}", said(&output));
        assert!(!said(&output).contains("secret"), "{text}: {}", said(&output));
    }
    // Nor where nobody expects it.
    for (typed, secret) in [
        ("postgres://u:p@ss it's secret@127.0.0.1/d", "secret"),
        ("host=h password='very secret' dbname=d", "secret"),
        ("host=h password='it\\'s secret' dbname=d", "secret"),
    ] {
        for arguments in [
            &["doctor", typed][..],
            &["doctor", "--only", typed],
            &["plan", "--endpoint", typed],
        ] {
            let said = said(&finish(bare_command("").args(arguments)));
            assert!(!said.contains(secret), "{arguments:?}: {said}");
        }
    }
    // A password with all of it is taken as it should be written.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = told(&format!("postgres://tether:p%40%2F%3F%23%25@{closed}/orders"));
    told.assert("database.connect", "failure", &["connection refused"]);
}

/// Announces a message of 2 GiB and sends it.
fn says_2_gib(client: &mut Client, kind: u8) -> io::Result<()> {
    client.says(&[kind, 0x7f, 0xff, 0xff, 0xff])?;
    client.says_for_ever(&[b'x'; 4096])
}

/// The columns of the first question.
const SERVER: [u32; 7] = [23, 16, 25, 25, 16, 16, 16];

fn begins_to_answer(client: &mut Client, columns: &[u32]) -> io::Result<()> {
    client.says(WELCOME)?;
    client.hears_question()?;
    client.says(&message(b'1', &[]))?;
    client.says(&message(b't', &[0, 0]))?;
    client.says(&described(columns))?;
    client.says(b"Z\0\0\0\x05I")?;
    client.hears_question()?;
    client.says(&message(b'2', &[]))
}

/// Fails if a server decides how much of it is read.
#[test]
fn no_more_of_a_server_is_read_than_it_may_say() {
    const LONG: &str = "a message of 2147483643 bytes, and at most 1048576 are read";
    const MUCH: &str = "the server says more than 16 MiB";
    const UNASKED: &str = "the server answers what it was not asked";
    let cases: [(&str, Script, &str); 12] = [
        ("an error before the log-in", |client| says_2_gib(client, b'E'), LONG),
        ("a question for the password", |client| says_2_gib(client, b'R'), LONG),
        (
            "an error after it",
            |client| {
                client.says(WELCOME)?;
                says_2_gib(client, b'E')
            },
            LONG,
        ),
        ("a notice", |client| says_2_gib(client, b'N'), LONG),
        (
            "a row",
            |client| {
                begins_to_answer(client, &SERVER)?;
                says_2_gib(client, b'D')
            },
            LONG,
        ),
        (
            "rows without end",
            |client| {
                begins_to_answer(client, &SERVER)?;
                client.says_for_ever(&row_of(&vec![Some(vec![b'x'; 1000]); 7]))
            },
            MUCH,
        ),
        (
            "empty rows without end",
            |client| {
                begins_to_answer(client, &SERVER)?;
                client.says_for_ever(&row_of(&Vec::new()))
            },
            MUCH,
        ),
        (
            "rows of more columns than there are",
            |client| {
                begins_to_answer(client, &SERVER)?;
                client.says_for_ever(&row_of(&vec![None; 65535]))
            },
            UNASKED,
        ),
        (
            "notices without end at the log-in",
            |client| {
                client.says(&message(b'R', &[0; 4]))?;
                client.says_for_ever(&message(b'N', b"\0"))
            },
            MUCH,
        ),
        (
            "notices without end after it",
            |client| {
                client.says(WELCOME)?;
                client.says_for_ever(&message(b'N', b"SNOTICE\0C00000\0Mhear this\0\0"))
            },
            MUCH,
        ),
        (
            "parameters without end",
            |client| {
                client.says(&message(b'R', &[0; 4]))?;
                let value = "x".repeat(1000);
                let mut parameters = (0_u64..).map(|number| message(b'S', format!("{number}\0{value}\0").as_bytes()));
                loop {
                    let some: Vec<u8> = parameters.by_ref().take(64).flatten().collect();
                    client.says(&some)?;
                }
            },
            MUCH,
        ),
        (
            "types of types without end",
            |client| {
                // The type that a type is made of is asked for as well, and here it is made of itself.
                client.answers(|question| match question.contains("pg_type") {
                    true => {
                        let unknown = 99_999_u32.to_be_bytes().to_vec();
                        let (none, name) = (|| Some(vec![0; 4]), || text("type"));
                        let row = vec![name(), text("d"), none(), None, Some(unknown), name(), none()];
                        (vec![19, 18, 26, 26, 26, 19, 26], vec![row])
                    }
                    false => (vec![99_999; 7], Vec::new()),
                })
            },
            UNASKED,
        ),
    ];
    for (what, script, part) in cases {
        let (address, _) = serve(None, script);
        let told = examine(&mut bounded(&of(&url(address, ""))));
        assert!(told.said.contains(part), "{what}: {}", told.said);
        assert!(told.said.len() < 20_000, "{what}: {} bytes are said", told.said.len());
    }
}

/// Fails if a message of the handshake, such as a certificate with all that vouch for it, is read however long it is.
#[test]
fn no_more_of_a_handshake_is_read_than_it_may_have() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.read_exact(&mut [0; 8])?;
            // S, and records of TLS that begin a message of 16 MiB.
            stream.write_all(b"S\x16\x03\x03\x40\0\x02\xff\xff\xff")?;
            stream.write_all(&[0; 16380])?;
            let more = [b"\x16\x03\x03\x40\0".to_vec(), vec![0; 16384]].concat();
            while stream.write_all(&more).is_ok() {}
        }
        Ok(())
    });
    let told = examine(&mut bounded(&of(&url(address, ""))));
    told.assert("database.connect", "failure", &["TLS could not be agreed upon"]);
}

const HOSTILE: &str = "evil\nforged: all is well\r\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2028}.end";
const SHOWN: &str = "evil\\u000aforged: all is well\\u000d\\u001b[2J\\u009b31m\\u007f\\u202e\\u2028.end";

fn text(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// Answers as a database that is ready to be streamed from, but for its words.
fn says_hostile_words(question: &str, words: &str, rows: usize) -> (Vec<u32>, Vec<Row>) {
    let (yes, no) = (|| Some(vec![1]), || Some(vec![0]));
    let number = |number: i64| Some(number.to_be_bytes().to_vec());
    if question.contains("server_version_num") {
        let version = Some(150_004_i32.to_be_bytes().to_vec());
        (
            SERVER.to_vec(),
            vec![vec![version, no(), text(words), text(words), no(), no(), no()]],
        )
    } else if question.contains("pg_settings") {
        (
            vec![25, 25],
            vec![
                vec![text("wal_level"), text(words)],
                vec![text("synchronized_standby_slots"), text(words)],
            ],
        )
    } else if question.contains("slot_name") {
        let slot = vec![text(words), no(), no(), number(1 << 40), yes(), no(), yes(), no()];
        (vec![25, 16, 16, 20, 16, 16, 16, 16], vec![slot])
    } else if question.contains("pg_stat_replication") {
        (vec![20, 20], vec![vec![number(1), number(1)]])
    } else if question.contains("pg_publication_tables") {
        let table = vec![text(words), text(words), text("d"), no(), yes(), no(), no()];
        (vec![25, 25, 25, 16, 16, 16, 16], vec![table; rows])
    } else {
        (vec![25], vec![vec![text(words)]])
    }
}

/// Fails if names in a database, or its errors, do more on a terminal than to be read.
#[test]
fn the_words_of_a_database_do_nothing_on_a_terminal() {
    let of_names: Script = |client| client.answers(|question| says_hostile_words(question, HOSTILE, 1));
    let of_error: Script = |client| client.says(&message(b'E', format!("SFATAL\0C28000\0M{HOSTILE}\0\0").as_bytes()));
    let of_answer: Script = |client| {
        client.says(WELCOME)?;
        loop {
            client.hears_question()?;
            client.says(&message(b'E', format!("SERROR\0C{HOSTILE}\0M{HOSTILE}\0\0").as_bytes()))?;
            client.says(b"Z\0\0\0\x05I")?;
        }
    };
    for script in [of_names, of_error, of_answer] {
        let (address, _) = serve(None, script);
        let output = finish(&mut of(&url(address, "")));
        let said = said(&output);
        assert_tame(said.as_bytes());
        assert!(said.contains(SHOWN), "{said}");
        assert!(!said.lines().any(|line| line.starts_with("forged")), "{said}");
        let told = told(&url(address, ""));
        assert!(
            told.checks.iter().any(|check| check.finding.contains(HOSTILE)),
            "{}",
            told.said
        );
    }
    // What it says of the connection is not taken for true.
    let (address, _) = serve(None, of_names);
    told(&url(address, "")).assert("database.encryption", "warning", &["not encrypted"]);
}

/// Fails if words of a server fill the screen, or one row more than there may be is read, or one less is not.
#[test]
fn what_is_told_of_a_database_is_no_longer_than_it_is_worth() {
    let long: Script = |client| client.answers(|question| says_hostile_words(question, &"x".repeat(900_000), 1));
    let (address, _) = serve(None, long);
    let told_long = told(&url(address, ""));
    assert!(told_long.said.len() < 30_000, "{} bytes are said", told_long.said.len());
    let full: Script = |client| client.answers(|question| says_hostile_words(question, "t", 50_000));
    let (address, _) = serve(None, full);
    told(&url(address, "")).assert("database.publication", "ok", &["50000 tables"]);
    let more: Script = |client| client.answers(|question| says_hostile_words(question, "t", 50_001));
    let (address, _) = serve(None, more);
    let told_more = told(&url(address, ""));
    told_more.assert("database.publication", "failure", &["more than 50000 rows"]);
    told_more.assert("database.held-wal", "warning", &[]);
}
