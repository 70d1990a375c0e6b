//! Objects and handles.

pub(crate) mod access;
pub(crate) mod duplicate;
pub(crate) mod handle;
pub(crate) mod object;
pub(crate) mod open;
pub(crate) mod services;
pub(crate) mod signal;

pub(crate) use object::{dereference, reference, reference_pointer};
