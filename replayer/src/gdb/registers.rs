//! The registers that gdb sees: those of its i386 target, and beside them what only a system has.

use contract::Resume;
use gdbstub::arch::{Arch, Registers};
use machine::{Cpu, Machine, Reg, Seg};

/// The description that gdb is given, registers in the order in which they are sent.
const DESCRIPTION: &str = include_str!("target.xml");

/// The i386 of gdb.
#[derive(Debug)]
pub enum I386 {}

impl Arch for I386 {
    type Usize = u32;
    type Registers = Set;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(DESCRIPTION)
    }
}

/// Every register, as the bytes that gdb wants; none where it cannot be known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    pc: u32,
    bytes: Vec<Option<u8>>,
}

impl Registers for Set {
    type ProgramCounter = u32;

    fn pc(&self) -> u32 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for byte in &self.bytes {
            write_byte(*byte);
        }
    }

    fn gdb_deserialize(&mut self, _: &[u8]) -> Result<(), ()> {
        // Well-formed or not: to write registers is refused.
        Ok(())
    }
}

impl Set {
    /// The registers of the thread that has the processor, in event `event` of a recording.
    pub fn of(m: &Machine, event: usize) -> Set {
        let cpu = &m.cpu;
        let mut set = Set { pc: cpu.next().0, bytes: Vec::new() };
        for reg in GENERAL {
            set.word(Some(cpu.reg(reg)));
        }
        set.word(Some(cpu.next().0));
        set.word(Some(cpu.eflags));
        for seg in SEGMENTS {
            set.word(Some(cpu.seg(seg).selector.into()));
        }
        set.float(cpu);
        set.system(m, event);
        set
    }

    /// What is known of a thread that goes on at `resume`. The rest lies in frames on its stack.
    pub fn waiting(m: &Machine, resume: Option<Resume>, event: usize) -> Set {
        let mut set = Set { pc: resume.map_or(0, |resume| resume.eip), bytes: Vec::new() };
        for reg in GENERAL {
            set.word(match reg {
                Reg::Esp => resume.map(|resume| resume.esp),
                Reg::Ebp => resume.map(|resume| resume.ebp),
                _ => None,
            });
        }
        set.word(resume.map(|resume| resume.eip));
        set.bytes.extend(vec![None; 4 * 7 + 10 * 8 + 4 * 8]);
        set.system(m, event);
        set
    }

    fn word(&mut self, value: Option<u32>) {
        match value {
            Some(value) => self.bytes.extend(value.to_le_bytes().map(Some)),
            None => self.bytes.extend([None; 4]),
        }
    }

    fn float(&mut self, cpu: &Cpu) {
        let fpu = &cpu.fpu;
        let top = usize::from(fpu.status >> 11 & 7);
        for index in 0..8 {
            self.bytes.extend(fpu.registers[(top + index) % 8].map(Some));
        }
        let words = [
            u32::from(fpu.control),
            u32::from(fpu.status),
            u32::from(fpu.tag),
            fpu.selector & 0xFFFF,
            fpu.instruction,
            u32::from(fpu.operand_selector),
            fpu.operand,
            fpu.selector >> 16,
        ];
        for word in words {
            self.word(Some(word));
        }
    }

    fn system(&mut self, m: &Machine, event: usize) {
        let Cpu { cr0, cr2, cr3, cr4, dr, .. } = &m.cpu;
        let words = [*cr0, *cr2, *cr3, *cr4, dr[0], dr[1], dr[2], dr[3], dr[6], dr[7]];
        for word in words.into_iter().chain([m.cpu.seg(Seg::Fs).base, event as u32]) {
            self.word(Some(word));
        }
        self.bytes.extend(m.retired.to_le_bytes().map(Some));
        self.bytes.extend(m.clock.to_le_bytes().map(Some));
    }
}

const GENERAL: [Reg; 8] = [Reg::Eax, Reg::Ecx, Reg::Edx, Reg::Ebx, Reg::Esp, Reg::Ebp, Reg::Esi, Reg::Edi];
const SEGMENTS: [Seg; 6] = [Seg::Cs, Seg::Ss, Seg::Ds, Seg::Es, Seg::Fs, Seg::Gs];

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all registers that the description promises.
    fn described() -> usize {
        let sizes = DESCRIPTION.split("bitsize=\"").skip(1);
        sizes.map(|rest| rest.split('"').next().unwrap().parse::<usize>().unwrap() / 8).sum()
    }

    #[test]
    fn as_many_bytes_are_sent_as_are_described() {
        let m = Machine::new(1);
        assert_eq!(Set::of(&m, 3).bytes.len(), described());
        assert_eq!(Set::waiting(&m, None, 3).bytes.len(), described());
    }

    #[test]
    fn st0_is_the_top_of_the_stack() {
        let mut m = Machine::new(1);
        m.cpu.fpu.status = 3 << 11;
        m.cpu.fpu.registers[3] = [7; 10];
        let bytes = Set::of(&m, 0).bytes;
        assert_eq!(bytes[64..74], [Some(7); 10]);
        assert_eq!(bytes[74..84], [Some(0); 10]);
    }
}
