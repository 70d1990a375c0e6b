//! Exceptions and interrupts: the gates of the IDT, and the way through them.

use crate::access::within;
use crate::op::Width;
use crate::registers::flags;
use crate::segment::{Descriptor, attribute, code, is_null};
use crate::{Access, Fault, Machine, PAGE, Reg, Seg, Segment, Stop, Va};

/// An exception, as the processor raises it: its vector and its error code if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// #DE, vector 0: a division by zero, or a quotient that does not fit.
    Divide,
    /// #DB, vector 1; DR6 says which.
    Debug,
    /// #BP, vector 3: INT3.
    Breakpoint,
    /// #OF, vector 4: INTO.
    Overflow,
    /// #BR, vector 5: BOUND.
    Bounds,
    /// #UD, vector 6.
    Undefined,
    /// #NM, vector 7: the x87 unit is absent or belongs to another task.
    DeviceNotAvailable,
    /// #DF, vector 8: a fault while a fault was being delivered.
    Double,
    /// #TS, vector 10, with its error code.
    InvalidTss(u16),
    /// #NP, vector 11, with its error code.
    NotPresent(u16),
    /// #SS, vector 12, with its error code.
    Stack(u16),
    /// #GP, vector 13, with its error code.
    General(u16),
    /// #PF, vector 14.
    Page(Fault),
    /// #MF, vector 16: an x87 exception that is not masked.
    MathFault,
    /// #AC, vector 17.
    Alignment,
}

impl Trap {
    /// The vector: the index of its gate in the IDT.
    pub fn vector(&self) -> u8 {
        match self {
            Trap::Divide => 0,
            Trap::Debug => 1,
            Trap::Breakpoint => 3,
            Trap::Overflow => 4,
            Trap::Bounds => 5,
            Trap::Undefined => 6,
            Trap::DeviceNotAvailable => 7,
            Trap::Double => 8,
            Trap::InvalidTss(_) => 10,
            Trap::NotPresent(_) => 11,
            Trap::Stack(_) => 12,
            Trap::General(_) => 13,
            Trap::Page(_) => 14,
            Trap::MathFault => 16,
            Trap::Alignment => 17,
        }
    }

    /// The error code that is pushed, if one is.
    pub fn error_code(&self) -> Option<u32> {
        match self {
            Trap::InvalidTss(code) | Trap::NotPresent(code) | Trap::Stack(code) | Trap::General(code) => {
                Some(u32::from(*code))
            }
            Trap::Page(fault) => Some(fault.error_code()),
            Trap::Double | Trap::Alignment => Some(0),
            _ => None,
        }
    }

    /// The same exception met while an event from outside the program was delivered: EXT is set.
    fn external(self) -> Trap {
        match self {
            Trap::InvalidTss(code) => Trap::InvalidTss(code | 1),
            Trap::NotPresent(code) => Trap::NotPresent(code | 1),
            Trap::Stack(code) => Trap::Stack(code | 1),
            Trap::General(code) => Trap::General(code | 1),
            other => other,
        }
    }

    /// Whether the instruction that raised it is to be executed again after the handler.
    fn is_fault(&self) -> bool {
        !matches!(self, Trap::Debug | Trap::Double | Trap::Breakpoint | Trap::Overflow)
    }

    fn is_contributory(&self) -> bool {
        matches!(self.vector(), 0 | 10..=13)
    }

    /// What comes of `next` being raised while `self` was delivered; none is a shutdown.
    fn then(self, next: Trap) -> Option<Trap> {
        let severe = next.is_contributory() || matches!(next, Trap::Page(_));
        match self {
            Trap::Double if severe => None,
            Trap::Page(_) if severe => Some(Trap::Double),
            _ if self.is_contributory() && next.is_contributory() => Some(Trap::Double),
            _ => Some(next),
        }
    }
}

impl From<Fault> for Trap {
    fn from(fault: Fault) -> Trap {
        Trap::Page(fault)
    }
}

/// Why an instruction did not complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exit {
    Trap(Trap),
    /// It is one that this machine does not do.
    Unsupported(Box<str>),
}

impl Exit {
    pub fn unsupported(what: impl Into<Box<str>>) -> Exit {
        Exit::Unsupported(what.into())
    }
}

impl From<Trap> for Exit {
    fn from(trap: Trap) -> Exit {
        Exit::Trap(trap)
    }
}

impl From<Fault> for Exit {
    fn from(fault: Fault) -> Exit {
        Exit::Trap(Trap::Page(fault))
    }
}

/// Where an interrupt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// INT n, INT3 or INTO: the program must have a right to the gate.
    Program,
    /// An exception, or the interrupt controller.
    Event,
}

