//! What Intel's processors do otherwise than the machine, which does what AMD's do, where the manuals have
//! it so or leave it open. SDM is Intel's manual. A judge of either make is right with it.

use crate::layout::DOWN;
use crate::{Bytes, Case, End, Entry, State, Undefined, decode, difference, entry};
use iced_x86::{Code, Instruction, Mnemonic};

const NARROW: &str = "Intel's processors move a segment register's two bytes where four are pushed or popped";
const STATUS_FLAGS: u32 = 0x8D5;
/// ES of the x87's status word: an exception that is not masked is pending.
const PENDING: u16 = 0x80;

/// Why two that end at the same instruction in the same way may differ all the same.
pub(crate) fn at_the_same_end(
    judge: &(State, End),
    machine: &(State, End),
    case: &Case,
) -> Option<&'static str> {
    use Mnemonic::*;
    let instruction = decoded(case);
    let compares = matches!(instruction.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Scasb | Scasw | Scasd);
    let mut alike = machine.clone();
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let why = if compares && repeats && judge.0.eip == case.start.eip {
        alike.0.eflags = machine.0.eflags & !STATUS_FLAGS | case.start.eflags & STATUS_FLAGS;
        "Intel's processors keep the flags until a repeated comparison has ended (SDM, volume 2, REP)"
    } else {
        // SDM, volume 2, PUSH: recent processors leave the upper half of the place as it was.
        let slot = pushed(&instruction, case).filter(|_| machine.1 == End::Done)?;
        for index in [2, 3].into_iter().filter_map(|at| Bytes::index(slot.linear().wrapping_add(at))) {
            let zero = alike.0.bytes.0.get(index) == Some(&0);
            alike.0.bytes.0[index] = *case.start.bytes.0.get(index).filter(|_| zero)?;
        }
        NARROW
    };
    let none = Undefined::default();
    (difference(judge, machine, &none).is_some() && difference(judge, &alike, &none).is_none()).then_some(why)
}

/// Why the judge may end in another way than with the machine's fault, or go on.
pub(crate) fn at_another_end(
    judge: &(State, End),
    machine: &(State, End),
    case: &Case,
) -> Option<&'static str> {
    use Mnemonic::*;
    let instruction = decoded(case);
    let End::Fault { vector, .. } = machine.1 else { return None };
    let accesses = matches!(vector, 12..=14 | 17);
    match instruction.mnemonic() {
        _ if vector == 6 && is_reserved(case) => {
            Some("Intel's processors do nothing at 0F 0D with a register, AMD's refuse it")
        }
        Bound if accesses && matches!(judge.1, End::Fault { vector: 5, .. }) => {
            Some("Intel's processors compare with the lower bound before they read the upper")
        }
        // SDM, volume 1, 8.5: the operand in memory stays as it was.
        Fst | Fstp | Fist | Fistp | Fbstp if accesses && pending(&judge.0) && !pending(&machine.0) => {
            Some("Intel's processors look for an exception that is not masked before they reach the place")
        }
        _ => {
            let slot = pushed(&instruction, case).or_else(|| popped(&instruction, case))?;
            slot.needs_the_upper_half(machine.1).then_some(NARROW)
        }
    }
}

/// Forgets the machine's pointer to the x87's last operand where the judge still has what the program was
/// started with: newer processors of Intel's keep the pointer only for an exception that is not masked when
/// it occurs (SDM, volume 1, 8.1.8).
pub fn forget_operand(judge: &State, machine: &mut State, start: &State) {
    if let (Some(judge), Some(machine), Some(start)) = (&judge.x87, &mut machine.x87, &start.x87)
        && judge.operand == start.operand
    {
        machine.operand = judge.operand;
    }
}

/// Whether an instruction is not to be judged in the middle of a program: the next ones would see what it
/// left.
pub(crate) fn goes_on_otherwise(instruction: &Instruction) -> bool {
    let reserved =
        matches!(instruction.code(), Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D);
    reserved || is_wide_push(instruction)
}

fn decoded(case: &Case) -> Instruction {
    decode(&case.code, entry(case.start.selectors[1]).is_none_or(|entry| entry.wide))
}

fn pending(state: &State) -> bool {
    state.x87.as_ref().is_some_and(|x87| x87.status & PENDING != 0)
}

/// 0F 0D with a register for its operand.
fn is_reserved(case: &Case) -> bool {
    let prefixes = case.code.iter().take_while(crate::compare::prefix).count();
    matches!(case.code[prefixes..], [0x0F, 0x0D, 0xC0..=0xFF, ..])
}

/// Four bytes on the stack of which only the lower two are a selector.
struct Slot {
    segment: Entry,
    offset: u32,
}

fn is_wide_push(instruction: &Instruction) -> bool {
    use Code::*;
    matches!(instruction.code(), Pushd_ES | Pushd_CS | Pushd_SS | Pushd_DS | Pushd_FS | Pushd_GS)
}

fn pushed(instruction: &Instruction, case: &Case) -> Option<Slot> {
    is_wide_push(instruction).then(|| Slot::at(case, -4))?
}

fn popped(instruction: &Instruction, case: &Case) -> Option<Slot> {
    use Code::*;
    match instruction.code() {
        Popd_ES | Popd_SS | Popd_DS | Popd_FS | Popd_GS => Slot::at(case, 0),
        Retfd | Retfd_imm16 => Slot::at(case, 4),
        _ => None,
    }
}

impl Slot {
    /// So many bytes behind the top of the stack.
    fn at(case: &Case, distance: i32) -> Option<Slot> {
        let segment = entry(case.start.selectors[2])?;
        let offset = case.start.regs[4].wrapping_add_signed(distance);
        Some(Slot { segment, offset: if segment.wide { offset } else { offset & 0xFFFF } })
    }

