//! Blocks of the pool that calls pass around, by tag and by whose they are.

use super::{Call, Names};
use contract::{Block, Kernel};
use machine::{Machine, Va};
use recorder::{Player, Recording};
use std::collections::BTreeMap;

/// Bytes of a block that are searched for its owner.
const SEARCHED: u32 = 0x1000;

/// The names of arguments of an event's calls that point into blocks of the pool: `PsEx of worker` is a
/// block with the tag `PsEx` whose first pointer to a process or thread is one to `worker`. A block is
/// looked at when the first of the calls is made, for it may be gone at the event's end. Where two
/// pointers would have one name, each has its digits too.
pub fn blocks(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    event: usize,
    calls: &[Call],
    names: &Names,
) -> BTreeMap<u32, String> {
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    let Ok(mut player) = Player::at(recording, kernel, event, 0) else { return found };
    let start = player.machine().retired;
    let mut heap: Vec<Block> = Vec::new();
    for call in calls.iter().filter(|call| !call.earlier) {
        let unknown =
            |value: &u32| *value >= 0x1_0000 && !found.contains_key(value) && names.meaning(*value).is_none();
        let wanted: Vec<u32> = call.args.iter().copied().filter(unknown).collect();
        if wanted.is_empty() {
            continue;
        }
        let instant = call.at.saturating_sub(start);
        if player.forward(instant.saturating_sub(player.offset())).is_err() {
            break;
        }
        let m = player.machine();
        let stacks: Vec<_> = kernel.threads(m).into_iter().map(|thread| thread.stack).collect();
        for value in wanted {
            if stacks.iter().any(|(low, high)| (low.0..high.0).contains(&value)) {
                continue;
            }
            if holder(&heap, value).is_none() {
                heap = kernel.heap(m).blocks;
            }
            found.extend(holder(&heap, value).map(|block| (value, title(m, block, names))));
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

fn holder(blocks: &[Block], value: u32) -> Option<Block> {
    blocks
        .iter()
        .find(|block| value.checked_sub(block.at.0).is_some_and(|offset| offset < block.size))
        .copied()
}

fn title(m: &Machine, block: Block, names: &Names) -> String {
    let letter = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
    let tag: String = block.tag.to_le_bytes().map(letter).iter().collect();
    let mut raw = vec![0; block.size.min(SEARCHED) as usize];
    // What is not mapped has no owner.
    let words = match m.peek(m.cpu.cr3, Va(block.at.0), &mut raw) {
        Ok(()) => raw.chunks_exact(4),
        Err(_) => [].chunks_exact(4),
    };
    let mut words = words.map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
    let owner = words.find_map(|word| names.structures.iter().find(|one| one.id.at.0 == word));
    match owner {
        Some(owner) => format!("{} of {}", tag.trim_end(), owner.name),
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
        let mut names = Names::new(kernel, &record.machine, &record.named);
        let calls = super::super::calls(&recording, 5);
        let call = calls.iter().find(|call| call.routine == "KeInsertQueueApc").unwrap();
        let before = call.text(&names);
        assert!(!before.contains("of worker"), "{before}");
        names.blocks = blocks(&recording, kernel, 5, &calls, &names);
        assert_eq!(names.meaning(call.args[0]).as_deref(), Some("PsEx of worker"));
        assert!(call.text(&names).starts_with("KeInsertQueueApc(PsEx of worker, "), "{}", call.text(&names));
    }
}
