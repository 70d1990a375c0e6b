//! Going on and back: what gdb asks for, until something is reached or gdb wants it to stop.

use super::points::Reached;
use super::target::Debuggee;
use super::timeline::{Place, Stray};
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::{Connection, ConnectionExt};
use gdbstub::stub::MultiThreadStopReason as Stop;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::target::ext::base::multithread::{
    MultiThreadResume, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use std::marker::PhantomData;

/// Between two looks at whether gdb wants it to stop, so many steps are made.
const STEPS_PER_LOOK: u32 = 4096;

/// How gdb wants it to go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Going {
    On,
    /// One step of this thread, while the others go on.
    Step(Tid),
    Back,
    StepBack,
}

/// Why a search backwards ended early.
enum Halt {
    Stray(Stray),
    /// gdb wants it to stop; the event that was being searched.
    Interrupted(usize),
}

impl From<Stray> for Halt {
    fn from(stray: Stray) -> Halt {
        Halt::Stray(stray)
    }
}

impl Debuggee<'_> {
    /// Goes the way that gdb wants, until something is reached or `interrupted` says so.
    fn go(&mut self, mut interrupted: impl FnMut() -> bool) -> Result<Option<Stop<u32>>, Stray> {
        match self.going {
            Going::On => self.on(None, &mut interrupted),
            Going::Step(tid) => self.on(Some(tid), &mut interrupted),
            Going::StepBack => Ok(Some(match self.line.back()? {
                true => Stop::SignalWithThread { tid: self.current(), signal: Signal::SIGTRAP },
                false => self.outside(ReplayLogPosition::Begin),
            })),
            Going::Back => self.back(&mut interrupted),
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

    /// Goes back until something is reached. It is looked for event by event, the last first; when
    /// `interrupted` says so, those that have been searched are what it has gone back.
    fn back(&mut self, interrupted: &mut impl FnMut() -> bool) -> Result<Option<Stop<u32>>, Stray> {
        let from = self.line.place();
        let (points, mut count) = (&self.points, 0u32);
        let reached = self.line.last_before(from, |line, place| {
            count = count.wrapping_add(1);
            if count.is_multiple_of(STEPS_PER_LOOK) && interrupted() {
                return Err(Halt::Interrupted(place.event));
            }
            Ok(points.passing(line)?)
        });
        match reached {
            Ok(Some(reached)) => Ok(Some(self.stop(reached))),
            Ok(None) => Ok(Some(self.outside(ReplayLogPosition::Begin))),
            Err(Halt::Stray(stray)) => Err(stray),
            Err(Halt::Interrupted(event)) => {
                self.line.seek(from.min(Place { event: event + 1, step: 0 }))?;
                Ok(None)
            }
        }
    }

    fn outside(&self, pos: ReplayLogPosition) -> Stop<u32> {
        Stop::ReplayLog { tid: Some(self.current()), pos }
    }

    fn stop(&self, reached: Reached) -> Stop<u32> {
        let tid = self.current();
        match reached {
            Reached::Break { hardware: false } => Stop::SwBreak(tid),
            Reached::Break { hardware: true } => Stop::HwBreak(tid),
            Reached::Watch { kind, at } => Stop::Watch { tid, kind: kind.into(), addr: at },
        }
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
