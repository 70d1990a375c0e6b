//! Debug messages (reactos.md 4.6). No process has a debug port: LPC ports are left out.

use crate::{ReactOs, ke, routines::Ke};
use contract::{Flow, Frame};
use guest::Read;
use machine::Fault;

/// DbgkCreateThread(StartAddress): looks at the debug port of the *calling* thread's process.
pub(crate) fn create_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    if f.stage == 0
        && let Some(process) = f.m.get(thread.threads_process())?
        && !f.m.get(process.debug_port())?.is_null()
    {
        // Nothing can have set the port.
        return f.call(Ke::KeBugCheck.at(), &[crate::layout::stop::GENERIC], 1);
    }
    Ok(Flow::Return(0))
}
