//! A stack as text: its frames a line each, or all its slots.

use super::{Stack, StackFrame};

/// The frames of a thread's stacks, a line each.
pub fn walked(stacks: &[Stack]) -> String {
    if stacks.is_empty() {
        return "    no stack: it has ended\n".to_owned();
    }
    let mut text = String::new();
    for stack in stacks {
        for StackFrame { eip, ebp, title } in &stack.frames {
            text.push_str(&format!("    ring {}  ebp {ebp:08X}  {eip:08X}  {title}\n", stack.ring));
        }
    }
    text
}

/// A stack as a picture: its slots from the top of the stack's use down to its base, each with its
/// address, what it holds, what it is and what that means.
pub fn picture(stack: &Stack) -> String {
    let width = stack.slots.iter().map(|slot| slot.name.chars().count()).max().unwrap_or(0);
    let mut text = format!("    ring {}, esp {:08X}\n", stack.ring, stack.esp);
    for slot in &stack.slots {
        let count = if slot.count > 1 { format!("×{}", slot.count) } else { String::new() };
        let meaning = slot.meaning.as_deref().unwrap_or_default();
        let line =
            format!("    {:08X}  {:08X} {count:5} {:width$}  {meaning}", slot.at, slot.value, slot.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
