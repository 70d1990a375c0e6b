//! An i386 that the host can step, stop, copy and compare. It has never heard of NT.
//!
//! Three invariants carry everything above it:
//! - **All state is in [`Machine`]**: a copy is a snapshot.
//! - **An instruction that faults has changed nothing** but what the architecture says.
//! - **[`Machine::run`] always ends**: at a native routine, a breakpoint, a halt, or its budget.

mod access;
mod address;
mod blocks;
mod cache;
mod debug;
mod execute;
mod fast;
mod fault;
mod fetch;
mod flags;
mod float;
pub mod image;
mod lazy;
mod listing;
mod lower;
mod machine;
mod memory;
mod op;
mod paging;
pub mod registers;
mod run;
mod segment;
mod spare;
mod sprint;
mod tlb;
mod trap;
pub mod x87;

pub use address::{PAGE, Pa, Va};
pub use debug::Touched;
pub use fault::{Access, Fault, Level};
pub use machine::{Gates, Machine, Stop, Until};
pub use memory::{Apart, Memory, Page};
pub use registers::{Cpu, Model, Reg, Seg, Segment, Table};
pub use trap::Trap;
