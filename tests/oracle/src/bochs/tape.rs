//! The two tapes: what the monitor is told, and what it answers.

use super::layout::{WORDS, answer, command};
use super::state::{Words, float_image};
use machine::{Cpu, Memory, PAGE};

/// What follows a comparison of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Follow {
    /// The shadow becomes what memory is.
    Shadow = 1,
    /// Memory becomes what the shadow is.
    Guest = 2,
}

/// What the monitor is told.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
}

impl Tape {
    /// The bytes; the end of the tape is in the zeroes behind them.
    pub fn finish(mut self) -> Vec<u8> {
        self.word(command::END);
        self.bytes
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend(word.to_le_bytes());
    }

    /// Writes bytes that do not cross a page to physical memory, and to its shadow if wanted.
    pub fn write(&mut self, at: u32, bytes: &[u8], shadow: bool) {
        for word in [command::WRITE, at, bytes.len() as u32, shadow.into()] {
            self.word(word);
        }
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Writes what makes one memory another: whole words that differ, in runs.
    pub fn write_changes(&mut self, from: &Memory, to: &Memory, shadow: bool) {
        for frame in to.changed(from) {
            let (old, new) = (page(from, frame), page(to, frame));
            for (start, end) in runs(old, new) {
                self.write(frame * PAGE + start as u32, &new[start..end], shadow);
            }
        }
    }

    /// Loads a state.
    pub fn load(&mut self, cpu: &Cpu) {
        self.word(command::LOAD);
        for word in Words::of(cpu).0 {
            self.word(word);
        }
        self.bytes.extend(float_image(&cpu.fpu));
    }

    /// Runs freely, up to something that comes back.
    pub fn run(&mut self) {
        for word in [command::RUN, 1, 0x2_0000] {
            self.word(word);
        }
    }

    /// Runs so many steps, answering after each.
    pub fn step(&mut self, steps: u32) {
        for word in [command::RUN, steps, 2] {
            self.word(word);
        }
    }

    /// Asks for the x87 state.
    pub fn float(&mut self) {
        self.word(command::FLOAT);
    }

    /// Asks for what memory has become.
    pub fn compare(&mut self, follow: Follow) {
        self.word(command::COMPARE);
        self.word(follow as u32);
    }
}

/// A frame's bytes.
pub fn page(memory: &Memory, frame: u32) -> &machine::Page {
    memory.page(frame).unwrap_or(&[0; PAGE as usize])
}

/// Ranges of bytes, at words, in which two pages differ; ranges that nearly touch are one.
fn runs(old: &[u8], new: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for start in (0..new.len()).step_by(4) {
        if old[start..start + 4] == new[start..start + 4] {
            continue;
        }
        match runs.last_mut() {
            Some((_, end)) if start - *end <= 16 => *end = start + 4,
            _ => runs.push((start, start + 4)),
        }
    }
    runs
}

/// What the monitor answered.
pub struct Answers<'a> {
    rest: &'a [u8],
}

/// What came of a run.
#[derive(Clone)]
pub struct Ended {
    /// The state after each step, if it was run in steps.
    pub steps: Vec<Words>,
    /// The state in which it came back.
    pub last: Words,
}

impl<'a> Answers<'a> {
    /// The answers, to be read in the order of the questions.
    pub fn new(bytes: &'a [u8]) -> Answers<'a> {
        Answers { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn word(&mut self) -> Result<u32, String> {
        let (word, rest) = self.rest.split_first_chunk().ok_or("bochs's answers end early")?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*word))
    }

    fn words(&mut self) -> Result<Words, String> {
        let mut words = [0; WORDS];
        for word in &mut words {
            *word = self.word()?;
        }
        Ok(Words(words))
    }

    /// The answer to a run.
    ///
    /// # Errors
    /// What is wrong with it: the state was refused, or the tape is at its end.
    pub fn run(&mut self) -> Result<Ended, String> {
        let mut current = Words([u32::MAX; WORDS]);
        let mut steps = Vec::new();
        loop {
            match self.word()? {
                answer::STEP => {
                    let mask = [self.word()?, self.word()?, self.word()?];
                    for index in (0..WORDS).filter(|index| mask[index / 32] >> (index % 32) & 1 != 0) {
                        current.0[index] = self.word()?;
                    }
                    steps.push(current);
                }
                answer::ENDED => {
                    self.word()?;
                    return Ok(Ended { steps, last: self.words()? });
                }
                answer::REFUSED => {
                    let why = self.word()?;
                    return Err(format!("the virtual machine's controls were refused: error {why}"));
                }
                other => return Err(format!("bochs answered {other:#x} to a run")),
            }
        }
    }

    /// The image of FXSAVE.
    ///
    /// # Errors
    /// The answers end early.
    pub fn float(&mut self) -> Result<[u8; 512], String> {
        let (image, rest) = self.rest.split_first_chunk().ok_or("bochs's answers end early")?;
        self.rest = rest;
        Ok(*image)
    }

    /// Physical addresses and the words there, where memory has changed.
    ///
    /// # Errors
    /// The answers end early, or are not of memory.
    pub fn memory(&mut self) -> Result<Vec<(u32, u32)>, String> {
        if self.word()? != answer::MEMORY {
            return Err("bochs answered something else than memory".to_owned());
        }
        let mut words = Vec::new();
        loop {
            match self.word()? {
                u32::MAX => return Ok(words),
                at => words.push((at, self.word()?)),
            }
        }
    }
}
