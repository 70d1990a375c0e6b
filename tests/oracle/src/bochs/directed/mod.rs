//! The directed tests: every rule of the system level, each with the cases that keep it and those that
//! break it.

mod call_gates;
mod control;
mod debug;
mod double;
mod float;
mod interrupts;
mod limits;
mod loads;
mod paging;
mod priority;
mod returns;
mod shadow;
mod stacks;
mod transfers;

use super::judge::Test;
use super::scene::Scene;

/// Tests in the making.
pub struct Suite<'a> {
    base: &'a Scene,
    family: &'static str,
    tests: Vec<Test>,
}

impl Suite<'_> {
    /// Adds a test that starts in a ring, once `set` has written its code and what it needs.
    fn add(&mut self, ring: u8, name: impl AsRef<str>, set: impl FnOnce(&mut Scene)) {
        let mut scene = self.base.in_ring(ring);
        set(&mut scene);
        let name = format!("{}: {}, ring {ring}", self.family, name.as_ref());
        self.tests.push(Test { name, start: scene.m, undefined: 0 });
    }
}

/// A family of tests.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is about, with the part of Intel's manual (volume 3) that has the rules.
    pub about: &'static str,
    fill: fn(&mut Suite),
}

impl Family {
    /// The family's tests, in order.
    pub fn tests(&self, base: &Scene) -> Vec<Test> {
        let mut suite = Suite { base, family: self.name, tests: Vec::new() };
        (self.fill)(&mut suite);
        suite.tests
    }
}

/// Every family.
pub const FAMILIES: [Family; 13] = [
    Family { name: "load", about: "loads of DS, ES, FS, GS, SS, LDTR and TR; 5.6, 5.7", fill: loads::fill },
    Family { name: "limit", about: "limits and rights of segments; 5.3, 5.4", fill: limits::fill },
    Family { name: "transfer", about: "far JMP and CALL without gates; 5.8.1", fill: transfers::fill },
    Family {
        name: "call gate",
        about: "call gates, stack switch, parameters; 5.8.3 to 5.8.5",
        fill: call_gates::fill,
    },
    Family {
        name: "return",
        about: "far RET and IRET in every direction; 5.8.6, 6.12.1",
        fill: returns::fill,
    },
    Family { name: "interrupt", about: "interrupt and trap gates; 6.10 to 6.13", fill: interrupts::fill },
    Family {
        name: "double fault",
        about: "faults while faults are delivered; 6.15, vector 8",
        fill: double::fill,
    },
    Family {
        name: "paging",
        about: "rights, error codes, A and D bits; 4.3, 4.6 to 4.8",
        fill: paging::fill,
    },
    Family {
        name: "debug",
        about: "breakpoints, single steps, RF, general detect; 17.2, 17.3",
        fill: debug::fill,
    },
    Family { name: "priority", about: "simultaneous causes; 6.9", fill: priority::fill },
    Family { name: "shadow", about: "what STI and loads of SS hold back; 6.8.1, 6.8.3", fill: shadow::fill },
    Family { name: "float", about: "CR0.MP, EM, TS, NE, and #NM and #MF; 2.5, 6.15", fill: float::fill },
    Family {
        name: "control",
        about: "privileged instructions, IOPL, SYSENTER; 2.5, 5.8.7, 5.9",
        fill: control::fill,
    },
];
