//! What can be seen of a kernel by the programs that run on it.
//!
//! Objects go by the names that the case gave them. There is no address, no layout and no private
//! order here: two views are compared fact by fact.

use crate::{ObjectId, ObjectKind, Status};
use serde::{Deserialize, Serialize};

/// An object and the name that the case gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The case's name for it.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Which object it is.
    pub id: ObjectId,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessView {
    /// The case's name for it.
    pub name: String,
    /// Whether its object is signaled: a waiter is let through, the process has ended.
    pub terminated: bool,
    /// Its exit status, once it has terminated.
    pub exit_status: Option<Status>,
    /// PEB.BeingDebugged, while the PEB can be read.
    pub being_debugged: bool,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadView {
    /// The case's name for it.
    pub name: String,
    /// `initialized`, `running` (it has the processor or is ready for it), `waiting`, `suspended` or
    /// `terminated` (its object is signaled).
    pub state: String,
    /// Its exit status, once it has terminated.
    pub exit_status: Option<Status>,
    /// Its suspend count, while it lives.
    pub suspend_count: u32,
    /// What program code the thread has executed, in order: `entry`, `apc 5`. Filled in by the
    /// recorder, which watches the program; a kernel leaves it empty.
    pub ran: Vec<String>,
    /// The last call that the thread made and what came of it: `NtDelayExecution waits`. Filled in by
    /// the recorder; a kernel leaves it empty.
    pub call: Option<String>,
}

/// An event, mutant, semaphore or other object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// The case's name for it.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Its state as a person reads it: `signaled`, `not signaled`, `count 3`, `owned by worker`,
    /// `abandoned`, `deleted`.
    pub state: String,
}

/// The system has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bugcheck {
    /// The code.
    pub code: u32,
    /// The code's name, as the sheets spell it; empty for a code without one.
    pub name: String,
    /// The four parameters as text: a pointer to a named object as that name, a pointer to text as the
    /// text, any other kernel pointer as `pointer`, else eight digits.
    pub parameters: [String; 4],
}

/// Everything that a program could tell apart, of the objects that the case has named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Set once the system has stopped; it takes no more events then.
    pub bugcheck: Option<Bugcheck>,
    /// Processes, in the order in which they were named.
    pub processes: Vec<ProcessView>,
    /// Threads, in the order in which they were named.
    pub threads: Vec<ThreadView>,
    /// Other objects, in the order in which they were named.
    pub objects: Vec<ObjectView>,
    /// Handles that the case has bound, as `app:worker` (process and name), and whether each still
    /// names its object. Filled in by the recorder; a kernel leaves it empty.
    pub handles: Vec<(String, bool)>,
}

/// One thing that a view says: of what, which property, and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fact {
    /// Kind and name: `thread worker`. `system` for the system as a whole.
    pub subject: String,
    /// The property: `state`.
    pub property: String,
    /// Its value: `waiting`.
    pub value: String,
}

impl View {
    /// The view as a flat list, in a fixed order, so that two views can be compared fact by fact.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut add = |subject: String, property: &str, value: String| {
            facts.push(Fact { subject, property: property.to_owned(), value });
        };
        if let Some(stop) = &self.bugcheck {
            // Not every code has a name.
            let code = format!("{:08X} {}", stop.code, stop.name);
            let value = format!("{} ({})", code.trim_end(), stop.parameters.join(", "));
            add("system".to_owned(), "bugcheck", value);
        }
        for process in &self.processes {
            let subject = format!("process {}", process.name);
            let state = if process.terminated { "terminated" } else { "alive" };
            add(subject.clone(), "state", state.to_owned());
            if let Some(status) = process.exit_status {
                add(subject.clone(), "exit status", format!("{:08X}", status.0));
            }
            if process.being_debugged {
                add(subject, "being debugged", "yes".to_owned());
            }
        }
        for thread in &self.threads {
            let subject = format!("thread {}", thread.name);
            add(subject.clone(), "state", thread.state.clone());
            if let Some(status) = thread.exit_status {
                add(subject.clone(), "exit status", format!("{:08X}", status.0));
            }
            if thread.suspend_count != 0 {
                add(subject.clone(), "suspend count", thread.suspend_count.to_string());
            }
            if !thread.ran.is_empty() {
                add(subject.clone(), "ran", thread.ran.join(", "));
            }
            if let Some(call) = &thread.call {
                add(subject, "call", call.clone());
            }
        }
        for object in &self.objects {
            let kind = match object.kind {
                ObjectKind::DebugObject => "debug object".to_owned(),
                kind => format!("{kind:?}").to_lowercase(),
            };
            add(format!("{kind} {}", object.name), "state", object.state.clone());
        }
        for (handle, open) in &self.handles {
            let value = if *open { "open" } else { "closed" };
            add(format!("handle {handle}"), "state", value.to_owned());
        }
        facts
    }
}
