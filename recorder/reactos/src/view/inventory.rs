//! What is in use, for showing what a path leaves behind.

use crate::{ex::pool, layout::*, ob};
use contract::{Block, Heap};
use guest::{Peek, Pointer, Read, Survey};
use machine::Machine;
use std::collections::BTreeMap;

/// [`contract::Kernel::inventory`]: pool blocks by tag, references and handles by the type of object,
/// kernel stacks and pages, locks that are held, and what belongs to each process. Everything is counted
/// from memory, so what boot left is the baseline.
pub(crate) fn all(m: &Machine) -> Vec<(String, u32)> {
    let mut p = Survey::new(m);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut references: BTreeMap<&'static str, (u32, u32, u32)> = BTreeMap::new();
    for header in pool::blocks(&mut p).unwrap_or_default() {
        if p.get(header.allocated()) != Ok(1) {
            continue;
        }
        let tag = p.get(header.tag()).unwrap_or(0);
        let text: String = tag.to_le_bytes().iter().map(|byte| char::from(*byte)).collect();
        *counts.entry(format!("pool {text}")).or_default() += 1;
        if let Some(kind) = Type::ALL.into_iter().find(|kind| kind.tag() == tag) {
            let object = ob::object::header(header.0.add(PoolHeader::EXTENT + ObjectHeader::EXTENT));
            let entry = references.entry(kind.plural()).or_default();
            entry.0 += 1;
            entry.1 = entry.1.wrapping_add(p.get(object.ref_count()).unwrap_or(0) as u32);
            entry.2 = entry.2.wrapping_add(p.get(object.handle_count()).unwrap_or(0) as u32);
        }
    }
    let mut found: Vec<_> = counts.into_iter().collect();
    for (kind, (objects, counted, handles)) in references {
        found.push((kind.to_owned(), objects));
        found.push((format!("references to {kind}"), counted));
        found.push((format!("handles to {kind}"), handles));
    }
    let mut used = [0; STACK_COUNT as usize];
    if p.bytes(STACK_SLOTS, &mut used).is_ok() {
        let stacks = used.iter().filter(|slot| **slot != 0).count() as u32;
        found.push(("kernel stacks".to_owned(), stacks));
    }
    let mut bitmap = [0; PHYSICAL_PAGES as usize / 8];
    if p.bytes(PAGE_BITMAP, &mut bitmap).is_ok() {
        let pages = bitmap.iter().map(|byte| byte.count_ones()).sum();
        found.push(("physical pages".to_owned(), pages));
    }
    let processes = super::processes(&mut p);
    found.push(("locks held".to_owned(), locks(m, &processes)));
    for process in processes {
        let name = name(m, process);
        let handles = ob::handle::entries(&mut p, process).unwrap_or_default().len() as u32;
        found.push((format!("handles of {name}"), handles));
        found.push((format!("threads of {name}"), super::threads::of(&mut p, process).len() as u32));
        let references = p.get(ob::object::header(process.0).ref_count()).unwrap_or(0);
        found.push((format!("references to {name}"), references as u32));
    }
    found
}

/// TEB locks, process locks and handle tables' locks that somebody holds, and the lock of suspensions.
fn locks(m: &Machine, processes: &[EProcess]) -> u32 {
    let mut p = Peek::new(m);
    let mut held = u32::from(p.get(G.suspend_mutex().owner()).is_ok_and(|owner| owner.is_some()));
    for process in processes {
        held += u32::from(p.get(process.teb_lock().owner()).is_ok_and(|owner| owner.is_some()));
        held += u32::from(p.get(process.lock_owner()).is_ok_and(|owner| owner.is_some()));
        held += u32::from(p.get(process.handle_table_lock()).is_ok_and(|lock| lock != 0));
    }
    held
}

/// A process by its image's name and its id.
fn name(m: &Machine, process: EProcess) -> String {
    let mut p = Peek::new(m);
    let raw = p.get(process.image_file_name()).unwrap_or([0; 16]);
    let text: String = raw.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    format!("{text} ({})", p.get(process.unique_process_id()).unwrap_or(0))
}

/// [`contract::Kernel::heap`].
pub(crate) fn heap(m: &Machine) -> Heap {
    let mut p = Survey::new(m);
    let mut blocks = Vec::new();
    for header in pool::blocks(&mut p).unwrap_or_default() {
        if p.get(header.allocated()) == Ok(1) {
            let size = PoolHeader::EXTENT + p.get(header.size()).unwrap_or(0);
            blocks.push(Block { at: header.0, size, tag: p.get(header.tag()).unwrap_or(0) });
        }
    }
    Heap { blocks, roots: vec![(G.0, Globals::EXTENT), (PCR.0, Kpcr::EXTENT)] }
}
