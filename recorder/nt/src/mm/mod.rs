//! Memory: page frames and page tables, the regions of a user address space, and access to user
//! memory from the kernel. How NT manages memory is not the sheet's subject; what is here does what
//! starting and ending processes needs, and commits pages at once.

pub(crate) mod access;
pub(crate) mod frames;
pub(crate) mod process;
pub(crate) mod services;
pub(crate) mod vad;
