//! Runs tests on the machine and on Bochs, and tells where they part.

use super::process::Bochs;
use super::scene::{Scene, VMCALL};
use super::state::{EFLAGS_VALUE, NAMES, Reason, VALUES, Values, Words, float_image, values};
use super::tape::{Answers, Ended, Follow, Tape, page};
use machine::{Machine, Memory, PAGE, Stop};
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
/// It does not end: a fault of the test.
pub fn run_ours(start: &Machine) -> Result<Ours, String> {
    let mut m = start.clone();
    let (mut steps, mut listing) = (Vec::new(), Vec::new());
    loop {
        let mut next = [0; 3];
        let mut look = m.clone();
        let readable = look.read(m.cpu.next(), &mut next).is_ok();
        let pending = m.cpu.interrupt.is_some();
        if !pending && readable && next == VMCALL {
            return Ok(Ours { steps, listing, end: End::Call, last: m });
        }
        if steps.len() == STEPS_MAX {
            return Err(format!("the test does not end; it is at {}", m.cpu.next()));
        }
        let line = m.disassemble(m.cpu.cr3, m.cpu.next(), 1);
        listing.push(line.first().map_or_else(|| format!("{}", m.cpu.next()), |(at, text)| format!("{at} {text}")));
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
        tape.run(0);
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
        (End::LeftOut(what), Reason::TaskSwitch) => return Verdict::Skipped(format!("{what}: a named stop here")),
        (_, Reason::Port | Reason::CpuId) => {
            return Verdict::Skipped(format!("{reason:?}: not compared with Bochs"));
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
    let mut parts = differences(&values(&ours.last.cpu), &theirs.free.last.values(), test.undefined);
    parts.extend(float_differences(&float_image(&ours.last.cpu.fpu), &theirs.float));
    parts.extend(memory_differences(&base.m.memory, &ours.last.memory, &theirs.memory));
    if parts.is_empty() {
        return Verdict::Agreed;
    }
    Verdict::Parted(format!("{}\n{}", parts.join("; "), parting(test, ours, theirs)))
}

/// The first step at which they part, for people.
fn parting(test: &Test, ours: &Ours, theirs: &Theirs) -> String {
    let Some(stepped) = &theirs.stepped else { return String::new() };
    for (index, line) in ours.listing.iter().enumerate() {
        let parts = match (ours.steps.get(index), stepped.steps.get(index)) {
            (Some(a), Some(b)) => differences(a, &b.values(), test.undefined),
            (None, None) => continue,
            (Some(_), None) => vec![format!("Bochs stops here: {:?}", stepped.last.reason())],
            (None, Some(b)) => {
                let at = b.values();
                vec![format!("Bochs goes on at {:04x}:{:08x}", at[14], at[8])]
            }
        };
        if !parts.is_empty() {
            return format!("  at step {}, {line}: {}", index + 1, parts.join("; "));
        }
    }
    "  in steps they do the same".to_owned()
}

/// The values in which they differ.
pub fn differences(ours: &Values, theirs: &Values, undefined: u32) -> Vec<String> {
    (0..VALUES)
        .filter(|index| {
            let mask = if *index == EFLAGS_VALUE { !undefined } else { u32::MAX };
            (ours[*index] ^ theirs[*index]) & mask != 0
        })
        .map(|index| format!("{} {:x}, Bochs {:x}", NAMES[index], ours[index], theirs[index]))
        .collect()
}

/// The parts of the x87 state in which they differ.
pub fn float_differences(ours: &[u8; 512], theirs: &[u8; 512]) -> Vec<String> {
    const NAMES: [(usize, usize, &str); 14] = [
        (0, 2, "fcw"), (2, 4, "fsw"), (4, 5, "ftw"), (6, 8, "fop"), (8, 14, "fip"), (16, 22, "fdp"),
        (32, 42, "st0"), (48, 58, "st1"), (64, 74, "st2"), (80, 90, "st3"),
        (96, 106, "st4"), (112, 122, "st5"), (128, 138, "st6"), (144, 154, "st7"),
    ];
    NAMES
        .iter()
        .filter(|(start, end, _)| ours[*start..*end] != theirs[*start..*end])
        .map(|(start, end, name)| format!("{name} {:x?}, Bochs {:x?}", &ours[*start..*end], &theirs[*start..*end]))
        .collect()
}

/// The words of memory in which they differ: what ours is, against what changed for Bochs.
pub fn memory_differences(base: &Memory, ours: &Memory, theirs: &[(u32, u32)]) -> Vec<String> {
    let mut bochs = base.clone();
    for (at, word) in theirs {
        bochs.write_u32(machine::Pa(*at), *word);
    }
    let mut parts = Vec::new();
    for frame in bochs.changed(ours) {
        let (a, b) = (page(ours, frame), page(&bochs, frame));
        for offset in (0..PAGE as usize).step_by(4) {
            let word = |page: &machine::Page| u32::from_le_bytes(page[offset..offset + 4].try_into().expect("4"));
            if word(a) != word(b) {
                parts.push(format!("[{:x}] {:x}, Bochs {:x}", frame * PAGE + offset as u32, word(a), word(b)));
            }
        }
    }
    parts
}

/// A state's address, for messages.
pub fn place(words: &Words) -> String {
    let values = words.values();
    format!("{:04x}:{:08x}", values[14], values[8])
}
