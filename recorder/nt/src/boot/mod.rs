//! Booting: a machine with paging, descriptors and code (`machine`), and the first processes and
//! threads (`scene`), as they are before anything runs (nt52.md 1.8).

mod machine;
mod scene;

use crate::{NAME, Nt};
use ::machine::Machine;
use contract::BootError;

/// A fresh machine: the idle thread is about to run, and the first threads are ready.
pub(crate) fn boot(nt: &Nt) -> Result<Machine, BootError> {
    let mut m = machine::start(nt)?;
    scene::set(nt, &mut m).map_err(|error| match error {
        crate::error::Error::Fault(fault) => BootError::Fault { kernel: NAME, fault },
        crate::error::Error::Status(status) => {
            BootError::Other { kernel: NAME, what: format!("the scene could not be set: {status}") }
        }
    })?;
    Ok(m)
}
