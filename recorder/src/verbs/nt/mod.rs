//! What threads call: system services and Win32-level functions, by what they are about.

mod context;
mod debug;
mod object;
mod process;
mod thread;
mod win32;

use super::choices::*;
use super::{Argument, Binds, By, Default::*, Gives, How, Kind, Param, Param::*, Verb, arg};
use contract::ObjectKind;
use std::sync::LazyLock;

/// In alphabetical order.
pub(super) static VERBS: LazyLock<Vec<&'static Verb>> = LazyLock::new(|| {
    let families = [context::VERBS, debug::VERBS, object::VERBS, process::VERBS, thread::VERBS, win32::VERBS];
    let mut verbs: Vec<&Verb> = families.into_iter().flatten().collect();
    verbs.sort_by_key(|verb| verb.name);
    verbs
});

const PROCESS: Argument = arg("process", Kind::Handle, Required, "the process");
const THREAD: Argument = arg("thread", Kind::Handle, Required, "the thread");
const STATUS: Argument = arg("status", Kind::Status, Is("0"), "the exit status");
const ALERTABLE: Argument =
    arg("alertable", Kind::Bool, Is("no"), "whether alerts and user APCs end the wait");
const TIMEOUT: Argument = arg("timeout", Kind::Time, Is("none"), "how long to wait");
const PROCESS_ID: Argument =
    arg("process-id", Kind::Number, Absent, "UniqueProcess of the CLIENT_ID instead");
const THREAD_ID: Argument = arg("thread-id", Kind::Number, Absent, "UniqueThread of the CLIENT_ID instead");
const WHOLE: Argument =
    arg("whole", Kind::Flag, Absent, "shows every field of the basic class that is the same on every run");
const NAMED: Argument = arg("named", Kind::Flag, Absent, "gives an object name besides");
const ATTRIBUTES_OF_HANDLE: Argument =
    arg("attributes", Kind::Flags(&ATTRIBUTES), Is("0"), "the handle's attributes");
const LENGTH: Argument = arg("length", Kind::Number, Absent, "bytes; the class's own length if left out");
const VALUE: Argument = arg("value", Kind::Number, Is("0"), "the value, a doubleword");

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
