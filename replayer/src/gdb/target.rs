//! What gdb asks of a recorded machine: threads, registers, memory, and to go on or back.
//!
//! Nothing can be written, neither memory nor registers: a recording has happened, and one that took
//! another way from here would be none. gdb is refused and says so.

use super::points::{Points, Reached};
use super::registers::{I386, Set};
use super::timeline::{Stray, Timeline};
use contract::{Activity, ObjectId, ThreadStatus};
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::{Connection, ConnectionExt};
use gdbstub::outputln;
use gdbstub::stub::MultiThreadStopReason as Stop;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use machine::{Machine, Va};
use std::marker::PhantomData;
use std::num::NonZeroUsize;

/// Threads without an id of their own are numbered from here on, far above any id.
const NO_ID: Tid = match NonZeroUsize::new(1_000_000) {
    Some(first) => first,
    None => unreachable!(),
};
/// What gdb reads where native routines live: NOP. The INT3 that lies there is to catch a kernel that
/// runs into it; gdb would take it for a breakpoint of the program's own.
const NATIVE: u8 = 0x90;
/// Between two looks at whether gdb wants it to stop, so many steps are made.
const STEPS_PER_LOOK: u32 = 4096;

/// How gdb wants it to go on.
#[derive(Clone, Copy, Debug)]
enum Going {
    On,
    /// One step of this thread, while the others go on.
    Step(Tid),
    Back,
    StepBack,
}

/// A recorded run as gdb sees it.
pub struct Debuggee<'r> {
    line: Timeline<'r>,
    points: Points,
    going: Going,
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

    fn status(&self, tid: Tid) -> Option<ThreadStatus> {
        self.threads().into_iter().find(|(known, _)| *known == tid).map(|(_, status)| status)
    }

    /// gdb's number for the thread that makes the next step. A kernel that is just booting may have
    /// none.
    fn current(&self) -> Tid {
        self.number(self.line.current())
    }

    fn number(&self, id: ObjectId) -> Tid {
        let found = self.threads().into_iter().find(|(_, status)| status.id == id);
        found.map_or(NO_ID, |(tid, _)| tid)
    }

    fn name(&self, id: ObjectId) -> String {
        if let Some(named) = self.line.named().iter().find(|named| named.id == id) {
            return named.name.clone();
        }
        if id == self.line.kernel().scene(self.machine()).thread {
            return "init".to_owned();
        }
        let threads = self.line.kernel().threads(self.machine());
        let system = threads.iter().any(|status| status.id == id && status.system);
        if system { "system" } else { "no name" }.to_owned()
    }

    /// Goes the way that gdb wants, until something is reached or `interrupted` says so.
    fn go(&mut self, mut interrupted: impl FnMut() -> bool) -> Result<Option<Stop<u32>>, Stray> {
        match self.going {
            Going::On => self.on(None, &mut interrupted),
            Going::Step(tid) => self.on(Some(tid), &mut interrupted),
            Going::StepBack => Ok(Some(match self.line.back()? {
                true => Stop::SignalWithThread { tid: self.current(), signal: Signal::SIGTRAP },
                false => self.outside(ReplayLogPosition::Begin),
            })),
            Going::Back => {
                let from = self.line.place();
                let points = &self.points;
                let reached = self.line.last_before(from, |line, _| points.passing(line))?;
                Ok(Some(match reached {
                    Some(reached) => self.stop(reached),
                    None => self.outside(ReplayLogPosition::Begin),
                }))
            }
        }
    }

    /// Goes on; with `step` until that thread has made a step.
    fn on(
        &mut self,
        step: Option<Tid>,
        interrupted: &mut impl FnMut() -> bool,
    ) -> Result<Option<Stop<u32>>, Stray> {
        let wanted = step.and_then(|tid| self.status(tid)).map(|status| status.id);
        for count in 1u32.. {
            let by = self.line.current();
            if let Some(reached) = self.points.stepping(&mut self.line)? {
                return Ok(Some(self.stop(reached)));
            }
            if self.line.ended() {
                return Ok(Some(self.outside(ReplayLogPosition::End)));
            }
            if wanted == Some(by) {
                let tid = step.filter(|tid| self.status(*tid).is_some()).unwrap_or_else(|| self.current());
                return Ok(Some(Stop::SignalWithThread { tid, signal: Signal::SIGTRAP }));
            }
            if let Some(reached) = self.points.here(&self.line) {
                return Ok(Some(self.stop(reached)));
            }
            if count.is_multiple_of(STEPS_PER_LOOK) && interrupted() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn outside(&self, pos: ReplayLogPosition) -> Stop<u32> {
        Stop::ReplayLog { tid: Some(self.current()), pos }
    }

    fn stop(&self, reached: Reached) -> Stop<u32> {
        let tid = self.current();
        match reached {
            Reached::Break { hardware: false } => Stop::SwBreak(tid),
            Reached::Break { hardware: true } => Stop::HwBreak(tid),
            Reached::Write(at) => Stop::Watch { tid, kind: WatchKind::Write, addr: at },
        }
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
            "{what}; step {}, instruction {}, thread {thread}, at {at}",
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

impl MultiThreadResume for Debuggee<'_> {
    fn resume(&mut self) -> Result<(), Stray> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Stray> {
        self.going = Going::On;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), Stray> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Debuggee<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Stray> {
        self.going = Going::Step(tid);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Debuggee<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Stray> {
        // Which thread runs has been recorded; gdb cannot keep the others from it.
        Ok(())
    }
}

impl ReverseCont<Tid> for Debuggee<'_> {
    fn reverse_cont(&mut self) -> Result<(), Stray> {
        self.going = Going::Back;
        Ok(())
    }
}

impl ReverseStep<Tid> for Debuggee<'_> {
    fn reverse_step(&mut self, _: Tid) -> Result<(), Stray> {
        // Back goes the whole machine: the step before this one, whichever thread made it.
        self.going = Going::StepBack;
        Ok(())
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
        Ok(kind == WatchKind::Write && self.points.watch(at, len))
    }

    fn remove_hw_watchpoint(&mut self, at: u32, len: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(kind == WatchKind::Write && self.points.unwatch(at, len))
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

/// Waits for the run to stop, or for gdb to want it to.
pub struct Waiting<'r, C>(PhantomData<(&'r (), C)>);

impl<'r, C: Connection + ConnectionExt> BlockingEventLoop for Waiting<'r, C> {
    type Target = Debuggee<'r>;
    type Connection = C;
    type StopReason = Stop<u32>;

    fn wait_for_stop_reason(
        target: &mut Debuggee<'r>,
        connection: &mut C,
    ) -> Result<Event<Stop<u32>>, WaitForStopReasonError<Stray, C::Error>> {
        let stopped = target.go(|| !matches!(connection.peek(), Ok(None)));
        match stopped.map_err(WaitForStopReasonError::Target)? {
            Some(stop) => Ok(Event::TargetStopped(stop)),
            None => connection.read().map(Event::IncomingData).map_err(WaitForStopReasonError::Connection),
        }
    }

    fn on_interrupt(target: &mut Debuggee<'r>) -> Result<Option<Stop<u32>>, Stray> {
        Ok(Some(Stop::SignalWithThread { tid: target.current(), signal: Signal::SIGINT }))
    }
}
