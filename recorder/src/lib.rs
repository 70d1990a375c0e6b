//! Reads cases, drives a kernel through them, and writes down what happened.
//!
//! - [`Case`] is a script, parsed with errors that a person can act on; its words are the
//!   [`verbs`] table.
//! - [`sheets`] are the behaviour sheets: the rules and sections that cases say they cover.
//! - [`record`] boots a [kernel](kernels), turns each line into machine input, and gives a
//!   [`Recording`]. [`Run`] does the same a line at a time.
//! - [`Replay`] feeds the inputs of a recording to a freshly booted kernel again.
//!
//! The machine is touched only through [`Input`]s, each at an instant counted in instructions
//! retired, so a recording holds everything that reached its run from outside.

pub mod case;
mod codec;
mod deflate;
mod drive;
mod guard;
pub mod kernels;
mod left;
mod pack;
pub mod recording;
pub mod sheets;
pub mod verbs;

pub use case::{Case, CaseError, Line};
pub use drive::{
    Driven, Next, Player, RecordError, Replay, Replayed, Run, SeekError, Step, WriteError, apply, drive,
    record, record_in_detail, record_into, symbol,
};
pub use left::left_behind;
pub use recording::{
    Archive, EventRecord, Header, Input, Loaded, ReadError, Recording, Torn, TraceStep, Went, Writer,
};
