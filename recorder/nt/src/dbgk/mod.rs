//! The debugging lifecycle (nt52.md 10). DbgkpProcessDebugPortMutex and the debug objects' own locks
//! are never held across a call that blocks, so that a stage of a routine stands for them.

pub(crate) mod attach;
pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod port;
pub(crate) mod report;
pub(crate) mod services;
