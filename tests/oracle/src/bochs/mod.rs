//! The Bochs judge.
pub mod directed;
mod explain;
pub mod judge;
mod layout;
pub mod lockstep;
mod process;
mod rom;
pub mod scene;
pub mod state;
pub mod tape;
pub mod vectors;
pub use process::Bochs;
