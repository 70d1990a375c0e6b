//! Primary tokens, as far as they are looked at: SeDebugPrivilege (nt52.md 3.1 step 13, 9.12).
//!
//! EPROCESS.Token is an EX_FAST_REF in the field; here it is the address of a pool block that the
//! process owns, with no reference bits in it.

use crate::error::Res;
use crate::ex::pool;
use crate::layout::EProcess;
use contract::Status;
use guest::{Fault, Pointer, Read, Va, Write, guest_struct};
use machine::Machine;

guest_struct! {
    /// A token.
    pub(crate) struct Token [0x8] {
        // Whether SeDebugPrivilege is enabled.
        0x0 debug_privilege: u32,
    }
}

/// A token of its own for a process: a copy of the parent's, or one with the privilege for the first
/// processes.
pub(crate) fn duplicate(m: &mut Machine, parent: Option<EProcess>, process: EProcess) -> Res<()> {
    let enabled = match parent {
        Some(parent) => holds_debug_privilege(m, parent)?.into(),
        None => 1,
    };
    let Some(at) = pool::allocate(m, Token::EXTENT, pool::tag(b"Toke"))? else {
        return Err(Status::INSUFFICIENT_RESOURCES.into());
    };
    m.set(Token::at(at).debug_privilege(), enabled)?;
    m.set(process.token(), at)?;
    Ok(())
}

/// Whether the token of a process holds SeDebugPrivilege.
pub(crate) fn holds_debug_privilege(m: &mut Machine, process: EProcess) -> Result<bool, Fault> {
    let token = Token::at(m.get(process.token())?);
    Ok(m.get(token.debug_privilege())? != 0)
}

/// Gives a process's token back, if it got as far as having one.
pub(crate) fn drop(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    let at = m.get(process.token())?;
    if !at.is_null() {
        m.set(process.token(), Va(0))?;
        pool::free(m, at)?;
    }
    Ok(())
}
