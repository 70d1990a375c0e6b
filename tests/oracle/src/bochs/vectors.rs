//! What Bochs answered, kept in a file, so that a machine without Bochs tests against real answers.
//!
//! The format, version 1. Numbers are LEB128 varints; texts and lists have their length in front.
//! - `TNDMBOCHS`, the version;
//! - the scene: the words of its state, the image of its x87 state (512 bytes), and its pages that are not
//!   zero: frame and 4096 bytes;
//! - the tests, each: how many bytes of the name before it begins with, and the rest of the name; its
//!   start, as changes of the scene; Bochs's end, as changes of that start.
//!
//! Changes are three lists: of words of the state (place, value), of bytes of the x87 image (place, byte),
//! and of words of memory (distance from the one before in words, value).

use super::judge::{Test, Theirs};
use super::layout::WORDS;
use super::scene::Scene;
use super::state::{Words, float_image, float_of};
use super::tape::Ended;
use machine::{Machine, Memory, PAGE, Pa};

const MAGIC: &[u8] = b"TNDMBOCHS";
const VERSION: u64 = 1;

/// A state in parts: words, x87 image, memory.
type Parts = (Words, [u8; 512], Memory);

fn parts(m: &Machine) -> Parts {
    (Words::of(&m.cpu), float_image(&m.cpu.fpu), m.memory.clone())
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, value: u64) {
        let mut value = value;
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    fn changes(&mut self, from: &Parts, words: &Words, float: &[u8; 512], memory: &[(u32, u32)]) {
        let changed: Vec<usize> = (0..WORDS).filter(|index| words.0[*index] != from.0.0[*index]).collect();
        self.list(&changed, |w, index| {
            w.number(*index as u64);
            w.number(words.0[*index].into());
        });
        let changed: Vec<usize> = (0..512).filter(|index| float[*index] != from.1[*index]).collect();
        self.list(&changed, |w, index| {
            w.number(*index as u64);
            w.0.push(float[*index]);
        });
        let mut last = 0;
        self.list(memory, |w, (at, value)| {
            w.number(u64::from(at / 4 - last));
            w.number((*value).into());
            last = at / 4;
        });
    }
}

/// The words in which two memories differ, with their values in the newer one, by address.
fn changed_words(from: &Memory, to: &Memory) -> Vec<(u32, u32)> {
    let words = to.changed(from).into_iter().flat_map(|frame| (frame * PAGE..(frame + 1) * PAGE).step_by(4));
    words.map(|at| (at, to.read_u32(Pa(at)))).filter(|(at, word)| *word != from.read_u32(Pa(*at))).collect()
}

/// The memory that Bochs left, as words in which it differs from the test's start.
fn left(base: &Memory, start: &Memory, theirs: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut memory = base.clone();
    for (at, word) in theirs {
        memory.write_u32(Pa(*at), *word);
    }
    changed_words(start, &memory)
}

/// Writes tests and Bochs's answers.
pub fn save(base: &Scene, tests: &[(Test, Theirs)]) -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.number(VERSION);
    let scene = parts(&base.m);
    for word in scene.0.0 {
        w.number(word.into());
    }
    w.0.extend(scene.1);
    let frames = scene.2.changed(&Memory::new(scene.2.pages()));
    w.list(&frames, |w, frame| {
        w.number((*frame).into());
        w.0.extend(super::tape::page(&scene.2, *frame));
    });
    w.number(tests.len() as u64);
    let mut before = "";
    for (test, theirs) in tests {
        let shared = before.bytes().zip(test.name.bytes()).take_while(|(a, b)| a == b).count();
        w.number(shared as u64);
        w.list(&test.name.as_bytes()[shared..], |w, byte| w.0.push(*byte));
        before = &test.name;
        let start = parts(&test.start);
        w.changes(&scene, &start.0, &start.1, &changed_words(&scene.2, &start.2));
        let memory = left(&scene.2, &start.2, &theirs.memory);
        w.changes(&start, &theirs.free.last, &theirs.float, &memory);
    }
    w.0
}

