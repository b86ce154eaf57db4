//! What is told of other programs.

use std::net::{Ipv4Addr, TcpListener};
use std::process;

use testkit::program::{free_port, listens, on_a_free_port};

/// Fails if a port is taken for a process's own that is another's, or nobody's.
#[test]
fn whoever_listens_is_told_from_others() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let port = listener.local_addr().expect("a listener").port();
    assert!(listens(process::id(), port));
    let parent = std::os::unix::process::parent_id();
    assert!(!listens(parent, port), "{parent} has none of this process's sockets");
    assert!(!listens(process::id(), free_port()));
}

/// Fails if a port that another process took meanwhile is the end of it.
#[test]
fn another_port_is_tried_when_one_is_taken() {
    let mut tried = 0;
    let port = on_a_free_port(|port| {
        tried += 1;
        (tried == 3).then_some(port)
    });
    assert_eq!(tried, 3);
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
}
