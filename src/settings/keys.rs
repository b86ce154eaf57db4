//! Every key of the settings file in one table: what the manual page says of them.

/// A table of the file.
pub struct Table {
    /// Its header as it is written.
    pub header: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: &'static [Key],
}

/// A key of a table.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub value: &'static str,
    /// What holds without it; nothing where it must be given.
    pub default: Option<&'static str>,
    /// What it is for.
    pub about: &'static str,
}

const fn must(name: &'static str, value: &'static str, about: &'static str) -> Key {
    let default = None;
    Key {
        name,
        value,
        default,
        about,
    }
}

const fn may(name: &'static str, value: &'static str, default: &'static str, about: &'static str) -> Key {
    let default = Some(default);
    Key {
        name,
        value,
        default,
        about,
    }
}

const LIST: &str = "[\"CIDR\", ...]";
const TIME: &str = "\"DURATION\"";
const FLAG: &str = "true | false";
const ROLE: &str = "\"writer\" | \"reader\"";
const ROLE_ABOUT: &str = "Whether an answer of DNS is the whole truth (writer) or one of several members (reader).";

/// All tables.
pub const TABLES: &[Table] = &[
    Table {
        header: "[[target_group]]",
        about: "A target group of type ip and the endpoints it follows; once for each group.",
        keys: &[
            must("arn", "\"ARN\"", "The target group."),
            must(
                "endpoints",
                "[\"HOST:PORT\", ...]",
                "The endpoints whose addresses are to be its targets.",
            ),
            may("role", ROLE, "by the endpoint's name", ROLE_ABOUT),
            may(
                "forget",
                TIME,
                "60s, reader endpoints 5m",
                "How long DNS must not have named a target before it is removed.",
            ),
            may(
                "patience",
                TIME,
                "0s, reader endpoints 5m",
                "How much longer to wait for a healthy replacement.",
            ),
            may(
                "allow_cidrs",
                LIST,
                "everywhere",
                "Register nothing outside these networks.",
            ),
            may("keep", LIST, "none", "Never touch targets within these networks."),
            may("upsert_only", FLAG, "false", "Never remove a target."),
            may(
                "probe",
                "\"none\" | \"tcp\" | \"tls\"",
                "none",
                "What an address has to show before it is registered: nothing, a TCP connection, or PostgreSQL with the \
                 endpoint's certificate.",
            ),
            may(
                "probe_patience",
                "\"DURATION\" | \"forever\"",
                "tcp 30s, tls 5m",
                "How long an address may fail to before it is registered nevertheless.",
            ),
            may(
                "ca_bundle",
                "\"FILE\"",
                "none",
                "CA certificates (PEM) that the database's has to be signed by; tls needs them.",
            ),
            may("observe", FLAG, "false", "Look and decide, but change nothing."),
            may(
                "assume_role",
                "{ arn = \"ARN\", external_id = \"TEXT\" }",
                "none",
                "The IAM role to assume for calls about this group; external_id may be left out.",
            ),
        ],
    },
    Table {
        header: "[[proxy]]",
        about: "An address to listen on and the endpoint that its connections are carried to; once for each proxy.",
        keys: &[
            must("listen", "\"ADDR:PORT\"", "Where to listen."),
            must("endpoint", "\"HOST:PORT\"", "Where to connect clients to."),
            may("role", ROLE, "by the endpoint's name", ROLE_ABOUT),
            may(
                "linger",
                "\"DURATION\" | \"never\"",
                "5s, reader endpoints never",
                "How long a session outlives its address.",
            ),
            may(
                "drain",
                TIME,
                "5s",
                "How long sessions go on when the process is told to stop.",
            ),
            may(
                "dial_timeout",
                TIME,
                "10s",
                "How long a client waits for its connection to the database.",
            ),
            may("max_sessions", "NUMBER", "10000", "Sessions at once; more are refused."),
            may("allow_peers", LIST, "everybody", "Who may connect."),
            may("allow_cidrs", LIST, "everywhere", "Where to connect to."),
            may(
                "accept_proxy_protocol",
                FLAG,
                "false",
                "Expect a PROXY protocol v2 header, as a target group with proxy_protocol_v2.enabled sends it.",
            ),
            may(
                "ip_family",
                "\"ipv4\" | \"ipv6\"",
                "ipv4",
                "Which of the endpoint's addresses to connect to.",
            ),
        ],
    },
    Table {
        header: "[dns]",
        about: "How to look at DNS.",
        keys: &[
            may(
                "nameservers",
                "[\"ADDR[:PORT]\", ...]",
                "those of /etc/resolv.conf",
                "The name servers to ask, all at once.",
            ),
            may("timeout", TIME, "2s", "How long one look may take."),
            may("interval", TIME, "5s", "The longest time between two looks."),
            may(
                "quorum",
                "\"any\" | \"majority\"",
                "any",
                "Believe what one name server says, or only what more than half of them say.",
            ),
        ],
    },
    Table {
        header: "[http]",
        about: "Metrics, status and health over HTTP.",
        keys: &[may("listen", "\"ADDR:PORT\"", "off", "Where to serve them.")],
    },
    Table {
        header: "[notify]",
        about: "Messages to an SNS topic.",
        keys: &[
            may("sns_topic_arn", "\"ARN\"", "none", "The standard topic to tell."),
            may("after", TIME, "3m", "How long trouble lasts before it is told."),
        ],
    },
];
