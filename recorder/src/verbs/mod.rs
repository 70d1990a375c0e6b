//! The words of a case: every verb, its arguments with their types and defaults, and what a kernel
//! must have for it. One static table, read by the parser, by the driver and by `tandem verbs`.

pub(crate) mod choices;
mod nt;
mod program;
mod world;

pub use choices::Choices;

use contract::{Kernel, ObjectKind};

/// A verb.
#[derive(Debug)]
pub struct Verb {
    /// Its name: `NtTerminateProcess`, `clock`, `driver queue-apc`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Who acts.
    pub by: By,
    /// Its arguments; the words that stand alone come first.
    pub args: &'static [Argument],
    /// What `name =` binds.
    pub binds: Binds,
    /// How the recorder carries it out.
    pub how: How,
}

/// Who acts in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The thread at the start of the line.
    Thread,
    /// Nobody in the machine: the line sets the scene or moves the world.
    World,
    /// The thread that `thread=` names, as a test driver would in its context.
    Driver,
}

/// What `name =` in front of a line binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    /// Nothing: a name in front is an error.
    Nothing,
    /// A handle to a new object of that kind, which the name then also stands for.
    Object(ObjectKind),
    /// A handle to an object that exists already, in the process that the argument of that key
    /// names, else the caller's.
    Handle(Option<&'static str>),
    /// A number that the call gives back, by its name in the outcome.
    Value(&'static str),
}

/// An argument of a verb.
#[derive(Debug)]
pub struct Argument {
    /// Its name: that of the documented signature in lower case, without `Handle`.
    pub key: &'static str,
    /// What it can be.
    pub kind: Kind,
    /// What it is when it is left out.
    pub default: Default,
    /// What it means.
    pub doc: &'static str,
}

const fn arg(key: &'static str, kind: Kind, default: Default, doc: &'static str) -> Argument {
    Argument { key, kind, default, doc }
}

/// How often an event happens at most.
pub const TIMES_MAX: u32 = 300;

/// What an argument is when it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It must not be left out.
    Required,
    /// This, as it would be written.
    Is(&'static str),
    /// Nothing.
    Absent,
}

/// What an argument can be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A word that stands alone and names what the line creates.
    NewName,
    /// A word that stands alone: given, or not.
    Flag,
    /// The name of a process of the case.
    Process,
    /// The name of a thread of the case.
    Thread,
    /// The name of any object of the case.
    Object,
    /// A name, `self`, `thread`, `NULL`, `bad` or a number.
    Handle,
    /// One to 64 handles, separated by commas.
    Handles,
    /// A number, decimal or hexadecimal.
    Number,
    /// A status: its name or a number.
    Status,
    /// How often: 1 to [`TIMES_MAX`].
    Times,
    /// `yes` or `no`.
    Bool,
    /// `10ms`, `100us`, `2s`, `0`, or `none`, `forever`.
    Time,
    /// A time that is a multiple of 10 ms, up to a minute.
    Ticks,
    /// An address in the program (`entry`, `park`, `apc`, `data`), `NULL`, a number, or a number that
    /// a line has bound, and behind a word an offset: `data+10`.
    Address,
    /// Words of a table, joined by `|`, or a number.
    Flags(&'static Choices),
    /// A word of a table, or a number.
    Choice(&'static Choices),
    /// Words of a table and nothing else.
    Word(&'static Choices),
    /// Pool tags of up to four characters, separated by commas; `any` for every tag.
    Tags,
    /// The name of a routine, or of another symbol of the code, that some kernel has.
    Routine,
}

impl Kind {
    /// What a user can write, in a few words.
    pub fn doc(&self) -> String {
        match self {
            Kind::NewName => "a new name".to_owned(),
            Kind::Flag => "the word alone".to_owned(),
            Kind::Process => "a process".to_owned(),
            Kind::Thread => "a thread".to_owned(),
            Kind::Object => "an object".to_owned(),
            Kind::Handle => "a name, self, thread, NULL, bad or a number; h+3".to_owned(),
            Kind::Handles => "handles, separated by commas".to_owned(),
            Kind::Number => "a number".to_owned(),
            Kind::Status => "a status name or a number".to_owned(),
            Kind::Times => format!("1 to {TIMES_MAX}"),
            Kind::Bool => "yes or no".to_owned(),
            Kind::Time => "10ms, 100us, 2s, 0, none or forever".to_owned(),
            Kind::Ticks => "a multiple of 10ms, up to 60s".to_owned(),
            Kind::Address => "entry, park, apc, data, NULL, a number or a bound one; data+10".to_owned(),
            Kind::Flags(choices) => format!("{}, joined by |, or a number", choices.list()),
            Kind::Choice(choices) => format!("{}, or a number", choices.list()),
            Kind::Word(choices) => choices.list(),
            Kind::Tags => "pool tags, separated by commas, or any".to_owned(),
            Kind::Routine => "a name that a kernel has for its code, such as KiDeliverApc".to_owned(),
        }
    }
}

/// How the recorder carries a verb out.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// The thread calls the kernel's entry point of that name (see [`contract::Image::services`]).
    Call {
        /// The entry point's name.
        service: &'static str,
        /// What goes on the stack, first argument first.
        params: &'static [Param],
        /// What it gives back in EAX.
        gives: Gives,
    },
    /// The thread executes a piece of the program, by its symbol.
    Program(&'static str),
    /// The recorder does it; see the verb's doc.
    Recorder(Deed),
}

/// What a call gives back in EAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Nothing.
    Nothing,
    /// An NTSTATUS.
    Status,
    /// A number, by its name in the outcome.
    Number(&'static str),
    /// A BOOL; when it is FALSE the TEB's LastErrorValue says why.
    Bool,
}

/// What the recorder does itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Deed {
    Process,
    Thread,
    Clock,
    Interrupt,
    PoolFail,
    Fault,
    Run,
    Repeat,
    Hurry,
    Stop,
    FirstInstruction,
    Registers,
    Teb,
    Stack,
}

impl Deed {
    /// Whether a line that does it says how the next event happens, and nothing happens at itself.
    pub fn modifies(self) -> bool {
        matches!(self, Deed::Interrupt | Deed::Repeat | Deed::Hurry | Deed::Stop)
    }
}

/// A parameter of a call, as it goes on the stack.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// The argument's value, a doubleword.
    Arg(&'static str),
    /// Pointer to the argument's time, a LARGE_INTEGER; NULL for none.
    Time(&'static str),
    /// How many handles the argument has.
    Count(&'static str),
    /// Pointer to the argument's handles.
    Array(&'static str),
    /// Pointer to a doubleword that the call fills, shown in the outcome under this name.
    Out(&'static str),
    /// Pointer to a doubleword that the call fills with what is a place or a small number.
    OutWord(&'static str),
    /// Pointer to a handle that the call fills: what `name =` binds.
    OutHandle,
    /// A fixed value.
    Const(u32),
    /// Pointer to an OBJECT_ATTRIBUTES, with the attributes `attributes` and a name if `named` says so,
    /// where the verb has these arguments.
    ObjectAttributes,
    /// Pointer to the CLIENT_ID of the object that the argument names, or of what `process-id` and
    /// `thread-id` say, where the verb has these arguments.
    ClientId(&'static str),
    /// What the argument says, if it was given; else pointer to what the parameter behind it points to.
    Or(&'static str, &'static Param),
    /// Pointer to so many bytes that the call fills and nobody looks at.
    Scratch(usize),
    /// Pointer to the CONTEXT of a thread that starts at `eip` with the stack `esp`.
    ThreadContext,
    /// Pointer to an INITIAL_TEB for the stack whose page ends at `esp`.
    InitialTeb,
    /// Pointer to a doubleword with the argument's value.
    Pointer(&'static str),
    /// Pointer to a doubleword with the argument's value, which the call may change; what `name =`
    /// binds.
    InOut(&'static str),
    /// The number of the information class `class`, pointer to its buffer and the buffer's length,
    /// then NULL, where a pointer for the length returned could stand.
    Query,
    /// The number of the information class `class`, pointer to `value`, and its length.
    Set,
    /// Pointer to a CONTEXT that the call fills, for the groups in `flags`.
    ContextOut,
    /// Pointer to a CONTEXT made of the arguments.
    ContextIn,
    /// Pointer to a DBGUI_WAIT_STATE_CHANGE that the call fills.
    StateChange,
}

impl Verb {
    /// Whether a kernel has what the verb needs.
    pub fn on(&self, kernel: &dyn Kernel) -> bool {
        match self.how {
            How::Call { service, .. } => kernel.image().services.contains_key(service),
            How::Program(_) | How::Recorder(_) => true,
        }
    }
}

/// Every verb: what threads call, in alphabetical order, and what else they execute; then the lines
/// that set the scene, move the world, act as a driver, and look.
pub fn table() -> impl Iterator<Item = &'static Verb> {
    nt::VERBS.iter().copied().chain(program::VERBS).chain(world::VERBS)
}

/// The verb of that name.
pub fn find(name: &str) -> Option<&'static Verb> {
    table().find(|verb| verb.name == name)
}
