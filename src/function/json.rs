//! JSON read without a tree of it in memory: of an object the fields that matter, of a list one after the other.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The keys that any kind of event is read by.
const KEYS: [&str; 22] = [
    "command",
    "Records",
    "detail-type",
    "source",
    "time",
    "detail",
    "Type",
    "Message",
    "Sns",
    "body",
    "EventID",
    "SourceIdentifier",
    "SourceArn",
    "SourceType",
    "Date",
    "Event Source",
    "Event ID",
    "Source ID",
    "Source ARN",
    "Event Time",
    "Event Message",
    "changed-tag-keys",
];

/// An object's fields that matter, unread. Of two with one key, the last counts.
pub(super) struct Fields<'a>(BTreeMap<&'static str, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The fields of an object; none of anything else.
    pub(super) fn of(value: &'a RawValue) -> Self {
        struct Kept;
        impl<'de> Visitor<'de> for Kept {
            type Value = BTreeMap<&'static str, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    match KEYS.iter().find(|known| **known == key) {
                        Some(known) => _ = fields.insert(*known, map.next_value()?),
                        None => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(fields)
            }
        }
        let mut reader = serde_json::Deserializer::from_str(value.get());
        Self(reader.deserialize_map(Kept).unwrap_or_default())
    }

    /// A field, unread.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied()
    }

    /// A field that holds text; what is blank is as good as missing.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let text: String = serde_json::from_str(self.get(key)?.get()).ok()?;
        Some(text).filter(|text| !text.trim().is_empty())
    }
}

/// Hands over the first so many of a list; tells whether there are more, or that it is no list.
pub(super) fn for_each(list: &RawValue, most: usize, each: impl FnMut(&RawValue)) -> serde_json::Result<bool> {
    struct Each<F>(usize, F);
    impl<'de, F: FnMut(&RawValue)> Visitor<'de> for Each<F> {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<bool, A::Error> {
            for _ in 0..self.0 {
                let Some(next) = list.next_element()? else {
                    return Ok(false);
                };
                (self.1)(next);
            }
            let are_more = list.next_element::<IgnoredAny>()?.is_some();
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(are_more)
        }
    }
    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Each(most, each))
}
