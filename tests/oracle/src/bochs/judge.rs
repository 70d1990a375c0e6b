//! Runs tests on the machine and on Bochs, and tells where they part.

use super::explain::explained;
use super::process::Bochs;
use super::scene::{Scene, VMCALL};
use super::state::{EFLAGS_VALUE, NAMES, Reason, SHADOW_VALUE, VALUES, Values, float_image, values};
use super::tape::{Answers, Ended, Follow, Tape};
use machine::{Machine, Memory, PAGE, Pa, Stop};
use std::path::Path;

/// A directed test: where it starts, and what it is about.
#[derive(Clone)]
pub struct Test {
    /// Family and rule, as they are told: `iret outer: CS not present`.
    pub name: String,
    /// The machine as it starts. It ends at a VMCALL.
    pub start: Machine,
    /// EFLAGS bits that the manual leaves undefined here.
    pub undefined: u32,
}

const RF: u32 = 0x1_0000;

/// The most steps of a test.
const STEPS_MAX: usize = 200;

/// How a run of a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At a VMCALL.
    Call,
    /// With a shutdown.
    Shutdown,
    /// HLT.
    Halt,
    /// Not at all.
    Endless,
    /// With something that is left out; what.
    LeftOut(String),
}

/// What a test came to on the machine.
pub struct Ours {
    /// The values after each step.
    pub steps: Vec<Values>,
    /// The addresses of the instructions, and how they read.
    pub listing: Vec<String>,
    /// How it ended.
    pub end: End,
    /// The machine then.
    pub last: Machine,
}

