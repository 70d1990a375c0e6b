//! How instructions reach memory: segmentation, alignment, data breakpoints, then paging.
//!
//! An access is allowed first, as a [`Span`], and made afterwards, which cannot fail. So an
//! instruction with several accesses can have all of them allowed before it changes anything.

use crate::op::{Address, Place, Value, Width};
use crate::registers::{control, flags};
use crate::segment::attribute;
use crate::{Access, Fault, Machine, PAGE, Pa, Reg, Seg, Segment, Trap, Va};

/// Bytes of linear memory that may be accessed: translated, in at most two pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: Pa,
    second: Pa,
    /// How many bytes fit in the first page.
    split: u32,
}

/// A place that may be read and written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Register(Place),
    Memory(Span),
}

/// The linear address of `len` bytes at `offset` in a segment, if the segment allows the access.
#[inline(always)]
pub(crate) fn within(segment: &Segment, offset: u32, len: u32, access: Access) -> Option<Va> {
    let attributes = segment.attributes;
    let code = attributes & attribute::CODE != 0;
    let right = attributes & attribute::WRITABLE != 0;
    let allowed = match access {
        Access::Read => !code || right,
        Access::Write => !code && right,
        Access::Execute => true,
    };
    if attributes & attribute::PRESENT == 0 || !allowed {
        return None;
    }
    let last = offset.wrapping_add(len - 1);
    if !code && attributes & attribute::DOWN != 0 {
        let top = if attributes & attribute::BIG != 0 { u32::MAX } else { 0xFFFF };
        if offset <= segment.limit || last < offset || last > top {
            return None;
        }
    } else if segment.limit != u32::MAX && (last > segment.limit || last < offset) {
        // A segment of 4 GiB has no end: an access may wrap around in it.
        return None;
    }
    Some(Va(segment.base.wrapping_add(offset)))
}

impl Machine {
    /// Allows an access to linear memory.
    #[inline(always)]
    pub(crate) fn span(&mut self, at: Va, len: u32, access: Access, user: bool) -> Result<Span, Fault> {
        let split = PAGE - at.offset();
        let first = self.translate(at, access, user)?;
        let second = if split < len { self.translate(at.add(split), access, user)? } else { first };
        Ok(Span { first, second, split })
    }

    /// Allows an access of an instruction, through a segment register and at the current privilege.
    #[inline(always)]
    pub(crate) fn reach(&mut self, seg: Seg, offset: u32, len: u32, access: Access) -> Result<Span, Trap> {
        let Some(at) = within(self.cpu.seg(seg), offset, len, access) else {
            return Err(if seg == Seg::Ss { Trap::Stack(0) } else { Trap::General(0) });
        };
        let user = self.cpu.cpl() == 3;
        if user && self.cpu.flag(flags::AC) {
            // Before paging: the real processor says so of an absent page.
            self.check_alignment(at, len)?;
        }
        let span = self.span(at, len, access, user)?;
        if self.cpu.dr[7] & 0xFF != 0 {
            self.watch(at, len, access);
        }
        Ok(span)
    }

    /// The alignment check, which is seldom on.
    #[cold]
    fn check_alignment(&self, at: Va, len: u32) -> Result<(), Trap> {
        // Far pointers and 80-bit numbers count by their larger part, x87 images by their words.
        let unit = match len {
            10 => 8,
            6 | 28 | 108 => 4,
            14 | 94 => 2,
            1..=8 if len.is_power_of_two() => len,
            _ => 1,
        };
        let checked = self.cpu.cr0 & control::AM != 0;
        if checked && at.0 & (unit - 1) != 0 { Err(Trap::Alignment) } else { Ok(()) }
    }

    #[inline(always)]
    pub(crate) fn get(&self, span: Span, width: Width) -> u32 {
        if span.split >= width.bytes() {
            match width {
                Width::Byte => u32::from(u8::from_le_bytes(self.memory.load(span.first))),
                Width::Word => u32::from(u16::from_le_bytes(self.memory.load(span.first))),
                Width::Dword => u32::from_le_bytes(self.memory.load(span.first)),
            }
        } else {
            let mut raw = [0; 4];
            self.get_bytes(span, &mut raw[..width.bytes() as usize]);
            u32::from_le_bytes(raw)
        }
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, span: Span, width: Width, value: u32) {
        let raw = value.to_le_bytes();
        if span.split >= width.bytes() {
            match width {
                Width::Byte => self.memory.write(span.first, &raw[..1]),
                Width::Word => self.memory.write(span.first, &raw[..2]),
                Width::Dword => self.memory.write(span.first, &raw),
            }
        } else {
            self.put_bytes(span, &raw[..width.bytes() as usize]);
        }
    }

