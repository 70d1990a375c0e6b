//! What lies behind a difference: private detail of the kernels, shown and never compared.
//!
//! - [`Names`] says what lies at an address, in the words of the case.
//! - [`facts`] are what two runs differ in: the smallest set, what follows from it, and what does not.
//! - [`story()`] is what a kernel did in an event, for telling why.
//! - [`target`] finds structures and fields by name; [`writes()`] tells who wrote them.
//! - [`calls()`] is an event's call trace: native routines with arguments, results and depth.
//! - [`told_calls`] are the same, with names for the blocks of the pool that they pass around.
//! - [`Interrupts`] are those of a run, and which of them did nothing that a trace should tell.
//! - [`fields`] names the fields in which two machines of one kernel differ.
//! - [`stack`] walks a thread's stacks and names every slot.
//! - [`recorder::Player`] stands at any instant of an event, for all of them to look at.

mod blocks;
mod calls;
pub mod facts;
pub mod fields;
mod interrupts;
mod names;
mod sides;
pub mod stack;
mod story;
pub mod target;
mod values;
mod writes;

pub use blocks::told_calls;
pub use calls::{Call, End, Row, calls, rows};
pub use fields::{Field, FieldChange, Layouts, camel};
pub use interrupts::{Interrupts, Stretch};
pub use names::Names;
pub use sides::{side_by_side, traces};
pub use story::{CodeLine, Story, line, listing, stories, story};
pub use writes::{Changed, writes};

use contract::Kernel;
use machine::Va;

/// An address as a person reads it: by its symbol, or by its digits where there is none.
pub fn symbol(kernel: &dyn Kernel, at: Va) -> String {
    recorder::symbol(kernel, at).unwrap_or_else(|| at.to_string())
}
