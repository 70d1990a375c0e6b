//! Running blocks: many instructions between two looks at everything that may stop a run.
//!
//! A sprint begins under conditions that it checks once (no single step, no debug breakpoints, nothing
//! that waits for one instruction, a 32-bit code segment) and that only instructions can change behind
//! which a block ends. Where an instruction's fast form finds something that is not plain, its general
//! form is executed instead: there are no two accounts of a fault.
//!
//! What was tried, in millions of instructions a second for the loops of arithmetic and of loads and
//! stores that `cargo bench -p machine` runs (the best of several on two shared cores, which other work
//! makes a third slower now and then):
//!
//! | | arithmetic | loads and stores |
//! | --- | --- | --- |
//! | decoded instructions by page, general forms, flags computed at once | 59 | 45 |
//! | blocks, fast forms, lazy flags, references counted without locked exchanges | 395 | 139 |
//! | registers in an array of the run's own, whose ninth is zero for absent operands | 306 | 186 |
//! | the block's steps taken as a slice once | 520 | 265 |
//!
//! What costs most now is the way to a page: translation, group of pages, page, and for a write the two
//! counts that say that no copy shares them.

use crate::access::within;
use crate::blocks::{Block, Directory};
use crate::debug::ENABLED;
use crate::fast::{After, Fast, Mem};
use crate::lazy::Lazy;
use crate::op::Op;
use crate::registers::{control, flags};
use crate::segment::attribute;
use crate::{Access, Machine, Reg, Seg, Segment, Stop, Trap, Va};

const ESP: usize = Reg::Esp as usize;
/// The place of the stack among the segments.
const STACK: usize = 7;

/// The greatest offset that a segment allows an access to without a closer look; -1: none. Nothing is
/// plain in a segment that is expand-down, and everything in one of 4 GiB.
fn plain_end(segment: &Segment, access: Access) -> i64 {
    let down = segment.attributes & (attribute::CODE | attribute::DOWN) == attribute::DOWN;
    let allowed = within(segment, 0, 1, access).is_some() && !down;
    match (allowed, segment.limit) {
        (false, _) => -1,
        (true, u32::MAX) => i64::MAX,
        (true, limit) => limit.into(),
    }
}

/// The general registers while blocks run: their own eight, then one that is zero.
type Registers = [u32; 16];

/// The conditions of a sprint.
struct Ground {
    /// The segments' bases, and the ends up to which they are plain, by the encoding of the register; in
    /// the last place the stack, if it is 32 bits wide.
    bases: [u32; 8],
    read_ends: [i64; 8],
    write_ends: [i64; 8],
    code_base: u32,
    code_limit: u32,
    /// What the meaning of a linear code address depends on.
    space: u32,
    user: bool,
}

/// What a sprint came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sprint {
    /// Whether any instruction was retired.
    pub ran: bool,
    /// Whether it ended with an exception that was delivered.
    pub delivered: bool,
}

impl Machine {
    /// The conditions for running blocks, if they are met.
    fn ground(&mut self) -> Option<Ground> {
        let cpu = &self.cpu;
        let cs = cpu.seg(Seg::Cs);
        let user = cpu.cpl() == 3;
        let checked = user && cpu.flag(flags::AC) && cpu.cr0 & control::AM != 0;
        let special = cpu.flag(flags::TF | flags::RF)
            || cpu.shadow
            || cpu.held != 0
            || cpu.dr[7] & ENABLED != 0
            || checked;
        if special || cs.attributes & attribute::BIG == 0 || !self.memory.cache.is_on() {
            return None;
        }
        let mut ground = Ground {
            bases: [0; 8],
            read_ends: [-1; 8],
            write_ends: [-1; 8],
            code_base: cs.base,
            code_limit: cs.limit,
            space: 0,
            user,
        };
        for (index, segment) in cpu.segments.iter().enumerate() {
            ground.bases[index] = segment.base;
            ground.read_ends[index] = plain_end(segment, Access::Read);
            ground.write_ends[index] = plain_end(segment, Access::Write);
        }
        if cpu.seg(Seg::Ss).attributes & attribute::BIG != 0 {
            ground.bases[STACK] = ground.bases[Seg::Ss as usize];
            ground.read_ends[STACK] = ground.read_ends[Seg::Ss as usize];
            ground.write_ends[STACK] = ground.write_ends[Seg::Ss as usize];
        }
        let registers = self.paging_registers();
        ground.space = cpu.cr3 & 0xFFFF_F000 | registers.1 & 0xFFE | u32::from(user);
        self.memory.cache.tlb.select(registers);
        Some(ground)
    }

