//! NTSTATUS values and their names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An NTSTATUS: 32 bits, severity in the top two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Status(pub u32);

impl Status {
    /// NT_SUCCESS: success or information.
    pub fn is_success(self) -> bool {
        self.0 as i32 >= 0
    }
    /// The value's name, if it has one here.
    pub fn name(self) -> Option<&'static str> {
        STATUS_NAMES.iter().find(|(_, value)| *value == self.0).map(|(name, _)| *name)
    }
    /// The value of a name.
    pub fn named(name: &str) -> Option<Status> {
        STATUS_NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| Status(*value))
    }
}

/// The name if there is one, else eight hexadecimal digits.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:08X}", self.0),
        }
    }
}
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! statuses {
    ($($name:ident = $value:literal),* $(,)?) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($value), "`.")] pub const $name: Status = Status($value);)*
        }
        /// Every status that has a name here: `STATUS_…` and `DBG_…`. Of two names for one value the
        /// first is the one shown.
        pub const STATUS_NAMES: &[(&str, u32)] = &[$((prefixed!($name), $value)),*];
    };
}
macro_rules! prefixed {
    (DBG_EXCEPTION_HANDLED) => {
        "DBG_EXCEPTION_HANDLED"
    };
    (DBG_CONTINUE) => {
        "DBG_CONTINUE"
    };
    (DBG_REPLY_LATER) => {
        "DBG_REPLY_LATER"
    };
    (DBG_TERMINATE_THREAD) => {
        "DBG_TERMINATE_THREAD"
    };
    (DBG_TERMINATE_PROCESS) => {
        "DBG_TERMINATE_PROCESS"
    };
    (DBG_EXCEPTION_NOT_HANDLED) => {
        "DBG_EXCEPTION_NOT_HANDLED"
    };
    ($name:ident) => {
        concat!("STATUS_", stringify!($name))
    };
}

statuses! {
    SUCCESS = 0x00000000,
    ABANDONED = 0x00000080,
    USER_APC = 0x000000C0,
    KERNEL_APC = 0x00000100,
    ALERTED = 0x00000101,
    TIMEOUT = 0x00000102,
    PENDING = 0x00000103,
    NOTHING_TO_TERMINATE = 0x00000122,
    DBG_EXCEPTION_HANDLED = 0x00010001,
    DBG_CONTINUE = 0x00010002,
    NO_YIELD_PERFORMED = 0x40000024,
    DBG_REPLY_LATER = 0x40010001,
    DBG_TERMINATE_THREAD = 0x40010003,
    DBG_TERMINATE_PROCESS = 0x40010004,
    GUARD_PAGE_VIOLATION = 0x80000001,
    DATATYPE_MISALIGNMENT = 0x80000002,
    BREAKPOINT = 0x80000003,
    SINGLE_STEP = 0x80000004,
    PARTIAL_COPY = 0x8000000D,
    DBG_EXCEPTION_NOT_HANDLED = 0x80010001,
    UNSUCCESSFUL = 0xC0000001,
    NOT_IMPLEMENTED = 0xC0000002,
    INVALID_INFO_CLASS = 0xC0000003,
    INFO_LENGTH_MISMATCH = 0xC0000004,
    ACCESS_VIOLATION = 0xC0000005,
    INVALID_HANDLE = 0xC0000008,
    BAD_INITIAL_STACK = 0xC0000009,
    INVALID_CID = 0xC000000B,
    INVALID_PARAMETER = 0xC000000D,
    NO_MEMORY = 0xC0000017,
    CONFLICTING_ADDRESSES = 0xC0000018,
    INVALID_SYSTEM_SERVICE = 0xC000001C,
    ILLEGAL_INSTRUCTION = 0xC000001D,
    ACCESS_DENIED = 0xC0000022,
    OBJECT_TYPE_MISMATCH = 0xC0000024,
    INVALID_PARAMETER_MIX = 0xC0000030,
    OBJECT_NAME_NOT_FOUND = 0xC0000034,
    MUTANT_NOT_OWNED = 0xC0000046,
    SEMAPHORE_LIMIT_EXCEEDED = 0xC0000047,
    PORT_ALREADY_SET = 0xC0000048,
    SUSPEND_COUNT_EXCEEDED = 0xC000004A,
    THREAD_IS_TERMINATING = 0xC000004B,
    PRIVILEGE_NOT_HELD = 0xC0000061,
    ARRAY_BOUNDS_EXCEEDED = 0xC000008C,
    FLOAT_DENORMAL_OPERAND = 0xC000008D,
    FLOAT_DIVIDE_BY_ZERO = 0xC000008E,
    FLOAT_INEXACT_RESULT = 0xC000008F,
    FLOAT_INVALID_OPERATION = 0xC0000090,
    FLOAT_OVERFLOW = 0xC0000091,
    FLOAT_STACK_CHECK = 0xC0000092,
    FLOAT_UNDERFLOW = 0xC0000093,
    INTEGER_DIVIDE_BY_ZERO = 0xC0000094,
    INTEGER_OVERFLOW = 0xC0000095,
    PRIVILEGED_INSTRUCTION = 0xC0000096,
    INSUFFICIENT_RESOURCES = 0xC000009A,
    CANT_TERMINATE_SELF = 0xC00000DB,
    INVALID_PARAMETER_1 = 0xC00000EF,
    INVALID_PARAMETER_3 = 0xC00000F1,
    STACK_OVERFLOW = 0xC00000FD,
    PROCESS_IS_TERMINATING = 0xC000010A,
    CONTROL_C_EXIT = 0xC000013A,
    DLL_INIT_FAILED = 0xC0000142,
    MUTANT_LIMIT_EXCEEDED = 0xC0000191,
    HANDLE_NOT_CLOSABLE = 0xC0000235,
    NO_CALLBACK_ACTIVE = 0xC0000258,
    SYSTEM_SHUTDOWN = 0xC00002EB,
    PORT_NOT_SET = 0xC0000353,
    DEBUGGER_INACTIVE = 0xC0000354,
    CALLBACK_POP_STACK = 0xC0000423,
    HANDLE_NOT_WAITABLE = 0xC1000002,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_lead_to_each_other() {
        for (name, value) in STATUS_NAMES {
            assert_eq!(Status::named(name), Some(Status(*value)));
            assert_eq!(Status(*value).to_string(), *name);
        }
        assert_eq!(Status(0xC0FF_EE00).to_string(), "C0FFEE00");
        assert_eq!(Status::DBG_CONTINUE.to_string(), "DBG_CONTINUE");
    }
}
