//! Handles; events, mutants and semaphores; and waits for whatever can be waited for.

use super::*;

pub(super) static VERBS: &[Verb] = &[
    call(
        "NtClose",
        "Closes a handle.",
        &[arg("handle", Kind::Handle, Required, "the handle")],
        &[Arg("handle")],
        NOTHING,
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
        "NtResetEvent",
        "Makes an event not signaled.",
        &[arg("event", Kind::Handle, Required, "the event")],
        &[Arg("event"), Out("previous")],
        PREVIOUS,
    ),
    call(
        "NtSetEvent",
        "Signals an event.",
        &[arg("event", Kind::Handle, Required, "the event")],
        &[Arg("event"), Out("previous")],
        PREVIOUS,
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
];
