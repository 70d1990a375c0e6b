//! Who wrote some bytes: every write that changed them, found by doing every instruction again.

use super::target::{self, Target};
use super::{CodeLine, Layouts, Names, fields, line};
use contract::Kernel;
use machine::Machine;
use recorder::{Player, Recording, SeekError};
use std::rc::Rc;

/// A run is kept at every so many instructions, to see from there what stood before a write.
const KEPT_EVERY: u64 = 256;

/// A write that changed the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The event, counted from 1.
    pub event: usize,
    /// Instructions into the event, before the one that wrote.
    pub instant: u64,
    /// The thread that ran.
    pub thread: String,
    /// What wrote: an instruction, or a stage of a native routine.
    pub code: CodeLine,
    /// Each field that changed: its label, its value before and after.
    pub values: Vec<(String, String, String)>,
}

/// Every write that changed what `text` names (as [`target::find`] understands it), in the order in which
/// they were made, from the event on in which the object was named (from booting on, where no event named
/// it), to the end. An object's address is that which it has at the end of the case, or had when it was seen
/// last.
///
/// # Errors
/// A text that says what cannot be found; [`SeekError`], as text.
pub fn writes(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    text: &str,
) -> Result<(Target, Vec<Changed>), String> {
    let (target, first) = last_seen(recording, kernel, text)?;
    let layouts = Rc::new(Layouts::new(kernel));
    let mut found = Vec::new();
    for event in first..=recording.events.len() {
        let strayed = |error: SeekError| error.to_string();
        let mut player = Player::at(recording, kernel, event, 0).map_err(strayed)?;
        let named = player.event().named.clone();
        let mut old = bytes(&target, player.machine());
        let mut kept = player.clone();
        while player.offset() < player.length() {
            let (instant, at) = (player.offset(), player.machine().cpu.next());
            if instant - kept.offset() == KEPT_EVERY {
                kept = player.clone();
            }
            player.forward(1).map_err(strayed)?;
            let new = bytes(&target, player.machine());
            if old == new {
                continue;
            }
            // What ran is told from the machine before; the thread did not change with the write.
            let mut before = kept.clone();
            before.forward(instant - before.offset()).map_err(strayed)?;
            let machine = before.machine();
            let names = Names::with(&layouts, player.machine(), &named);
            let values = changed(&target, &names, old.as_deref(), new.as_deref());
            old = new;
            found.push(Changed {
                event,
                instant,
                thread: names.object(kernel.current(machine)),
                code: line(kernel, machine, at),
                values,
            });
        }
    }
    Ok((target, found))
}

/// What the text names at the last event that has it, and the event in which its object was named; 0 for
/// booting.
fn last_seen(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    text: &str,
) -> Result<(Target, usize), String> {
    let mut told = None;
    for number in (0..=recording.events.len()).rev() {
        let Some(event) = recording.event(number) else { continue };
        let names = Names::new(kernel, &event.machine, &event.named);
        match target::find(&names, &event.machine, &event.named, text) {
            Ok(target) => {
                let has = |number: &usize| {
                    let named = recording.event(*number).map(|event| &event.named);
                    named.is_some_and(|named| named.iter().any(|one| Some(one.id) == target.id))
                };
                let first = (1..=recording.events.len()).find(has).unwrap_or(0);
                return Ok((target, first));
            }
            Err(error) => told = told.or(Some(error)),
        }
    }
    Err(told.unwrap_or_else(|| format!("nothing is named {text}")))
}

fn bytes(target: &Target, m: &Machine) -> Option<Vec<u8>> {
    let mut bytes = vec![0; target.size as usize];
    m.peek(target.cr3, target.at, &mut bytes).ok()?;
    Some(bytes)
}

fn changed(
    target: &Target,
    names: &Names,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Vec<(String, String, String)> {
    let part = |bytes: Option<&[u8]>, field: &fields::Field| {
        let range = field.offset as usize..(field.offset + field.size) as usize;
        bytes.and_then(|bytes| bytes.get(range)).map(<[u8]>::to_vec)
    };
    let mut told: Vec<(u32, u32)> = Vec::new();
    let mut values = Vec::new();
    for field in &target.fields {
        let (before, after) = (part(old, field), part(new, field));
        let within = |(from, to): &(u32, u32)| *from <= field.offset && field.offset + field.size <= *to;
        if before == after || told.iter().any(within) {
            continue;
        }
        told.push((field.offset, field.offset + field.size));
        let shown_before = fields::shown(names, field, &before, None);
        values.push((
            field.path.clone(),
            shown_before,
            fields::shown(names, field, &after, before.as_deref()),
        ));
    }
    if values.is_empty() {
        let hex = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
            None => "not mapped".to_owned(),
        };
        values.push((target.label.clone(), hex(old), hex(new)));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_field_has_its_instruction_and_leads_from_the_first_value_to_the_last() {
        let text = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\n\
                    main NtSuspendThread thread=worker\nmain NtResumeThread thread=worker\n\
                    main NtTerminateThread thread=worker status=7\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let (target, found) = writes(&recording, kernel, "worker.ETHREAD.SuspendCount").unwrap();
            assert_eq!(target.size, 1, "{name}");
            let values: Vec<_> = found
                .iter()
                .filter(|one| one.event > 3 && one.event < 6)
                .map(|one| (one.event, one.values[0].1.as_str(), one.values[0].2.as_str()))
                .collect();
            assert_eq!(values, [(4, "00", "01"), (5, "01", "00")], "{name}");
            assert!(
                found.windows(2).all(|pair| pair[0].values[0].2 == pair[1].values[0].1),
                "{name}: {found:?}"
            );
            // Who gives the processor away writes that, not who is given it.
            let path = if name == "nt" { "KPCR.PrcbData.CurrentThread" } else { "KPCR.CurrentThread" };
            let (_, switches) = writes(&recording, kernel, path).unwrap();
            let named: Vec<&Changed> = switches.iter().filter(|one| one.event > 3).collect();
            assert!(named.len() > 2, "{name}: {switches:?}");
            for one in named {
                assert!(one.values[0].1.ends_with(&format!(" {} ETHREAD", one.thread)), "{name}: {one:?}");
            }
            for one in &found {
                let before = Player::at(&recording, kernel, one.event, one.instant).unwrap();
                assert_eq!(before.machine().cpu.next(), one.code.at);
            }
        }
    }
}