/// Runs a test on the machine.
///
/// # Errors
/// It ends in a way that no test may: at a native routine, say.
pub fn run_ours(start: &Machine) -> Result<Ours, String> {
    let mut m = start.clone();
    let (mut steps, mut listing) = (Vec::new(), Vec::new());
    loop {
        let mut next = [0; 3];
        let mut look = m.clone();
        let inside = m.cpu.eip.saturating_add(2) <= m.cpu.seg(machine::Seg::Cs).limit;
        let readable = inside && look.read(m.cpu.next(), &mut next).is_ok();
        let pending = m.cpu.interrupt.is_some();
        if !pending && readable && next == VMCALL {
            return Ok(Ours { steps, listing, end: End::Call, last: m });
        }
        if steps.len() == STEPS_MAX {
            return Ok(Ours { steps, listing, end: End::Endless, last: m });
        }
        let line = m.disassemble(m.cpu.cr3, m.cpu.next(), 1);
        listing.push(
            line.first().map_or_else(|| format!("{}", m.cpu.next()), |(at, text)| format!("{at} {text}")),
        );
        let before = m.clone();
        let end = match m.step() {
            Stop::Budget if m.cpu.halted => End::Halt,
            Stop::Budget => {
                steps.push(values(&m.cpu));
                continue;
            }
            Stop::Shutdown => End::Shutdown,
            Stop::Halted => End::Halt,
            Stop::Unsupported(what) => End::LeftOut(what),
            other => return Err(format!("the test ended with {other:?}")),
        };
        let last = if end == End::Halt { before } else { m };
        return Ok(Ours { steps, listing, end, last });
    }
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The machine and Bochs agree.
    Agreed,
    /// It could not be compared; why.
    Skipped(String),
    /// They part, and it is known why and that the machine is right.
    Explained(&'static str),
    /// They part; where and how.
    Parted(String),
}

/// What Bochs said of a test.
pub struct Theirs {
    /// The run in one.
    pub free: Ended,
    /// The x87 state after it.
    pub float: [u8; 512],
    /// What it has written.
    pub memory: Vec<(u32, u32)>,
    /// The run in steps, if there was one.
    pub stepped: Option<Ended>,
}

/// Runs tests on Bochs, in one process; `stepped`: a second time in steps, to tell where they part.
///
/// # Errors
/// Bochs did not do what it was told; what it said.
pub fn run_theirs(
    bochs: &Bochs,
    folder: &Path,
    base: &Scene,
    tests: &[Test],
    stepped: bool,
) -> Result<Vec<Theirs>, String> {
    let mut tape = Tape::default();
    tape.write_changes(&Memory::new(base.m.memory.pages()), &base.m.memory, true);
    // What is written to the shadow is in memory as well.
    for test in tests {
        tape.write_changes(&base.m.memory, &test.start.memory, false);
        tape.load(&test.start.cpu);
        tape.run();
        tape.float();
        tape.compare(Follow::Guest);
        if stepped {
            tape.write_changes(&base.m.memory, &test.start.memory, false);
            tape.load(&test.start.cpu);
            tape.step(STEPS_MAX as u32);
            tape.compare(Follow::Guest);
        }
    }
    let bytes = bochs.play(folder, &tape.finish())?;
    let mut answers = Answers::new(&bytes);
    let mut out = Vec::new();
    for test in tests {
        let mut read = || -> Result<Theirs, String> {
            let free = answers.run()?;
            let (float, memory) = (answers.float()?, answers.memory()?);
            let mut steps = None;
            if stepped {
                steps = Some(answers.run()?);
                answers.memory()?;
            }
            Ok(Theirs { free, float, memory, stepped: steps })
        };
        out.push(read().map_err(|error| format!("{}: {error}", test.name))?);
    }
    if !answers.is_empty() {
        return Err("bochs answered more than it was asked".to_owned());
    }
    Ok(out)
}

/// Compares what a test came to.
pub fn compare(base: &Scene, test: &Test, ours: &Ours, theirs: &Theirs) -> Verdict {
    let reason = theirs.free.last.reason();
    let same_end = match (&ours.end, reason) {
        (End::Call, Reason::Call) | (End::Halt, Reason::Halt) | (End::Shutdown, Reason::Shutdown) => true,
        (End::Endless, Reason::Endless | Reason::Shutdown) => {
            return Verdict::Skipped(
                "faults without end, until the stack has overwritten the tables".to_owned(),
            );
        }
        (End::LeftOut(what), _) if what.contains("task") => {
            return Verdict::Skipped("a task switch, which is a named stop of the machine".to_owned());
        }
        (_, Reason::Port | Reason::CpuId | Reason::Control | Reason::Caches) => {
            return Verdict::Skipped(format!("a virtual machine always comes back here: {reason:?}"));
        }
        _ => false,
    };
    if !same_end {
        let how = format!("ends with {:?}, Bochs with {reason:?}", ours.end);
        return Verdict::Parted(format!("{how}\n{}", parting(test, ours, theirs)));
    }
    if ours.end == End::Shutdown {
        // The state in which a processor shuts down cannot be seen by anybody.
        return Verdict::Agreed;
    }
    // Bochs takes RF away when it comes back from the VMCALL; what it was is seen in steps.
    let undefined = test.undefined | RF;
    let (ours_last, theirs_last) = (values(&ours.last.cpu), theirs.free.last.values());
    let mut parts = differences(&ours_last, &theirs_last, undefined);
    parts.extend(float_differences(&float_image(&ours.last.cpu.fpu), &theirs.float));
    parts.extend(memory_differences(&base.m.memory, &test.start.memory, &ours.last.memory, &theirs.memory));
    if let Some(stepped) = &theirs.stepped {
        parts.extend(step_differences(test, ours, stepped));
    }
    let mut reasons = Vec::new();
    for part in &parts {
        match explained(test, ours, part) {
            Some(reason) => reasons.push(reason),
            None => {
                let parts: Vec<String> = parts.iter().map(Difference::to_string).collect();
                return Verdict::Parted(format!("{}\n{}", parts.join("; "), parting(test, ours, theirs)));
            }
        }
    }
    match reasons.first() {
        None => Verdict::Agreed,
        Some(reason) => Verdict::Explained(reason),
    }
}

/// Whether Bochs goes on behind a step without coming back: what ends a step is held back, as an external
/// interrupt is, behind STI and behind loads of SS. So it shows the shadow by what it does.
pub fn held_back(step: &Values) -> bool {
    step[SHADOW_VALUE] != 0
}

/// How far Bochs may go on without coming back: behind STI and loads of SS, and up to the handler of a
/// breakpoint on the next instruction.
const AHEAD: usize = 3;

/// Follows Bochs's steps through ours: each is one of ours, or one of the next few when Bochs did not come
/// back in between. Gives the first of our steps that it does not come to, and how it differs there.
fn follow(test: &Test, ours: &Ours, stepped: &Ended) -> Option<(usize, Vec<Difference>)> {
    let mut index = 0;
    for theirs in &stepped.steps {
        let theirs = theirs.values();
        let parts = |at: &usize| {
            let before = if *at == 0 { test.start.cpu.eip } else { ours.steps[*at - 1][8] };
            // Between two repetitions the machine keeps RF, which Bochs sets only when it is pushed.
            let repeating = if ours.steps[*at][8] == before { RF } else { 0 };
            differences(&ours.steps[*at], &theirs, test.undefined | repeating)
        };
        let ahead = index..ours.steps.len().min(index + AHEAD);
        match ahead.clone().find(|at| parts(at).is_empty()) {
            Some(at) => index = at + 1,
            None => {
                let at = ahead.clone().find(|at| !held_back(&ours.steps[*at])).or(ahead.last());
                return Some((at.unwrap_or(index), at.map(|at| parts(&at)).unwrap_or_default()));
            }
        }
    }
    None
}

/// The values in which they differ after the first step that differs.
fn step_differences(test: &Test, ours: &Ours, stepped: &Ended) -> Vec<Difference> {
    follow(test, ours, stepped).map(|(_, parts)| parts).unwrap_or_default()
}

/// The first step at which they part, for people.
fn parting(test: &Test, ours: &Ours, theirs: &Theirs) -> String {
    let Some(stepped) = &theirs.stepped else { return String::new() };
    let Some((index, parts)) = follow(test, ours, stepped) else {
        let last = ours.listing.last().map_or("nothing", String::as_str);
        return format!("  step by step they do the same, up to the memory behind {last}");
    };
    let line = ours.listing.get(index).map_or("beyond the end", String::as_str);
    let parts: Vec<String> = parts.iter().map(Difference::to_string).collect();
    format!("  at step {}, {line}: {}", index + 1, parts.join("; "))
}

/// A thing in which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub what: What,
    /// The machine's value; of longer things the first four bytes that differ.
    pub ours: u32,
    /// Bochs's.
    pub theirs: u32,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A value, by its place in [`NAMES`].
    Value(usize),
    /// A part of the x87 state.
    Float(&'static str),
    /// The word of memory at a physical address, and what it was before the test.
    Memory(u32, u32),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.what {
            What::Value(index) => write!(f, "{}", NAMES[index])?,
            What::Float(name) => write!(f, "{name}")?,
            What::Memory(at, _) => write!(f, "[{at:x}]")?,
        }
        write!(f, " {:x}, Bochs {:x}", self.ours, self.theirs)
    }
}

