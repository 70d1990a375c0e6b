//! What a kernel is: the trait that both kernels implement, and the words they share.
//!
//! Here stands the ABI that both were written against (status values, CONTEXT, the calling
//! convention of native routines), the program that case threads run, and what can be seen of a
//! kernel from outside ([`View`]). Nothing here decides how a kernel behaves.

pub mod context;
mod image;
mod kernel;
mod outcome;
pub mod program;
pub mod routine;
mod status;
mod view;

pub use image::{FlagNames, Gate, Image, LayoutInfo};
pub use kernel::{
    Activity, Block, BootError, Heap, Kernel, ObjectId, ObjectKind, Owner, PoolFault, Resume, Scene,
    ThreadStatus,
};
pub use outcome::Outcome;
pub use routine::{Flow, Frame};
pub use status::{STATUS_NAMES, Status};
pub use view::{Bugcheck, Fact, Named, ObjectView, ProcessView, ThreadView, View};