    /// Finds or makes the block at a linear address, and enters it in the directory.
    #[cold]
    #[inline(never)]
    fn open(&mut self, directory: &mut Directory, slot: usize, linear: u32, ground: &Ground) -> bool {
        let Ok(from) = self.translate(Va(linear), Access::Execute, ground.user) else { return false };
        let Some(block) = self.memory.block(from) else { return false };
        // Only now: setting an accessed bit may have made something forgotten.
        directory.enter(slot, linear, ground.space, self.memory.cache.epoch(), block)
    }

    /// Runs blocks for as long as the conditions hold, up to `end` instructions retired.
    pub(crate) fn sprint(
        &mut self,
        directory: &mut Directory,
        breakpoints: &[Va],
        end: u64,
    ) -> Result<Sprint, Stop> {
        let Some(ground) = self.ground() else { return Ok(Sprint::default()) };
        let from = self.retired;
        let result = self.run_blocks(directory, &ground, breakpoints, end);
        let ran = self.retired != from;
        result.map(|delivered| Sprint { ran, delivered })
    }

    #[inline(always)]
    fn quick_read<const N: usize>(&self, ground: &Ground, seg: usize, offset: u32) -> Option<[u8; N]> {
        if i64::from(offset) + (N as i64 - 1) > ground.read_ends[seg % 8] {
            return None;
        }
        let at = Va(ground.bases[seg % 8].wrapping_add(offset));
        let frame = self.memory.cache.tlb.find(at, ground.user, false)?;
        self.memory.quick_load(frame, at.offset())
    }

    #[inline(always)]
    fn quick_place<const N: usize>(
        &mut self,
        ground: &Ground,
        seg: usize,
        offset: u32,
    ) -> Option<&mut [u8; N]> {
        if i64::from(offset) + (N as i64 - 1) > ground.write_ends[seg % 8] {
            return None;
        }
        let at = Va(ground.bases[seg % 8].wrapping_add(offset));
        let frame = self.memory.cache.tlb.find(at, ground.user, true)?;
        self.memory.quick_store(frame, at.offset())
    }

