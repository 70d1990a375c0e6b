//! What Intel's processors do otherwise than the machine, which does what AMD's do, where the manuals have
//! it so or leave it open. SDM is Intel's manual. A judge of either make is right with it.

use crate::layout::DOWN;
use crate::undefined::ALL;
use crate::{Bytes, Case, End, Entry, State, Undefined, difference, entry};
use iced_x86::{Code, Instruction, Mnemonic};

const NARROW: &str = "Intel's processors move a segment register's two bytes where four are pushed or popped";
/// ES of the x87's status word: an exception that is not masked is pending.
const PENDING: u16 = 0x80;

/// Why two that end at the same instruction in the same way may differ all the same.
pub(crate) fn at_the_same_end(
    judge: &(State, End),
    machine: &(State, End),
    case: &Case,
) -> Option<&'static str> {
    use Mnemonic::*;
    let instruction = case.instruction();
    let compares = matches!(instruction.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Scasb | Scasw | Scasd);
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let goes_on = compares && repeats && judge.0.eip == case.start.eip;
    let slot = pushed(&instruction, case).filter(|_| machine.1 == End::Done);
    let none = Undefined::default();
    // Nearly always there is nothing to explain, and nothing to copy for it.
    if !goes_on && slot.is_none() || difference(judge, machine, &none).is_none() {
        return None;
    }
    let mut alike = machine.clone();
    let why = match slot {
        // SDM, volume 2, PUSH: recent processors leave the upper half of the place as it was.
        Some(slot) => {
            for index in [2, 3].into_iter().filter_map(|at| Bytes::index(slot.linear().wrapping_add(at))) {
                let zero = alike.0.bytes.0.get(index) == Some(&0);
                alike.0.bytes.0[index] = *case.start.bytes.0.get(index).filter(|_| zero)?;
            }
            NARROW
        }
        None => {
            alike.0.eflags = machine.0.eflags & !ALL | case.start.eflags & ALL;
            "Intel's processors keep the flags until a repeated comparison has ended (SDM, volume 2, REP)"
        }
    };
    difference(judge, &alike, &none).is_none().then_some(why)
}

/// Why the judge may end in another way than with the machine's fault, or go on.
pub(crate) fn at_another_end(
    judge: &(State, End),
    machine: &(State, End),
    case: &Case,
) -> Option<&'static str> {
    use Mnemonic::*;
    let instruction = case.instruction();
    let End::Fault { vector, .. } = machine.1 else { return None };
    let accesses = matches!(vector, 12..=14 | 17);
    match instruction.mnemonic() {
        _ if vector == 6 && is_reserved(&instruction) => {
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
    is_reserved(instruction) || is_wide_push(instruction)
}

fn pending(state: &State) -> bool {
    state.x87.as_ref().is_some_and(|x87| x87.status & PENDING != 0)
}

/// 0F 0D with a register for its operand; with memory it is a prefetch.
fn is_reserved(instruction: &Instruction) -> bool {
    use Code::*;
    matches!(instruction.code(), Reservednop_rm16_r16_0F0D | Reservednop_rm32_r32_0F0D)
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
    use crate::{DATA, FLAT_CODE, FLAT_DATA, X87, background, explained, local};

    /// An instruction with its stack pointer, and what it is executed with.
    fn case(code: &[u8], esp: u32, ss: u16) -> Case {
        let selectors = [FLAT_DATA, FLAT_CODE, ss, FLAT_DATA, 0, 0];
        let regs = [0, 0, 0, 0, esp, 0, 0, 0];
        let start = State { regs, eip: crate::CODE, eflags: 0x11, selectors, x87: None, bytes: background() };
        Case { len: code.len(), code: code.to_vec(), start }
    }

    fn told(case: &Case, judge: &(State, End), machine: &(State, End)) -> bool {
        explained(judge, machine, case.instruction().mnemonic(), case).is_some()
    }

    #[test]
    fn the_upper_half_of_a_pushed_selector_may_stay() {
        let mut case = case(&[0x06], DATA + 0x104, FLAT_DATA);
        case.start.bytes.put(DATA + 0x102, &[0x34, 0x12]);
        let judge = (case.start.clone(), End::Done);
        let mut machine = judge.clone();
        machine.0.bytes.put(DATA + 0x102, &[0, 0]);
        assert!(told(&case, &judge, &machine));
        // The machine's must be zero, the judge's what was there, and nothing else may differ.
        for (of_judge, at) in [(false, 2), (true, 2), (true, 0), (false, 4)] {
            let (mut judge, mut machine) = (judge.clone(), machine.clone());
            let changed = if of_judge { &mut judge } else { &mut machine };
            changed.0.bytes.put(DATA + 0x100 + at, &[0x77]);
            assert!(!told(&case, &judge, &machine), "judge {of_judge}, byte {at}");
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

    #[test]
    fn what_raises_no_fault_is_told_only_where_intels_do_otherwise() {
        let fault = |vector| End::Fault { vector, error: 0, address: 0 };
        for (code, ending, of_judge, status, wanted) in [
            // 0F 0D with a register, and with memory; NOP.
            (&[0x0F, 0x0D, 0xC0][..], fault(6), End::Done, 0, true),
            (&[0x66, 0x0F, 0x0D, 0xFF], fault(6), End::Done, 0, true),
            (&[0x0F, 0x0D, 0xC0], fault(13), End::Done, 0, false),
            (&[0x0F, 0x0D, 0x00], fault(6), End::Done, 0, false),
            (&[0x0F, 0x1F, 0xC0], fault(6), End::Done, 0, false),
            // BOUND.
            (&[0x62, 0x00], fault(14), fault(5), 0, true),
            (&[0x62, 0x00], fault(14), fault(6), 0, false),
            (&[0x62, 0x00], fault(14), End::Done, 0, false),
            // FST, FISTP and FLD of memory.
            (&[0xD9, 0x10], fault(14), End::Done, PENDING, true),
            (&[0xDF, 0x38], fault(17), End::Done, PENDING, true),
            (&[0xD9, 0x10], fault(14), End::Done, 0, false),
            (&[0xD9, 0x10], fault(16), End::Done, PENDING, false),
            (&[0xD9, 0x00], fault(14), End::Done, PENDING, false),
        ] {
            let mut case = case(code, DATA, FLAT_DATA);
            case.start.x87 = Some(unit(0, 0));
            let machine = (case.start.clone(), ending);
            let mut judge = (case.start.clone(), of_judge);
            judge.0.x87 = Some(unit(status, 0));
            assert_eq!(told(&case, &judge, &machine), wanted, "{code:X?}: {ending:?}, {of_judge:?}");
        }
    }

    #[test]
    fn an_operand_is_forgotten_only_where_the_judge_kept_the_first() {
        let with = |operand| {
            let mut state = case(&[0x90], DATA, FLAT_DATA).start;
            state.x87 = Some(unit(0, operand));
            state
        };
        for (judge, kept) in [(1, 1), (2, 3), (3, 3)] {
            let mut machine = with(3);
            forget_operand(&with(judge), &mut machine, &with(1));
            assert_eq!(machine, with(kept), "the judge has {judge}");
        }
    }

    fn unit(status: u16, operand: u32) -> X87 {
        let (control, st) = (0x37F, [[0; 10]; 8]);
        X87 { control, status, full: 0, opcode: 0, instruction: 0, operand, st }
    }
}
