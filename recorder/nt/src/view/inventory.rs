//! What is in use: for finding what a path leaves behind, and for naming memory in a dump.

use super::processes;
use crate::ex::pool;
use crate::global::{DATA, KernelData};
use crate::ke::timer;
use crate::layout::*;
use crate::mm::frames;
use crate::ob;
use contract::{Block, Heap, ObjectId};
use guest::{Pointer, Read, Survey, walk};
use machine::Machine;
use std::collections::BTreeMap;

/// Processes and threads, with the names of their layouts.
pub(crate) fn structures(m: &Machine) -> Vec<(ObjectId, &'static str)> {
    let mut peek = Survey::new(m);
    let mut found = Vec::new();
    for process in processes(&mut peek) {
        found.extend(ob::id(&mut peek, process.va()).map(|id| (id, "EPROCESS")));
        let list = walk(&mut peek, process.thread_list_head(), EThread::thread_list_entry);
        for thread in list.unwrap_or_default() {
            found.extend(ob::id(&mut peek, thread.va()).map(|id| (id, "ETHREAD")));
        }
    }
    found
}

/// Pool blocks by tag; frames, stacks, timers; processes with their threads and handles.
pub(crate) fn inventory(m: &Machine) -> Vec<(String, u32)> {
    let mut peek = Survey::new(m);
    let mut tags: BTreeMap<String, u32> = BTreeMap::new();
    for block in pool::blocks(&mut peek).unwrap_or_default() {
        if peek.get(block.state()) == Ok(pool::IN_USE) {
            let tag = peek.get(block.tag()).unwrap_or(0).to_le_bytes();
            *tags.entry(String::from_utf8_lossy(&tag).into_owned()).or_default() += 1;
        }
    }
    let mut found: Vec<(String, u32)> =
        tags.into_iter().map(|(tag, count)| (format!("pool {tag}"), count)).collect();
    found.push(("page frames".to_owned(), frames::used(&mut peek).unwrap_or(0)));
    found.push(("kernel stacks".to_owned(), frames::stacks_used(&mut peek).unwrap_or(0)));
    found.push(("timers".to_owned(), timer::running(&mut peek)));
    let table = peek.get(DATA.psp_cid_table());
    let ids = table.and_then(|table| peek.get(table.handle_count())).unwrap_or(0);
    found.push(("ids".to_owned(), ids));
    for process in processes(&mut peek) {
        let id = peek.get(process.unique_process_id()).unwrap_or(0);
        let list = walk(&mut peek, process.thread_list_head(), EThread::thread_list_entry);
        found.push((format!("threads of {id}"), list.map_or(0, |list| list.len() as u32)));
        found.push((format!("handles of {id}"), ob::handle_count(&mut peek, process).unwrap_or(0)));
        let header = ob::header(process.va());
        found.push((format!("references to {id}"), peek.get(header.pointer_count()).unwrap_or(0)));
    }
    found
}

/// The pool's blocks in use, and the kernel's variables.
pub(crate) fn heap(m: &Machine) -> Heap {
    let mut peek = Survey::new(m);
    let mut blocks = Vec::new();
    for header in pool::blocks(&mut peek).unwrap_or_default() {
        if peek.get(header.state()) == Ok(pool::IN_USE) {
            let size = PoolHeader::EXTENT + peek.get(header.size()).unwrap_or(0);
            blocks.push(Block { at: header.va(), size, tag: peek.get(header.tag()).unwrap_or(0) });
        }
    }
    Heap { blocks, roots: vec![(DATA.va(), KernelData::EXTENT), (PCR.va(), KPcr::EXTENT)] }
}
