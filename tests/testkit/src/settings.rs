//! The text of a settings file, written as a test needs it.

use std::fmt;

/// A table of a settings file, as TOML.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(String);

/// A table with this header, such as `[dns]`.
#[must_use]
pub fn table(header: &str) -> Table {
    Table(format!("{header}\n"))
}

/// A target group that follows one endpoint, `HOST:PORT`.
#[must_use]
pub fn target_group(arn: &str, endpoint: &str) -> Table {
    table("[[target_group]]")
        .set("arn", arn)
        .set("endpoints", vec![endpoint])
}

/// A proxy that listens at an address, for an endpoint, `HOST:PORT`.
#[must_use]
pub fn proxy(listen: impl fmt::Display, endpoint: &str) -> Table {
    table("[[proxy]]")
        .set("listen", listen.to_string())
        .set("endpoint", endpoint)
}

/// The name server that is asked.
#[must_use]
pub fn dns(nameserver: impl fmt::Display) -> Table {
    table("[dns]").set("nameservers", vec![nameserver.to_string()])
}

/// The pages' address.
#[must_use]
pub fn http(listen: impl fmt::Display) -> Table {
    table("[http]").set("listen", listen.to_string())
}

impl Table {
    /// With a key and its value.
    #[must_use]
    pub fn set(self, key: &str, value: impl Into<toml::Value>) -> Self {
        let value = value.into();
        self.line(&format!("{key} = {value}"))
    }

    /// With a line, or several, as it is given; what is empty adds nothing.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        if !line.is_empty() {
            self.0.push_str(line);
            self.0.push('\n');
        }
        self
    }

    /// With another table after it.
    #[must_use]
    pub fn and(self, next: impl fmt::Display) -> Self {
        Self(format!("{self}{next}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<[u8]> for Table {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromIterator<Table> for String {
    fn from_iter<T: IntoIterator<Item = Table>>(tables: T) -> Self {
        tables.into_iter().map(|table| table.0).collect()
    }
}
