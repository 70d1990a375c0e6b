//! Linear and physical addresses, kept apart by type.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A linear ("virtual") address: what paging translates. 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Va(pub u32);

/// A physical address. 32 bits; no PAE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Pa(pub u32);

/// Bytes in a page: 4 KiB.
pub const PAGE: u32 = 0x1000;

impl Va {
    /// The address `offset` bytes further on, wrapping at 4 GiB as the processor does.
    pub const fn add(self, offset: u32) -> Va {
        Va(self.0.wrapping_add(offset))
    }
    /// The address `offset` bytes back, wrapping.
    pub const fn sub(self, offset: u32) -> Va {
        Va(self.0.wrapping_sub(offset))
    }
    /// The first address of the page that holds this one.
    pub const fn page(self) -> Va {
        Va(self.0 & !(PAGE - 1))
    }
    /// The offset within the page: 0 to FFF.
    pub const fn offset(self) -> u32 {
        self.0 & (PAGE - 1)
    }
    /// Whether this is the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}

impl Pa {
    /// The address `offset` bytes further on, wrapping at 4 GiB.
    pub const fn add(self, offset: u32) -> Pa {
        Pa(self.0.wrapping_add(offset))
    }
    /// The page frame number.
    pub const fn frame(self) -> u32 {
        self.0 >> 12
    }
    /// The offset within the page: 0 to FFF.
    pub const fn offset(self) -> u32 {
        self.0 & (PAGE - 1)
    }
}

impl fmt::Debug for Va {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}
impl fmt::Display for Va {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}
impl fmt::Debug for Pa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:08X}p", self.0)
    }
}
