//! How a comparison of two kernels is written down, and the goldens that were accepted.
//!
//! A golden is made to be reviewed: the event's line as the case has it, then only what changed;
//! what both kernels did once, what they did differently under each one's name. The order is fixed,
//! hexadecimal numbers have eight digits, and there is no address and no counter, so a golden moves
//! only when the behaviour that it tells of moves.
//!
//! Whether two kernels agree is decided on facts ([`Comparison::first_difference`]), never on this
//! text. The accepted texts lie beside this crate's sources, one file for each case, at the case's
//! own path: `golden/termination/….snap` for `corpus/termination/….case`.

pub mod accepted;
mod change;
mod comparison;
mod text;

pub use comparison::{ComparedEvent, Comparison, Difference, LeftBehind, Side};
pub use text::{By, Told};
