//! Verifies, compares and explains recordings; and the program `tandem`, which does so for users.
//!
//! - [`corpus`] finds cases, [`compare()`] records one on two kernels, [`judge()`] measures the outcome by
//!   what the case and its golden say, [`json`] and [`formats`] write it for programs.
//! - [`verify()`] runs a recording's inputs again and names the first event and the first instruction
//!   that differ.
//! - [`coverage`] tells which numbered rules and sections of the behaviour sheets have a case.
//! - [`explain`] shows what lies behind: call traces side by side, fields by name, stacks with every
//!   slot named.
//! - [`gdb`] lets the debugger gdb go forwards and backwards through a recording.
//! - [`minimize()`] makes a script smaller that still shows the same difference.
//! - [`report`] writes a run as a static site.
//! - [`cli`] is the program. Everything it says goes through one type, and ends in one of three
//!   statuses: 0 as written, 1 something unexpected, 2 bad usage or input.

mod batch;
pub mod cli;
pub mod compare;
pub mod corpus;
pub mod coverage;
pub mod explain;
pub mod formats;
pub mod gdb;
pub mod json;
pub mod judge;
pub mod minimize;
pub mod report;
pub mod verify;
mod words;

pub use compare::{Compared, PairError, compare, outcomes, pair};
pub use judge::{Surprise, Verdict, judge};
pub use minimize::{MinimizeError, Minimized, minimize};
pub use verify::{Deviation, Verified, verify, verify_all};