    pub(crate) fn get_bytes(&self, span: Span, out: &mut [u8]) {
        let (head, tail) = out.split_at_mut(out.len().min(span.split as usize));
        self.memory.read(span.first, head);
        if !tail.is_empty() {
            self.memory.read(span.second, tail);
        }
    }

    pub(crate) fn put_bytes(&mut self, span: Span, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(span.split as usize));
        self.memory.write(span.first, head);
        if !tail.is_empty() {
            self.memory.write(span.second, tail);
        }
    }

    #[inline]
    pub(crate) fn load(&mut self, seg: Seg, offset: u32, width: Width) -> Result<u32, Trap> {
        let span = self.reach(seg, offset, width.bytes(), Access::Read)?;
        Ok(self.get(span, width))
    }

    #[inline]
    pub(crate) fn store(&mut self, seg: Seg, offset: u32, width: Width, value: u32) -> Result<(), Trap> {
        let span = self.reach(seg, offset, width.bytes(), Access::Write)?;
        self.put(span, width, value);
        Ok(())
    }

    /// Reads a table of the processor's own, with supervisor rights whatever the privilege.
    pub(crate) fn load_system<const N: usize>(&mut self, at: Va) -> Result<[u8; N], Trap> {
        let span = self.span(at, N as u32, Access::Read, false)?;
        let mut raw = [0; N];
        self.get_bytes(span, &mut raw);
        Ok(raw)
    }

    /// The offset that a memory operand names.
    #[inline]
    pub(crate) fn offset(&self, address: &Address) -> u32 {
        let mut offset = address.displacement;
        if let Some(base) = address.base {
            offset = offset.wrapping_add(self.cpu.reg(base));
        }
        if let Some(index) = address.index {
            offset = offset.wrapping_add(self.cpu.reg(index) << address.shift);
        }
        if address.word { offset & 0xFFFF } else { offset }
    }

    /// Allows an access to a memory operand.
    #[inline]
    pub(crate) fn operand(&mut self, address: &Address, len: u32, access: Access) -> Result<Span, Trap> {
        self.reach(address.seg, self.offset(address), len, access)
    }

    #[inline]
    pub(crate) fn register(&self, width: Width, reg: Reg) -> u32 {
        self.cpu.reg(reg) & width.mask()
    }

    /// Sets a register's low bits and keeps the others.
    #[inline]
    pub(crate) fn set_register(&mut self, width: Width, reg: Reg, value: u32) {
        let mask = width.mask();
        self.cpu.set_reg(reg, self.cpu.reg(reg) & !mask | value & mask);
    }

    #[inline]
    pub(crate) fn read_place(&mut self, width: Width, place: &Place) -> Result<u32, Trap> {
        Ok(match place {
            Place::Reg(reg) => self.register(width, *reg),
            Place::High(reg) => self.cpu.reg(*reg) >> 8 & 0xFF,
            Place::Mem(address) => self.load(address.seg, self.offset(address), width)?,
        })
    }

    #[inline]
    pub(crate) fn read_value(&mut self, width: Width, value: &Value) -> Result<u32, Trap> {
        match value {
            Value::Place(place) => self.read_place(width, place),
            Value::Imm(value) => Ok(value & width.mask()),
        }
    }

    #[inline]
    pub(crate) fn write_place(&mut self, width: Width, place: &Place, value: u32) -> Result<(), Trap> {
        let target = self.target(width, place)?;
        self.set(target, width, value);
        Ok(())
    }

    /// Allows a place to be written, for an instruction that may read it first.
    #[inline]
    pub(crate) fn target(&mut self, width: Width, place: &Place) -> Result<Target, Trap> {
        Ok(match place {
            Place::Mem(address) => Target::Memory(self.operand(address, width.bytes(), Access::Write)?),
            register => Target::Register(*register),
        })
    }

    #[inline(always)]
    pub(crate) fn value_of(&self, target: Target, width: Width) -> u32 {
        match target {
            Target::Register(Place::High(reg)) => self.cpu.reg(reg) >> 8 & 0xFF,
            Target::Register(Place::Reg(reg)) => self.register(width, reg),
            Target::Register(Place::Mem(_)) => unreachable!("a place in memory becomes a span"),
            Target::Memory(span) => self.get(span, width),
        }
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, target: Target, width: Width, value: u32) {
        match target {
            Target::Register(Place::High(reg)) => {
                let others = self.cpu.reg(reg) & !0xFF00;
                self.cpu.set_reg(reg, others | (value & 0xFF) << 8);
            }
            Target::Register(Place::Reg(reg)) => self.set_register(width, reg, value),
            Target::Register(Place::Mem(_)) => unreachable!("a place in memory becomes a span"),
            Target::Memory(span) => self.put(span, width, value),
        }
    }
}
