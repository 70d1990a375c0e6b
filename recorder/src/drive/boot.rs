//! Booting, up to where the machine is quiet. A kernel boots the same every time, so one boot serves
//! every run.

use super::error::RecordError;
use super::motor::{Detail, Motor, Pause};
use super::quiet::{SLICE, Watch, breakpoints, park};
use super::routines::Routines;
use crate::EventRecord;
use crate::recording::{Reaching, boot_chunk};
use contract::{Kernel, Outcome};
use machine::registers::flags;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// Instructions that booting may take.
const BOOT_MAX: u64 = 10_000_000;

/// A booted kernel.
pub(super) struct Booted {
    /// What happened, and the machine.
    pub(super) event: EventRecord,
    /// The native routines that its trace mentions.
    pub(super) routines: Routines,
    chunk: OnceLock<Vec<u8>>,
}

impl Booted {
    /// What stands of it in every recording's file.
    pub(super) fn chunk(&self) -> &[u8] {
        self.chunk.get_or_init(|| boot_chunk(&self.event, &self.routines.names))
    }
}

/// The kernel, booted and quiet.
///
/// Kernels are told apart by their names.
pub(super) fn booted(kernel: &'static dyn Kernel, detail: Detail) -> Result<Arc<Booted>, RecordError> {
    type Boots = BTreeMap<(&'static str, Detail), Arc<Booted>>;
    static BOOTS: Mutex<Boots> = Mutex::new(BTreeMap::new());
    // One boot serves runs that are recorded and runs that are not, whichever comes first.
    let detail = detail.max(Detail::No);
    let key = (kernel.name(), detail);
    // A thread that panicked while it booted has left nothing half done in the map.
    let lock = || BOOTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(booted) = lock().get(&key) {
        return Ok(booted.clone());
    }
    let booted = Arc::new(boot(kernel, detail)?);
    lock().insert(key, booted.clone());
    Ok(booted)
}

fn boot(kernel: &'static dyn Kernel, detail: Detail) -> Result<Booted, RecordError> {
    let mut motor = Motor::new(kernel, kernel.boot()?, detail);
    let stopped = |what: String| RecordError::Stopped {
        kernel: kernel.name().to_owned(),
        line: 0,
        text: "boot".to_owned(),
        what,
    };
    let mut watch = Watch::default();
    loop {
        let slice = motor.m.retired + SLICE;
        match motor.advance(slice, &breakpoints(), false) {
            Pause::Stopped(what) => return Err(stopped(what)),
            Pause::Halted if !motor.m.cpu.flag(flags::IF) => {
                match kernel.view(&motor.m, &[]).bugcheck.is_some() {
                    true => break,
                    false => return Err(stopped("HLT with interrupts disabled".to_owned())),
                }
            }
            // An interrupt right here would lead back here.
            Pause::Breakpoint(at) if at != park() => continue,
            _ => {}
        }
        if watch.look(&motor) || motor.m.retired > BOOT_MAX {
            break;
        }
        motor
            .input(Reaching::Interrupt(kernel.image().clock_vector))
            .expect("an interrupt touches no memory");
    }
    let notes = motor.take_notes();
    // Every run goes on with a copy of this memory, and recordings look at what it writes.
    motor.m.memory.forget_writes();
    let event = EventRecord {
        line: 0,
        text: "boot".to_owned(),
        outcome: Outcome::Done,
        view: kernel.view(&motor.m, &[]),
        named: Arc::default(),
        threads: notes.threads,
        trace: notes.trace,
        untraced: notes.untraced,
        inputs: notes.inputs,
        steps: notes.steps,
        machine: motor.m,
    };
    Ok(Booted { event, routines: motor.routines, chunk: OnceLock::new() })
}
