//! How a PostgreSQL server is talked to: over our own TLS, to an address apart from the name that it has to show, and with an ear for
//! what it should not say.

mod connect;
mod conversation;

pub use connect::{Login, Refused, Session, Source};
pub use conversation::{Breach, CONVERSATION_MAX, ITERATIONS_MAX, MESSAGE_MAX};

/// The protection of the connection that the URL's sslmode and the CA bundle ask for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `disable`
    Plain,
    /// Encrypted if the server can.
    Preferred,
    /// Encrypted, to whoever answers.
    Unverified,
    /// Encrypted, to the server that the certificate names.
    Verified,
}