/// The values in which they differ.
pub fn differences(ours: &Values, theirs: &Values, undefined: u32) -> Vec<Difference> {
    let mask = |index| if index == EFLAGS_VALUE { !undefined } else { u32::MAX };
    (0..VALUES)
        .filter(|index| (ours[*index] ^ theirs[*index]) & mask(*index) != 0)
        .map(|index| Difference { what: What::Value(index), ours: ours[index], theirs: theirs[index] })
        .collect()
}

/// The parts of the x87 state in which they differ.
pub fn float_differences(ours: &[u8; 512], theirs: &[u8; 512]) -> Vec<Difference> {
    const PARTS: [(usize, usize, &str); 17] = [
        (0, 2, "fcw"),
        (2, 4, "fsw"),
        (4, 5, "ftw"),
        (6, 8, "fop"),
        (8, 12, "fip"),
        (12, 14, "fcs"),
        (16, 20, "fdp"),
        (20, 22, "fds"),
        (24, 28, "mxcsr"),
        (32, 42, "st0"),
        (48, 58, "st1"),
        (64, 74, "st2"),
        (80, 90, "st3"),
        (96, 106, "st4"),
        (112, 122, "st5"),
        (128, 138, "st6"),
        (144, 154, "st7"),
    ];
    let word = |image: &[u8; 512], start: usize, end: usize| {
        image[start..end].iter().take(4).rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    PARTS
        .iter()
        .filter(|(start, end, _)| ours[*start..*end] != theirs[*start..*end])
        .map(|(start, end, name)| {
            let at = (*start..*end).find(|at| ours[*at] != theirs[*at]).unwrap_or(*start);
            Difference { what: What::Float(name), ours: word(ours, at, *end), theirs: word(theirs, at, *end) }
        })
        .collect()
}

/// The words of memory in which they differ: what ours is, against what changed for Bochs.
pub fn memory_differences(
    base: &Memory,
    start: &Memory,
    ours: &Memory,
    theirs: &[(u32, u32)],
) -> Vec<Difference> {
    let mut bochs = base.clone();
    for (at, word) in theirs {
        bochs.write_u32(Pa(*at), *word);
    }
    let mut parts = Vec::new();
    for frame in bochs.changed(ours) {
        for at in (frame * PAGE..(frame + 1) * PAGE).step_by(4) {
            let (ours, theirs) = (ours.read_u32(Pa(at)), bochs.read_u32(Pa(at)));
            if ours != theirs {
                parts.push(Difference { what: What::Memory(at, start.read_u32(Pa(at))), ours, theirs });
            }
        }
    }
    parts
}
