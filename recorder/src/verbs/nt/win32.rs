//! Functions of Win32, which call the services.

use super::*;

pub(super) static VERBS: &[Verb] = &[
    call("ExitProcess", "Ends the caller's process, as Win32 does.", &[STATUS], &[Arg("status")], NOTHING),
    call("ExitThread", "Ends the caller, as Win32 does.", &[STATUS], &[Arg("status")], NOTHING),
    gives(
        Gives::Number("value"),
        "SleepEx",
        "Sleeps, as Win32 does.",
        &[arg("milliseconds", Kind::Number, Required, "how long; 0xFFFFFFFF for ever"), ALERTABLE],
        &[Arg("milliseconds"), Arg("alertable")],
        NOTHING,
    ),
    gives(
        Gives::Bool,
        "TerminateProcess",
        "Ends a process, as Win32 does.",
        &[PROCESS, STATUS],
        &[Arg("process"), Arg("status")],
        NOTHING,
    ),
    gives(
        Gives::Bool,
        "TerminateThread",
        "Ends a thread, as Win32 does.",
        &[THREAD, STATUS],
        &[Arg("thread"), Arg("status")],
        NOTHING,
    ),
];