impl Machine {
    /// Enters the handler of an exception. What fails on the way becomes a double fault, and then a
    /// shutdown.
    pub(crate) fn deliver(&mut self, trap: Trap) -> Result<(), Stop> {
        let mut trap = trap;
        loop {
            if let Trap::Page(fault) = trap {
                self.cpu.cr2 = fault.at.0;
            }
            match self.interrupt(trap.vector(), trap.error_code(), Source::Event) {
                Ok(()) => {
                    if trap == Trap::Debug {
                        self.cpu.dr[7] &= !crate::debug::GENERAL_DETECT;
                    }
                    return Ok(());
                }
                Err(exit) => trap = trap.then(self.failed(exit)?).ok_or(Stop::Shutdown)?,
            }
        }
    }

    /// Takes an external interrupt.
    pub(crate) fn deliver_external(&mut self, vector: u8) -> Result<(), Stop> {
        match self.interrupt(vector, None, Source::Event) {
            Ok(()) => Ok(()),
            Err(exit) => {
                let trap = self.failed(exit)?;
                self.raise(trap)
            }
        }
    }

    /// The trap of an exit, or the end of the run.
    pub(crate) fn failed(&self, exit: Exit) -> Result<Trap, Stop> {
        match exit {
            Exit::Trap(trap) => Ok(trap),
            Exit::Unsupported(what) => Err(Stop::Unsupported(format!("{what} at EIP {:08X}", self.cpu.eip))),
        }
    }

    /// Goes through a gate of the IDT. When it fails, nothing has been changed.
    pub(crate) fn interrupt(&mut self, vector: u8, error: Option<u32>, source: Source) -> Result<(), Exit> {
        self.enter_gate(vector, error, source).map_err(|exit| match exit {
            Exit::Trap(trap) if source == Source::Event => Exit::Trap(trap.external()),
            other => other,
        })
    }

    fn enter_gate(&mut self, vector: u8, error: Option<u32>, source: Source) -> Result<(), Exit> {
        const IN_IDT: u16 = 2;
        let gate_code = u16::from(vector) * 8 + IN_IDT;
        let offset = u32::from(vector) * 8;
        if offset + 7 > u32::from(self.cpu.idtr.limit) {
            return Err(Trap::General(gate_code).into());
        }
        let at = Va(self.cpu.idtr.base.wrapping_add(offset));
        let gate = Descriptor { at, selector: 0, raw: u64::from_le_bytes(self.load_system(at)?) };
        let (width, masks) = match gate.system() {
            Some(0xE) => (Width::Dword, true),
            Some(0xF) => (Width::Dword, false),
            Some(0x6) => (Width::Word, true),
            Some(0x7) => (Width::Word, false),
            Some(0x5) => (Width::Dword, true),
            _ => return Err(Trap::General(gate_code).into()),
        };
        if source == Source::Program && gate.dpl() < self.cpu.cpl() {
            return Err(Trap::General(gate_code).into());
        }
        if !gate.is(attribute::PRESENT) {
            return Err(Trap::NotPresent(gate_code).into());
        }
        if gate.system() == Some(0x5) {
            let name = if vector == 8 { " (double fault)" } else { "" };
            return Err(Exit::unsupported(format!("a task gate for vector {vector}{name}")));
        }
        let eip = if width == Width::Word { gate.gate_offset() & 0xFFFF } else { gate.gate_offset() };
        self.enter_handler(gate.gate_selector(), eip, width, error)?;
        let cleared = flags::TF | flags::NT | flags::RF | flags::VM | if masks { flags::IF } else { 0 };
        self.cpu.eflags &= !cleared;
        self.cpu.shadow = false;
        self.cpu.halted = false;
        Ok(())
    }

    /// Pushes the interrupt's frame, on the stack of the handler's ring, and goes to the handler.
    fn enter_handler(
        &mut self,
        selector: u16,
        eip: u32,
        width: Width,
        error: Option<u32>,
    ) -> Result<(), Trap> {
        if is_null(selector) {
            return Err(Trap::General(0));
        }
        let cpl = self.cpu.cpl();
        let target = self.descriptor(selector, Trap::General)?;
        if !target.is_code() || target.dpl() > cpl {
            return Err(Trap::General(code(selector)));
        }
        let ring = if target.is_conforming() { cpl } else { target.dpl() };
        let inner = ring < cpl;
        if !target.is(attribute::PRESENT) {
            return Err(Trap::NotPresent(code(selector)));
        }
        let (ss, esp) = match inner {
            true => self.inner_stack(ring)?,
            false => (*self.cpu.seg(Seg::Ss), self.cpu.esp()),
        };
        let cs = self.code_segment(target, ring, eip)?;
        let mut frame = [0; 6];
        let mut len = 0;
        let mut push = |value| {
            frame[len] = value;
            len += 1;
        };
        if inner {
            push(u32::from(self.cpu.seg(Seg::Ss).selector));
            push(self.cpu.esp());
        }
        push(self.cpu.eflags);
        push(u32::from(self.cpu.seg(Seg::Cs).selector));
        push(self.cpu.eip);
        if let Some(error) = error {
            push(error);
        }
        let failure = Trap::Stack(if inner { code(ss.selector) } else { 0 });
        let esp = self.push_frame(&ss, esp, ring, width, &frame[..len], failure)?;
        self.cpu.segments[Seg::Ss as usize] = ss;
        self.cpu.set_reg(Reg::Esp, esp);
        self.cpu.segments[Seg::Cs as usize] = cs;
        self.cpu.eip = eip;
        Ok(())
    }

