//! The debugger gdb on a recorded run, forwards and backwards.
//!
//! - [`timeline`] walks through a recording a step at a time, in both directions.
//! - [`symbols`] writes the file that tells gdb what is where.
//! - [`serve`] speaks gdb's remote protocol (through the crate gdbstub) on a connection.
//!
//! One processor carries all threads of the guest, so gdb's threads are not free: to step one of
//! them is to go on until it has made a step, and to go back is to take back the machine's last step,
//! whoever made it. What happened cannot be changed: writing memory or registers is refused.

mod going;
mod points;
mod registers;
pub mod symbols;
mod target;
pub mod timeline;

use gdbstub::stub::{DisconnectReason, GdbStub};
use std::net::TcpStream;
use timeline::{Stray, Timeline};

/// Why a session ended before gdb ended it.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The recording cannot be walked through.
    #[error(transparent)]
    Stray(#[from] Stray),
    /// The connection failed, or what came over it is not gdb's protocol.
    #[error("the connection with gdb: {0}")]
    Connection(String),
}

/// Serves one gdb, from the place at which `line` stands, until it goes away.
///
/// # Errors
/// [`SessionError`].
pub fn serve(line: Timeline, connection: TcpStream) -> Result<(), SessionError> {
    let mut debuggee = target::Debuggee::new(line);
    let ended = GdbStub::new(connection).run_blocking::<going::Waiting<TcpStream>>(&mut debuggee);
    match ended {
        Ok(
            DisconnectReason::Disconnect
            | DisconnectReason::Kill
            | DisconnectReason::TargetExited(_)
            | DisconnectReason::TargetTerminated(_),
        ) => Ok(()),
        Err(error) if error.is_target_error() => match error.into_target_error() {
            Some(stray) => Err(stray.into()),
            None => Ok(()),
        },
        Err(error) if error.is_connection_error() => match error.into_connection_error() {
            // gdb was ended without a word.
            Some((cause, _)) if cause.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
            Some((cause, _)) => Err(SessionError::Connection(cause.to_string())),
            None => Ok(()),
        },
        Err(error) => Err(SessionError::Connection(error.to_string())),
    }
}
