//! The Bochs judge.
pub mod directed;
pub mod judge;
mod layout;
mod process;
mod rom;
pub mod scene;
pub mod state;
pub mod tape;
pub use process::Bochs;
