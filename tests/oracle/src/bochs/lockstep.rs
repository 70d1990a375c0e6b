//! Runs of cases in lock-step: every instruction of the guest's code, on the machine and on Bochs.
//!
//! A run is cut into stretches: from where the host has done something (a native routine ran, something
//! reached the machine from outside) to where it does something again. Bochs starts each stretch in the
//! machine's state, with the machine's memory, and executes it a step at a time; all registers are
//! compared after every step, the x87 state and every word of memory at the end of the stretch. So native
//! routines run on our machine, and what they leave is carried over.
//!
//! An instruction that changes nothing but the count of instructions, as the loop in which a thread with
//! nothing to do sits, is executed twice and then left alone until something else happens.

use super::judge::{Difference, What, differences, float_differences, held_back, memory_differences};
use super::process::Bochs;
use super::state::{Reason, Values, Words, float_image, values};
use super::tape::{Answers, Follow, Tape};
use contract::Kernel;
use machine::registers::flags;
use machine::{Access, Machine, Memory, PAGE, Pa, Seg, Stop, Va};
use recorder::{EventRecord, Input, Recording, apply};
use std::collections::BTreeSet;
use std::path::Path;

/// The most steps of a stretch, so that what Bochs answers stays small.
const STEPS_MAX: usize = 20_000;

/// A stretch of executed code.
pub struct Stretch {
    /// The machine as it starts.
    pub start: Machine,
    /// What is compared, after each step.
    pub steps: Vec<Values>,
    /// The machine as it ends.
    pub end: Machine,
    /// Where a segment register was pushed: the physical address, and the word that lay there before.
    pub pushed: Vec<(u32, u32)>,
}

