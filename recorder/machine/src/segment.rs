//! Segmentation: descriptors, and what loading one into a segment register checks.

use crate::{Access, Machine, Seg, Segment, Trap, Va};

/// Bits of [`Segment::attributes`].
pub(crate) mod attribute {
    pub const ACCESSED: u16 = 1;
    /// Data: writable. Code: readable.
    pub const WRITABLE: u16 = 2;
    /// Data: expand-down. Code: conforming.
    pub const DOWN: u16 = 4;
    pub const CONFORMING: u16 = 4;
    pub const CODE: u16 = 8;
    /// Code or data, not a system descriptor.
    pub const ORDINARY: u16 = 0x10;
    pub const PRESENT: u16 = 0x80;
    /// 32 bits wide: code (D) or stack (B).
    pub const BIG: u16 = 0x4000;
    pub const GRANULAR: u16 = 0x8000;
}

use attribute::{ACCESSED, CODE, CONFORMING, GRANULAR, ORDINARY, PRESENT, WRITABLE};

/// Makes the exception that a bad selector raises, from its error code.
pub(crate) type Raise = fn(u16) -> Trap;

/// A descriptor as it stands in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub at: Va,
    pub selector: u16,
    pub raw: u64,
}

impl Descriptor {
    pub fn attributes(&self) -> u16 {
        (self.raw >> 40) as u16 & 0xF0FF
    }
    pub fn is(&self, attributes: u16) -> bool {
        self.attributes() & attributes == attributes
    }
    pub fn dpl(&self) -> u8 {
        (self.attributes() >> 5 & 3) as u8
    }
    /// Type of a system descriptor, or none for code and data.
    pub fn system(&self) -> Option<u8> {
        (!self.is(ORDINARY)).then_some((self.attributes() & 0xF) as u8)
    }
    pub fn is_code(&self) -> bool {
        self.is(ORDINARY | CODE)
    }
    pub fn is_conforming(&self) -> bool {
        self.is(ORDINARY | CODE | CONFORMING)
    }
    /// What a segment register holds after the load.
    pub fn segment(&self) -> Segment {
        let limit = (self.raw & 0xFFFF) as u32 | (self.raw >> 32) as u32 & 0xF_0000;
        Segment {
            selector: self.selector,
            base: (self.raw >> 16) as u32 & 0xFF_FFFF | (self.raw >> 32) as u32 & 0xFF00_0000,
            limit: if self.is(GRANULAR) { limit << 12 | 0xFFF } else { limit },
            attributes: self.attributes(),
        }
    }
    /// A gate's selector.
    pub fn gate_selector(&self) -> u16 {
        (self.raw >> 16) as u16
    }
    /// A gate's offset; 16-bit gates use half of it.
    pub fn gate_offset(&self) -> u32 {
        (self.raw & 0xFFFF) as u32 | (self.raw >> 32) as u32 & 0xFFFF_0000
    }
}

/// What the error code of a selector is.
pub(crate) fn code(selector: u16) -> u16 {
    selector & !3
}

pub(crate) fn is_null(selector: u16) -> bool {
    code(selector) == 0
}

fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

impl Machine {
    /// Reads the descriptor of a selector that is not null.
    pub(crate) fn descriptor(&mut self, selector: u16, raise: Raise) -> Result<Descriptor, Trap> {
        self.find_descriptor(selector)?.ok_or(raise(code(selector)))
    }

    /// Reads the descriptor of a selector; none when the selector is null or beyond its table.
    pub(crate) fn find_descriptor(&mut self, selector: u16) -> Result<Option<Descriptor>, Trap> {
        let offset = u32::from(selector & !7);
        let (base, limit) = match selector & 4 {
            0 => (self.cpu.gdtr.base, u32::from(self.cpu.gdtr.limit)),
            _ if self.cpu.ldtr.attributes & PRESENT == 0 => return Ok(None),
            _ => (self.cpu.ldtr.base, self.cpu.ldtr.limit),
        };
        if is_null(selector) || offset + 7 > limit {
            return Ok(None);
        }
        let at = Va(base.wrapping_add(offset));
        let raw = u64::from_le_bytes(self.load_system(at)?);
        Ok(Some(Descriptor { at, selector, raw }))
    }

    /// Sets bits of a descriptor's access byte in its table, and gives the descriptor with them.
    pub(crate) fn mark(&mut self, mut descriptor: Descriptor, bits: u16) -> Result<Descriptor, Trap> {
        if !descriptor.is(bits) {
            let span = self.span(descriptor.at.add(5), 1, Access::Write, false)?;
            descriptor.raw |= u64::from(bits) << 40;
            self.put_bytes(span, &[(descriptor.raw >> 40) as u8]);
        }
        Ok(descriptor)
    }

