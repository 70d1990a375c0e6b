//! The Bochs judge.
pub mod directed;
mod explain;
pub mod judge;
mod layout;
mod process;
mod rom;
pub mod scene;
pub mod state;
pub mod tape;
pub use process::Bochs;
