//! Answers made record by record, for what no zone would give.

use super::Behaviour;

/// The question for a name's IPv4 addresses.
const TYPE_AND_CLASS: [u8; 4] = [0, 1, 0, 1];
/// Records live that many seconds.
const TTL: u32 = 5;

/// The type of an address.
pub const ADDRESS: u16 = 1;
/// The type of an alias.
pub const ALIAS: u16 = 5;
/// A type of nobody's (RFC 6895).
pub const PRIVATE: u16 = 0xff10;
/// A pointer to the name that was asked for.
pub const TO_NAME: [u8; 2] = [0xc0, 12];

/// An answer to a question for the IPv4 addresses of a name.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Without the id.
    bytes: Vec<u8>,
    records: u16,
}

/// A name as it stands in a message, without compression.
///
/// # Panics
/// If a label has more than 63 bytes.
pub fn name(text: &str) -> Vec<u8> {
    let labels = text.trim_end_matches('.').split('.').flat_map(|label| {
        assert!(label.len() < 64, "{label}");
        [&[label.len() as u8], label.as_bytes()].concat()
    });
    labels.chain([0]).collect()
}

impl Answer {
    /// An answer without records.
    pub fn to(asked: &str) -> Self {
        let mut bytes = vec![0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(name(asked));
        bytes.extend(TYPE_AND_CLASS);
        Self { bytes, records: 0 }
    }

    /// Adds a record.
    ///
    /// # Panics
    /// If its data has more than 64 KiB.
    pub fn add(&mut self, owner: &[u8], kind: u16, data: &[u8]) {
        let length = u16::try_from(data.len()).expect("a length of two bytes");
        self.bytes.extend(owner);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(&TYPE_AND_CLASS[2..]);
        self.bytes.extend(TTL.to_be_bytes());
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(data);
        self.records += 1;
    }

    /// How many bytes the whole message has.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len() + 2
    }

    /// As what a name answers.
    pub fn served(mut self) -> Behaviour {
        self.bytes[4..6].copy_from_slice(&self.records.to_be_bytes());
        Behaviour::Raw(self.bytes)
    }
}

/// A chain of so many aliases, in order or the other way round, and an address of this host at its end.
pub fn chain(asked: &str, aliases: usize, is_reversed: bool) -> Behaviour {
    let alias = |n: usize| name(&format!("a{n}"));
    let owner = |n: usize| if n == 0 { TO_NAME.to_vec() } else { alias(n - 1) };
    let mut order: Vec<usize> = (0..aliases).collect();
    if is_reversed {
        order.reverse();
    }
    let mut answer = Answer::to(asked);
    for n in order {
        answer.add(&owner(n), ALIAS, &alias(n));
    }
    answer.add(&owner(aliases), ADDRESS, &[127, 1, 0, 1]);
    answer.served()
}

/// So many addresses, all of this host.
pub fn addresses(asked: &str, count: u16) -> Behaviour {
    let mut answer = Answer::to(asked);
    for n in 0..count {
        let [high, low] = n.to_be_bytes();
        answer.add(&TO_NAME, ADDRESS, &[127, 1, high, low]);
    }
    answer.served()
}
