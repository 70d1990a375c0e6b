//! What is in use, for showing what a path leaves behind.

use crate::{ex::pool, layout::*, ob};
use guest::{Peek, Read};
use machine::Machine;
use std::collections::BTreeMap;

/// [`contract::Kernel::inventory`].
pub(crate) fn all(m: &Machine) -> Vec<(String, u32)> {
    let mut p = Peek::new(m);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut total: BTreeMap<String, u32> = BTreeMap::new();
    for header in pool::blocks(&mut p).unwrap_or_default() {
        if p.get(header.allocated()) == Ok(1) {
            let tag = p.get(header.tag()).unwrap_or(0).to_le_bytes();
            let tag: String = tag.iter().map(|byte| char::from(*byte)).collect();
            *counts.entry(format!("pool {tag}")).or_default() += 1;
        }
    }
    let mut used = [0; STACK_COUNT as usize];
    if p.bytes(STACK_SLOTS, &mut used).is_ok() {
        let stacks = used.iter().filter(|slot| **slot != 0).count() as u32;
        total.insert("kernel stacks".to_owned(), stacks);
    }
    let mut bitmap = [0; PHYSICAL_PAGES as usize / 8];
    if p.bytes(PAGE_BITMAP, &mut bitmap).is_ok() {
        let pages = bitmap.iter().map(|byte| byte.count_ones()).sum();
        total.insert("physical pages".to_owned(), pages);
    }
    let mut found: Vec<_> = counts.into_iter().chain(total).collect();
    let processes = super::processes(m);
    found.push(("processes".to_owned(), processes.len() as u32));
    for process in processes {
        let name = name(m, process);
        let handles = ob::handle::entries(&mut p, process).unwrap_or_default().len() as u32;
        found.push((format!("handles of {name}"), handles));
        found.push((format!("threads of {name}"), super::threads::of(m, process).len() as u32));
        let references = p.get(ob::object::header(process.0).ref_count()).unwrap_or(0);
        found.push((format!("references to {name}"), references as u32));
    }
    found
}

/// A process by its image's name and its id.
fn name(m: &Machine, process: EProcess) -> String {
    let mut p = Peek::new(m);
    let raw = p.get(process.image_file_name()).unwrap_or([0; 16]);
    let text: String = raw.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    format!("{text} ({})", p.get(process.unique_process_id()).unwrap_or(0))
}
