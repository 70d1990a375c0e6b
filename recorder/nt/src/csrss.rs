//! What stands for CSRSS: a door in the kernel that answers a request at once.
//!
//! The sheet says when CSRSS is told something (nt52.md 3.3 step 7, 11.2, 11.4 step 4), that telling it may
//! fail, and nothing of the form; nor are there LPC ports here. So the request is a system service outside
//! the documented numbers, like those of the test driver, and no process takes part in it. CSRSS keeps
//! nothing that a program could ask for, so its answer is STATUS_SUCCESS whatever it is told.
//!
//! What can fail is the way there. As LPC does, the kernel keeps the message in a block of its own
//! meanwhile; the sheet has STATUS_NO_MEMORY and STATUS_INSUFFICIENT_RESOURCES for a message that finds no
//! room (9.6 step 16), and the first is taken. The block's tag is [`MESSAGE_TAG`], under which a case can
//! refuse it.

use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ex::pool;
use crate::mm::access::{probe, read_bytes, write};
use crate::user::csr::CsrMessage;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Va, Write};
use machine::Machine;

/// The message's block.
const MESSAGE_TAG: u32 = pool::tag(b"LpcM");

/// CsrssRequest(Message): the message is captured, and its ReturnValue filled with the answer. A bad pointer
/// is STATUS_DATATYPE_MISALIGNMENT or STATUS_ACCESS_VIOLATION.
pub(crate) fn csrss_request(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let at = Va(f.arg(0)?);
    let message = attempt!(capture(f.m, at));
    let Some(block) = pool::allocate(f.m, CsrMessage::EXTENT, MESSAGE_TAG)? else {
        return done(Status::NO_MEMORY);
    };
    f.m.put(block, &message)?;
    let replied = write(f.m, CsrMessage::at(at).return_value().at, Status::SUCCESS.0);
    pool::free(f.m, block)?;
    attempt!(replied);
    done(Status::SUCCESS)
}

fn capture(m: &mut Machine, at: Va) -> Res<Vec<u8>> {
    probe(m, at, CsrMessage::EXTENT, 4)?;
    read_bytes(m, at, CsrMessage::EXTENT)
}
