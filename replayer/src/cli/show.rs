//! `tandem show`: what a kernel looks like after an event.

use super::{FINE, ShowOptions, case, has_event, kernel, messages::Messages};
use crate::explain::{self, Names, fields, stack, target};
use crate::words::counted;
use anyhow::Context;
use contract::routine::STAGES;
use contract::{Fact, Kernel, Named, ObjectId, View};
use machine::{Cpu, Machine, Reg, Seg, Va};
use recorder::Player;
use std::path::Path;

/// At most this many bytes of memory, and instructions, are shown.
const MEMORY_MAX: u32 = 0x1_0000;
/// Instructions shown from where the machine stands.
const LISTED: u32 = 6;

/// A place in a run: after an event, or so many instructions into it.
pub(super) type Place = (usize, Option<u64>);

/// `EVENT`, or `EVENT+N`.
pub(super) fn place(text: &str) -> Result<Place, String> {
    let wrong = |_| "EVENT or EVENT+INSTRUCTIONS, two numbers: 4, 4+120".to_owned();
    match text.split_once('+') {
        None => Ok((text.parse().map_err(wrong)?, None)),
        Some((event, instructions)) => {
            Ok((event.parse().map_err(wrong)?, Some(instructions.parse().map_err(wrong)?)))
        }
    }
}

/// `ADDRESS,LENGTH`: hexadecimal digits, and a number of bytes, of at most sixty-four kilobytes.
pub(super) fn range(text: &str) -> Result<(u32, u32), String> {
    let wrong = || {
        format!(
            "ADDRESS,LENGTH: an address in hexadecimal and at most {MEMORY_MAX} bytes, in decimal or as 0x40: \
             81003A38,64"
        )
    };
    let (at, length) = text.split_once(',').ok_or_else(wrong)?;
    Ok((address(at).ok_or_else(wrong)?, count(length).ok_or_else(wrong)?))
}

/// `PLACE,COUNT`: a routine's or label's name or an address, and how many instructions.
pub(super) fn lines_of_code(text: &str) -> Result<(String, u32), String> {
    let wrong = || {
        format!(
            "PLACE,COUNT: a name or an address in hexadecimal, and at most {MEMORY_MAX} instructions: \
             KiSwapContext,10"
        )
    };
    let (place, length) = text.split_once(',').ok_or_else(wrong)?;
    Ok((place.to_owned(), count(length).ok_or_else(wrong)?))
}

