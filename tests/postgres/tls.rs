//! TLS is between client and server: the proxy has no key, and is seen by neither.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::client::{Client, Via};
use crate::server::{PASSWORD, Server, succeed};
use crate::site::Site;
use crate::stage::{self, Stage};
use crate::world::{WRITER, finish, said};

const SOON: Duration = Duration::from_secs(20);

/// Makes a certificate for a server, with an authority of its own; returns the authority's certificate.
fn certify(stage: &Stage, server: &mut Server) -> PathBuf {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-days",
            "2",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ]);
        succeed(command.args(arguments).current_dir(stage.folder()));
    };
    openssl(&[
        "-subj",
        "/CN=authority",
        "-keyout",
        "authority.key",
        "-out",
        "authority.pem",
    ]);
    let name = format!("subjectAltName=DNS:{WRITER}");
    let of_authority = ["-CA", "authority.pem", "-CAkey", "authority.key"];
    let of_server = [
        "-subj",
        "/CN=server",
        "-addext",
        &name,
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
    ];
    openssl(&[of_authority.as_slice(), &of_server].concat());
    for file in ["server.key", "server.pem"] {
        let mut install = Command::new("install");
        install
            .args(["-o", "postgres", "-m", "600"])
            .arg(stage.path(file))
            .arg(server.storage());
        succeed(&mut install);
    }
    for setting in ["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"] {
        server.set(setting);
    }
    stage.path("authority.pem")
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn the_server_proves_who_it_is_to_the_client() {
    stage::play(|stage| {
        let mut server = Server::new(stage);
        let authority = certify(stage, &mut server);
        let rules = [
            "host all postgres 127.0.0.0/8 trust",
            "hostssl all,replication remote 127.0.0.0/8 scram-sha-256",
        ];
        fs::write(server.storage().join("pg_hba.conf"), rules.join("\n")).expect("the storage is there");
        let site = Site::of(server);
        site.server.query(&format!(
            "CREATE ROLE remote SUPERUSER LOGIN REPLICATION PASSWORD '{PASSWORD}'"
        ));
        // The password's exchange is bound to the certificate of the server: whoever decrypted on the way would break it.
        let via = site
            .via()
            .with("PGHOST", WRITER)
            .with("PGHOSTADDR", "127.0.0.1")
            .with("PGSSLMODE", "verify-full")
            .with("PGSSLROOTCERT", authority.to_str().expect("UTF-8"))
            .with("PGUSER", "remote")
            .with("PGPASSWORD", PASSWORD)
            .with("PGCHANNELBINDING", "require");

        let version = via.query("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl");
        assert!(version.starts_with("TLS"), "{version:?}");
        stage.tell(&format!("psql, verify-full and channel binding: {version}"));
        refuses(
            &via.clone().with("PGHOST", "another.example"),
            "does not match host name",
        );
        refuses(&via.clone().with("PGSSLROOTCERT", "/dev/null"), "certificate");
        replicates(&site, &via);
        site.stop_proxy();
    });
}

#[track_caller]
fn refuses(via: &Via, why: &str) {
    let output = finish(&mut via.psql("SELECT 1"));
    assert!(
        !output.status.success() && said(&output).contains(why),
        "{}",
        said(&output)
    );
}

fn replicates(site: &Site, via: &Via) {
    site.server.query(
        "CREATE TABLE rows (n bigint PRIMARY KEY, server text NOT NULL DEFAULT host(inet_server_addr())); \
         CREATE PUBLICATION changes FOR TABLE rows",
    );
    site.server
        .query("SELECT pg_create_logical_replication_slot('recvlogical', 'test_decoding')");
    site.server
        .query("SELECT pg_create_logical_replication_slot('python', 'pgoutput')");
    for client in [
        Client::start("the writer", &mut via.python(&["write"])),
        Client::start("psycopg2", &mut via.python(&["consume", "python"])),
        Client::start("pg_recvlogical", &mut via.recvlogical("recvlogical")),
    ] {
        client.wait_for("rows", SOON, |rows| (!rows.is_empty()).then_some(()));
    }
}
