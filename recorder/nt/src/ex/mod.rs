//! The executive's support: pool, rundown protection, and the system worker.

pub(crate) mod pool;
pub(crate) mod rundown;
pub(crate) mod worker;
