//! The engines of RDS besides PostgreSQL, as far as a port tells.

use std::fmt;

/// Engines of RDS besides PostgreSQL, by the ports that they have unless somebody chooses another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// And MariaDB, and Aurora MySQL.
    Mysql,
    /// Microsoft's.
    SqlServer,
    /// Oracle's.
    Oracle,
    /// IBM's.
    Db2,
}

impl Engine {
    /// The engine that has this port by default, if it is not PostgreSQL.
    pub fn of(port: u16) -> Option<Self> {
        match port {
            3306 => Some(Self::Mysql),
            1433 => Some(Self::SqlServer),
            1521 => Some(Self::Oracle),
            50_000 => Some(Self::Db2),
            _ => None,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL and MariaDB",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
            Self::Db2 => "Db2",
        })
    }
}
