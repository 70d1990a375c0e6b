//! The kernel's core: threads, dispatcher, waits, APCs, traps and contexts.
//!
//! There is one processor, and a native routine's stage runs whole: no interrupt comes between. So a
//! stage is what the field calls "under the dispatcher lock", and no lock word is kept. Where a lock
//! would be held across a call that blocks, the sheet lets it go there too.

pub(crate) mod apc;
pub(crate) mod attach;
pub(crate) mod bugcheck;
pub(crate) mod context;
pub(crate) mod deliver;
pub(crate) mod exception;
pub(crate) mod float;
pub(crate) mod interrupt;
pub(crate) mod ready;
pub(crate) mod region;
pub(crate) mod suspend;
pub(crate) mod sync;
pub(crate) mod thread;
pub(crate) mod timer;
pub(crate) mod trap;
pub(crate) mod wait;
