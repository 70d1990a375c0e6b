//! Memory: physical pages, page tables, kernel stacks and user address spaces.
//!
//! The sheet leaves to the implementer how this is modelled (reactos.md 3.5). What is committed is
//! present at once: a page fault on user memory is always an access violation.

pub(crate) mod pages;
pub(crate) mod services;
pub(crate) mod space;
