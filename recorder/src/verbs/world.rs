//! Lines that set the scene, move the world, act as a test driver would, and look.

use super::choices::*;
use super::{Argument, Binds, By, Deed, Default::*, Gives, How, Kind, Param, Param::*, Verb, arg};

const fn deed(name: &'static str, doc: &'static str, args: &'static [Argument], deed: Deed) -> Verb {
    Verb { name, doc, by: By::World, args, binds: Binds::Nothing, how: How::Recorder(deed) }
}

const fn driver(
    name: &'static str,
    doc: &'static str,
    args: &'static [Argument],
    service: &'static str,
    params: &'static [Param],
) -> Verb {
    let gives = if params.is_empty() { Gives::Nothing } else { Gives::Status };
    driver_gives(gives, name, doc, args, service, params)
}

const fn driver_gives(
    gives: Gives,
    name: &'static str,
    doc: &'static str,
    args: &'static [Argument],
    service: &'static str,
    params: &'static [Param],
) -> Verb {
    Verb { name, doc, by: By::Driver, args, binds: Binds::Nothing, how: How::Call { service, params, gives } }
}

const IN_THREAD: Argument = arg("thread", Kind::Thread, Required, "the thread in whose context it happens");
const LOOKED_AT: Argument = arg("thread", Kind::Thread, Required, "the thread");

const fn patch(key: &'static str, doc: &'static str) -> Argument {
    arg(key, Kind::Number, Absent, doc)
}

