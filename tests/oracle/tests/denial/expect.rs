//! What should come of an instruction whose access is denied.
//!
//! Which memory an instruction accesses is asked of iced, which nobody here wrote. Addresses of CR2 and
//! the bit of the error code that tells a write are held against its list; descriptors and stacks of inner
//! rings, which are not in it, are held against the pages that the undisturbed machine touched.

use crate::stage::{Kind, Page};
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory};
use machine::{Machine, Reg};

/// What may change although an instruction faulted. Everything else that changes fails the test.
pub const EXCEPTIONS: [(&str, &str); 6] = [
    (
        "accessed bits of page-table entries, of pages that the instruction reaches",
        "SDM 3, 4.8: set whenever an entry takes part in a translation, and never cleared by the processor; \
         a translation may have been made for an access before the one that faults",
    ),
    (
        "dirty bits of page-table entries, of pages that the instruction writes",
        "SDM 3, 4.8: set with the accessed bit when the translation is for a write",
    ),
    (
        "accessed bits of segment descriptors",
        "SDM 3, 3.4.5.1: set when the descriptor is loaded; a later check or push of the same instruction may \
         still fail",
    ),
    (
        "ECX, ESI, EDI and memory after iterations of a repeated string instruction",
        "SDM 2, REP: the registers hold the state before the iteration that faulted, so that returning from \
         the handler goes on with it; the earlier iterations are complete",
    ),
    ("CR2", "SDM 3, 6.15 (interrupt 14): the linear address that the access gave"),
    (
        "RF in the flags that the frame holds",
        "SDM 3, 17.3.1.1: set in the image of EFLAGS that a fault pushes",
    ),
];

/// What the manuals would allow besides and this machine does not use: it allows all accesses first.
pub const NOT_USED: [(&str, &str); 2] = [
    (
        "memory that PUSHA, ENTER, far CALL, FNSAVE, FXSAVE and FSTP m80 wrote before the access that faults",
        "SDM 3, 6.5: a fault restores the state of the program for a restart; what is written again then may \
         have been written before, and AMD's processors show it",
    ),
    (
        "the registers that POPA loaded before the access that faults",
        "as above; the real processor is compared with this in mind (`oracle::explained`)",
    ),
];

/// An access by iced's account.
#[derive(Clone, Copy, Debug)]
pub struct Accessed {
    pub at: u32,
    pub len: u32,
    pub reads: bool,
    pub writes: bool,
    /// It is not made always.
    pub sometimes: bool,
}

/// The accesses of an instruction that a machine is about to execute; none where iced gives no address.
pub fn accesses(m: &Machine, instruction: &Instruction) -> Option<Vec<Accessed>> {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().map(|used| accessed(m, used)).collect()
}

fn accessed(m: &Machine, used: &UsedMemory) -> Option<Accessed> {
    let at = used.virtual_address(0, |register, _, _| Some(value(m, register)))? as u32;
    let (reads, writes, sometimes) = match used.access() {
        OpAccess::Read => (true, false, false),
        OpAccess::CondRead => (true, false, true),
        OpAccess::Write => (false, true, false),
        OpAccess::CondWrite => (false, true, true),
        OpAccess::ReadWrite => (true, true, false),
        OpAccess::ReadCondWrite => (true, true, true),
        OpAccess::None | OpAccess::NoMemAccess => (false, false, true),
    };
    Some(Accessed { at, len: (used.memory_size().size() as u32).max(1), reads, writes, sometimes })
}

fn value(m: &Machine, register: Register) -> u64 {
    if register.is_segment_register() {
        return m.cpu.segments[register.number()].base.into();
    }
    let whole = m.cpu.regs[register.full_register32().number()];
    match register.size() {
        1 => u64::from(whole & 0xFF),
        2 => u64::from(whole & 0xFFFF),
        _ => whole.into(),
    }
}

impl Accessed {
    /// The address that CR2 shows when this access is refused in a page.
    pub fn refused_in(&self, page: u32) -> Option<u32> {
        let last = self.at.wrapping_add(self.len - 1);
        match (self.at & !0xFFF == page, last & !0xFFF == page) {
            (true, _) => Some(self.at),
            (false, true) => Some(page),
            (false, false) => None,
        }
    }
}

