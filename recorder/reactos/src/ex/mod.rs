//! The executive's own means: pool and fast mutexes.

pub(crate) mod fastmutex;
pub(crate) mod pool;
