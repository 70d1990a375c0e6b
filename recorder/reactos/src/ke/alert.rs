//! Alerts: since January 2005 only `Alerted[0]` is set and tested by the alert routines, while waits
//! still index by mode (reactos.md 7.8).

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// KeTestAlertThread: the old flag. The APC list is looked at only when the flag was clear.
pub(crate) fn test(m: &mut Machine, mode: u32) -> R<bool> {
    let tcb = ke::current(m)?.tcb();
    if m.get(tcb.alerted())? != 0 {
        m.set(tcb.alerted(), 0)?;
        return Ok(true);
    }
    let state = tcb.apc_state();
    if mode == USER_MODE && !state.user_list().is_empty(m)? {
        m.set(state.user_apc_pending(), 1)?;
    }
    Ok(false)
}

/// KeTestAlertThread(AlertMode).
pub(crate) fn ke_test_alert_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let mode = f.arg(0)?;
        let old_irql = ke::irql::raise(f.m, irql::DISPATCH)?;
        let old = test(f.m, mode)?;
        f.set_local(0, u32::from(old))?;
        return f.call(Ke::KfLowerIrql.at(), &[u32::from(old_irql)], 1);
    }
    Ok(Flow::Return(f.local(0)?))
}

/// KeAlertThread(Thread, AlertMode): a second alert is lost while the first is not consumed.
pub(crate) fn ke_alert_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    let (thread, mode) = (f.arg_ptr::<EThread>(0)?, f.arg(1)?);
    let tcb = thread.tcb();
    let old_irql = ke::irql::raise(f.m, irql::DISPATCH)?;
    let old = f.m.get(tcb.alerted())?;
    f.set_local(0, u32::from(old))?;
    if old == 0 {
        f.m.set(tcb.alerted(), 1)?;
        let blocked = f.m.get(tcb.state())? == ThreadState::Blocked;
        if blocked && u32::from(f.m.get(tcb.wait_mode())?) == mode && f.m.get(tcb.alertable())? != 0 {
            ke::wake::abort(f.m, thread, Status::ALERTED)?;
        }
    }
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old_irql)], 1)
}

/// NtTestAlert().
pub(crate) fn nt_test_alert(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let mode = ke::previous_mode(f.m)?;
        return f.call(Ke::KeTestAlertThread.at(), &[mode], 1);
    }
    let status = if f.result() != 0 { Status::ALERTED } else { Status::SUCCESS };
    Ok(Flow::Return(status.0))
}

/// NtAlertThread(ThreadHandle).
pub(crate) fn nt_alert_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let handle = f.arg(0)?;
        return match ob::reference(f.m, handle, Some(Type::Thread))? {
            Ok(thread) => {
                f.set_local(0, thread.0)?;
                f.call(Ke::KeAlertThread.at(), &[thread.0, USER_MODE], 1)
            }
            Err(status) => Ok(Flow::Return(status.0)),
        };
    }
    let thread = f.local(0)?;
    ob::dereference(f.m, machine::Va(thread))?;
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// NtAlertResumeThread: not implemented at that time.
pub(crate) fn nt_alert_resume_thread(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(Status::NOT_IMPLEMENTED.0))
}
