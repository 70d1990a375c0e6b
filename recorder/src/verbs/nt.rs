//! What threads call: system services and Win32-level functions.

use super::choices::*;
use super::{Argument, Binds, By, Default, Default::*, Gives, How, Kind, Param, Param::*, Verb};
use contract::ObjectKind;

const fn arg(key: &'static str, kind: Kind, default: Default, doc: &'static str) -> Argument {
    Argument { key, kind, default, doc }
}

const PROCESS: Argument = arg("process", Kind::Handle, Required, "the process");
const THREAD: Argument = arg("thread", Kind::Handle, Required, "the thread");
const STATUS: Argument = arg("status", Kind::Status, Is("0"), "the exit status");
const ALERTABLE: Argument =
    arg("alertable", Kind::Bool, Is("no"), "whether alerts and user APCs end the wait");
const TIMEOUT: Argument = arg("timeout", Kind::Time, Is("none"), "how long to wait");
const DEBUG: Argument = arg("debug", Kind::Handle, Required, "the debug object");

const fn access(default: &'static str) -> Argument {
    arg("access", Kind::Flags(&ACCESS), Is(default), "the access that is asked for")
}

/// A service or DLL function that is called with `params`.
const fn call(
    name: &'static str,
    doc: &'static str,
    args: &'static [Argument],
    params: &'static [Param],
    binds: Binds,
) -> Verb {
    gives(Gives::Status, name, doc, args, params, binds)
}

/// The same, with something else than a status in EAX.
const fn gives(
    gives: Gives,
    name: &'static str,
    doc: &'static str,
    args: &'static [Argument],
    params: &'static [Param],
    binds: Binds,
) -> Verb {
    Verb { name, doc, by: By::Thread, args, binds, how: How::Call { service: name, params, gives } }
}

const NOTHING: Binds = Binds::Nothing;
const PREVIOUS: Binds = Binds::Value("previous");

