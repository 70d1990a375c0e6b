//! The machine in the same situation: ring 3, flat segments, one code page and two data pages.

use crate::{CODE, DATA, DATA_SIZE, End, STATUS_FLAGS, State};
use machine::{Machine, Pa, Reg, Seg, Stop, Va};

/// Linear address of the first exception handler; vector n's lies 16 n further on.
const HANDLERS: u32 = 0x0000_8000;
const STACK_TOP: u32 = 0x0000_8000;

/// The machine, ready to execute single instructions in ring 3.
pub struct Emulated {
    ready: Machine,
}

impl Default for Emulated {
    fn default() -> Self {
        Emulated { ready: prepare() }
    }
}

impl Emulated {
    /// Executes the one instruction `code` from `start` and says what came of it. After an exception
    /// the state is what its frame holds.
    ///
    /// # Errors
    /// Why the machine stopped, where it does not do the instruction.
    pub fn step(&self, code: &[u8], start: &State) -> Result<(State, End), Stop> {
        let mut m = self.ready.clone();
        m.memory.write(Pa(CODE & 0xFFFF), code);
        for (page, bytes) in start.data.chunks(0x1000).enumerate() {
            m.memory.write(Pa((DATA & 0xFFFF) + 0x1000 * page as u32), bytes);
        }
        m.cpu.regs = start.regs;
        m.cpu.eip = start.eip;
        m.cpu.eflags = start.eflags & STATUS_FLAGS | 0x202;
        match m.step() {
            Stop::Budget => {}
            stop => return Err(stop),
        }
        let end = if m.cpu.cpl() == 3 { End::Done } else { unwind(&mut m) };
        let mut data = vec![0; DATA_SIZE as usize];
        for (page, bytes) in data.chunks_mut(0x1000).enumerate() {
            m.memory.read(Pa((DATA & 0xFFFF) + 0x1000 * page as u32), bytes);
        }
        let eflags = m.cpu.eflags & STATUS_FLAGS;
        Ok((State { regs: m.cpu.regs, eip: m.cpu.eip, eflags, data }, end))
    }
}

/// Puts back what the exception's frame saved.
fn unwind(m: &mut Machine) -> End {
    let vector = (m.cpu.eip - HANDLERS) / 16;
    let coded = matches!(vector, 8 | 10..=14 | 17);
    let frame = m.cpu.esp() + if coded { 4 } else { 0 };
    let word = |index: u32| m.memory.read_u32(Pa(frame + 4 * index));
    let (eip, eflags, esp) = (word(0), word(2), word(3));
    m.cpu.eip = eip;
    m.cpu.eflags = eflags;
    m.cpu.set_reg(Reg::Esp, esp);
    match vector {
        0 => End::Divide,
        3 => End::Breakpoint,
        6 => End::Undefined,
        12 => End::Stack,
        _ => End::Violation,
    }
}

/// Physical memory: page directory at 1000h, page tables at 2000h and 3000h, GDT and TSS in page 4,
/// IDT in page 5, kernel stack in pages 6 and 7; code and data where their low 16 bits say, moved up.
fn prepare() -> Machine {
    let mut m = Machine::new(64);
    let put = |m: &mut Machine, at: u32, value: u32| m.memory.write_u32(Pa(at), value);
    put(&mut m, 0x1000, 0x2000 | 7);
    put(&mut m, 0x1000 + (CODE >> 22) * 4, 0x3000 | 7);
    for page in 0..32 {
        put(&mut m, 0x2000 + page * 4, page << 12 | 3);
    }
    let page = |m: &mut Machine, at: u32, rights: u32| {
        m.memory.write_u32(Pa(0x3000 + (at >> 12 & 0x3FF) * 4), (at & 0xF000) | rights);
    };
    page(&mut m, CODE, 5);
    page(&mut m, DATA, 7);
    page(&mut m, DATA + 0x1000, 7);
    // The selectors that Linux gives a 32-bit process: code 23h, data 2Bh.
    let descriptors: [(u32, u64); 5] = [
        (0x08, 0x00CF_9B00_0000_FFFF),
        (0x10, 0x00CF_9300_0000_FFFF),
        (0x20, 0x00CF_FB00_0000_FFFF),
        (0x28, 0x00CF_F300_0000_FFFF),
        (0x30, 0x0000_8900_4800_0067),
    ];
    for (selector, raw) in descriptors {
        m.memory.write(Pa(0x4000 + selector), &raw.to_le_bytes());
    }
    put(&mut m, 0x4804, STACK_TOP);
    put(&mut m, 0x4808, 0x10);
    // The I/O map lies beyond the limit: every port is refused.
    put(&mut m, 0x4864, 0x0068_0000);
    for vector in 0..32 {
        let handler = HANDLERS + 16 * vector;
        let dpl = if matches!(vector, 3 | 4) { 0xEE00 } else { 0x8E00 };
        put(&mut m, 0x5000 + vector * 8, 0x0008_0000 | (handler & 0xFFFF));
        put(&mut m, 0x5004 + vector * 8, handler & 0xFFFF_0000 | dpl);
    }
    m.cpu.gdtr = machine::Table { base: 0x4000, limit: 0x37 };
    m.cpu.idtr = machine::Table { base: 0x5000, limit: 0xFF };
    m.cpu.cr3 = 0x1000;
    m.cpu.cr0 |= machine::registers::control::PG | machine::registers::control::WP;
    m.load_segment(Seg::Cs, 0x08).expect("a kernel code descriptor");
    m.load_segment(Seg::Ss, 0x10).expect("a kernel data descriptor");
    m.load_task(0x30).expect("a TSS descriptor");
    m.load_segment(Seg::Cs, 0x23).expect("a user code descriptor");
    for seg in [Seg::Ss, Seg::Ds, Seg::Es] {
        m.load_segment(seg, 0x2B).expect("a user data descriptor");
    }
    m.load_segment(Seg::Fs, 0).expect("a null selector");
    m.load_segment(Seg::Gs, 0).expect("a null selector");
    debug_assert_eq!(m.cpu.next(), Va(0));
    m
}
