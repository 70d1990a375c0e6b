//! Debug objects and the events they carry.

use super::*;

const DEBUG: Argument = arg("debug", Kind::Handle, Required, "the debug object");

pub(super) static VERBS: &[Verb] = &[
    call(
        "NtCreateDebugObject",
        "Makes a debug object; `name =` binds its handle.",
        &[
            access("DEBUG_OBJECT_ALL_ACCESS"),
            arg("flags", Kind::Number, Is("0"), "1: kill the debuggees when the object goes"),
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, Arg("flags")],
        Binds::Object(ObjectKind::DebugObject),
    ),
    call(
        "NtDebugActiveProcess",
        "Attaches a debug object to a process that runs.",
        &[PROCESS, DEBUG],
        &[Arg("process"), Arg("debug")],
        NOTHING,
    ),
    call(
        "NtDebugContinue",
        "Continues a debug event that NtWaitForDebugEvent has returned.",
        &[
            DEBUG,
            arg("event-of", Kind::Thread, Required, "the thread whose event it is (its CLIENT_ID)"),
            arg("status", Kind::Status, Is("DBG_CONTINUE"), "how to go on"),
        ],
        &[Arg("debug"), ClientId("event-of"), Arg("status")],
        NOTHING,
    ),
    call(
        "NtRemoveProcessDebug",
        "Takes a debug object off a process.",
        &[PROCESS, DEBUG],
        &[Arg("process"), Arg("debug")],
        NOTHING,
    ),
    call(
        "NtSetInformationDebugObject",
        "Changes a debug object.",
        &[DEBUG, arg("class", Kind::Choice(&DEBUG_CLASS), Is("KillProcessOnExit"), "what"), VALUE, LENGTH],
        &[Arg("debug"), Set, Const(0)],
        NOTHING,
    ),
    call(
        "NtWaitForDebugEvent",
        "Waits for a debug event.",
        &[DEBUG, ALERTABLE, TIMEOUT],
        &[Arg("debug"), Arg("alertable"), Time("timeout"), StateChange],
        NOTHING,
    ),
];
