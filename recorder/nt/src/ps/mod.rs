//! Processes and threads: their creation, first run, suspension, termination and deletion.

pub(crate) mod alert;
pub(crate) mod cid;
pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod critical;
pub(crate) mod delete;
pub(crate) mod exit;
pub(crate) mod open;
pub(crate) mod process;
pub(crate) mod query;
pub(crate) mod set;
pub(crate) mod start;
pub(crate) mod suspend;
pub(crate) mod terminate;
pub(crate) mod token;
