//! The words that stand for numbers: access rights, information classes, flags.

/// A table of words and their numbers.
#[derive(Debug)]
pub struct Choices {
    /// What is chosen, for messages: `access right`.
    pub what: &'static str,
    /// The words and their numbers; of two words for one number the first is the documented one.
    pub words: &'static [(&'static str, u32)],
}

impl Choices {
    /// The entry of a word.
    pub fn find(&self, word: &str) -> Option<(&'static str, u32)> {
        self.words.iter().find(|(known, _)| *known == word).copied()
    }

    /// The words, as a list for people.
    pub fn list(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        match words.as_slice() {
            [] => String::new(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }
}

pub(crate) static ACCESS: Choices = Choices {
    what: "access right",
    words: &[
        ("PROCESS_ALL_ACCESS", 0x1F_0FFF),
        ("PROCESS_TERMINATE", 1),
        ("PROCESS_CREATE_THREAD", 2),
        ("PROCESS_VM_OPERATION", 8),
        ("PROCESS_VM_READ", 0x10),
        ("PROCESS_VM_WRITE", 0x20),
        ("PROCESS_DUP_HANDLE", 0x40),
        ("PROCESS_CREATE_PROCESS", 0x80),
        ("PROCESS_SET_QUOTA", 0x100),
        ("PROCESS_SET_INFORMATION", 0x200),
        ("PROCESS_QUERY_INFORMATION", 0x400),
        ("PROCESS_SUSPEND_RESUME", 0x800),
        ("PROCESS_SET_PORT", 0x800),
        ("THREAD_ALL_ACCESS", 0x1F_03FF),
        ("THREAD_TERMINATE", 1),
        ("THREAD_SUSPEND_RESUME", 2),
        ("THREAD_ALERT", 4),
        ("THREAD_GET_CONTEXT", 8),
        ("THREAD_SET_CONTEXT", 0x10),
        ("THREAD_SET_INFORMATION", 0x20),
        ("THREAD_QUERY_INFORMATION", 0x40),
        ("THREAD_SET_THREAD_TOKEN", 0x80),
        ("THREAD_IMPERSONATE", 0x100),
        ("THREAD_DIRECT_IMPERSONATION", 0x200),
        ("DEBUG_OBJECT_ALL_ACCESS", 0x1F_000F),
        ("DEBUG_OBJECT_WAIT_STATE_CHANGE", 1),
        ("DEBUG_OBJECT_ADD_REMOVE_PROCESS", 2),
        ("DEBUG_OBJECT_SET_INFORMATION", 4),
        ("EVENT_ALL_ACCESS", 0x1F_0003),
        ("EVENT_QUERY_STATE", 1),
        ("EVENT_MODIFY_STATE", 2),
        ("MUTANT_ALL_ACCESS", 0x1F_0001),
        ("MUTANT_QUERY_STATE", 1),
        ("SEMAPHORE_ALL_ACCESS", 0x1F_0003),
        ("SEMAPHORE_QUERY_STATE", 1),
        ("SEMAPHORE_MODIFY_STATE", 2),
        ("SYNCHRONIZE", 0x10_0000),
        ("DELETE", 0x1_0000),
        ("READ_CONTROL", 0x2_0000),
        ("WRITE_DAC", 0x4_0000),
        ("WRITE_OWNER", 0x8_0000),
        ("MAXIMUM_ALLOWED", 0x200_0000),
        ("GENERIC_ALL", 0x1000_0000),
        ("GENERIC_EXECUTE", 0x2000_0000),
        ("GENERIC_WRITE", 0x4000_0000),
        ("GENERIC_READ", 0x8000_0000),
    ],
};

pub(crate) static PROCESS_CLASS: Choices = Choices {
    what: "information class of a process",
    words: &[
        ("BasicInformation", 0),
        ("basic", 0),
        ("Times", 4),
        ("DebugPort", 7),
        ("AffinityMask", 0x15),
        ("BreakOnTermination", 0x1D),
        ("DebugObjectHandle", 0x1E),
        ("DebugFlags", 0x1F),
    ],
};

pub(crate) static THREAD_CLASS: Choices = Choices {
    what: "information class of a thread",
    words: &[
        ("BasicInformation", 0),
        ("basic", 0),
        ("Times", 1),
        ("Priority", 2),
        ("BasePriority", 3),
        ("QuerySetWin32StartAddress", 9),
        ("ZeroTlsCell", 0xA),
        ("AmILastThread", 0xC),
        ("HideFromDebugger", 0x11),
        ("BreakOnTermination", 0x12),
    ],
};

pub(crate) static DEBUG_CLASS: Choices =
    Choices { what: "information class of a debug object", words: &[("KillProcessOnExit", 1)] };

pub(crate) static EVENT_TYPE: Choices =
    Choices { what: "event type", words: &[("notification", 0), ("synchronization", 1)] };

pub(crate) static WAIT_TYPE: Choices = Choices { what: "wait type", words: &[("all", 0), ("any", 1)] };

pub(crate) static DUPLICATE: Choices = Choices {
    what: "option",
    words: &[("DUPLICATE_CLOSE_SOURCE", 1), ("DUPLICATE_SAME_ACCESS", 2), ("DUPLICATE_SAME_ATTRIBUTES", 4)],
};

pub(crate) static ATTRIBUTES: Choices =
    Choices { what: "handle attribute", words: &[("OBJ_PROTECT_CLOSE", 1), ("OBJ_INHERIT", 2)] };

pub(crate) static CONTEXT_GROUPS: Choices = Choices {
    what: "CONTEXT group",
    words: &[
        ("full", contract::context::FULL),
        ("control", contract::context::CONTROL),
        ("integer", contract::context::INTEGER),
        ("segments", contract::context::SEGMENTS),
        ("float", contract::context::FLOATING_POINT),
        ("debug", contract::context::DEBUG_REGISTERS),
        ("extended", contract::context::EXTENDED_REGISTERS),
    ],
};

pub(crate) static ALLOCATION: Choices = Choices {
    what: "allocation type",
    words: &[
        ("MEM_COMMIT", 0x1000),
        ("MEM_RESERVE", 0x2000),
        ("MEM_DECOMMIT", 0x4000),
        ("MEM_RELEASE", 0x8000),
        ("MEM_TOP_DOWN", 0x10_0000),
    ],
};

pub(crate) static PROTECTION: Choices = Choices {
    what: "page protection",
    words: &[
        ("PAGE_NOACCESS", 1),
        ("PAGE_READONLY", 2),
        ("PAGE_READWRITE", 4),
        ("PAGE_EXECUTE", 0x10),
        ("PAGE_EXECUTE_READ", 0x20),
        ("PAGE_EXECUTE_READWRITE", 0x40),
        ("PAGE_GUARD", 0x100),
    ],
};

pub(crate) static FAULTS: Choices = Choices {
    what: "kind of fault",
    words: &[
        ("read", 0),
        ("write", 1),
        ("execute", 2),
        ("divide", 3),
        ("breakpoint", 4),
        ("undefined", 5),
        ("privileged", 6),
        ("overflow", 7),
        ("bounds", 8),
        ("float-divide", 9),
        ("float-invalid", 10),
        ("step", 11),
        ("interrupt", 12),
        ("msr", 13),
    ],
};

pub(crate) static DEBUGGER_STATE: Choices =
    Choices { what: "state of the kernel debugger", words: &[("none", 0), ("enabled", 1), ("present", 3)] };

pub(crate) static APC_KIND: Choices =
    Choices { what: "kind of APC", words: &[("special", 0), ("normal", 1), ("user", 2)] };

pub(crate) static ATTACHED: Choices = Choices {
    what: "deed while attached",
    words: &[("nothing", 0), ("apc-before", 1), ("apc-within", 2), ("exit", 3)],
};

pub(crate) static NOTIFY: Choices =
    Choices { what: "kind of notification", words: &[("process", 0), ("thread", 1)] };

pub(crate) static WAIT_MODE: Choices = Choices { what: "wait mode", words: &[("kernel", 0), ("user", 1)] };