pub(super) static VERBS: &[Verb] = &[
    deed(
        "process",
        "`init` makes a process from the program's image, as Win32's CreateProcess does, without a thread.",
        &[
            arg("name", Kind::NewName, Required, "its name in the case"),
            arg("inherit", Kind::Flag, Absent, "it inherits `init`'s inheritable handles"),
        ],
        Deed::Process,
    ),
    deed(
        "thread",
        "`init` makes a thread that starts at the program's entry, the first of a process as Win32's \
         CreateProcess does, later ones as CreateRemoteThread does.",
        &[
            arg("name", Kind::NewName, Required, "its name in the case"),
            arg("suspended", Kind::Flag, Absent, "creates it suspended"),
            arg("in", Kind::Process, Required, "its process"),
            arg("contextflags", Kind::Flags(&CONTEXT_GROUPS), Absent, "groups besides the full ones"),
            patch("eflags", "CONTEXT.EFlags"),
            patch("eip", "CONTEXT.Eip"),
            patch("esp", "CONTEXT.Esp"),
            patch("ebp", "CONTEXT.Ebp"),
            patch("eax", "CONTEXT.Eax"),
            patch("ebx", "CONTEXT.Ebx"),
            patch("ecx", "CONTEXT.Ecx"),
            patch("edx", "CONTEXT.Edx"),
            patch("esi", "CONTEXT.Esi"),
            patch("edi", "CONTEXT.Edi"),
            patch("segcs", "CONTEXT.SegCs"),
            patch("segds", "CONTEXT.SegDs"),
            patch("seges", "CONTEXT.SegEs"),
            patch("segfs", "CONTEXT.SegFs"),
            patch("seggs", "CONTEXT.SegGs"),
            patch("segss", "CONTEXT.SegSs"),
            patch("dr0", "CONTEXT.Dr0"),
            patch("dr1", "CONTEXT.Dr1"),
            patch("dr2", "CONTEXT.Dr2"),
            patch("dr3", "CONTEXT.Dr3"),
            patch("dr6", "CONTEXT.Dr6"),
            patch("dr7", "CONTEXT.Dr7"),
            patch("fpu-control", "CONTEXT.FloatSave.ControlWord; what is left out is as after FNINIT"),
            patch("fpu-status", "CONTEXT.FloatSave.StatusWord"),
            patch("fpu-tag", "CONTEXT.FloatSave.TagWord"),
        ],
        Deed::Thread,
    ),
    deed(
        "clock",
        "Time passes: for each 10 ms the world's clock moves and interrupts once.",
        &[arg("advance", Kind::Ticks, Required, "how much")],
        Deed::Clock,
    ),
    deed(
        "interrupt",
        "A clock interrupt will come in the middle of the next event; time does not pass.",
        &[arg(
            "after",
            Kind::Number,
            Required,
            "how many instructions into the event; none comes when it is over sooner",
        )],
        Deed::Interrupt,
    ),
    deed(
        "pool fail",
        "Allocations from the kernel's pool will fail.",
        &[
            arg("tag", Kind::Tags, Is("any"), "allocations with one of these tags, counted each for itself"),
            arg("skip", Kind::Number, Is("0"), "how many still succeed"),
            arg("count", Kind::Number, Is("1"), "how many then fail"),
        ],
        Deed::PoolFail,
    ),
    deed("run", "The machine runs until it is quiet.", &[], Deed::Run),
    deed(
        "repeat",
        "The next event, a thread's, happens several times in a row; its outcome is that of the last time.",
        &[arg("times", Kind::Times, Required, "how often")],
        Deed::Repeat,
    ),
    deed(
        "hurry",
        "The next event is over as soon as its call has come back or waits; what else it has set going \
         goes on in later events.",
        &[],
        Deed::Hurry,
    ),
    deed(
        "stop",
        "The next event is over as soon as somebody is about to execute a routine of the kernel's, and who \
         acts in the event behind it gets the processor before that one goes on, where an interrupt can \
         switch threads there: with interrupts disabled, or from DISPATCH_LEVEL on, the thread goes on \
         first. Where nobody gets there, and on a kernel that has no such routine, the event comes to its \
         end.",
        &[arg("at", Kind::Routine, Required, "the routine")],
        Deed::Stop,
    ),
    driver(
        "driver apc-counts",
        "A driver tells how many of its normal kernel APCs have run, and how many of these were given the \
         NormalContext that they were queued with.",
        &[IN_THREAD],
        "DriverApcCounts",
        &[Out("ran"), Out("intact")],
    ),
    driver(
        "driver attach",
        "A driver attaches to a process and detaches again, and may do something with APCs meanwhile.",
        &[
            IN_THREAD,
            arg("process", Kind::Handle, Required, "the process"),
            arg("with", Kind::Word(&ATTACHED), Is("nothing"), "what it does"),
        ],
        "DriverAttach",
        &[Arg("process"), Arg("with")],
    ),
    driver(
        "driver enter-critical-region",
        "A driver calls KeEnterCriticalRegion in a thread's context.",
        &[IN_THREAD],
        "DriverEnterCriticalRegion",
        &[],
    ),
    driver(
        "driver enter-guarded-region",
        "A driver calls KeEnterGuardedRegion in a thread's context.",
        &[IN_THREAD],
        "DriverEnterGuardedRegion",
        &[],
    ),
    driver(
        "driver insert-apc",
        "A driver queues an APC with the arguments D, E and F, which sets an event and stores the arguments \
         that it gets when it runs.",
        &[
            IN_THREAD,
            arg("target", Kind::Handle, Required, "the thread that gets it"),
            arg("kind", Kind::Word(&APC_KIND), Required, "special and normal kernel APC, or user APC"),
            arg("event", Kind::Handle, Is("NULL"), "the event"),
            arg("buffer", Kind::Address, Is("0"), "where the arguments go, in the process it runs in"),
        ],
        "DriverInsertApc",
        &[Arg("target"), Arg("kind"), Arg("event"), Arg("buffer")],
    ),
    driver_gives(
        Gives::Number("state"),
        "driver leave-and-read",
        "A driver calls KeLeaveCriticalRegion, and KeReadStateEvent right after it.",
        &[IN_THREAD, arg("event", Kind::Handle, Required, "the event")],
        "DriverLeaveAndReadEvent",
        &[Arg("event")],
    ),
    driver(
        "driver leave-critical-region",
        "A driver calls KeLeaveCriticalRegion in a thread's context.",
        &[IN_THREAD],
        "DriverLeaveCriticalRegion",
        &[],
    ),
    driver(
        "driver leave-guarded-region",
        "A driver calls KeLeaveGuardedRegion in a thread's context.",
        &[IN_THREAD],
        "DriverLeaveGuardedRegion",
        &[],
    ),
    driver(
        "driver notifications",
        "A driver tells what its notify routine was told so far.",
        &[IN_THREAD, arg("kind", Kind::Word(&NOTIFY), Required, "about what")],
        "DriverNotifications",
        &[Arg("kind"), Out("created"), Out("ended")],
    ),
    driver(
        "driver notify",
        "A driver registers a routine that counts what it is told.",
        &[IN_THREAD, arg("kind", Kind::Word(&NOTIFY), Required, "about what")],
        "DriverSetNotifyRoutine",
        &[Arg("kind")],
    ),
    driver(
        "driver queue-apc",
        "A driver queues an APC to a thread; a user APC runs the program's `apc` with context D.",
        &[
            IN_THREAD,
            arg("target", Kind::Handle, Required, "the thread that gets it"),
            arg("kind", Kind::Word(&APC_KIND), Required, "special and normal kernel APC, or user APC"),
        ],
        "DriverQueueApc",
        &[Arg("target"), Arg("kind")],
    ),
    driver(
        "driver remove-apc",
        "A driver takes the first of its APCs that is queued to a thread back by KeRemoveQueueApc.",
        &[IN_THREAD, arg("target", Kind::Handle, Required, "the thread that has it")],
        "DriverRemoveApc",
        &[Arg("target")],
    ),
    driver(
        "driver set-priority",
        "A driver sets a thread's base priority and priority.",
        &[
            IN_THREAD,
            arg("target", Kind::Handle, Required, "the thread"),
            arg("priority", Kind::Number, Required, "the priority; 8 is what threads start with"),
        ],
        "DriverSetPriority",
        &[Arg("target"), Arg("priority")],
    ),
    driver(
        "driver set-kernel-debugger",
        "A driver says whether there is a kernel debugger, and what its user answers to prompts.",
        &[
            IN_THREAD,
            arg("state", Kind::Word(&DEBUGGER_STATE), Required, "whether it is enabled and present"),
            arg("answers", Kind::Number, Is("0"), "up to four characters, the first in the low byte"),
        ],
        "DriverSetKernelDebugger",
        &[Arg("state"), Arg("answers")],
    ),
    driver(
        "driver set-privilege",
        "A driver gives a thread's process SeDebugPrivilege, or takes it away.",
        &[IN_THREAD, arg("enabled", Kind::Bool, Required, "whether it has it")],
        "DriverSetPrivilege",
        &[Arg("enabled")],
    ),
    driver(
        "driver wait",
        "A driver waits for an object in a thread's context, without a timeout.",
        &[
            IN_THREAD,
            arg("object", Kind::Handle, Required, "the object"),
            arg("mode", Kind::Word(&WAIT_MODE), Is("kernel"), "the wait's mode"),
            arg("alertable", Kind::Bool, Is("no"), "whether alerts end the wait"),
        ],
        "DriverWait",
        &[Arg("object"), Arg("mode"), Arg("alertable")],
    ),
    deed(
        "look first-instruction",
        "Shows the registers and the top of the stack as a thread's first instruction in ring 3 found them.",
        &[LOOKED_AT],
        Deed::FirstInstruction,
    ),
    deed("look teb", "Shows a thread's ids, and where its TEB and PEB lie.", &[LOOKED_AT], Deed::Teb),
    deed(
        "look registers",
        "Shows the flags, selectors and debug registers with which a thread runs.",
        &[LOOKED_AT],
        Deed::Registers,
    ),
    Verb {
        name: "look stack",
        doc: "Shows how much of a thread's user stack is committed and reserved, as its TEB says; `name =` \
              binds the lowest address that is committed.",
        by: By::World,
        args: &[LOOKED_AT],
        binds: Binds::Value("limit"),
        how: How::Recorder(Deed::Stack),
    },
];
