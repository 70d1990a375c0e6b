//! What a run left behind: what is in use at its end and belongs to nothing that lives.
//!
//! A block of the pool counts when nothing leads to it: no pointer to any of its bytes in the kernel's
//! variables, in registers, on the stack of a thread that has not ended, or in a block that is led to
//! itself. A thread that has ended leads to nothing, whoever still holds it: what hangs on it will not be
//! used again. (A process that has ended keeps its address space and its tables until its last reference
//! goes.) So what a living process, thread or open handle has does not count, however much it is; a
//! block that a stale pointer happens to lead to does not count either. Kernel stacks count when there
//! are more of them than threads that have one, and locks that are held when the kernel tells of them.
//! What counted already when the kernel had booted does not count.

use contract::{Activity, Block, Heap, Kernel, Named, ThreadStatus};
use machine::{Machine, PAGE, Va};
use std::collections::{BTreeMap, BTreeSet};

/// What a run left behind, by kind, in alphabetic order: `pool TAPC`, and how many.
/// `named` are the objects that the case has named.
pub fn left_behind(
    kernel: &dyn Kernel,
    boot: &Machine,
    end: &Machine,
    named: &[Named],
) -> Vec<(String, u32)> {
    let view = kernel.view(end, named);
    let threads =
        view.threads.iter().filter(|thread| thread.state == "terminated").map(|thread| &thread.name);
    let ended: Vec<&String> = threads.collect();
    let ended = named.iter().filter(|named| ended.contains(&&named.name)).map(|named| named.id.at.0);
    let (before, after) = (counted(kernel, boot, &[]), counted(kernel, end, &ended.collect::<Vec<_>>()));
    let more = after.into_iter().filter_map(|(kind, count)| {
        let more = count - before.get(&kind).copied().unwrap_or(0);
        (more > 0).then_some((kind, more as u32))
    });
    more.collect()
}

fn counted(kernel: &dyn Kernel, m: &Machine, ended: &[u32]) -> BTreeMap<String, i64> {
    let threads = kernel.threads(m);
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for block in unreached(m, &kernel.heap(m), &threads, ended) {
        let tag: String = block.tag.to_le_bytes().iter().map(|byte| char::from(*byte)).collect();
        *found.entry(format!("pool {}", tag.trim_end())).or_default() += 1;
    }
    let inventory = kernel.inventory(m);
    let count =
        |wanted: &str| inventory.iter().find(|(kind, _)| kind == wanted).map(|(_, count)| i64::from(*count));
    if let Some(stacks) = count("kernel stacks") {
        let owned = threads.iter().filter(|thread| !thread.stack.1.is_null()).count() as i64;
        found.insert("kernel stack".to_owned(), stacks - owned);
    }
    if let Some(locks) = count("locks held") {
        found.insert("lock held".to_owned(), locks);
    }
    found
}

/// The blocks that nothing leads to.
fn unreached(m: &Machine, heap: &Heap, threads: &[ThreadStatus], ended: &[u32]) -> Vec<Block> {
    let ended: BTreeSet<usize> = ended.iter().filter_map(|at| holding(heap, *at)).collect();
    let mut reached = vec![false; heap.blocks.len()];
    let mut due: Vec<(Va, u32)> = heap.roots.clone();
    for thread in threads.iter().filter(|thread| thread.activity != Activity::Terminated) {
        let (low, high) = thread.stack;
        // What lies below ESP is not in use.
        let esp = thread.resume.filter(|resume| !resume.user).map_or(low.0, |resume| resume.esp);
        let from = if (low.0..high.0).contains(&esp) { esp } else { low.0 };
        due.push((Va(from), high.0.saturating_sub(from)));
    }
    let mut hits: Vec<usize> = m.cpu.regs.iter().filter_map(|value| holding(heap, *value)).collect();
    loop {
        for index in hits.drain(..) {
            if !std::mem::replace(&mut reached[index], true) && !ended.contains(&index) {
                due.push((heap.blocks[index].at, heap.blocks[index].size));
            }
        }
        let Some((at, size)) = due.pop() else { break };
        scan(m, at, size, |value| hits.extend(holding(heap, value)));
    }
    heap.blocks.iter().zip(reached).filter(|(_, reached)| !reached).map(|(block, _)| *block).collect()
}

/// The block that an address lies in.
fn holding(heap: &Heap, value: u32) -> Option<usize> {
    let index = heap.blocks.partition_point(|block| block.at.0 <= value).checked_sub(1)?;
    let block = &heap.blocks[index];
    (value - block.at.0 < block.size).then_some(index)
}

/// Looks at every doubleword of a piece of memory, as far as it is mapped.
fn scan(m: &Machine, at: Va, size: u32, mut look: impl FnMut(u32)) {
    let mut buffer = [0; PAGE as usize];
    let mut done = 0;
    while done < size {
        let from = at.add(done);
        let piece = (PAGE - from.offset()).min(size - done);
        let bytes = &mut buffer[..piece as usize];
        if m.peek(m.cpu.cr3, from, bytes).is_ok() {
            for word in bytes.chunks_exact(4) {
                look(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            }
        }
        done += piece;
    }
}

#[cfg(test)]
mod tests {
    use crate::{Case, kernels};

    fn left(kernel: &str, lines: &str) -> Vec<(String, u32)> {
        let text = format!("# A case.\nprocess app\nthread main in=app\nthread worker in=app\n{lines}");
        let case = Case::parse("x", "x", &text).unwrap();
        crate::drive(&case, kernels::by_name(kernel).unwrap()).unwrap().left_behind()
    }

    #[test]
    fn what_lives_or_is_held_does_not_count() {
        let lines = "e = main NtCreateEvent type=synchronization state=no\n\
                     worker NtDelayExecution alertable=yes interval=forever\n\
                     driver queue-apc thread=main target=main kind=normal\nmain NtSuspendThread thread=worker\n";
        for kernel in ["nt", "reactos"] {
            assert_eq!(left(kernel, ""), [], "{kernel}");
            assert_eq!(left(kernel, lines), [], "{kernel}");
            // A thread that has ended, and whose handles are open, as well.
            assert_eq!(left(kernel, "main NtTerminateThread thread=worker status=1\n"), [], "{kernel}");
        }
    }

    #[test]
    fn an_apc_that_is_pending_at_its_threads_exit_stays_in_reactos() {
        // reactos.md 12, rule 17; nt52.md 9.6 flushes them.
        let lines = "main NtQueueApcThread thread=worker context=1\n\
                     main NtQueueApcThread thread=worker context=2\n\
                     main NtTerminateThread thread=worker status=1\n";
        assert_eq!(left("nt", lines), []);
        assert_eq!(left("reactos", lines), [("pool KAPC".to_owned(), 2)]);
    }
}
