//! The Bochs judge: what ring 3 of the real processor cannot show.
//!
//! Bochs is run with a ROM of ours instead of a BIOS. Its `monitor` is a small hypervisor: only a
//! processor's virtual-machine extensions, which Bochs has, can load a whole state, with descriptor
//! caches and interrupt shadow, and give it back after any instruction. The guest's state goes through
//! the control structure; its physical memory is behind nested page tables, whose dirty bits say which
//! pages it wrote; and the preemption timer, which counts instructions in Bochs, brings it back after
//! each step. Nothing of the guest's own is intercepted: its exceptions go through its own IDT. It comes
//! back by itself at VMCALL (which ends a test), HLT, CPUID, INVD, port I/O, a change of CR0.NE, a task
//! switch and a shutdown. Compared with the traces of Bochs's debugger this loses nothing and is some
//! hundred times as fast; the debugger only writes the answers to a file.
//!
//! One process plays a whole [tape] of states. [`directed`] has the tests of every rule, [`judge`]
//! runs them and compares, [`lockstep`] does so for the guest's code of whole cases, `explain` says which
//! differences are none to mind and why, and [`vectors`] keeps Bochs's answers for machines without it.

pub mod directed;
mod explain;
pub mod judge;
mod layout;
pub mod lockstep;
mod monitor;
mod process;
mod rom;
pub mod scene;
pub mod state;
pub mod tape;
pub mod vectors;

pub use process::Bochs;
