//! How a routine's Rust code says that it has failed.

use contract::Status;
use machine::Fault;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Error {
    /// An access to guest memory that nothing guards: the fault reaches the guest's trap handler.
    Fault(Fault),
    /// A status for the caller.
    Status(Status),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::Fault(fault)
    }
}
impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error::Status(status)
    }
}

/// What Rust code that can fail with a status gives.
pub(crate) type Res<T> = Result<T, Error>;

/// Tells a status apart from a fault.
pub(crate) fn split<T>(result: Res<T>) -> Result<Result<T, Status>, Fault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Status(status)) => Ok(Err(status)),
        Err(Error::Fault(fault)) => Err(fault),
    }
}

/// The value, or the routine returns the status.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err($crate::error::Error::Status(status)) => return Ok(contract::Flow::Return(status.0)),
            Err($crate::error::Error::Fault(fault)) => return Err(fault),
        }
    };
}
pub(crate) use attempt;

/// A status as a routine's result.
pub(crate) fn done(status: Status) -> Result<contract::Flow, Fault> {
    Ok(contract::Flow::Return(status.0))
}
