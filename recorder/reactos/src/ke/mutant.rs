//! Mutants (reactos.md 9.7).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// KeInitializeMutex, with the owner that NtCreateMutant may ask for.
pub(crate) fn init(m: &mut Machine, mutant: KMutant, owner: Option<EThread>) -> R<()> {
    let state = i32::from(owner.is_none());
    ke::event::init_header(m, mutant.header(), kind::MUTEX, 8, state)?;
    m.set(mutant.owner_thread(), owner)?;
    if let Some(thread) = owner {
        thread.tcb().mutant_list_head().push_back(m, mutant.mutant_list_entry())?;
    }
    Ok(())
}

/// KeReleaseMutant(Mutant, Increment, Abandon, Wait): the previous state.
pub(crate) fn ke_release_mutant(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    let (mutant, increment, abandon) = (f.arg_ptr::<KMutant>(0)?, f.arg(1)? as i8, f.arg(2)? != 0);
    let thread = ke::current(f.m)?;
    let owner = f.m.get(mutant.owner_thread())?;
    let header = mutant.header();
    let old_irql = ke::irql::raise(f.m, irql::DISPATCH)?;
    let old = f.m.get(header.signal_state())?;
    f.set_local(0, old as u32)?;
    if abandon {
        if owner.is_some() {
            f.m.set(header.signal_state(), 1)?;
            f.m.set(mutant.abandoned(), 1)?;
        }
    } else {
        if owner.is_some_and(|owner| owner != thread) {
            return f.call(Ke::KeBugCheck.at(), &[stop::THREAD_NOT_MUTEX_OWNER], 1);
        }
        f.m.set(header.signal_state(), old.wrapping_add(1))?;
    }
    if f.m.get(header.signal_state())? == 1 {
        if owner.is_some() {
            f.m.set(mutant.owner_thread(), None)?;
            mutant.mutant_list_entry().unlink(f.m)?;
        }
        ke::wake::object(f.m, header, increment)?;
    }
    let wait = f.arg(3)? & 0xFF != 0;
    ke::event::unlock(f, old_irql, wait)
}
