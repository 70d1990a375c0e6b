//! Why an access to guest memory stopped: the page fault that the guest would see.

use crate::Va;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an access wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// To read data.
    Read,
    /// To write data.
    Write,
    /// To fetch an instruction. An i386 reports it as a read.
    Execute,
}

/// The paging level that stopped an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// The page-directory entry.
    Directory,
    /// The page-table entry.
    Table,
}

/// A page fault: where, why, and which paging level said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The linear address that could not be accessed: what CR2 will hold.
    pub at: Va,
    /// What was wanted there.
    pub access: Access,
    /// Whether the access was made in ring 3 (error code bit 2).
    pub user: bool,
    /// Whether the page is present, so that a right was missing (error code bit 0).
    pub present: bool,
    /// The level whose entry said no.
    pub level: Level,
}

impl Fault {
    /// The error code that the processor pushes: bit 0 present, bit 1 write, bit 2 user.
    pub fn error_code(&self) -> u32 {
        u32::from(self.present) | u32::from(self.access == Access::Write) << 1 | u32::from(self.user) << 2
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let verb = match self.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "execute",
        };
        let who = if self.user { "user" } else { "kernel" };
        let why = if self.present { "is protected" } else { "is not present" };
        let level = match self.level {
            Level::Directory => "page directory",
            Level::Table => "page table",
        };
        write!(f, "{who} {verb} of {}: {why} ({level} entry)", self.at)
    }
}

impl std::error::Error for Fault {}
