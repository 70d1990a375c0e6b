//! The debug registers: breakpoints on instructions and data, and what DR6 says of them. And who looks on
//! from outside learns here what is read and written.

use crate::{Access, Machine, Va};

/// An access to linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The first byte.
    pub at: Va,
    /// How many bytes.
    pub len: u32,
    /// Whether they were read or written; an instruction that does both at once counts as writing.
    pub access: Access,
}

/// DR7: the next access to a debug register raises #DB.
pub(crate) const GENERAL_DETECT: u32 = 0x2000;
/// DR6: an access to a debug register was detected.
pub(crate) const DETECTED: u32 = 0x2000;
/// DR6: a single step.
pub(crate) const STEPPED: u32 = 0x4000;
/// DR7: breakpoints that are enabled, locally or globally.
pub(crate) const ENABLED: u32 = 0xFF;

const ON_EXECUTE: u32 = 0;
const ON_WRITE: u32 = 1;
const ON_ACCESS: u32 = 3;

impl Machine {
    /// The DR6 bits of the enabled breakpoints whose kind is in `kinds` and whose place overlaps.
    fn matching(&self, at: Va, len: u32, kinds: &[u32]) -> u32 {
        let control = self.cpu.dr[7];
        (0..4)
            .filter(|index| control >> (index * 2) & 3 != 0)
            .filter(|index| kinds.contains(&(control >> (16 + index * 4) & 3)))
            .filter(|index| {
                let size = match control >> (18 + index * 4) & 3 {
                    2 => 8,
                    other => other + 1,
                };
                let start = self.cpu.dr[*index as usize] & !(size - 1);
                // Distances, so that an access may wrap around.
                at.0.wrapping_sub(start) < size || start.wrapping_sub(at.0) < len
            })
            .fold(0, |bits, index| bits | 1 << index)
    }

    /// Notes the data breakpoints that an access meets; they trap after the instruction.
    pub(crate) fn watch(&mut self, at: Va, len: u32, access: Access) {
        let kinds: &[u32] = if access == Access::Write { &[ON_WRITE, ON_ACCESS] } else { &[ON_ACCESS] };
        self.transient.hits |= self.matching(at, len, kinds);
        self.note(at, len, access);
    }

    /// Notes an access, if somebody looks on.
    #[inline]
    pub(crate) fn note(&mut self, at: Va, len: u32, access: Access) {
        if let Some(touched) = &mut self.transient.touched {
            touched.push(Touched { at, len, access });
        }
    }

    /// From now on notes what instructions and native routines read and write, but not the processor's own
    /// accesses to its tables and in delivering exceptions. It takes the debug registers for that: let a
    /// copy of the machine be looked at.
    pub fn observe(&mut self) {
        // An enabled breakpoint that is never met makes every access be looked at.
        (self.cpu.dr[0], self.cpu.dr[7]) = (u32::MAX, 1);
        self.transient.touched = Some(Vec::new());
    }

    /// What was read and written since [`Machine::observe`], in order.
    pub fn observed(&self) -> &[Touched] {
        self.transient.touched.as_deref().unwrap_or_default()
    }

    /// The breakpoints on the instruction at `at`.
    pub(crate) fn instruction_breakpoints(&self, at: Va) -> u32 {
        self.matching(at, 1, &[ON_EXECUTE])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_written_from_outside_is_noted_once_somebody_looks_on() {
        let mut m = Machine::new(4);
        let mut raw = [0; 4];
        m.read(Va(0x1000), &mut raw).unwrap();
        assert_eq!(m.observed(), []);
        m.observe();
        m.read(Va(0x1FFE), &mut raw).unwrap();
        m.write(Va(0x1004), &[1]).unwrap();
        let touched = |at, len, access| Touched { at: Va(at), len, access };
        assert_eq!(m.observed(), [touched(0x1FFE, 4, Access::Read), touched(0x1004, 1, Access::Write)]);
        assert_eq!(m.clone().observed(), [], "a copy is another machine");
    }
}