impl Stretch {
    /// A number that is the same for stretches that start in the same registers, go through the same
    /// ones, and write the same words to the same places: what they read was the same, then, as far as
    /// it told.
    pub fn digest(&self) -> u128 {
        let mut digest = Digest::default();
        let states = std::iter::once(values(&self.start.cpu)).chain(self.steps.iter().copied());
        states.for_each(|state| state.into_iter().for_each(|word| digest.word(word)));
        for image in [float_image(&self.start.cpu.fpu), float_image(&self.end.cpu.fpu)] {
            image
                .chunks(4)
                .for_each(|word| digest.word(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
        }
        for frame in self.end.memory.changed(&self.start.memory) {
            for at in (frame * PAGE..(frame + 1) * PAGE).step_by(4) {
                let (old, new) = (self.start.memory.read_u32(Pa(at)), self.end.memory.read_u32(Pa(at)));
                if old != new {
                    digest.word(at);
                    digest.word(new);
                }
            }
        }
        digest.0
    }
}

/// FNV-1a over words, 128 bits wide.
struct Digest(u128);

impl Default for Digest {
    fn default() -> Self {
        Digest(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D)
    }
}

impl Digest {
    fn word(&mut self, word: u32) {
        self.0 = (self.0 ^ u128::from(word)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
    }
}

/// What was executed of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Steps that were compared: instructions, and deliveries of exceptions and interrupts.
    pub steps: u64,
    /// Repetitions of an instruction that changes nothing, which were not.
    pub repeated: u64,
    /// Stretches.
    pub stretches: u64,
    /// Native routines between them.
    pub natives: u64,
}

impl Covered {
    /// Adds another run's.
    pub fn add(&mut self, other: Covered) {
        self.steps += other.steps;
        self.repeated += other.repeated;
        self.stretches += other.stretches;
        self.natives += other.natives;
    }
}

/// Cuts a run into stretches.
struct Cutter {
    kernel: &'static dyn Kernel,
    m: Machine,
    open: Option<Stretch>,
    stretches: Vec<Stretch>,
    covered: Covered,
    /// The last step changed nothing.
    still: bool,
}

impl Cutter {
    /// The host does something now.
    fn cut(&mut self) {
        if let Some(stretch) = self.open.take()
            && stretch.steps.last().is_some_and(|last| !held_back(last))
        {
            self.covered.stretches += 1;
            self.stretches.push(stretch);
        }
        self.still = false;
    }

    /// One instruction, or one delivery, or one native routine.
    fn step(&mut self) -> Result<(), String> {
        let cpu = &self.m.cpu;
        let taken = cpu.interrupt.is_some() && cpu.flag(flags::IF) && !cpu.shadow;
        let full = self.open.as_ref().is_some_and(|open| open.steps.len() >= STEPS_MAX);
        if taken || full {
            self.cut();
        }
        let before = values(&self.m.cpu);
        let memory = self.m.memory.clone();
        if self.open.is_none() {
            let start = self.m.clone();
            self.open =
                Some(Stretch { start: start.clone(), steps: Vec::new(), end: start, pushed: Vec::new() });
        }
        let retired = self.m.retired;
        let pushes = pushes_segment(&self.m);
        match self.m.step() {
            Stop::Budget => {
                let after = values(&self.m.cpu);
                let nothing = after == before && self.m.memory.changed(&memory).is_empty();
                if nothing && self.still {
                    self.covered.repeated += 1;
                    return Ok(());
                }
                self.still = nothing;
                self.covered.steps += 1;
                let halted = self.m.cpu.halted;
                let open = self.open.as_mut().expect("it was just opened");
                open.steps.push(after);
                open.pushed.extend(pushes);
                open.end = self.m.clone();
                if halted {
                    self.cut();
                }
                Ok(())
            }
            Stop::Native(at) if self.m.retired == retired => {
                self.cut();
                self.open = None;
                self.covered.natives += 1;
                match contract::routine::serve(self.kernel, &mut self.m, at) {
                    Ok(_) => Ok(()),
                    Err(fault) => self.m.page_fault(fault).map_err(|stop| format!("{stop:?}")),
                }
            }
            other => Err(format!("{other:?} at {}", self.m.cpu.next())),
        }
    }

    /// Plays an event: its inputs at their instants, up to its end.
    fn play(&mut self, event: &EventRecord) -> Result<(), String> {
        let ends = event.inputs.iter().map(|Input { at, what }| (*at, Some(what)));
        for (instant, what) in ends.chain([(event.end(), None)]) {
            while self.m.retired < instant {
                self.step()?;
            }
            if let Some(what) = what {
                self.cut();
                self.open = None;
                apply(&mut self.m, what).map_err(|fault| fault.to_string())?;
            }
        }
        Ok(())
    }
}

/// The stretches of a recorded run, or of its boot alone.
///
/// # Errors
/// The run cannot be played again; why.
pub fn stretches(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    boot: bool,
) -> Result<(Vec<Stretch>, Covered), String> {
    let m = match boot {
        true => kernel.boot().map_err(|error| error.to_string())?,
        false => recording.boot.machine.clone(),
    };
    let mut cutter =
        Cutter { kernel, m, open: None, stretches: Vec::new(), covered: Covered::default(), still: false };
    let events = if boot { std::slice::from_ref(&recording.boot) } else { &recording.events };
    for event in events {
        cutter.play(event).map_err(|why| format!("{}: {why}", event.text))?;
        cutter.cut();
        cutter.open = None;
        if cutter.m != event.machine {
            return Err(format!("{}: it does not lead to the recorded machine", event.text));
        }
    }
    Ok((cutter.stretches, cutter.covered))
}

/// Runs stretches on Bochs. Gives the stretches that part, and where: the first place of each.
///
/// # Errors
/// Bochs did not do what it was told.
pub fn compare(bochs: &Bochs, folder: &Path, stretches: &[Stretch]) -> Result<Vec<(usize, String)>, String> {
    let mut tape = Tape::default();
    let mut known = Memory::new(0);
    for stretch in stretches {
        if known.pages() == 0 {
            known = Memory::new(stretch.start.memory.pages());
        }
        tape.write_changes(&known, &stretch.start.memory, true);
        tape.load(&stretch.start.cpu);
        tape.step(stretch.steps.iter().filter(|step| !held_back(step)).count() as u32);
        tape.float();
        tape.compare(Follow::Shadow);
        // The halves that Bochs leaves would be there still when something narrow is pushed over them.
        let places: BTreeSet<u32> = stretch.pushed.iter().map(|(at, _)| at & !3).collect();
        for at in places {
            tape.write(at, &stretch.end.memory.read_u32(Pa(at)).to_le_bytes(), true);
        }
        known = stretch.end.memory.clone();
    }
    let bytes = bochs.play(folder, &tape.finish())?;
    let mut answers = Answers::new(&bytes);
    let mut parted = Vec::new();
    for (index, stretch) in stretches.iter().enumerate() {
        let ended = answers.run().map_err(|why| format!("stretch {index}: {why}"))?;
        let (float, memory) = (answers.float()?, answers.memory()?);
        if let Some(how) = part(stretch, &ended.steps, ended.last.reason(), &float, &memory) {
            parted.push((index, how));
        }
    }
    Ok(parted)
}

/// Where a stretch parts, if it does.
fn part(
    stretch: &Stretch,
    theirs: &[Words],
    reason: Reason,
    float: &[u8; 512],
    memory: &[(u32, u32)],
) -> Option<String> {
    let mut before = values(&stretch.start.cpu);
    let mut answered = theirs.iter();
    for ours in &stretch.steps {
        let place = || {
            let (cr3, eip) = (before[48], before[15].wrapping_add(before[8]));
            let line = stretch.start.disassemble(cr3, machine::Va(eip), 1);
            line.first().map_or_else(|| format!("{eip:08X}"), |(at, text)| format!("{at} {text}"))
        };
        if held_back(ours) {
            before = *ours;
            continue;
        }
        let Some(words) = answered.next() else {
            // A virtual machine comes back before HLT is executed.
            let expected = ours[60] != 0 && reason == Reason::Halt;
            return (!expected).then(|| format!("{}: Bochs ends with {reason:?}", place()));
        };
        // Between two repetitions the machine keeps RF, which Bochs sets only when it is pushed.
        let repeating = ours[8] == before[8];
        let parts = differences(ours, &words.values(), if repeating { flags::RF } else { 0 });
        if !parts.is_empty() {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            return Some(format!("{}: {}", place(), parts.join("; ")));
        }
        before = *ours;
    }
    let mut parts = float_differences(&float_image(&stretch.end.cpu.fpu), float);
    // Newer processors keep no selectors with FIP and FDP.
    parts.retain(|part| !matches!(part.what, What::Float("fcs" | "fds")));
    let start = &stretch.start.memory;
    let memory = memory_differences(start, start, &stretch.end.memory, memory);
    let newer = |part: &Difference| {
        is_narrow_push(part, &stretch.pushed) || is_newer_image(&stretch.end.memory, part)
    };
    parts.extend(memory.into_iter().filter(|part| !newer(part)));
    let text = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    (!parts.is_empty()).then(|| format!("at the end of a stretch of {} steps: {text}", stretch.steps.len()))
}

/// PUSH of a segment register on a 32-bit stack: Bochs writes two bytes, as newer processors of Intel's
/// do, and leaves the upper half; older ones, and the machine, write zeroes there (SDM, PUSH).
fn is_narrow_push(part: &Difference, pushed: &[(u32, u32)]) -> bool {
    let What::Memory(place, _) = part.what else { return false };
    let left = |(at, before): &(u32, u32)| *at == place && part.theirs >> 16 == before >> 16;
    part.ours >> 16 == 0 && part.ours & 0xFFFF == part.theirs & 0xFFFF && pushed.iter().any(left)
}

/// Where the next instruction pushes a segment register as a doubleword, if it is such a one: the physical
/// address, and the word that lies there.
fn pushes_segment(m: &Machine) -> Option<(u32, u32)> {
    let mut code = [0; 2];
    let at = m.cpu.next();
    // The last byte of a page may be all that is mapped.
    m.peek(m.cpu.cr3, at, &mut code).or_else(|_| m.peek(m.cpu.cr3, at, &mut code[..1])).ok()?;
    if !matches!(code, [0x06 | 0x0E | 0x16 | 0x1E, _] | [0x0F, 0xA0 | 0xA8]) {
        return None;
    }
    let top = m.cpu.seg(Seg::Ss).base.wrapping_add(m.cpu.esp()).wrapping_sub(4);
    let Pa(at) = m.probe(m.cpu.cr3, Va(top), Access::Read).ok()?;
    Some((at, m.memory.read_u32(Pa(at))))
}

/// An image of FXSAVE: newer processors put MXCSR.DAZ into its mask of MXCSR, and no selectors with FIP
/// and FDP. The image is known by that mask, which lies 16 bytes behind the one and 8 behind the other.
fn is_newer_image(memory: &Memory, part: &Difference) -> bool {
    const MASK: u32 = 0xFFBF;
    let What::Memory(at, _) = part.what else { return false };
    let behind = |distance| memory.read_u32(Pa(at.wrapping_add(distance))) == MASK;
    let selector = part.ours <= 0xFFFF && part.theirs == 0 && (behind(0x10) || behind(0x8));
    (part.ours, part.theirs) == (MASK, 0xFFFF) || selector
}