fn address(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn count(text: &str) -> Option<u32> {
    let count = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    count.filter(|count| (1..=MEMORY_MAX).contains(count))
}

pub(super) fn run(here: &Path, options: &ShowOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let last = case.lines.len();
    let (wanted, instructions) = options.at.unwrap_or((last, None));
    has_event(&case, wanted)?;
    let recording = recorder::record(&case, kernel).context(shown)?;
    let mut player = Player::at(&recording, kernel, wanted, 0)?;
    let before = player.machine().clone();
    player.forward(instructions.unwrap_or(player.length()))?;
    let (m, event) = (player.machine(), player.event());
    let names = Names::new(kernel, m, &event.named);

    let on = kernel.name();
    let mut text = match (wanted, instructions) {
        (0, None) => format!("{} on {on}, booted\n", case.name),
        (_, None) => format!("{} on {on}, after event {wanted} of {last}\n", case.name),
        (_, Some(done)) => format!(
            "{} on {on}, in event {wanted} of {last}, after {done} of {}\n",
            case.name,
            counted(player.length(), "instruction")
        ),
    };
    if wanted > 0 {
        text.push_str(&format!("line {}: {}\n", event.line, event.text));
    }
    let ended = instructions.is_none_or(|done| done == player.length());
    let view = if ended {
        text.push_str(&format!("  {}\n", event.outcome));
        event.view.clone()
    } else {
        // What ran, and how calls ended, the recorder sees between events.
        let before = wanted.checked_sub(1).and_then(|before| recording.event(before));
        let known = |name: &str| before?.view.threads.iter().find(|thread| thread.name == name);
        let mut view = kernel.view(m, &event.named);
        for thread in &mut view.threads {
            if let Some(known) = known(&thread.name) {
                (thread.ran, thread.call) = (known.ran.clone(), known.call.clone());
            }
        }
        view
    };
    // What is asked for is told alone.
    let mut asked = String::new();
    for wanted in &options.structs {
        asked.push_str(&structure(&names, m, &event.named, wanted)?);
    }
    for (at, length) in &options.memory {
        asked.push_str(&memory(&names, m, Va(*at), *length)?);
    }
    for (place, length) in &options.code {
        let at = code_at(kernel, place)?;
        let text = listing(kernel, m, at, *length);
        asked.push_str(
            &text.with_context(|| format!("{at} is not mapped in the address space that is current"))?,
        );
    }
    for name in &options.stack {
        asked.push_str(&pictures(kernel, &names, m, name)?);
    }
    if !asked.is_empty() {
        text.push_str(&asked);
        messages.text(&text)?;
        return Ok(FINE);
    }
    let title = if ended { "view" } else { "view (what ran and the calls: as before the event)" };
    text.push_str(&section(title, &facts(&view)));
    let boot = &recording.boot.machine;
    let in_use = in_use(&names, &kernel.inventory(boot), &kernel.inventory(m));
    text.push_str(&section("in use, against the booted machine", &in_use));
    let left = recorder::left_behind(kernel, boot, m, &event.named);
    let left: String = left.iter().map(|(kind, count)| format!("  {kind}  {count}\n")).collect();
    text.push_str(&section("left behind", &left));
    let title = if wanted == 0 { "booting" } else { "the event" };
    let fields = fields::differing(kernel, &event.named, &before, m);
    text.push_str(&section(&format!("fields that {title} changed"), &super::explain::changed(&fields, "  ")));
    text.push_str(&registers(kernel, m, &names));
    text.push_str(&around(kernel, m));
    text.push_str(&stacks(kernel, m, &names));
    messages.text(&text)?;
    Ok(FINE)
}

/// A structure or a field by name, a field a line.
fn structure(names: &Names, m: &Machine, named: &[Named], wanted: &str) -> anyhow::Result<String> {
    let target = target::find(names, m, named, wanted).map_err(anyhow::Error::msg)?;
    let mut text = format!("\n{}\n", target.title());
    anyhow::ensure!(
        m.peek(target.cr3, target.at, &mut [0]).is_ok(),
        "{} is not mapped in its address space: there is no {}",
        target.at,
        target.label
    );
    let width = target.fields.iter().map(|field| field.path.len()).max().unwrap_or(0);
    for field in &target.fields {
        let mut bytes = vec![0; field.size as usize];
        let read = m.peek(target.cr3, target.at.add(field.offset), &mut bytes).ok();
        let value = fields::shown(names, field, &read.map(|()| bytes), None);
        text.push_str(&format!("  +{:03X}  {:width$}  {value}\n", field.offset, field.path));
    }
    Ok(text)
}

/// Memory as doublewords, with what each means.
fn memory(names: &Names, m: &Machine, at: Va, length: u32) -> anyhow::Result<String> {
    let mut text = format!("\nmemory at {at}\n");
    for offset in (0..length).step_by(16) {
        let count = 16.min(length - offset);
        let mut bytes = vec![0; count as usize];
        let line = at.add(offset);
        if m.peek(m.cpu.cr3, line, &mut bytes).is_err() {
            anyhow::ensure!(offset > 0, "{at} is not mapped in the address space that is current");
            text.push_str(&format!("  {line}  not mapped\n"));
            break;
        }
        let words: Vec<String> = bytes
            .chunks(4)
            .map(|word| word.iter().rev().map(|byte| format!("{byte:02X}")).collect())
            .collect();
        let meanings: Vec<String> = bytes
            .chunks_exact(4)
            .filter_map(|word| names.meaning(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
            .collect();
        let line = format!("  {line}  {:35}  {}", words.join(" "), meanings.join(", "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// Where the code lies that a text names as the program does (`KiSwapContext`, `KiSwapContext+4`,
/// `NtClose.1`, `park`), or the address that is given.
fn code_at(kernel: &dyn Kernel, place: &str) -> anyhow::Result<Va> {
    let image = kernel.image();
    let routines = image.gates.iter().flat_map(|gate| {
        let numbered = (0u32..).zip(&gate.routines);
        numbered.map(|(number, routine)| (gate.base.add(number * STAGES), routine.name))
    });
    let symbols = image.symbols.iter().map(|(at, name)| (Va(*at), *name));
    let program = contract::program::code().symbols.iter().map(|(name, at)| (*at, *name));
    let known: Vec<(Va, &str)> = symbols.chain(routines.clone()).chain(program).collect();
    let find = |place: &str| known.iter().find(|(_, name)| *name == place).map(|(at, _)| *at);
    let offset = || {
        let (name, offset) = place.split_once('+')?;
        Some(Va(find(name)?.0.checked_add(u32::from_str_radix(offset, 16).ok()?)?))
    };
    let stage = || {
        let (name, stage) = place.split_once('.')?;
        let (entry, _) = routines.clone().find(|(_, known)| *known == name)?;
        Some(entry.add(stage.parse().ok().filter(|stage| *stage < STAGES)?))
    };
    if let Some(at) = find(place).or_else(offset).or_else(stage) {
        return Ok(at);
    }
    address(place).map(Va).with_context(|| {
        let near = recorder::case::nearest(
            place.split(['+', '.']).next().unwrap_or(place),
            known.iter().map(|(_, name)| *name),
        );
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{} has no code named {place}{near}", kernel.name())
    })
}

/// So many instructions; none where there is no memory.
fn listing(kernel: &dyn Kernel, m: &Machine, at: Va, count: u32) -> Option<String> {
    let code = explain::listing(kernel, m, at, count as usize);
    let told = || format!("\ncode at {}\n{}", explain::symbol(kernel, at), super::explain::code(&code));
    (!code.is_empty()).then(told)
}

/// The code at the instruction pointer.
fn around(kernel: &dyn Kernel, m: &Machine) -> String {
    let not_mapped = || format!("\ncode at {}\n  not mapped\n", m.cpu.next());
    listing(kernel, m, m.cpu.next(), LISTED).unwrap_or_else(not_mapped)
}

/// A thread's stacks with every slot named.
fn pictures(kernel: &'static dyn Kernel, names: &Names, m: &Machine, name: &str) -> anyhow::Result<String> {
    let threads = kernel.threads(m);
    let Some(thread) = threads.iter().find(|thread| names.object(thread.id) == name) else {
        anyhow::bail!("{}", target::nearest_thread(kernel, names, m, name));
    };
    let stacks = stack::stacks(names, m, thread);
    let mut text = format!("\nstacks of {}\n{}", titled(names, thread.id), stack::walked(&stacks));
    text.extend(stacks.iter().map(stack::picture));
    Ok(text)
}

/// Lines under a title; a word in their place where there are none.
fn section(title: &str, lines: &str) -> String {
    format!("\n{title}\n{}", if lines.is_empty() { "  nothing\n" } else { lines })
}

/// What is in use more than after booting, or less. What concerns one process is told by its name.
fn in_use(names: &Names, boot: &[(String, u32)], now: &[(String, u32)]) -> String {
    let count = |list: &[(String, u32)], kind: &str| {
        list.iter().find(|(known, _)| known == kind).map_or(0, |(_, count)| *count)
    };
    let gone = boot.iter().filter(|(kind, _)| !now.iter().any(|(known, _)| known == kind));
    let lines = now.iter().chain(gone).filter_map(|(kind, _)| {
        let (before, after) = (count(boot, kind), count(now, kind));
        let name = |id: &str| names.process(u32::from_str_radix(id, 16).ok()?);
        let named = kind.rsplit_once("process ").and_then(|(what, id)| Some(format!("{what}{}", name(id)?)));
        let kind = named.as_ref().unwrap_or(kind);
        (before != after).then(|| format!("  {kind}  {before} -> {after}\n"))
    });
    lines.collect()
}

fn facts(view: &View) -> String {
    let facts = view.facts();
    let width = facts.iter().map(|fact| fact.subject.len()).max().unwrap_or(0);
    let line = |fact: &Fact| format!("  {:width$}  {}: {}\n", fact.subject, fact.property, fact.value);
    facts.iter().map(line).collect()
}

fn registers(kernel: &dyn Kernel, m: &Machine, names: &Names) -> String {
    let Cpu { eflags, cr0, cr2, cr3, dr, .. } = &m.cpu;
    let reg = |reg| m.cpu.reg(reg);
    let seg = |seg| m.cpu.seg(seg).selector;
    let current = titled(names, kernel.current(m));
    format!(
        "\nregisters: {current}\n\
         \x20 eax {:08X}  ebx {:08X}  ecx {:08X}  edx {:08X}  esi {:08X}  edi {:08X}\n\
         \x20 eip {:08X}  esp {:08X}  ebp {:08X}  eflags {eflags:08X}  {}\n\
         \x20 cs {:04X}  ss {:04X}  ds {:04X}  es {:04X}  fs {:04X}  gs {:04X}\n\
         \x20 cr0 {cr0:08X}  cr2 {cr2:08X}  cr3 {cr3:08X}  retired {}\n\
         \x20 dr0 {:08X}  dr1 {:08X}  dr2 {:08X}  dr3 {:08X}  dr6 {:08X}  dr7 {:08X}\n",
        reg(Reg::Eax),
        reg(Reg::Ebx),
        reg(Reg::Ecx),
        reg(Reg::Edx),
        reg(Reg::Esi),
        reg(Reg::Edi),
        m.cpu.eip,
        reg(Reg::Esp),
        reg(Reg::Ebp),
        explain::symbol(kernel, m.cpu.next()),
        seg(Seg::Cs),
        seg(Seg::Ss),
        seg(Seg::Ds),
        seg(Seg::Es),
        seg(Seg::Fs),
        seg(Seg::Gs),
        m.retired,
        dr[0],
        dr[1],
        dr[2],
        dr[3],
        dr[6],
        dr[7],
    )
}

fn stacks(kernel: &'static dyn Kernel, m: &Machine, names: &Names) -> String {
    let mut text = "\nstacks (--stack NAME shows every slot)\n".to_owned();
    for thread in kernel.threads(m) {
        let name = titled(names, thread.id);
        let activity = format!("{:?}", thread.activity).to_lowercase();
        let current = if thread.current { ", current" } else { "" };
        text.push_str(&format!("  {name} ({activity}{current})\n"));
        text.push_str(&stack::walked(&stack::stacks(names, m, &thread)));
    }
    text
}

/// A thread, said to be one; who has no name of its own is told by its ids, which say so already.
fn titled(names: &Names, thread: ObjectId) -> String {
    let name = names.object(thread);
    if name.contains(' ') { name } else { format!("thread {name}") }
}
