//! `tandem show`: what a kernel looks like after an event.

use super::{FINE, ShowOptions, case, kernel, messages::Messages};
use crate::explain::{self, FieldChange, Names, fields, stack};
use contract::{Fact, Kernel, Named, View};
use machine::{Cpu, Machine, Reg, Seg};
use recorder::Run;
use std::path::Path;

/// At most this many fields are shown.
const FIELDS: usize = 60;

pub(super) fn run(here: &Path, options: &ShowOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, _) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let last = case.lines.len();
    let wanted = options.event.unwrap_or(last);
    anyhow::ensure!(wanted <= last, "{} has {last} events; there is no event {wanted}", case.name);

    let mut run = Run::start(&case, kernel)?;
    let mut text = format!("{} on {}, booted\n", case.name, kernel.name());
    let mut view = kernel.view(run.machine(), run.named());
    let mut before = run.machine().clone();
    for number in 1..=wanted {
        before = run.machine().clone();
        let Some(event) = run.next_event()? else { break };
        text = format!(
            "{} on {}, after event {number} of {last}\nline {}: {}\n  {}\n",
            case.name,
            kernel.name(),
            event.line,
            event.text,
            event.outcome
        );
        view = event.view;
    }
    text.push_str(&facts(&view));
    text.push_str(&changed(&fields::differing(kernel, run.named(), &before, run.machine())));
    text.push_str(&registers(kernel, run.machine(), run.named()));
    text.push_str(&stacks(kernel, run.machine(), run.named()));
    messages.text(&text)?;
    Ok(FINE)
}

fn facts(view: &View) -> String {
    let facts = view.facts();
    let width = facts.iter().map(|fact| fact.subject.len()).max().unwrap_or(0);
    let line = |fact: &Fact| format!("  {:width$}  {}: {}\n", fact.subject, fact.property, fact.value);
    format!("\nview\n{}", facts.iter().map(line).collect::<String>())
}

fn changed(fields: &[FieldChange]) -> String {
    let lines: String = fields.iter().take(FIELDS).map(|field| format!("  {field}\n")).collect();
    let more = fields.len().saturating_sub(FIELDS);
    let more = if more == 0 { String::new() } else { format!("  … and {more} more\n") };
    format!("\nfields that the event changed\n{lines}{more}")
}

fn registers(kernel: &dyn Kernel, m: &Machine, named: &[Named]) -> String {
    let Cpu { eflags, cr0, cr2, cr3, dr, .. } = &m.cpu;
    let reg = |reg| m.cpu.reg(reg);
    let seg = |seg| m.cpu.seg(seg).selector;
    let current = kernel.current(m);
    let current = match name(named, current) {
        Some(name) => format!("thread {name}"),
        None if current == kernel.scene(m).thread => "thread init".to_owned(),
        None => "a thread without a name".to_owned(),
    };
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

fn stacks(kernel: &'static dyn Kernel, m: &Machine, named: &[Named]) -> String {
    let mut text = "\nstacks\n".to_owned();
    let names = Names::new(kernel, m, named);
    for thread in kernel.threads(m) {
        let Some(name) = name(named, thread.id) else { continue };
        let activity = format!("{:?}", thread.activity).to_lowercase();
        let current = if thread.current { ", current" } else { "" };
        text.push_str(&format!("  thread {name} ({activity}{current})\n"));
        text.push_str(&stack::walked(&stack::stacks(&names, m, &thread)));
    }
    text
}

fn name(named: &[Named], id: contract::ObjectId) -> Option<&str> {
    named.iter().find(|named| named.id == id).map(|named| named.name.as_str())
}
