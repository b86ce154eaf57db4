//! Files other than settings that somebody names.

use rds_tether::dns::resolv_conf;
use rds_tether::file::{CERTIFICATES_MAX, RESOLV_CONF_MAX};
use rds_tether::probe::Trust;
use testkit::certificate::Authority;
use testkit::scratch::Scratch;

/// A text blown up to so many bytes.
fn sized(text: &str, bytes: u64) -> String {
    let more = usize::try_from(bytes).unwrap() - text.len();
    format!("{text}{}", "\n".repeat(more))
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let scratch = Scratch::new();
    let pem = Authority::new().pem;
    for (more, is_read) in [(0, true), (1, false)] {
        let path = scratch.write("resolv.conf", &sized("nameserver 127.0.0.9\n", RESOLV_CONF_MAX + more));
        assert_eq!(resolv_conf::read(&path).is_ok(), is_read, "{more}");
        let path = scratch.write("ca.pem", &sized(&pem, CERTIFICATES_MAX + more));
        let read = Trust::in_file(&path);
        assert_eq!(read.is_ok(), is_read, "{more}");
        if let Err(wrong) = read {
            assert!(wrong.what.contains("it has more than 4096 KiB"), "{}", wrong.what);
        }
    }
}
