//! Compares the machine with judges that nobody here wrote.
//!
//! The real processor judges what ring 3 can do: a tiny 32-bit process is held under ptrace, its
//! registers, x87 state, segments and memory are set, one instruction is executed by the processor, and
//! what it did is read back; the machine does the same from the same state. Where this cannot be done
//! (another operating system, another processor, no ptrace, no 32-bit programs) [`Real::start`] says
//! why, and the comparison is skipped, not passed.
//!
//! [`bochs`] judges the rest: what ring 3 cannot show, and the guest code of whole cases.

pub mod bochs;
mod compare;
mod emulated;
mod form;
mod generate;
mod intel;
mod layout;
pub mod program;
mod random;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod real;
mod state;
mod undefined;
pub mod vectors;

pub use compare::{PARTIAL, difference, explained, lost, may_be_partial, number, unjudged};
pub use emulated::{Cut, Denied, Emulated, Ran, Traced, Whole, named, put_x87};
pub use form::{Form, Template, excluded, forms};
pub use generate::{Generator, Pools, background, decode};
pub use intel::forget_operand;
pub use layout::*;
pub use program::Scene;
pub use random::Random;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use real::Real;
pub use state::{Bytes, Case, End, FLAGS, State, X87};
pub use undefined::{Undefined, reads, sets, undefined};