    fn linear(&self) -> u32 {
        self.segment.base.wrapping_add(self.offset)
    }

    /// Whether such a fault comes of four bytes and would not come of two.
    fn needs_the_upper_half(&self, end: End) -> bool {
        match end {
            End::Fault { vector: 12 | 13, .. } => self.holds(2) && !self.holds(4),
            End::Fault { vector: 14, address, .. } => matches!(address.wrapping_sub(self.linear()), 2 | 3),
            End::Fault { vector: 17, .. } => self.linear().is_multiple_of(2),
            _ => false,
        }
    }

    /// Whether so many bytes are within the segment's limit.
    fn holds(&self, bytes: u32) -> bool {
        let Some(last) = self.offset.checked_add(bytes - 1) else { return false };
        if self.segment.contents == DOWN {
            let top = if self.segment.wide { u32::MAX } else { 0xFFFF };
            self.offset > self.segment.last() && last <= top
        } else {
            last <= self.segment.last()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DATA, FLAT_CODE, FLAT_DATA, background, explained, local};

    /// An instruction with its stack pointer, and what it is executed with.
    fn case(code: &[u8], esp: u32, ss: u16) -> Case {
        let selectors = [FLAT_DATA, FLAT_CODE, ss, FLAT_DATA, 0, 0];
        let regs = [0, 0, 0, 0, esp, 0, 0, 0];
        let start = State { regs, eip: crate::CODE, eflags: 0x11, selectors, x87: None, bytes: background() };
        Case { len: code.len(), code: code.to_vec(), start }
    }

    fn told(case: &Case, judge: &(State, End), machine: &(State, End)) -> bool {
        explained(judge, machine, decoded(case).mnemonic(), case).is_some()
    }

    #[test]
    fn the_upper_half_of_a_pushed_selector_may_stay() {
        let case = case(&[0x06], DATA + 0x104, FLAT_DATA);
        let mut judge = (case.start.clone(), End::Done);
        judge.0.bytes.put(DATA + 0x102, &[0x34, 0x12]);
        let mut machine = (case.start.clone(), End::Done);
        machine.0.bytes.put(DATA + 0x102, &[0, 0]);
        let mut start = case;
        start.start.bytes.put(DATA + 0x102, &[0x34, 0x12]);
        assert!(told(&start, &judge, &machine));
        // The machine's must be zero, the judge's what was there, and nothing else may differ.
        for (of_judge, at) in [(false, 2), (true, 2), (true, 0), (false, 4)] {
            let (mut judge, mut machine) = (judge.clone(), machine.clone());
            let changed = if of_judge { &mut judge } else { &mut machine };
            changed.0.bytes.put(DATA + 0x100 + at, &[0x77]);
            assert!(!told(&start, &judge, &machine), "judge {of_judge}, byte {at}");
        }
    }

    #[test]
    fn a_popped_selector_may_need_two_bytes_alone() {
        let fault = |vector, address| End::Fault { vector, error: 0, address };
        let (flat, end) = (FLAT_DATA, DATA + 0x2000);
        let small = local(0);
        let down = local(4);
        for (code, esp, ss, ending, wanted) in [
            (&[0x07][..], end - 2, flat, fault(14, end), true),
            (&[0x07], end - 3, flat, fault(14, end), true),
            (&[0x07], end - 1, flat, fault(14, end), false),
            (&[0x07], end, flat, fault(14, end), false),
            (&[0x07], DATA + 2, flat, fault(17, 0), true),
            (&[0x07], DATA + 1, flat, fault(17, 0), false),
            (&[0x07], 0x1FFE, small, fault(12, 0), true),
            (&[0x07], 0x1FFF, small, fault(12, 0), false),
            (&[0x07], 0x1FFC, small, fault(12, 0), false),
            (&[0x07], u32::MAX - 1, down, fault(12, 0), true),
            (&[0x07], u32::MAX, down, fault(12, 0), false),
            (&[0xCB], end - 6, flat, fault(14, end), true),
            (&[0xCB], end - 2, flat, fault(14, end), false),
            (&[0x58], end - 2, flat, fault(14, end), false),
            (&[0x66, 0x07], DATA + 2, flat, fault(17, 0), false),
        ] {
            let case = case(code, esp, ss);
            let mut judge = (case.start.clone(), End::Done);
            judge.0.eip += code.len() as u32;
            let machine = (case.start.clone(), ending);
            assert_eq!(told(&case, &judge, &machine), wanted, "{code:X?} at {esp:X}: {ending:?}");
        }
    }

    #[test]
    fn a_repeated_comparison_may_keep_the_flags_it_began_with() {
        let case = case(&[0xF2, 0xA6], DATA, FLAT_DATA);
        let with = |eflags, eip| {
            let mut state = case.start.clone();
            (state.eflags, state.eip) = (eflags, eip);
            (state, End::Done)
        };
        let (begun, ended) = (crate::CODE, crate::CODE + 2);
        assert!(told(&case, &with(0x11, begun), &with(0x44, begun)));
        assert!(!told(&case, &with(0x10, begun), &with(0x44, begun)), "not those before");
        assert!(!told(&case, &with(0x11, ended), &with(0x44, ended)), "it has ended");
        assert!(!told(&case, &with(0x11, begun), &with(0x444, begun)), "DF is no status flag");
        let mut single = case.clone();
        single.code = vec![0xA6, 0x90];
        assert!(!told(&single, &with(0x11, begun), &with(0x44, begun)), "not repeated");
    }
}