    /// What ES, DS, FS or GS would hold after being loaded with a selector.
    pub(crate) fn data_segment(&mut self, selector: u16) -> Result<Segment, Trap> {
        if is_null(selector) {
            return Ok(Segment { selector, ..Segment::default() });
        }
        let bad = Trap::General(code(selector));
        let descriptor = self.descriptor(selector, Trap::General)?;
        let readable = descriptor.is(ORDINARY) && (!descriptor.is_code() || descriptor.is(WRITABLE));
        if !readable {
            return Err(bad);
        }
        let dpl = descriptor.dpl();
        if !descriptor.is_conforming() && (rpl(selector) > dpl || self.cpu.cpl() > dpl) {
            return Err(bad);
        }
        if !descriptor.is(PRESENT) {
            return Err(Trap::NotPresent(code(selector)));
        }
        Ok(self.mark(descriptor, ACCESSED)?.segment())
    }

    /// What SS would hold after being loaded with a selector for code of privilege `cpl`.
    pub(crate) fn stack_segment(&mut self, selector: u16, cpl: u8, raise: Raise) -> Result<Segment, Trap> {
        let bad = raise(code(selector));
        let descriptor = self.descriptor(selector, raise)?;
        let writable = descriptor.is(ORDINARY | WRITABLE) && !descriptor.is_code();
        if !writable || rpl(selector) != cpl || descriptor.dpl() != cpl {
            return Err(bad);
        }
        if !descriptor.is(PRESENT) {
            return Err(Trap::Stack(code(selector)));
        }
        Ok(self.mark(descriptor, ACCESSED)?.segment())
    }

    /// What CS would hold when code of privilege `cpl` runs in a segment whose descriptor has passed
    /// the checks of the transfer; checks that it is present and that `eip` lies in it.
    pub(crate) fn code_segment(&mut self, target: Descriptor, cpl: u8, eip: u32) -> Result<Segment, Trap> {
        if !target.is(PRESENT) {
            return Err(Trap::NotPresent(code(target.selector)));
        }
        if eip > target.segment().limit {
            return Err(Trap::General(0));
        }
        let mut segment = self.mark(target, ACCESSED)?.segment();
        segment.selector = code(segment.selector) | u16::from(cpl);
        Ok(segment)
    }

    /// What an instruction that loads `seg` would leave in it.
    pub(crate) fn segment_for(&mut self, seg: Seg, selector: u16) -> Result<Segment, Trap> {
        match seg {
            Seg::Ss => self.stack_segment(selector, self.cpu.cpl(), Trap::General),
            _ => self.data_segment(selector),
        }
    }

    /// Loads a segment register from the GDT or LDT with all checks, at the current privilege.
    /// CS is loaded without checks of privilege: it sets the privilege. For booting.
    ///
    /// # Errors
    /// The exception that the load would raise.
    pub fn load_segment(&mut self, seg: Seg, selector: u16) -> Result<(), Trap> {
        let segment = if seg == Seg::Cs {
            let descriptor = self.descriptor(selector, Trap::General)?;
            if !descriptor.is_code() {
                return Err(Trap::General(code(selector)));
            }
            self.code_segment(descriptor, rpl(selector), 0)?
        } else {
            self.segment_for(seg, selector)?
        };
        self.cpu.segments[seg as usize] = segment;
        Ok(())
    }

    /// Loads the task register, as LTR does.
    ///
    /// # Errors
    /// The exception that LTR would raise.
    pub fn load_task(&mut self, selector: u16) -> Result<(), Trap> {
        const BUSY: u16 = 2;
        let bad = Trap::General(code(selector));
        if selector & 4 != 0 {
            return Err(bad);
        }
        let descriptor = self.descriptor(selector, Trap::General)?;
        if !matches!(descriptor.system(), Some(1 | 9)) {
            return Err(bad);
        }
        if !descriptor.is(PRESENT) {
            return Err(Trap::NotPresent(code(selector)));
        }
        self.cpu.tr = self.mark(descriptor, BUSY)?.segment();
        Ok(())
    }

    /// Loads the local descriptor table register, as LLDT does.
    pub(crate) fn load_local_table(&mut self, selector: u16) -> Result<(), Trap> {
        if is_null(selector) {
            self.cpu.ldtr = Segment { selector, ..Segment::default() };
            return Ok(());
        }
        let bad = Trap::General(code(selector));
        if selector & 4 != 0 {
            return Err(bad);
        }
        let descriptor = self.descriptor(selector, Trap::General)?;
        if descriptor.system() != Some(2) {
            return Err(bad);
        }
        if !descriptor.is(PRESENT) {
            return Err(Trap::NotPresent(code(selector)));
        }
        self.cpu.ldtr = descriptor.segment();
        Ok(())
    }
}
