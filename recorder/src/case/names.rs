//! What the names of a case stand for.

use contract::ObjectKind;

/// What a name of a case stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A process.
    Process,
    /// A thread.
    Thread {
        /// Its process.
        process: String,
    },
    /// Another object, whose first handle is in a process.
    Object {
        /// What it is.
        kind: ObjectKind,
        /// The process that made it.
        process: String,
    },
    /// A handle that a line bound.
    Handle {
        /// The process in whose table it is.
        process: String,
    },
    /// A number that a line bound.
    Value,
}

impl NameKind {
    /// What it is, in a word or two with an article.
    pub fn describe(&self) -> &'static str {
        match self {
            NameKind::Process => "a process",
            NameKind::Thread { .. } => "a thread",
            NameKind::Object { kind, .. } => match kind {
                ObjectKind::Event => "an event",
                ObjectKind::Mutant => "a mutant",
                ObjectKind::Semaphore => "a semaphore",
                ObjectKind::DebugObject => "a debug object",
                _ => "an object",
            },
            NameKind::Handle { .. } => "a handle",
            NameKind::Value => "a number",
        }
    }
}

/// The names that every case finds in place.
pub(crate) fn predefined() -> impl Iterator<Item = (&'static str, NameKind)> {
    [
        // `init` is both the process and its thread; as an actor and as a process it is written the same.
        ("init", NameKind::Thread { process: "init".to_owned() }),
        ("System", NameKind::Process),
        ("SystemThread", NameKind::Thread { process: "System".to_owned() }),
        ("Section", NameKind::Object { kind: ObjectKind::Section, process: "init".to_owned() }),
    ]
    .into_iter()
}
