//! Objects and handles (nt52.md 12).

mod attributes;
mod close;
mod duplicate;
mod handle;
mod object;
mod services;
mod wait;

pub(crate) use attributes::*;
pub(crate) use close::*;
pub(crate) use duplicate::*;
pub(crate) use handle::*;
pub(crate) use object::*;
pub(crate) use services::*;
pub(crate) use wait::*;
