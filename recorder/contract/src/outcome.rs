//! What came of an event, seen by the program that caused it.

use crate::Status;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What came of an event by the time the machine was quiet again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The call returned: its status, and the values it gave back, by name (`previous`, `handle`).
    Returned {
        /// EAX.
        status: Status,
        /// Values given back, as text that holds no address.
        values: Vec<(String, String)>,
    },
    /// The call waits.
    Waits,
    /// The call neither returned nor waits: its thread has the processor again and again, and is busy in
    /// the kernel.
    Busy,
    /// The call did not return, and its thread has ended or will not run again.
    Ended,
    /// The event has no status: the scene was set, the world moved.
    Done,
    /// What was looked at, by name, as text that holds no address.
    Seen {
        /// Names and values in a fixed order.
        values: Vec<(String, String)>,
    },
    /// The event could not take place; why, in one or two words: `waiting`, `terminated`, `suspended`,
    /// `never created`, `no such service`, `stopped` (after a bugcheck), `busy` (its thread has the
    /// processor and does something else with it), `not scheduled` (its thread is ready, and the processor
    /// goes to others).
    Unavailable {
        /// Why.
        why: String,
    },
    /// The call neither returned nor waits: its thread is ready to go on, and others had the processor up to
    /// the end of the event.
    Ready,
}

impl Outcome {
    /// The outcome in one word, for machines: `returned`, `waits`, `busy`, `ready`, `ended`, `done`,
    /// `seen`, `unavailable`.
    pub fn kind(&self) -> &'static str {
        match self {
            Outcome::Returned { .. } => "returned",
            Outcome::Waits => "waits",
            Outcome::Busy => "busy",
            Outcome::Ready => "ready",
            Outcome::Ended => "ended",
            Outcome::Done => "done",
            Outcome::Seen { .. } => "seen",
            Outcome::Unavailable { .. } => "unavailable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let pairs = |f: &mut fmt::Formatter, values: &[(String, String)]| {
            values.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
        };
        match self {
            Outcome::Returned { status, values } => {
                write!(f, "returned {status}")?;
                pairs(f, values)
            }
            Outcome::Waits => f.write_str("waits"),
            Outcome::Busy => f.write_str("is busy in the kernel"),
            Outcome::Ready => f.write_str("is ready, without the processor"),
            Outcome::Ended => f.write_str("did not return"),
            Outcome::Done => f.write_str("done"),
            Outcome::Seen { values } => {
                f.write_str("seen")?;
                pairs(f, values)
            }
            Outcome::Unavailable { why } => write!(f, "unavailable: {why}"),
        }
    }
}
