//! The differences between the machine and Bochs in which the machine is right, or nobody is wrong.
//!
//! Each is either a fault of Bochs's, settled by the real processor or by the manual; or a property of
//! the newer processor that Bochs plays; or something that the manual leaves open. SDM is Intel's manual.

use super::judge::{Difference, Ours, Test, What};
use super::scene::{GDT, HANDLERS};
use super::state::{DR6_VALUE as DR6, NAMES};

/// Why a difference is none to mind; none when it is.
pub fn explained(test: &Test, ours: &Ours, part: &Difference) -> Option<&'static str> {
    newer(part).or_else(|| open(test, ours, part)).or_else(|| fault_of_bochs(test, part))
}

/// What a newer processor does otherwise.
fn newer(part: &Difference) -> Option<&'static str> {
    let changed = part.ours ^ part.theirs;
    match part.what {
        What::Float("fcs" | "fds") => Some("from Haswell on, processors keep no selectors with FIP and FDP"),
        // VIF and VIP.
        What::Value(index) if NAMES[index] == "eflags" && changed & !0x18_0000 == 0 => {
            Some("the machine's model has no virtual-8086 extensions, and so neither VIF nor VIP")
        }
        What::Value(index) if NAMES[index] == "dr7" && changed == 0x800 => {
            Some("DR7 bit 11, which came with transactional memory")
        }
        What::Memory(..) if (part.ours, part.theirs) == (0xFFBF, 0xFFFF) => {
            Some("MXCSR.DAZ, which came after the machine's model")
        }
        _ => None,
    }
}

/// What the manual leaves open.
fn open(test: &Test, ours: &Ours, part: &Difference) -> Option<&'static str> {
    let changed = part.ours ^ part.theirs;
    let name = test.name.as_str();
    match part.what {
        What::Value(index) if NAMES[index] == "dr6" => {
            let enabled = (0..4).filter(|bit| test.start.cpu.dr[7] >> (bit * 2) & 3 != 0);
            let mask = enabled.fold(0, |mask, bit| mask | 1 << bit);
            let open = changed & !(0xF & !mask) == 0;
            open.then_some("DR6 may name breakpoints that are not enabled (SDM 17.2.3)")
        }
        What::Value(_) if name.starts_with("load: LAR") && changed & !0xF_0000 == 0 => {
            Some("LAR leaves bits 16 to 19 undefined (SDM, LAR)")
        }
        // The tables of the scene lie below 10000.
        What::Memory(at, before)
            if untouched(part, before)
                && !(0x18..0x1_0000).contains(&at)
                && (HANDLERS..HANDLERS + 0x1000).contains(&ours.last.cpu.eip) =>
        {
            Some(
                "a part that was written before the fault; the real processor writes it as well, and nobody owns it",
            )
        }
        What::Memory(at, _) if (GDT..GDT + 0x100).contains(&at) && changed == 0x100 => {
            Some("whether a descriptor counts as accessed when a later check fails is not said")
        }
        What::Value(_) | What::Memory(..) if name.contains("FRSTOR") && !name.contains("TS true") => {
            Some("in which order the parts of a long operand are read is not said")
        }
        _ => None,
    }
}

/// Whether the machine has left alone every byte of a word that differs.
fn untouched(part: &Difference, before: u32) -> bool {
    let bytes = part.ours.to_le_bytes().into_iter().zip(part.theirs.to_le_bytes()).zip(before.to_le_bytes());
    bytes.into_iter().all(|((ours, theirs), before)| ours == theirs || ours == before)
}

/// What Bochs does wrong.
fn fault_of_bochs(test: &Test, part: &Difference) -> Option<&'static str> {
    let name = test.name.as_str();
    let is = |prefix: &str| name.starts_with(prefix);
    if is("load: POP DS beyond the stack") {
        return Some(
            "Bochs pops two bytes of a selector, as Intel's processors do; AMD's read four, as their fault says",
        );
    }
    if is("load: LTR, the table's page is not writable") {
        return Some("Bochs loads TR before it marks the task busy, and keeps it when that faults");
    }
    if is("return: IRET to ring") && name.contains("SS access") {
        return Some("IRET to a stack that is not present: Bochs raises #NP, SDM and APM say #SS");
    }
    if is("return: ")
        && ["IRET to ring 3", "RETF to ring 3", "RETF 8 to ring 3"].iter().any(|form| name.contains(form))
    {
        return Some("Bochs reads two bytes of the selector of SS; AMD's processors read four of CS's");
    }
    if name.contains("CS beyond its limit and no room")
        || is("priority: CALL to a segment good, ESP 400000, EIP FFFFFFFF")
    {
        return Some("Bochs pushes before it compares EIP with the limit; SDM (CALL) compares first");
    }
    if name.contains("GD true") && !name.ends_with("ring 0") {
        return Some("Bochs looks at general detect before CPL; SDM 25.1.1 puts the privilege first");
    }
    if (is("priority: FST") || is("paging: FSTP m80")) && matches!(part.what, What::Float(_)) {
        return Some("Bochs changes the x87 state before the operand faults; the real processor keeps it");
    }
    if is("control: ARPL in memory") {
        return Some("Bochs wants to write even when ARPL has nothing to write; the real processor does not");
    }
    let repeats = ["REP MOVS", "REP STOS", "REPE CMPS"].iter().any(|form| name.contains(form));
    if is("debug: ") && repeats && part.ours == part.theirs | 0x1_0000 {
        return Some("a trap between two repetitions pushes RF (SDM 17.3.1.1); Bochs does not");
    }
    if is("debug: ") && name.contains("breakpoint") && part.what == What::Value(DR6) {
        return Some(
            "whether DR6 also names the breakpoint on the instruction that would be next is not said",
        );
    }
    if is("debug: MOV SS from watched memory, then INT n") {
        return Some(
            "Bochs forgets a data breakpoint of MOV SS at INT n; processors trap in INT's handler (CVE-2018-8897)",
        );
    }
    if is("shadow: MOV SS twice") {
        return Some("of loads of SS in a row only the first is sure to hold back (SDM 6.8.3)");
    }
    if is("control: RDTSC") && matches!(part.what, What::Value(0 | 2)) {
        return Some("the count of RDTSC is the machine's own");
    }
    if is("control: bit") && name.contains("of CR4") {
        return Some("a bit of CR4 that the machine's model does not have");
    }
    if is("float: FXRSTOR of MXCSR 40") {
        return Some("MXCSR.DAZ, which came after the machine's model");
    }
    None
}