    /// The stack that the TSS holds for an inner ring.
    pub(crate) fn inner_stack(&mut self, ring: u8) -> Result<(Segment, u32), Trap> {
        const WIDE: u16 = 8;
        let tss = self.cpu.tr;
        let wide = tss.attributes & WIDE != 0;
        let (offset, size) = if wide { (u32::from(ring) * 8 + 4, 8) } else { (u32::from(ring) * 4 + 2, 4) };
        if tss.attributes & attribute::PRESENT == 0 || offset + size - 1 > tss.limit {
            return Err(Trap::InvalidTss(code(tss.selector)));
        }
        let at = Va(tss.base.wrapping_add(offset));
        let (selector, esp) = if wide {
            let raw = u64::from_le_bytes(self.load_system(at)?);
            ((raw >> 32) as u16, raw as u32)
        } else {
            let raw = u32::from_le_bytes(self.load_system(at)?);
            ((raw >> 16) as u16, raw & 0xFFFF)
        };
        let ss = self.stack_segment(selector, ring, Trap::InvalidTss)?;
        // A 16-bit stack has SP only: the high half of ESP stays what it was.
        let narrow = ss.attributes & attribute::BIG == 0;
        Ok((ss, if narrow { self.cpu.esp() & 0xFFFF_0000 | esp & 0xFFFF } else { esp }))
    }

    /// Pushes values on a stack as code of ring `ring` would, and gives the new ESP without setting
    /// it. Writes all of them or none; `failure` is raised when the segment does not allow it.
    pub(crate) fn push_frame(
        &mut self,
        stack: &Segment,
        esp: u32,
        ring: u8,
        width: Width,
        values: &[u32],
        failure: Trap,
    ) -> Result<u32, Trap> {
        let mask = if stack.attributes & attribute::BIG != 0 { u32::MAX } else { 0xFFFF };
        let size = width.bytes();
        let user = ring == 3;
        let total = size * values.len() as u32;
        let top = |pushed: u32| esp.wrapping_sub(pushed) & mask;
        let low = top(total);
        let whole = within(stack, low, total, Access::Write)
            .filter(|at| at.offset() + total <= PAGE)
            .and_then(|at| self.span(at, total, Access::Write, user).ok());
        if let Some(span) = whole {
            let mut bytes = [0; 4 * 36];
            for (index, value) in values.iter().rev().enumerate() {
                let start = index * size as usize;
                bytes[start..start + size as usize].copy_from_slice(&value.to_le_bytes()[..size as usize]);
            }
            self.put_bytes(span, &bytes[..total as usize]);
        } else {
            // One by one, so that the first push that fails says where it failed.
            let mut spans = Vec::with_capacity(values.len());
            for pushed in 1..=values.len() as u32 {
                let at = within(stack, top(pushed * size), size, Access::Write).ok_or(failure)?;
                spans.push(self.span(at, size, Access::Write, user)?);
            }
            for (span, value) in spans.into_iter().zip(values) {
                self.put(span, width, *value);
            }
        }
        if self.cpu.dr[7] & crate::debug::ENABLED != 0
            && let Some(at) = within(stack, low, total, Access::Write)
        {
            self.watch(at, total, Access::Write);
        }
        Ok(esp & !mask | low)
    }

    /// Delivers the page fault of a native routine, as if the instruction at EIP had made the access:
    /// CR2 is set and the guest's handler is entered through the IDT.
    ///
    /// # Errors
    /// As of [`Machine::raise`].
    pub fn page_fault(&mut self, fault: Fault) -> Result<(), Stop> {
        self.raise(Trap::Page(fault))
    }

    /// Delivers an exception as if the instruction at EIP had raised it.
    ///
    /// # Errors
    /// [`Stop::Shutdown`] when not even a double fault can be delivered, and [`Stop::Unsupported`] when
    /// the way to the handler is one that this machine does not go.
    pub fn raise(&mut self, trap: Trap) -> Result<(), Stop> {
        let before = self.cpu.eflags;
        // RF in the frame lets the instruction be executed again without meeting its breakpoint. The
        // handler of the breakpoint itself has to see to that on its own.
        if trap.is_fault() {
            self.cpu.eflags |= flags::RF;
        }
        let result = self.deliver(trap);
        if result.is_err() {
            self.cpu.eflags = before;
        }
        result
    }
}
