//! The native routines that ran, and their numbers in traces.

use contract::Kernel;
use contract::routine::{RoutineInfo, STAGES};
use machine::Va;
use std::collections::BTreeMap;

/// How many routines' numbers are found without their names; a kernel has fewer than twice as many.
const ENTRIES: usize = 256;

/// The native routines that ran, by number: in the order of their first call.
#[derive(Clone)]
pub(super) struct Routines {
    pub(super) names: Vec<String>,
    numbers: BTreeMap<&'static str, u16>,
    /// The numbers of those that ran last, and the addresses of their entries, by the low bits of those.
    entries: Box<[(u32, u16); ENTRIES]>,
}

impl Routines {
    /// None has run.
    pub(super) fn new() -> Routines {
        Routines { names: Vec::new(), numbers: BTreeMap::new(), entries: Box::new([(0, 0); ENTRIES]) }
    }

    /// Those of a recording, with the numbers that they have there.
    pub(super) fn of(names: &[String], kernel: &dyn Kernel) -> Routines {
        let mut routines = Routines { names: names.to_vec(), ..Routines::new() };
        for (index, name) in names.iter().enumerate() {
            let gates = kernel.image().gates.iter().flat_map(|gate| &gate.routines);
            if let Some(info) = gates.into_iter().find(|info| info.name == name) {
                routines.numbers.insert(info.name, index as u16);
            }
        }
        routines
    }

    /// The number of a routine, one stage of which lies at `at`.
    pub(super) fn number(&mut self, info: RoutineInfo, at: Va) -> u16 {
        let entry = at.0 & !(STAGES - 1);
        let place = (entry / STAGES) as usize % ENTRIES;
        if self.entries[place].0 == entry {
            return self.entries[place].1;
        }
        let number = *self.numbers.entry(info.name).or_insert_with(|| {
            self.names.push(info.name.to_owned());
            (self.names.len() - 1) as u16
        });
        self.entries[place] = (entry, number);
        number
    }
}
