//! Any bytes are memory: code, descriptors and page tables alike. A run never panics, never outlives its
//! budget, and is the same whether decoded blocks are remembered or not. `cargo +nightly fuzz run run` in
//! the folder `recorder/machine`. `recorder/machine/tests/random.rs` tests the same on chosen programs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machine::{Machine, Pa, Reg, Seg, Segment, Table, Until};

/// Pages of memory: the bytes fill them from the start, and again from there.
const PAGES: u32 = 16;
const BUDGET: u64 = 2_000;
/// Present, of DPL 3, code or data, accessed, with 32 bits and a limit in pages.
const CODE: u16 = 0xC0FB;
const DATA: u16 = 0xC0F3;

fn world(bytes: &[u8]) -> Option<Machine> {
    let (head, memory) = bytes.split_at_checked(48)?;
    let word = |index: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| head[4 * index + byte]));
    if memory.is_empty() {
        return None;
    }
    let mut m = Machine::new(PAGES);
    let size = PAGES as usize * 4096;
    let filled: Vec<u8> = memory.iter().copied().cycle().take(size).collect();
    for (page, part) in filled.chunks(4096).enumerate() {
        m.memory.write(Pa(page as u32 * 4096), part);
    }
    let all = [Reg::Eax, Reg::Ecx, Reg::Edx, Reg::Ebx, Reg::Esp, Reg::Ebp, Reg::Esi, Reg::Edi];
    for (index, reg) in all.into_iter().enumerate() {
        m.cpu.set_reg(reg, word(index));
    }
    m.cpu.eip = word(8) % size as u32;
    m.cpu.eflags = word(9) & 0x3F_7FD5 | 2;
    // Paging on or off, with or without write protection.
    m.cpu.cr0 |= word(10) & 0x8001_0008;
    m.cpu.cr3 = word(11) & 0xF000;
    m.cpu.gdtr = Table { base: word(10) >> 4 & 0xFFF8, limit: 0x7F };
    m.cpu.idtr = Table { base: word(11) >> 4 & 0xFFF8, limit: 0x7FF };
    let ring = (word(9) >> 30) as u16;
    for (index, segment) in m.cpu.segments.iter_mut().enumerate() {
        let code = index == Seg::Cs as usize;
        let attributes = if code { CODE } else { DATA } & !0x60 | ring << 5;
        *segment = Segment { selector: 8 | ring, base: 0, limit: u32::MAX, attributes };
    }
    Some(m)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(mut fast) = world(bytes) else { return };
    let mut slow = fast.clone();
    slow.set_caching(false);
    let until = Until::budget(BUDGET);
    let stops = [fast.run(&until), slow.run(&until)];
    assert!(fast.retired <= BUDGET, "{}", fast.retired);
    assert_eq!(stops[0], stops[1]);
    assert!(fast == slow, "remembering has changed something");
});
