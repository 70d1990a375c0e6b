//! Processes and threads.

pub(crate) mod cid;
pub(crate) mod context;
pub(crate) mod create_process;
pub(crate) mod create_thread;
pub(crate) mod delete;
pub(crate) mod exit;
pub(crate) mod lock;
pub(crate) mod notify;
pub(crate) mod query;
pub(crate) mod reaper;
pub(crate) mod start;
pub(crate) mod suspend;
pub(crate) mod system;
pub(crate) mod teb;
pub(crate) mod terminate;
pub(crate) mod thread;
