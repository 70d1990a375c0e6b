//! Compares the machine with a judge that nobody here wrote: the real processor, in ring 3.
//!
//! A tiny 32-bit process is held under ptrace. Its registers and memory are set, one instruction is
//! executed by the processor, and what it did is read back; the machine does the same from the same
//! state. Where this cannot be done (another operating system, another processor, no ptrace, no
//! 32-bit programs) [`Native::start`] says why, and the comparison is skipped, not passed.

mod emulated;
mod form;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod native;
mod random;
mod state;

pub use emulated::Emulated;
pub use form::{Form, classify};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use native::Native;
pub use random::Random;
pub use state::{CODE, DATA, DATA_SIZE, End, STATUS_FLAGS, State};
