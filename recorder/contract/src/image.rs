//! What is where in a booted kernel: symbols, native routines, services and layouts.

use crate::routine::{RoutineInfo, STAGES};
use guest::FieldInfo;
use machine::Va;
use std::collections::BTreeMap;

/// A table of native routines, by address.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The linear address of the first routine.
    pub base: Va,
    /// The routines, sixteen addresses each.
    pub routines: Vec<RoutineInfo>,
}

/// A structure's layout, for dumps and named differences.
#[derive(Clone, Copy, Debug)]
pub struct LayoutInfo {
    /// The structure's NT name: `ETHREAD`.
    pub name: &'static str,
    /// Bytes.
    pub size: u32,
    /// Its fields.
    pub fields: &'static [FieldInfo],
}

/// The bits of a field that have names, for dumps and named differences.
#[derive(Clone, Copy, Debug)]
pub struct FlagNames {
    /// The structure's NT name: `ETHREAD`.
    pub layout: &'static str,
    /// The field, as its layout spells it, with the fields that hold it: `tcb.npx_state`.
    pub field: &'static str,
    /// Masks of one bit, and their names.
    pub bits: &'static [(u32, &'static str)],
}

/// What is where in a booted kernel. The same for every machine that the kernel boots.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Symbols of executed code and of data, by address.
    pub symbols: BTreeMap<u32, &'static str>,
    /// Native routines: the kernel's and the system DLLs'.
    pub gates: Vec<Gate>,
    /// Where a program calls a service or a DLL's function: NT or Win32 name to user-mode address.
    /// Also the entry points of the test driver, as `DriverEnterCriticalRegion` and so on.
    pub services: BTreeMap<&'static str, Va>,
    /// Structures by name.
    pub layouts: Vec<LayoutInfo>,
    /// Fields whose bits have names.
    pub flags: Vec<FlagNames>,
    /// The interrupt vector of the clock.
    pub clock_vector: u8,
    /// Linear address, in kernel memory, of [`crate::PoolFault::SLOTS`] pool-failure slots.
    pub pool_faults: Va,
    /// Linear address, in kernel memory, of the doubleword that names the thread that has the processor:
    /// as long as it stays the same, so does what [`crate::Kernel::current`] answers.
    pub current_thread: Va,
}

impl Image {
    /// Adds the symbols of assembled code.
    pub fn add(&mut self, code: &machine::image::Code) {
        self.symbols.extend(code.symbols.iter().map(|(name, at)| (at.0, *name)));
    }

    /// The native routine at an address, and its stage there.
    pub fn routine(&self, at: Va) -> Option<(RoutineInfo, u8)> {
        self.gates.iter().find_map(|gate| {
            let index = at.0.checked_sub(gate.base.0)? / STAGES;
            Some((*gate.routines.get(index as usize)?, (at.0 % STAGES) as u8))
        })
    }

    /// The address of a symbol or of a native routine's entry.
    pub fn address(&self, name: &str) -> Option<Va> {
        let code = self.symbols.iter().find(|(_, symbol)| **symbol == name).map(|(at, _)| Va(*at));
        code.or_else(|| self.entry(name))
    }

    /// The address of a native routine's entry. A system service has the name of its stub in user mode.
    pub fn entry(&self, name: &str) -> Option<Va> {
        self.gates.iter().find_map(|gate| {
            let index = gate.routines.iter().position(|routine| routine.name == name)?;
            Some(gate.base.add(STAGES * index as u32))
        })
    }

    /// The names that [`Image::address`] knows.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let routines = self.gates.iter().flat_map(|gate| gate.routines.iter().map(|routine| routine.name));
        self.symbols.values().copied().chain(routines)
    }

    /// An address as a person reads it: `KiSystemService+1A`, a native routine's stage as
    /// `NtClose.2`, and anything without a symbol within 4 KiB below it as eight digits.
    pub fn symbolize(&self, at: Va) -> String {
        if let Some((routine, stage)) = self.routine(at) {
            return if stage == 0 { routine.name.to_owned() } else { format!("{}.{stage}", routine.name) };
        }
        match self.symbols.range(..=at.0).next_back() {
            Some((base, name)) if at.0 == *base => (*name).to_owned(),
            Some((base, name)) if at.0 - base < 0x1000 => format!("{name}+{:X}", at.0 - base),
            _ => at.to_string(),
        }
    }
}
