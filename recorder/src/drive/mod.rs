//! Drives a kernel through a case.
//!
//! A thread with nothing to do sits at the program's `park` loop, runnable, like any busy program. A
//! line for it rotates the scheduler by clock interrupts until it is current, places the call on its
//! user stack as the program would, and lets the machine run until it is quiet again. Everything that
//! reaches the machine is a [`crate::recording::Reaching`], so that a replay can do it again.
//!
//! `record` carries a whole case out, `run` its lines one at a time; `motor` runs the machine and serves
//! native routines; `quiet` decides when it is at rest; `call` places calls; `answer` reads what they
//! gave back; `scene`, `world` and `look` are the other lines; `view` is what is told after each;
//! `replay` and `player`, which do a recording again, need nothing of these but the motor.

mod answer;
mod boot;
mod call;
mod error;
mod float;
mod frame;
mod look;
mod motor;
mod nesting;
mod player;
mod quiet;
mod record;
mod registers;
mod replay;
mod routines;
mod run;
mod scene;
mod view;
mod world;

pub use error::{RecordError, WriteError};
pub use look::symbol;
pub use motor::apply;
pub use player::{Next, Player, SeekError};
pub use record::{Driven, drive, record, record_in_detail, record_into};
pub use replay::{Replay, Replayed, Step};
pub use run::Run;