/// A state with its changes made, but for those of memory.
type Changed = (Words, [u8; 512], Vec<(u32, u32)>);

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn changes(&mut self, from: &Parts) -> Option<Changed> {
        let (mut words, mut float) = (from.0, from.1);
        for _ in 0..self.number()? {
            let index = self.number()? as usize;
            *words.0.get_mut(index)? = self.number()?;
        }
        for _ in 0..self.number()? {
            let index = self.number()? as usize;
            *float.get_mut(index)? = self.take(1)?[0];
        }
        let mut last = 0u32;
        let mut memory = Vec::new();
        for _ in 0..self.number()? {
            last = last.checked_add(self.number()?)?;
            memory.push((last.checked_mul(4)?, self.number()?));
        }
        Some((words, float, memory))
    }
}

/// Reads tests and Bochs's answers, and the scene that they start from.
///
/// # Errors
/// The bytes are no such file, or another version's.
pub fn load(bytes: &[u8]) -> Result<(Scene, Vec<(Test, Theirs)>), String> {
    read(&mut Reader(bytes)).ok_or_else(|| "the file of Bochs's answers is damaged".to_owned())
}

fn read(r: &mut Reader) -> Option<(Scene, Vec<(Test, Theirs)>)> {
    if r.take(MAGIC.len())? != MAGIC || u64::from(r.number()?) != VERSION {
        return None;
    }
    let mut words = Words([0; WORDS]);
    for word in &mut words.0 {
        *word = r.number()?;
    }
    let float: [u8; 512] = r.take(512)?.try_into().ok()?;
    let mut memory = Memory::new(super::scene::PAGES);
    for _ in 0..r.number()? {
        let frame = r.number()?;
        memory.page_mut(frame)?.copy_from_slice(r.take(PAGE as usize)?);
    }
    let scene = (words, float, memory);
    let base = Scene { m: machine(&scene) };
    let mut tests = Vec::new();
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..r.number()? {
        let shared = r.number()? as usize;
        let rest = r.number()? as usize;
        name.truncate(shared);
        name.extend(r.take(rest)?);
        let (words, float, changes) = r.changes(&scene)?;
        let mut memory = scene.2.clone();
        for (at, word) in &changes {
            memory.write_u32(Pa(*at), *word);
        }
        let start = (words, float, memory);
        let (last, float, left) = r.changes(&start)?;
        // Bochs's own list counts from the scene.
        let mut end = start.2.clone();
        for (at, word) in &left {
            end.write_u32(Pa(*at), *word);
        }
        let memory = changed_words(&scene.2, &end);
        let test = Test { name: String::from_utf8(name.clone()).ok()?, start: machine(&start), undefined: 0 };
        let free = Ended { steps: Vec::new(), last };
        tests.push((test, Theirs { free, float, memory, stepped: None }));
    }
    r.0.is_empty().then_some((base, tests))
}

fn machine((words, float, memory): &Parts) -> Machine {
    let mut m = Machine::new(memory.pages());
    m.cpu = words.cpu();
    m.cpu.fpu = float_of(float);
    m.memory = memory.clone();
    m
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bochs::directed::FAMILIES;
    use crate::bochs::judge::run_ours;

    /// Tests with the machine's own answers in Bochs's place.
    fn answered(base: &Scene) -> Vec<(Test, Theirs)> {
        let shadow = FAMILIES.iter().find(|family| family.name == "shadow").expect("it is there");
        let answer = |test: Test| {
            let last = run_ours(&test.start).expect("it ends").last;
            let (words, float, memory) = parts(&last);
            let memory = changed_words(&base.m.memory, &memory);
            let free = Ended { steps: Vec::new(), last: words };
            (test, Theirs { free, float, memory, stepped: None })
        };
        shadow.tests(base).into_iter().map(answer).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let base = Scene::base();
        let tests = answered(&base);
        let bytes = save(&base, &tests);
        let (scene, again) = load(&bytes).unwrap();
        assert!(scene.m == base.m);
        assert_eq!(tests.len(), again.len());
        for ((test, theirs), (test_again, theirs_again)) in tests.iter().zip(&again) {
            assert_eq!(test.name, test_again.name);
            assert!(test.start == test_again.start, "{}", test.name);
            assert!(theirs.free.last == theirs_again.free.last, "{}", test.name);
            assert_eq!((theirs.float, &theirs.memory), (theirs_again.float, &theirs_again.memory));
        }
        assert!(save(&scene, &again) == bytes);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let base = Scene::base();
        let bytes = save(&base, &answered(&base)[..3]);
        for len in (0..bytes.len()).step_by(97) {
            assert!(load(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}
