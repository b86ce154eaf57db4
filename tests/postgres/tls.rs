//! TLS is between client and server: the proxy has no key, and is seen by neither.

use std::fs;
use std::time::Duration;

use testkit::certificate::{Authority, NOW};
use testkit::postgres::PASSWORD;
use testkit::world::{WRITER, finish, said};

use super::client::{Client, Via};
use super::server::Server;
use super::site::Site;
use super::stage;

const SOON: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn the_server_proves_who_it_is_to_the_client() {
    stage::play(|stage| {
        let mut server = Server::new(stage);
        let authority = Authority::new();
        server.certify(&authority.certify(&[WRITER], NOW));
        server.set("ssl=on");
        let bundle = stage.path("authority.pem");
        fs::write(&bundle, authority.pem).expect("the folder is there");
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
            .with("PGSSLROOTCERT", bundle.to_str().expect("UTF-8"))
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
