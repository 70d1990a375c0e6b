//! A case: a script of events, one a line.
//!
//! ```text
//! # A NULL process handle ends every thread but the caller's.
//! # covers: NT-2 reactos.md 9.1
//! # differs: ReactOS has no NULL case; the handle lookup fails.
//!
//! process app
//! thread  main in=app
//!
//! main    NtTerminateProcess process=NULL status=0xC000013A
//! ```
//!
//! `line = [result "="] (actor verb | world verb) {key "=" value | flag} ["#" comment]`. Words are
//! separated by spaces; there is no quoting. What the words may be stands in [`crate::verbs`]. The
//! parser knows which names exist at each line, so a name that is used before it is created is an
//! error of the case, and never a question of what some kernel did.

mod arguments;
mod error;
mod header;
mod names;
mod naming;
mod parse;
mod token;
mod value;

pub use error::CaseError;
pub use names::NameKind;
pub use token::nearest;
pub(crate) use value::TICK;
pub use value::{HandleRef, Time, Value};

use crate::verbs::Verb;
use std::collections::{BTreeMap, BTreeSet};

/// A parsed case.
#[derive(Clone, Debug)]
pub struct Case {
    /// `topic/name` without extension; for a file outside the corpus, its stem.
    pub name: String,
    /// The first comment: a sentence about behaviour.
    pub title: String,
    /// Why the kernels differ, when the case says that they do (`# differs:`).
    pub differs: Option<String>,
    /// The numbered rules and the sections of the behaviour sheets that the case shows (`# covers:`):
    /// `NT-2`, `reactos.md 9.1`.
    pub covers: Vec<String>,
    /// The two kernels that are compared (`# kernels:`).
    pub kernels: (String, String),
    /// The events, in order.
    pub lines: Vec<Line>,
    /// The file's text.
    pub text: String,
    /// The text's digest: 64-bit FNV-1a of its bytes.
    pub digest: u64,
    /// What each name of the case stands for, and what is predefined.
    pub names: BTreeMap<String, NameKind>,
}

/// An event of a case.
#[derive(Clone, Debug)]
pub struct Line {
    /// The line of the file, counted from 1.
    pub number: u32,
    /// The source line without surrounding spaces and comment, runs of spaces made one.
    pub text: String,
    /// What it says.
    pub event: Event,
}

/// What a line says.
#[derive(Clone, Debug)]
pub struct Event {
    /// The name that `name =` binds.
    pub result: Option<String>,
    /// The thread that acts; none for a line that sets the scene or moves the world. A driver line
    /// acts in the thread that its `thread=` names.
    pub actor: Option<String>,
    /// The verb.
    pub verb: &'static Verb,
    /// The values of the verb's arguments, in the order of its table, defaults filled in.
    pub values: Vec<Value>,
}

impl Event {
    /// The value of the argument `key`.
    ///
    /// # Panics
    /// When the verb has no such argument: the table and its reader disagree.
    pub fn value(&self, key: &str) -> &Value {
        let index = self.verb.args.iter().position(|argument| argument.key == key);
        &self.values[index.unwrap_or_else(|| panic!("`{}` has no argument `{key}`", self.verb.name))]
    }
}

impl Event {
    /// The process in whose table the handle lies that is duplicated, where the event names one.
    pub(crate) fn source_process(&self) -> Option<&str> {
        let index = self.verb.args.iter().position(|argument| argument.key == "source-process")?;
        match &self.values[index] {
            Value::Handle(HandleRef::Named(process)) => Some(process),
            _ => None,
        }
    }
}

impl Case {
    /// Parses a case. `path` is how messages show the file; `name` is the case's name.
    ///
    /// # Errors
    /// [`CaseError`]: the first thing in the text that is wrong, with its place.
    pub fn parse(path: &str, name: &str, text: &str) -> Result<Case, CaseError> {
        parse::parse(path, name, text)
    }

    /// The process in which a thread of the case runs.
    pub fn process_of(&self, thread: &str) -> Option<&str> {
        match self.names.get(thread)? {
            NameKind::Thread { process } => Some(process),
            _ => None,
        }
    }

    /// The names for which the threads of each process use a handle: process, then names. Those that
    /// are bound to a handle of that very process need none.
    pub fn handles_wanted(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for event in self.lines.iter().map(|line| &line.event) {
            let Some(process) = event.actor.as_deref().and_then(|actor| self.process_of(actor)) else {
                continue;
            };
            for (argument, value) in event.verb.args.iter().zip(&event.values) {
                let used = match value {
                    Value::Handle(handle) => std::slice::from_ref(handle),
                    Value::Handles(handles) => handles,
                    _ => &[],
                };
                let process = match event.source_process() {
                    Some(source) if argument.key == "source" => source,
                    _ => process,
                };
                for handle in used {
                    if let HandleRef::Named(name) | HandleRef::Near(name, _) = handle {
                        wanted.entry(process).or_default().insert(name);
                    }
                }
            }
        }
        wanted
    }
}

/// 64-bit FNV-1a.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}
