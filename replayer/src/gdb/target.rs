//! What gdb asks of a recorded machine where it stands: threads, registers, memory, and to keep
//! breakpoints and watchpoints. How it goes on and back is in `going`.
//!
//! Nothing can be written, neither memory nor registers: a recording has happened, and one that took
//! another way from here would be none. gdb is refused and says so.

use super::going::Going;
use super::points::{Kind, Points};
use super::registers::{I386, Set};
use super::timeline::{Stray, Timeline};
use crate::explain::Names;
use contract::{Activity, ObjectId, ThreadStatus};
use gdbstub::common::Tid;
use gdbstub::outputln;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{MultiThreadBase, MultiThreadResumeOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use machine::{Machine, Va};
use std::num::NonZeroUsize;

/// Threads without an id of their own are numbered from here on, far above any id.
const NO_ID: Tid = match NonZeroUsize::new(1_000_000) {
    Some(first) => first,
    None => unreachable!(),
};
/// What gdb reads where native routines live: NOP. The INT3 that lies there is to catch a kernel that
/// runs into it; gdb would take it for a breakpoint of the program's own.
const NATIVE: u8 = 0x90;
/// A recorded run as gdb sees it.
pub struct Debuggee<'r> {
    pub(super) line: Timeline<'r>,
    pub(super) points: Points,
    pub(super) going: Going,
}

impl<'r> Debuggee<'r> {
    /// The run that stands where `line` does.
    pub fn new(line: Timeline<'r>) -> Debuggee<'r> {
        Debuggee { line, points: Points::default(), going: Going::On }
    }

    fn machine(&self) -> &Machine {
        self.line.machine()
    }

    /// Every thread that has not ended, by gdb's number for it. The one that makes the next step comes
    /// first: where gdb means any, it means that one.
    fn threads(&self) -> Vec<(Tid, ThreadStatus)> {
        let (kernel, m, current) = (self.line.kernel(), self.machine(), self.line.current());
        let mut found: Vec<(Tid, ThreadStatus)> = Vec::new();
        for (index, status) in kernel.threads(m).into_iter().enumerate() {
            let own = kernel.client_id(m, status.id).map_or(0, |(_, thread)| thread as usize);
            let none = NO_ID.saturating_add(index);
            let tid = NonZeroUsize::new(own).unwrap_or(none);
            let gone = status.id != current && status.activity == Activity::Terminated;
            if !gone && !found.iter().any(|(other, _)| *other == tid) {
                found.push((tid, status));
            }
        }
        found.sort_by_key(|(_, status)| status.id != current);
        found
    }

    pub(super) fn status(&self, tid: Tid) -> Option<ThreadStatus> {
        self.threads().into_iter().find(|(known, _)| *known == tid).map(|(_, status)| status)
    }

    /// gdb's number for the thread that makes the next step. A kernel that is just booting may have
    /// none.
    pub(super) fn current(&self) -> Tid {
        self.number(self.line.current())
    }

    fn number(&self, id: ObjectId) -> Tid {
        let found = self.threads().into_iter().find(|(_, status)| status.id == id);
        found.map_or(NO_ID, |(tid, _)| tid)
    }

    /// A thread's name, as all commands tell it.
    fn name(&self, id: ObjectId) -> String {
        Names::new(self.line.kernel(), self.machine(), self.line.named()).object(id)
    }

    fn whereabouts(&self) -> String {
        let (place, event) = (self.line.place(), self.line.event());
        let kernel = self.line.kernel();
        let at = crate::explain::symbol(kernel, self.machine().cpu.next());
        let what = match place.event {
            0 => "booting".to_owned(),
            number => {
                format!("event {number} of {}, line {}: {}", self.line.events(), event.line, event.text)
            }
        };
        let thread = self.name(self.line.current());
        format!(
            "{what}; {}+{}, step {}, instruction {}, thread {thread}, at {at}",
            place.event,
            self.line.instant(),
            place.step,
            self.machine().retired
        )
    }
}

impl Target for Debuggee<'_> {
    type Arch = I386;
    type Error = Stray;

    fn base_ops(&mut self) -> BaseOps<'_, I386, Stray> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Debuggee<'_> {
    fn read_registers(&mut self, regs: &mut Set, tid: Tid) -> TargetResult<(), Self> {
        let (m, event) = (self.machine(), self.line.place().event);
        *regs = match self.status(tid) {
            Some(status) if !status.current => Set::waiting(m, status.resume, event),
            _ => Set::of(m, event),
        };
        Ok(())
    }

    fn write_registers(&mut self, _: &Set, _: Tid) -> TargetResult<(), Self> {
        Err(TargetError::NonFatal)
    }

    fn read_addrs(&mut self, from: u32, out: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let m = self.machine();
        let cr3 = match self.status(tid) {
            Some(status) if !status.current => status.cr3,
            _ => m.cpu.cr3,
        };
        let readable = |len: usize| m.peek(cr3, Va(from), &mut vec![0; len]).is_ok();
        let mut len = out.len();
        if !readable(len) {
            // Up to the first page that is not mapped.
            len = (1..=out.len()).take_while(|len| readable(*len)).last().unwrap_or(0);
        }
        if len == 0 || m.peek(cr3, Va(from), &mut out[..len]).is_err() {
            return Err(TargetError::NonFatal);
        }
        for (index, byte) in out[..len].iter_mut().enumerate() {
            let at = from.wrapping_add(index as u32);
            if m.gates.kernel.contains(&at) || m.gates.user.contains(&at) {
                *byte = NATIVE;
            }
        }
        Ok(len)
    }

    fn write_addrs(&mut self, _: u32, _: &[u8], _: Tid) -> TargetResult<(), Self> {
        Err(TargetError::NonFatal)
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), Stray> {
        let threads = self.threads();
        for (tid, _) in &threads {
            active(*tid);
        }
        if threads.is_empty() {
            active(self.current());
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Debuggee<'_> {
    fn thread_extra_info(&self, tid: Tid, out: &mut [u8]) -> Result<usize, Stray> {
        let text = match self.status(tid) {
            Some(status) => {
                let doing = match (status.current, status.activity) {
                    (true, _) => "current",
                    (_, Activity::Initialized) => "initialized",
                    (_, Activity::Runnable) => "ready",
                    (_, Activity::Waiting) => "waiting",
                    (_, Activity::Suspended) => "suspended",
                    (_, Activity::Terminated) => "terminated",
                };
                format!("{}, {doing}", self.name(status.id))
            }
            None => "booting".to_owned(),
        };
        let len = text.len().min(out.len());
        out[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl Breakpoints for Debuggee<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Debuggee<'_> {
    fn add_sw_breakpoint(&mut self, at: u32, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.add(at, false))
    }

    fn remove_sw_breakpoint(&mut self, at: u32, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.remove(at, false))
    }
}

impl HwBreakpoint for Debuggee<'_> {
    fn add_hw_breakpoint(&mut self, at: u32, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.add(at, true))
    }

    fn remove_hw_breakpoint(&mut self, at: u32, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.remove(at, true))
    }
}

impl HwWatchpoint for Debuggee<'_> {
    fn add_hw_watchpoint(&mut self, at: u32, len: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.points.watch(Kind::from(kind), at, len))
    }

    fn remove_hw_watchpoint(&mut self, at: u32, len: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.points.unwatch(Kind::from(kind), at, len))
    }
}

impl MonitorCmd for Debuggee<'_> {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Stray> {
        match command {
            b"where" => outputln!(out, "{}", self.whereabouts()),
            _ => outputln!(out, "monitor where: the event that is under way, and where in it this is"),
        }
        Ok(())
    }
}