pub(super) static VERBS: &[Verb] = &[
    call("ExitProcess", "Ends the caller's process, as Win32 does.", &[STATUS], &[Arg("status")], NOTHING),
    call("ExitThread", "Ends the caller, as Win32 does.", &[STATUS], &[Arg("status")], NOTHING),
    call(
        "NtAlertResumeThread",
        "Alerts a thread and resumes it once.",
        &[THREAD],
        &[Arg("thread"), Out("previous")],
        PREVIOUS,
    ),
    call("NtAlertThread", "Alerts a thread.", &[THREAD], &[Arg("thread")], NOTHING),
    call(
        "NtAllocateVirtualMemory",
        "Reserves or commits pages; `name =` binds their address.",
        &[
            arg("process", Kind::Handle, Is("self"), "whose pages"),
            arg("base", Kind::Address, Is("0"), "where; 0 leaves it to the kernel"),
            arg("zero-bits", Kind::Number, Is("0"), "how many high bits of the address must be zero"),
            arg("size", Kind::Number, Is("0x1000"), "how many bytes"),
            arg("type", Kind::Flags(&ALLOCATION), Is("MEM_COMMIT|MEM_RESERVE"), "what to do"),
            arg("protect", Kind::Flags(&PROTECTION), Is("PAGE_READWRITE"), "the pages' protection"),
        ],
        &[Arg("process"), InOut("base"), Arg("zero-bits"), Pointer("size"), Arg("type"), Arg("protect")],
        Binds::Value("base"),
    ),
    call(
        "NtClose",
        "Closes a handle.",
        &[arg("handle", Kind::Handle, Required, "the handle")],
        &[Arg("handle")],
        NOTHING,
    ),
    call(
        "NtContinue",
        "Goes on with a CONTEXT: the caller's own registers, but for what is given.",
        &[
            arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("full"), "the groups that are loaded"),
            EIP,
            ESP,
            EFLAGS,
            EBP,
            EAX,
            EBX,
            ECX,
            EDX,
            ESI,
            EDI,
            SEGCS,
            SEGDS,
            SEGES,
            SEGFS,
            SEGGS,
            SEGSS,
            DR0,
            DR1,
            DR2,
            DR3,
            DR6,
            DR7,
            FPU_CONTROL,
            FPU_STATUS,
            FPU_TAG,
            FPU_ERROR_OFFSET,
            FPU_ERROR_SELECTOR,
            FPU_DATA_OFFSET,
            FPU_DATA_SELECTOR,
            FPU_REGISTERS,
            MXCSR,
            arg("test-alert", Kind::Bool, Is("no"), "whether pending user APCs are delivered first"),
        ],
        &[ContextIn, Arg("test-alert")],
        NOTHING,
    ),
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
        "NtCreateEvent",
        "Makes an event; `name =` binds its handle.",
        &[
            access("EVENT_ALL_ACCESS"),
            arg("type", Kind::Choice(&EVENT_TYPE), Is("notification"), "the event's type"),
            arg("state", Kind::Bool, Is("no"), "whether it is signaled from the start"),
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, Arg("type"), Arg("state")],
        Binds::Object(ObjectKind::Event),
    ),
    call(
        "NtCreateMutant",
        "Makes a mutant; `name =` binds its handle.",
        &[
            access("MUTANT_ALL_ACCESS"),
            arg("initial-owner", Kind::Bool, Is("no"), "whether the caller owns it from the start"),
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, Arg("initial-owner")],
        Binds::Object(ObjectKind::Mutant),
    ),
    call(
        "NtCreateProcessEx",
        "Makes a process by the bare service, without a thread; `name =` binds its handle.",
        &[
            access("PROCESS_ALL_ACCESS"),
            arg("parent", Kind::Handle, Is("self"), "whose child it is"),
            arg("flags", Kind::Number, Is("0"), "2: no debug inheritance, 4: inherit handles"),
            arg("section", Kind::Handle, Is("NULL"), "the image section"),
            arg("debug", Kind::Handle, Is("NULL"), "the debug object"),
            arg("exception-port", Kind::Handle, Is("NULL"), "the exception port"),
            arg("in-job", Kind::Number, Is("0"), "whether it belongs to its parent's job"),
        ],
        &[
            OutHandle,
            Arg("access"),
            ObjectAttributes,
            Arg("parent"),
            Arg("flags"),
            Arg("section"),
            Arg("debug"),
            Arg("exception-port"),
            Arg("in-job"),
        ],
        Binds::Object(ObjectKind::Process),
    ),
    call(
        "NtCreateSemaphore",
        "Makes a semaphore; `name =` binds its handle.",
        &[
            access("SEMAPHORE_ALL_ACCESS"),
            arg("initial-count", Kind::Number, Is("0"), "its count"),
            arg("maximum-count", Kind::Number, Is("1"), "the most that it can count"),
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, Arg("initial-count"), Arg("maximum-count")],
        Binds::Object(ObjectKind::Semaphore),
    ),
    call(
        "NtCreateThread",
        "Makes a thread by the bare service, with a stack of the caller's; `name =` names it and binds its \
         handle. What is given for a pointer goes in its place.",
        &[
            access("THREAD_ALL_ACCESS"),
            arg("process", Kind::Handle, Is("self"), "its process"),
            arg("eip", Kind::Address, Is("entry"), "where it starts"),
            arg("esp", Kind::Address, Is("0"), "its stack pointer, in the stack's highest page"),
            arg("suspended", Kind::Bool, Is("no"), "whether it is created suspended"),
            arg("handle-at", Kind::Address, Absent, "pointer for its handle"),
            arg("attributes-at", Kind::Address, Absent, "pointer to its OBJECT_ATTRIBUTES"),
            arg("client-id-at", Kind::Address, Absent, "pointer for its ids"),
            arg("context-at", Kind::Address, Absent, "pointer to its CONTEXT"),
            arg("initial-teb-at", Kind::Address, Absent, "pointer to its INITIAL_TEB"),
        ],
        &[
            Or("handle-at", &OutHandle),
            Arg("access"),
            Or("attributes-at", &ObjectAttributes),
            Arg("process"),
            Or("client-id-at", &Scratch(8)),
            Or("context-at", &ThreadContext),
            Or("initial-teb-at", &InitialTeb),
            Arg("suspended"),
        ],
        Binds::Object(ObjectKind::Thread),
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
        "NtDelayExecution",
        "Sleeps.",
        &[ALERTABLE, arg("interval", Kind::Time, Required, "how long")],
        &[Arg("alertable"), Time("interval")],
        NOTHING,
    ),
    call(
        "NtDuplicateObject",
        "Duplicates a handle; `name =` binds the new one, in the target process.",
        &[
            arg("source-process", Kind::Handle, Is("self"), "whose handle"),
            arg("source", Kind::Handle, Required, "the handle, as the source process knows it"),
            arg("target-process", Kind::Handle, Is("self"), "who gets the new one"),
            access("0"),
            arg("attributes", Kind::Flags(&ATTRIBUTES), Is("0"), "attributes of the new handle"),
            arg("options", Kind::Flags(&DUPLICATE), Is("DUPLICATE_SAME_ACCESS"), "how"),
        ],
        &[
            Arg("source-process"),
            Arg("source"),
            Arg("target-process"),
            OutHandle,
            Arg("access"),
            Arg("attributes"),
            Arg("options"),
        ],
        Binds::Handle(Some("target-process")),
    ),
    call(
        "NtFreeVirtualMemory",
        "Releases or decommits pages.",
        &[
            arg("process", Kind::Handle, Is("self"), "whose pages"),
            arg("base", Kind::Address, Required, "where"),
            arg("size", Kind::Number, Is("0"), "how many bytes; 0 for all of the allocation"),
            arg("type", Kind::Flags(&ALLOCATION), Is("MEM_RELEASE"), "what to do"),
        ],
        &[Arg("process"), Pointer("base"), Pointer("size"), Arg("type")],
        NOTHING,
    ),
    call(
        "NtGetContextThread",
        "Reads a thread's user-mode registers.",
        &[THREAD, arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("full"), "the groups to read")],
        &[Arg("thread"), ContextOut],
        NOTHING,
    ),
    call(
        "NtOpenProcess",
        "Opens a process by its id; `name =` binds the handle.",
        &[
            access("PROCESS_ALL_ACCESS"),
            arg("process", Kind::Process, Absent, "whose id"),
            PROCESS_ID,
            THREAD_ID,
            NAMED,
            ATTRIBUTES_OF_HANDLE,
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, ClientId("process")],
        Binds::Handle(None),
    ),
    call(
        "NtOpenThread",
        "Opens a thread by its ids; `name =` binds the handle.",
        &[
            access("THREAD_ALL_ACCESS"),
            arg("thread", Kind::Thread, Absent, "whose ids"),
            arg("of", Kind::Process, Absent, "whose id instead of that of the thread's process"),
            PROCESS_ID,
            THREAD_ID,
            NAMED,
            ATTRIBUTES_OF_HANDLE,
        ],
        &[OutHandle, Arg("access"), ObjectAttributes, ClientId("thread")],
        Binds::Handle(None),
    ),
    call(
        "NtQueryInformationProcess",
        "Asks about a process.",
        &[PROCESS, arg("class", Kind::Choice(&PROCESS_CLASS), Is("basic"), "what"), LENGTH, WHOLE],
        &[Arg("process"), Query],
        NOTHING,
    ),
    call(
        "NtQueryInformationThread",
        "Asks about a thread.",
        &[THREAD, arg("class", Kind::Choice(&THREAD_CLASS), Is("basic"), "what"), LENGTH, WHOLE],
        &[Arg("thread"), Query],
        NOTHING,
    ),
    call(
        "NtQueueApcThread",
        "Queues a user APC to a thread.",
        &[
            THREAD,
            arg("routine", Kind::Address, Is("apc"), "the APC routine"),
            arg("context", Kind::Address, Is("0"), "its first argument, which tells APCs apart"),
            arg("argument1", Kind::Address, Is("0"), "its second argument"),
            arg("argument2", Kind::Address, Is("0"), "its third argument"),
        ],
        &[Arg("thread"), Arg("routine"), Arg("context"), Arg("argument1"), Arg("argument2")],
        NOTHING,
    ),
    call(
        "NtRegisterThreadTerminatePort",
        "Asks for a message to a port when the caller ends.",
        &[arg("port", Kind::Handle, Required, "the port")],
        &[Arg("port")],
        NOTHING,
    ),
    call(
        "NtReleaseMutant",
        "Gives up a mutant once.",
        &[arg("mutant", Kind::Handle, Required, "the mutant")],
        &[Arg("mutant"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtReleaseSemaphore",
        "Raises a semaphore's count.",
        &[
            arg("semaphore", Kind::Handle, Required, "the semaphore"),
            arg("release-count", Kind::Number, Is("1"), "by how much"),
        ],
        &[Arg("semaphore"), Arg("release-count"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtRemoveProcessDebug",
        "Takes a debug object off a process.",
        &[PROCESS, DEBUG],
        &[Arg("process"), Arg("debug")],
        NOTHING,
    ),
    call(
        "NtResetEvent",
        "Makes an event not signaled.",
        &[arg("event", Kind::Handle, Required, "the event")],
        &[Arg("event"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtReadVirtualMemory",
        "Reads a doubleword of a process's memory.",
        &[PROCESS, arg("base", Kind::Address, Required, "where")],
        &[Arg("process"), Arg("base"), OutWord("value"), Const(4), Scratch(4)],
        NOTHING,
    ),
    call("NtResumeProcess", "Resumes every thread of a process.", &[PROCESS], &[Arg("process")], NOTHING),
    call(
        "NtResumeThread",
        "Counts a thread's suspend count down.",
        &[THREAD],
        &[Arg("thread"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtSetContextThread",
        "Sets a thread's user-mode registers; of the groups given, what is left out is as at rest.",
        &[
            THREAD,
            arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("control"), "the groups to set"),
            EIP,
            ESP,
            EFLAGS,
            EBP,
            EAX,
            EBX,
            ECX,
            EDX,
            ESI,
            EDI,
            SEGCS,
            SEGDS,
            SEGES,
            SEGFS,
            SEGGS,
            SEGSS,
            DR0,
            DR1,
            DR2,
            DR3,
            DR6,
            DR7,
            FPU_CONTROL,
            FPU_STATUS,
            FPU_TAG,
            FPU_ERROR_OFFSET,
            FPU_ERROR_SELECTOR,
            FPU_DATA_OFFSET,
            FPU_DATA_SELECTOR,
            FPU_REGISTERS,
            MXCSR,
        ],
        &[Arg("thread"), ContextIn],
        NOTHING,
    ),
    call(
        "NtSetEvent",
        "Signals an event.",
        &[arg("event", Kind::Handle, Required, "the event")],
        &[Arg("event"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtSetInformationDebugObject",
        "Changes a debug object.",
        &[DEBUG, arg("class", Kind::Choice(&DEBUG_CLASS), Is("KillProcessOnExit"), "what"), VALUE, LENGTH],
        &[Arg("debug"), Set, Const(0)],
        NOTHING,
    ),
    call(
        "NtSetInformationProcess",
        "Changes a process.",
        &[PROCESS, arg("class", Kind::Choice(&PROCESS_CLASS), Required, "what"), VALUE, LENGTH],
        &[Arg("process"), Set],
        NOTHING,
    ),
    call(
        "NtSetInformationThread",
        "Changes a thread.",
        &[THREAD, arg("class", Kind::Choice(&THREAD_CLASS), Required, "what"), VALUE, LENGTH],
        &[Arg("thread"), Set],
        NOTHING,
    ),
    call(
        "NtSignalAndWaitForSingleObject",
        "Signals an event, mutant or semaphore and waits for another object.",
        &[
            arg("signal", Kind::Handle, Required, "what is signaled"),
            arg("wait", Kind::Handle, Required, "what is waited for"),
            ALERTABLE,
            TIMEOUT,
        ],
        &[Arg("signal"), Arg("wait"), Arg("alertable"), Time("timeout")],
        NOTHING,
    ),
    call("NtSuspendProcess", "Suspends every thread of a process.", &[PROCESS], &[Arg("process")], NOTHING),
    call(
        "NtSuspendThread",
        "Counts a thread's suspend count up.",
        &[THREAD],
        &[Arg("thread"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtTerminateProcess",
        "Ends a process; with a NULL handle, the caller's other threads.",
        &[PROCESS, STATUS],
        &[Arg("process"), Arg("status")],
        NOTHING,
    ),
    call("NtTerminateThread", "Ends a thread.", &[THREAD, STATUS], &[Arg("thread"), Arg("status")], NOTHING),
    call("NtTestAlert", "Delivers what a pending alert or user APC has to say.", &[], &[], NOTHING),
    call(
        "NtWaitForDebugEvent",
        "Waits for a debug event.",
        &[DEBUG, ALERTABLE, TIMEOUT],
        &[Arg("debug"), Arg("alertable"), Time("timeout"), StateChange],
        NOTHING,
    ),
    call(
        "NtWaitForMultipleObjects",
        "Waits for one of several objects, or for all of them.",
        &[
            arg("handles", Kind::Handles, Required, "the objects"),
            arg("count", Kind::Number, Absent, "how many there are; those listed if left out"),
            arg("wait-type", Kind::Choice(&WAIT_TYPE), Is("any"), "for all or for any of them"),
            ALERTABLE,
            TIMEOUT,
        ],
        &[Count("handles"), Array("handles"), Arg("wait-type"), Arg("alertable"), Time("timeout")],
        NOTHING,
    ),
    call(
        "NtWaitForSingleObject",
        "Waits for an object.",
        &[arg("handle", Kind::Handle, Required, "the object"), ALERTABLE, TIMEOUT],
        &[Arg("handle"), Arg("alertable"), Time("timeout")],
        NOTHING,
    ),
    call("NtYieldExecution", "Gives the processor to another thread that is ready.", &[], &[], NOTHING),
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

const PROCESS_ID: Argument =
    arg("process-id", Kind::Number, Absent, "UniqueProcess of the CLIENT_ID instead");
const THREAD_ID: Argument = arg("thread-id", Kind::Number, Absent, "UniqueThread of the CLIENT_ID instead");
const WHOLE: Argument =
    arg("whole", Kind::Flag, Absent, "shows every field of the basic class that is the same on every run");
const NAMED: Argument = arg("named", Kind::Flag, Absent, "gives an object name besides");
const ATTRIBUTES_OF_HANDLE: Argument =
    arg("attributes", Kind::Flags(&ATTRIBUTES), Is("0"), "the handle's attributes");
const LENGTH: Argument =
    arg("length", Kind::Number, Default::Absent, "bytes; the class's own length if left out");
const VALUE: Argument = arg("value", Kind::Number, Is("0"), "the value, a doubleword");
const EIP: Argument = arg("eip", Kind::Address, Default::Absent, "where to go on");
const ESP: Argument = arg("esp", Kind::Address, Default::Absent, "the stack pointer");
const EFLAGS: Argument = arg("eflags", Kind::Number, Default::Absent, "the flags");
const EBP: Argument = arg("ebp", Kind::Number, Default::Absent, "EBP");
const SEGCS: Argument = arg("segcs", Kind::Number, Default::Absent, "the code selector");
const SEGDS: Argument = arg("segds", Kind::Number, Default::Absent, "DS (group segments)");
const SEGES: Argument = arg("seges", Kind::Number, Default::Absent, "ES (group segments)");
const SEGFS: Argument = arg("segfs", Kind::Number, Default::Absent, "FS (group segments)");
const SEGGS: Argument = arg("seggs", Kind::Number, Default::Absent, "GS (group segments)");
const SEGSS: Argument = arg("segss", Kind::Number, Default::Absent, "the stack selector");
const EAX: Argument = arg("eax", Kind::Number, Default::Absent, "EAX (group integer)");
const EBX: Argument = arg("ebx", Kind::Number, Default::Absent, "EBX (group integer)");
const ECX: Argument = arg("ecx", Kind::Number, Default::Absent, "ECX (group integer)");
const EDX: Argument = arg("edx", Kind::Number, Default::Absent, "EDX (group integer)");
const ESI: Argument = arg("esi", Kind::Number, Default::Absent, "ESI (group integer)");
const EDI: Argument = arg("edi", Kind::Number, Default::Absent, "EDI (group integer)");
const DR0: Argument = arg("dr0", Kind::Number, Default::Absent, "DR0 (group debug)");
const DR1: Argument = arg("dr1", Kind::Number, Default::Absent, "DR1 (group debug)");
const DR2: Argument = arg("dr2", Kind::Number, Default::Absent, "DR2 (group debug)");
const DR3: Argument = arg("dr3", Kind::Number, Default::Absent, "DR3 (group debug)");
const DR6: Argument = arg("dr6", Kind::Number, Default::Absent, "DR6 (group debug)");
const DR7: Argument = arg("dr7", Kind::Number, Default::Absent, "DR7 (group debug)");
const FPU_CONTROL: Argument =
    arg("fpu-control", Kind::Number, Default::Absent, "the control word (groups float and extended)");
const FPU_STATUS: Argument =
    arg("fpu-status", Kind::Number, Default::Absent, "the status word (groups float and extended)");
const FPU_TAG: Argument =
    arg("fpu-tag", Kind::Number, Default::Absent, "the tag word, each group's own form of it");
const FPU_ERROR_OFFSET: Argument = arg(
    "fpu-error-offset",
    Kind::Number,
    Default::Absent,
    "offset of the last instruction (groups float and extended)",
);
const FPU_ERROR_SELECTOR: Argument = arg(
    "fpu-error-selector",
    Kind::Number,
    Default::Absent,
    "its selector, and its opcode in the high word (groups float and extended)",
);
const FPU_DATA_OFFSET: Argument = arg(
    "fpu-data-offset",
    Kind::Number,
    Default::Absent,
    "offset of the last operand (groups float and extended)",
);
const FPU_DATA_SELECTOR: Argument =
    arg("fpu-data-selector", Kind::Number, Default::Absent, "its selector (groups float and extended)");
const FPU_REGISTERS: Argument = arg(
    "fpu-registers",
    Kind::Number,
    Default::Absent,
    "sign and exponent of ST(0), and one more for each further one; significands are 1.0",
);
const MXCSR: Argument = arg("mxcsr", Kind::Number, Default::Absent, "MXCSR (group extended)");