    /// Whether an exception was delivered. EIP, EFLAGS and the count are right whatever the outcome.
    #[inline(never)]
    fn run_blocks(
        &mut self,
        directory: &mut Directory,
        ground: &Ground,
        breakpoints: &[Va],
        end: u64,
    ) -> Result<bool, Stop> {
        let mut lazy = Lazy::default();
        let mut eip = self.cpu.eip;
        let mut left = end - self.retired;
        let mut regs: Registers = [0; 16];
        regs[..8].copy_from_slice(&self.cpu.regs);
        let code_limit = ground.code_limit;

        'blocks: while left > 0 {
            // Before the page is looked up, which would mark it as accessed.
            if eip > code_limit {
                break;
            }
            let linear = ground.code_base.wrapping_add(eip);
            let slot = Directory::slot(linear);
            // Nor may a stop at a breakpoint mark it: the machine is the same whoever stops it.
            if !directory.has(slot, linear, ground.space, self.memory.cache.epoch())
                && (breakpoints.contains(&Va(linear)) || !self.open(directory, slot, linear, ground))
            {
                break;
            }
            let Some(block) = directory.block(slot) else { break };
            let inside = code_limit - eip >= block.last;
            if !inside || (!breakpoints.is_empty() && meets(breakpoints, linear, block)) {
                break;
            }
            let epoch = self.memory.cache.epoch();
            'again: loop {
                let most = block.steps.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let steps = &block.steps[..most];
                let mut done = 0;
                'steps: while let Some(step) = steps.get(done) {
                    macro_rules! reg {
                        ($r:expr) => {
                            regs[usize::from($r & 7)]
                        };
                    }
                    // Goes on within the segment, or leaves it to the general form to raise #GP.
                    macro_rules! branch {
                        ($target:expr, $general:lifetime) => {{
                            let target: u32 = $target;
                            if target > code_limit {
                                break $general;
                            }
                            left -= done as u64 + 1;
                            let same = target == eip;
                            eip = target;
                            if same && left > 0 {
                                continue 'again;
                            }
                            continue 'blocks;
                        }};
                    }
                    'general: {
                        let next =
                            |distance: u32| eip.wrapping_add(u32::from(step.end)).wrapping_add(distance);
                        macro_rules! read {
                            ($m:expr) => {{
                                match self.quick_read(ground, $m.seg.into(), offset(&regs, $m)) {
                                    Some(raw) => u32::from_le_bytes(raw),
                                    None => break 'general,
                                }
                            }};
                        }
                        macro_rules! read_part {
                            ($m:expr, $part:ty) => {{
                                match self.quick_read(ground, $m.seg.into(), offset(&regs, $m)) {
                                    Some(raw) => <$part>::from_le_bytes(raw),
                                    None => break 'general,
                                }
                            }};
                        }
                        macro_rules! place {
                            ($m:expr) => {{
                                match self.quick_place(ground, $m.seg.into(), offset(&regs, $m)) {
                                    Some(place) => place,
                                    None => break 'general,
                                }
                            }};
                        }
                        // Replaces a doubleword in memory by what an operation makes of it.
                        macro_rules! change {
                            ($m:expr, $old:ident => $new:expr) => {{
                                let place = place!($m);
                                let $old = u32::from_le_bytes(*place);
                                *place = u32::to_le_bytes($new);
                            }};
                        }
                        macro_rules! push {
                            ($value:expr) => {{
                                let value: u32 = $value;
                                let esp = regs[ESP].wrapping_sub(4);
                                match self.quick_place(ground, STACK, esp) {
                                    Some(place) => *place = value.to_le_bytes(),
                                    None => break 'general,
                                }
                                regs[ESP] = esp;
                            }};
                        }
                        macro_rules! pop {
                            () => {
                                match self.quick_read(ground, STACK, regs[ESP]) {
                                    Some(raw) => u32::from_le_bytes(raw),
                                    None => break 'general,
                                }
                            };
                        }
                        macro_rules! jump_if {
                            ($distance:expr, $met:expr) => {{
                                lazy.take(self.cpu.eflags);
                                let met: bool = $met;
                                branch!(next(if met { *$distance } else { 0 }), 'general)
                            }};
                        }
                        match &step.fast {
                            Fast::General => break 'general,
                            Fast::Nop => {}
                            Fast::MovRR(a, b) => reg!(a) = reg!(b),
                            Fast::MovRI(a, b) => reg!(a) = *b,
                            Fast::Load(a, m) => reg!(a) = read!(m),
                            Fast::Store(m, b) => {
                                let value = reg!(b);
                                *place!(m) = value.to_le_bytes();
                            }
                            Fast::StoreI(m, b) => *place!(m) = b.to_le_bytes(),
                            Fast::LoadByte(a, m) => {
                                let value = u32::from(read_part!(m, u8));
                                reg!(a) = reg!(a) & !0xFF | value;
                            }
                            Fast::StoreByte(m, b) => {
                                let value = reg!(b) as u8;
                                *place!(m) = [value];
                            }
                            Fast::ZeroByteR(a, b) => reg!(a) = reg!(b) & 0xFF,
                            Fast::SignByteR(a, b) => reg!(a) = reg!(b) as i8 as u32,
                            Fast::ZeroWordR(a, b) => reg!(a) = reg!(b) & 0xFFFF,
                            Fast::SignWordR(a, b) => reg!(a) = reg!(b) as i16 as u32,
                            Fast::ZeroByteM(a, m) => reg!(a) = read_part!(m, u8).into(),
                            Fast::SignByteM(a, m) => reg!(a) = read_part!(m, i8) as u32,
                            Fast::ZeroWordM(a, m) => reg!(a) = read_part!(m, u16).into(),
                            Fast::SignWordM(a, m) => reg!(a) = read_part!(m, i16) as u32,
                            Fast::Lea(a, m) => reg!(a) = offset(&regs, m),
                            Fast::AddRR(a, b) => reg!(a) = lazy.add(reg!(a), reg!(b)),
                            Fast::AddRI(a, b) => reg!(a) = lazy.add(reg!(a), *b),
                            Fast::AddRM(a, m) => reg!(a) = lazy.add(reg!(a), read!(m)),
                            Fast::AddMR(m, b) => {
                                let b = reg!(b);
                                change!(m, a => lazy.add(a, b));
                            }
                            Fast::AddMI(m, b) => change!(m, a => lazy.add(a, *b)),
                            Fast::OrRR(a, b) => reg!(a) = lazy.logic(reg!(a) | reg!(b)),
                            Fast::OrRI(a, b) => reg!(a) = lazy.logic(reg!(a) | *b),
                            Fast::OrRM(a, m) => reg!(a) = lazy.logic(reg!(a) | read!(m)),
                            Fast::OrMR(m, b) => {
                                let b = reg!(b);
                                change!(m, a => lazy.logic(a | b));
                            }
                            Fast::OrMI(m, b) => change!(m, a => lazy.logic(a | *b)),
                            Fast::AndRR(a, b) => reg!(a) = lazy.logic(reg!(a) & reg!(b)),
                            Fast::AndRI(a, b) => reg!(a) = lazy.logic(reg!(a) & *b),
                            Fast::AndRM(a, m) => reg!(a) = lazy.logic(reg!(a) & read!(m)),
                            Fast::AndMR(m, b) => {
                                let b = reg!(b);
                                change!(m, a => lazy.logic(a & b));
                            }
                            Fast::AndMI(m, b) => change!(m, a => lazy.logic(a & *b)),
                            Fast::SubRR(a, b) => reg!(a) = lazy.sub(reg!(a), reg!(b)),
                            Fast::SubRI(a, b) => reg!(a) = lazy.sub(reg!(a), *b),
                            Fast::SubRM(a, m) => reg!(a) = lazy.sub(reg!(a), read!(m)),
                            Fast::SubMR(m, b) => {
                                let b = reg!(b);
                                change!(m, a => lazy.sub(a, b));
                            }
                            Fast::SubMI(m, b) => change!(m, a => lazy.sub(a, *b)),
                            Fast::XorRR(a, b) => reg!(a) = lazy.logic(reg!(a) ^ reg!(b)),
                            Fast::XorRI(a, b) => reg!(a) = lazy.logic(reg!(a) ^ *b),
                            Fast::XorRM(a, m) => reg!(a) = lazy.logic(reg!(a) ^ read!(m)),
                            Fast::XorMR(m, b) => {
                                let b = reg!(b);
                                change!(m, a => lazy.logic(a ^ b));
                            }
                            Fast::XorMI(m, b) => change!(m, a => lazy.logic(a ^ *b)),
                            Fast::CmpRR(a, b) => _ = lazy.sub(reg!(a), reg!(b)),
                            Fast::CmpRI(a, b) => _ = lazy.sub(reg!(a), *b),
                            Fast::CmpRM(a, m) => _ = lazy.sub(reg!(a), read!(m)),
                            Fast::CmpMR(m, b) => _ = lazy.sub(read!(m), reg!(b)),
                            Fast::CmpMI(m, b) => _ = lazy.sub(read!(m), *b),
                            Fast::TestRR(a, b) => _ = lazy.logic(reg!(a) & reg!(b)),
                            Fast::TestRI(a, b) => _ = lazy.logic(reg!(a) & *b),
                            Fast::TestMR(m, b) => _ = lazy.logic(read!(m) & reg!(b)),
                            Fast::TestMI(m, b) => _ = lazy.logic(read!(m) & *b),
                            Fast::TestByteRI(a, b) => lazy.logic_of((reg!(a) as u8 & b) as i8),
                            Fast::TestByteRR(a, b) => lazy.logic_of((reg!(a) & reg!(b)) as i8),
                            Fast::TestByteMI(m, b) => lazy.logic_of((read_part!(m, u8) & b) as i8),
                            Fast::IncR(a) => reg!(a) = lazy.inc(self.cpu.eflags, reg!(a)),
                            Fast::DecR(a) => reg!(a) = lazy.dec(self.cpu.eflags, reg!(a)),
                            Fast::IncM(m) => {
                                let eflags = self.cpu.eflags;
                                change!(m, a => lazy.inc(eflags, a));
                            }
                            Fast::DecM(m) => {
                                let eflags = self.cpu.eflags;
                                change!(m, a => lazy.dec(eflags, a));
                            }
                            Fast::Shl(a, b) => reg!(a) = lazy.shl(reg!(a), *b),
                            Fast::Shr(a, b) => reg!(a) = lazy.shr(reg!(a), *b),
                            Fast::Sar(a, b) => reg!(a) = lazy.sar(reg!(a), *b),
                            Fast::PushR(a) => push!(reg!(a)),
                            Fast::PushI(a) => push!(*a),
                            Fast::PushM(m) => push!(read!(m)),
                            Fast::PopR(a) => {
                                let value = pop!();
                                regs[ESP] = regs[ESP].wrapping_add(4);
                                reg!(a) = value;
                            }
                            Fast::Jump(distance) => branch!(next(*distance), 'general),
                            Fast::JumpE(distance) => jump_if!(distance, lazy.zero()),
                            Fast::JumpNe(distance) => jump_if!(distance, !lazy.zero()),
                            Fast::JumpB(distance) => jump_if!(distance, lazy.carry()),
                            Fast::JumpAe(distance) => jump_if!(distance, !lazy.carry()),
                            Fast::JumpBe(distance) => jump_if!(distance, lazy.carry() || lazy.zero()),
                            Fast::JumpA(distance) => jump_if!(distance, !(lazy.carry() || lazy.zero())),
                            Fast::JumpS(distance) => jump_if!(distance, lazy.sign()),
                            Fast::JumpNs(distance) => jump_if!(distance, !lazy.sign()),
                            Fast::JumpL(distance) => jump_if!(distance, lazy.less()),
                            Fast::JumpGe(distance) => jump_if!(distance, !lazy.less()),
                            Fast::JumpLe(distance) => jump_if!(distance, lazy.less() || lazy.zero()),
                            Fast::JumpG(distance) => jump_if!(distance, !(lazy.less() || lazy.zero())),
                            Fast::Call(distance) => {
                                let target = next(*distance);
                                if target > code_limit {
                                    break 'general;
                                }
                                push!(next(0));
                                branch!(target, 'general)
                            }
                            Fast::Return(extra) => {
                                let target = pop!();
                                if target > code_limit {
                                    break 'general;
                                }
                                regs[ESP] = regs[ESP].wrapping_add(4 + u32::from(*extra));
                                branch!(target, 'general)
                            }
                        }
                        done += 1;
                        continue 'steps;
                    }
                    lazy.settle(&mut self.cpu.eflags);
                    self.retired = end - left + done as u64;
                    let here = eip.wrapping_add(u32::from(step.start));
                    self.cpu.eip = eip.wrapping_add(u32::from(step.end));
                    self.cpu.regs.copy_from_slice(&regs[..8]);
                    self.transient.here = here;
                    let op = &block.lowered[done].op;
                    let result = match op {
                        _ if block.lowered[done].needs > self.cpu.model => Err(Trap::Undefined.into()),
                        Op::String(string) => self.repeat(string, here, (end, epoch)),
                        _ => self.execute(op, here),
                    };
                    if let Err(exit) = result {
                        self.cpu.eip = here;
                        let trap = self.failed(exit)?;
                        return self.raise(trap).map(|()| true);
                    }
                    regs[..8].copy_from_slice(&self.cpu.regs);
                    self.retired += 1;
                    done += 1;
                    match step.after {
                        After::Anything => return Ok(false),
                        _ if self.memory.cache.epoch() != epoch => return Ok(false),
                        // RF: it was interrupted between two iterations, by the end of the run.
                        After::Repeat if self.cpu.flag(flags::RF) => return Ok(false),
                        After::Branch | After::Repeat => {
                            left = end - self.retired;
                            eip = self.cpu.eip;
                            continue 'blocks;
                        }
                        After::Next => {}
                    }
                }
                left -= done as u64;
                eip =
                    eip.wrapping_add(block.steps.get(done.wrapping_sub(1)).map_or(0, |step| step.end.into()));
                break;
            }
        }
        lazy.settle(&mut self.cpu.eflags);
        self.cpu.regs.copy_from_slice(&regs[..8]);
        self.cpu.eip = eip;
        self.retired = end - left;
        Ok(false)
    }
}

/// The offset that a memory operand names.
#[inline(always)]
fn offset(regs: &Registers, m: &Mem) -> u32 {
    let reg = |r: u8| regs[usize::from(r & 15)];
    m.displacement.wrapping_add(reg(m.base)).wrapping_add(reg(m.index) << (m.shift & 3))
}

/// Whether a breakpoint lies in a block.
fn meets(breakpoints: &[Va], linear: u32, block: &Block) -> bool {
    breakpoints.iter().any(|at| at.0.wrapping_sub(linear) <= block.last)
}
