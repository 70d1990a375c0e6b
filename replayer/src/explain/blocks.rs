//! Blocks of the pool, by tag and by whose they are.

use super::{Call, Names, calls};
use contract::{Block, Kernel};
use machine::Machine;
use recorder::{Player, Recording};
use std::collections::BTreeMap;

/// Bytes of a block that are searched for its owner.
const SEARCHED: u32 = 0x1000;
/// The pool lies above user space.
const KERNEL: u32 = 0x8000_0000;

/// The calls of an event (counted from 1; 0 is booting), and those names with which they are told: what an
/// argument that points into the pool was when the call was made, for it may be gone at the event's end.
pub fn told_calls(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    event: usize,
    mut names: Names,
) -> (Names, Vec<Call>) {
    let calls = calls(recording, event);
    names.blocks = blocks(recording, kernel, event, &calls, &names);
    (names, calls)
}

/// The names of arguments of an event's calls that point into blocks of the pool: `PsEx block of worker` is
/// one with the tag `PsEx` whose first pointer to a process or thread is one to `worker`. Where two
/// pointers would have one name, each has its digits too.
fn blocks(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    event: usize,
    calls: &[Call],
    names: &Names,
) -> BTreeMap<u32, String> {
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    let Ok(mut player) = Player::at(recording, kernel, event, 0) else { return found };
    let start = player.machine().retired;
    let threads = [player.machine(), &player.event().machine].map(|m| kernel.threads(m));
    let stacks: Vec<_> = threads.iter().flatten().map(|thread| thread.stack.0.0..thread.stack.1.0).collect();
    let mut heap: Vec<Block> = Vec::new();
    // Of calls that began earlier the arguments are looked at when the event begins.
    for call in calls {
        let elsewhere = |value: u32| value < KERNEL || stacks.iter().any(|stack| stack.contains(&value));
        let unknown =
            |value: &u32| !elsewhere(*value) && !found.contains_key(value) && names.lasting(*value).is_none();
        let wanted: Vec<u32> = call.args.iter().copied().filter(unknown).collect();
        if wanted.is_empty() {
            continue;
        }
        let instant = call.at.saturating_sub(start);
        if player.forward(instant.saturating_sub(player.offset())).is_err() {
            break;
        }
        let m = player.machine();
        for value in wanted {
            if holding(&heap, value).is_none() {
                heap = kernel.heap(m).blocks;
            }
            found.extend(holding(&heap, value).map(|block| (value, title(m, block, names))));
        }
    }
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for title in found.values() {
        *times.entry(title.clone()).or_default() += 1;
    }
    for (value, title) in &mut found {
        if times[title] > 1 {
            *title = format!("{value:08X} {title}");
        }
    }
    found
}

/// The block that a value points into; of blocks in the order of their addresses.
pub(super) fn holding(blocks: &[Block], value: u32) -> Option<Block> {
    let index = blocks.partition_point(|block| block.at.0 <= value).checked_sub(1)?;
    let block = blocks[index];
    (value - block.at.0 < block.size).then_some(block)
}

/// A block's tag, and whose it is: what it holds, or points to first.
pub(super) fn title(m: &Machine, block: Block, names: &Names) -> String {
    let letter = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
    let tag: String = block.tag.to_le_bytes().map(letter).iter().collect();
    let mut raw = vec![0; block.size.min(SEARCHED) as usize];
    // What is not mapped has no owner.
    if m.peek(m.cpu.cr3, block.at, &mut raw).is_err() {
        raw.clear();
    }
    let mut words = raw.chunks_exact(4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
    let held = names.structures.iter().find(|one| holding(&[block], one.id.at.0).is_some());
    let pointed = || words.find_map(|word| names.structures.iter().find(|one| one.id.at.0 == word));
    match held.or_else(pointed) {
        Some(owner) => format!("{} block of {}", tag.trim_end(), owner.name),
        None => format!("a {} block", tag.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apc_is_named_by_its_tag_and_its_thread_though_it_is_gone_at_the_end() {
        let text = "# A thread ends another.\nprocess app\nthread main in=app\nthread worker in=app\n\
                    worker NtDelayExecution alertable=no interval=forever\n\
                    main NtTerminateThread thread=worker status=1\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let kernel = recorder::kernels::by_name("nt").unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let record = recording.event(5).unwrap();
        let bare = Names::new(kernel, &record.machine, &record.named);
        let calls = super::super::calls(&recording, 5);
        let call = calls.iter().find(|call| call.routine == "KeInsertQueueApc").unwrap();
        let before = call.text(&bare);
        assert!(!before.contains("block of worker"), "{before}");
        let (names, _) = told_calls(&recording, kernel, 5, bare);
        assert_eq!(names.meaning(call.args[0]).as_deref(), Some("PsEx block of worker"));
        assert!(
            call.text(&names).starts_with("KeInsertQueueApc(PsEx block of worker, "),
            "{}",
            call.text(&names)
        );
    }
}
