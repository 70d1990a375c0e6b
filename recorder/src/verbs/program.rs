//! What threads execute of their program besides calls.

use super::choices::FAULTS;
use super::{Argument, Binds, By, Deed, Default::*, How, Kind, Verb, arg};

const fn program(name: &'static str, doc: &'static str, args: &'static [Argument]) -> Verb {
    Verb { name, doc, by: By::Thread, args, binds: Binds::Nothing, how: How::Program(name) }
}

pub(super) static VERBS: &[Verb] = &[
    program(
        "fld",
        "Pushes a single-precision number on the floating-point stack.",
        &[arg("value", Kind::Number, Required, "its bits")],
    ),
    program("fld1", "Pushes 1.0 on the floating-point stack.", &[]),
    program(
        "fldcw",
        "Loads the floating-point control word.",
        &[arg("value", Kind::Number, Required, "the control word")],
    ),
    program("fnstcw", "Reads the floating-point control word.", &[]),
    program(
        "syscall",
        "Executes INT 2E, as the stub of a system service does.",
        &[
            arg("number", Kind::Number, Required, "EAX: the service's number"),
            arg("arguments", Kind::Address, Is("data"), "EDX: where its arguments lie"),
        ],
    ),
    Verb {
        name: "load",
        doc: "Reads a doubleword of memory.",
        by: By::Thread,
        args: &[arg("address", Kind::Address, Required, "where")],
        binds: Binds::Nothing,
        how: How::Program("read"),
    },
    Verb {
        name: "store",
        doc: "Writes a doubleword of memory.",
        by: By::Thread,
        args: &[
            arg("address", Kind::Address, Required, "where"),
            arg("value", Kind::Handle, Is("0"), "what: a number, or a handle"),
        ],
        binds: Binds::Nothing,
        how: How::Program("write"),
    },
    Verb {
        name: "fault",
        doc: "Executes something that the processor refuses.",
        by: By::Thread,
        args: &[
            arg("kind", Kind::Word(&FAULTS), Required, "what"),
            arg("address", Kind::Address, Is("0"), "where to read, write or execute"),
        ],
        binds: Binds::Nothing,
        how: How::Recorder(Deed::Fault),
    },
    Verb {
        name: "return",
        doc: "Returns from the thread's entry point.",
        by: By::Thread,
        args: &[arg("value", Kind::Number, Is("0"), "what it returns")],
        binds: Binds::Nothing,
        how: How::Program(contract::program::LEAVE),
    },
];