/// Whether iced's list says all about where an instruction reaches that leads from one machine to another.
pub fn is_listed(m: &Machine, end: &Machine, instruction: &Instruction) -> bool {
    use Mnemonic::*;
    // It takes the stack to be as wide as the code.
    let wide = |index: usize| m.cpu.segments[index].attributes & 0x4000 != 0;
    if instruction.is_stack_instruction() && wide(1) != wide(2) {
        return false;
    }
    // A call gate may lead to another stack, or push words where the instruction says doublewords.
    let moved = end.cpu.esp().wrapping_sub(m.cpu.esp()) as i32;
    if instruction.mnemonic() == Call && moved != instruction.stack_pointer_increment() {
        return false;
    }
    let far_bit = matches!(instruction.mnemonic(), Bt | Bts | Btr | Btc)
        && instruction.op_count() == 2
        && instruction.op1_kind() == OpKind::Register;
    // Of ENTER the end of the locals is not listed, of an INT and a far return what depends on the ring, and
    // of POPA the place of ESP, which the real processor reads too: CR2 shows it where it is cut by a page.
    let more =
        matches!(instruction.mnemonic(), Enter | Int | Int3 | Into | Retf | Iret | Iretd | Popa | Popad);
    let repeated = instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    !far_bit && !more && !repeated
}

/// How a page is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// It is not present.
    Absent,
    /// It may not be written.
    ReadOnly,
    /// It belongs to ring 0.
    Supervisor,
}

/// What an instruction did undisturbed to a page.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    pub page: Page,
    pub written: bool,
}

/// Whether a page fault is the right one for a denied page; if not, why.
pub fn wrong_page_fault(
    m: &Machine,
    instruction: &Instruction,
    listed: Option<&[Accessed]>,
    (touched, denial): (Touched, Denial),
    (error, address): (u32, u32),
) -> Option<String> {
    let page = touched.page.linear;
    let ring = m.cpu.cpl();
    let user = touched.page.is_of_ring(ring);
    let present = denial != Denial::Absent;
    if error & 1 != u32::from(present) || error & 4 != u32::from(user) << 2 {
        return Some(format!("error code {error:X}, present {present}, user {user}"));
    }
    if address & !0xFFF != page {
        return Some(format!("CR2 is {address:08X}, the page {page:08X}"));
    }
    let write = error & 2 != 0;
    let fetch = Accessed {
        at: m.cpu.next().0,
        len: instruction.len() as u32,
        reads: true,
        writes: false,
        sometimes: false,
    };
    if let Some(wanted) = fetch.refused_in(page) {
        let right = address == wanted && !write;
        return (!right).then(|| format!("CR2 is {address:08X} of a fetch of {fetch:X?}"));
    }
    if write && !touched.written || denial == Denial::ReadOnly && !write {
        return Some(format!("error code {error:X} of a page that is written: {}", touched.written));
    }
    // Constants may lie behind the code.
    let named = matches!(touched.page.kind, Kind::Data | Kind::Code);
    let list = listed.filter(|_| named)?;
    let candidates: Vec<&Accessed> = list.iter().filter(|one| one.refused_in(page).is_some()).collect();
    let fits =
        |one: &&Accessed| one.refused_in(page) == Some(address) && if write { one.writes } else { one.reads };
    if !candidates.iter().any(fits) {
        return Some(format!("CR2 {address:08X} and error code {error:X} fit none of {candidates:X?}"));
    }
    // Where a page is not there at all, an access that also writes is refused as a write.
    let only_writes = candidates.iter().all(|one| one.writes && !one.sometimes);
    (denial == Denial::Absent && only_writes && !write).then(|| format!("a write with error code {error:X}"))
}

/// The first register or flag in which two processors differ, RF apart.
pub fn differs(one: &Machine, other: &Machine) -> Option<String> {
    let (mut a, mut b) = (one.cpu.clone(), other.cpu.clone());
    (a.eflags, b.eflags) = (a.eflags & !0x1_0000, b.eflags & !0x1_0000);
    if a == b {
        return (one.retired != other.retired).then(|| "the count of instructions".to_owned());
    }
    for reg in [Reg::Eax, Reg::Ecx, Reg::Edx, Reg::Ebx, Reg::Esp, Reg::Ebp, Reg::Esi, Reg::Edi] {
        if a.reg(reg) != b.reg(reg) {
            return Some(format!("{reg:?} is {:08X} instead of {:08X}", a.reg(reg), b.reg(reg)));
        }
    }
    if (a.eip, a.eflags) != (b.eip, b.eflags) {
        let [x, y, z, w] = [a.eip, a.eflags, b.eip, b.eflags];
        return Some(format!("EIP {x:08X} and EFLAGS {y:06X} instead of {z:08X} and {w:06X}"));
    }
    if a.segments != b.segments {
        return Some(format!("segments {:X?} instead of {:X?}", a.segments, b.segments));
    }
    if a.fpu != b.fpu {
        return Some(format!("the x87 state {:X?} instead of {:X?}", a.fpu, b.fpu));
    }
    Some(format!("{a:X?} instead of {b:X?}"))
}
