//! Every access of every form of instruction fails once: precisely the page, or the part of a segment, that
//! it needs is taken away, and the instruction must raise the right exception and have changed nothing but
//! what [`expect::EXCEPTIONS`] names. Given the page back it is executed again, and must end as if nothing
//! had been taken away.
//!
//! `ORACLE_FORM` keeps to the forms whose name contains a text; `ORACLE_TABLE` prints the table by form.

mod expect;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod processor;
mod stage;
mod trial;

use expect::{EXCEPTIONS, NOT_USED};
use iced_x86::Code;
use oracle::{Case, Generator, forms};
use stage::{CALL_GATE, CALL_GATE16, FREE_LOCAL, FREE_TASK, GATES, Stage};
use std::collections::{BTreeMap, BTreeSet};
use trial::{Counts, Trial};

/// Cases that are tried of a form in each ring, and how many of them are denied: one for each different
/// set of pages that is touched.
const TRIED: u64 = 160;
/// The same, where none has been executed to its end before.
const TRIED_AT_MOST: u64 = 2000;
const DENIED: usize = 6;

/// Forms that have no access to deny besides their fetch, because they never do anything else than raise
/// #UD here, and those that the machine stops at.
fn never_done(code: Code) -> bool {
    use iced_x86::Mnemonic as M;
    let never = [Code::Reservednop_rm16_r16_0F0D, Code::Reservednop_rm32_r32_0F0D];
    matches!(code.mnemonic(), M::Ud0 | M::Ud1 | M::Ud2) || never.contains(&code)
}

/// Makes system instructions meet what the stage has for them.
fn fit(case: &mut Case, number: u64) {
    use iced_x86::Mnemonic as M;
    let i = case.instruction();
    let pick = |choices: &[u16]| choices[number as usize % choices.len()];
    let selector = match i.mnemonic() {
        M::Ltr => FREE_TASK,
        M::Lldt => FREE_LOCAL,
        M::Call if number.is_multiple_of(3) => pick(&[CALL_GATE, CALL_GATE16]),
        M::Int => {
            let last = case.len - 1;
            case.code[last] = GATES[number as usize % GATES.len()];
            return;
        }
        M::Rdmsr | M::Wrmsr => {
            case.start.regs[1] = 0x174;
            return;
        }
        M::In | M::Insb | M::Insw | M::Insd | M::Out | M::Outsb | M::Outsw | M::Outsd => {
            case.start.regs[2] &= 0x7FF;
            return;
        }
        _ => return,
    };
    use iced_x86::OpKind as K;
    match i.op0_kind() {
        K::FarBranch16 | K::FarBranch32 => {
            let end = case.len;
            case.code[end - 2..end].copy_from_slice(&selector.to_le_bytes());
        }
        K::Register => case.start.regs[i.op0_register().full_register32().number()] = selector.into(),
        K::Memory => {
            let m = Stage::new().place(case, 3, 0);
            let at = m.and_then(|m| expect::accesses(&m, &i)?.first().copied());
            if let Some(at) = at {
                let size = i.memory_size().size() as u32;
                case.start.bytes.put(at.at.wrapping_add(size - 2), &selector.to_le_bytes());
            }
        }
        _ => {}
    }
}

fn main() {
    let wanted = std::env::var("ORACLE_FORM").unwrap_or_default();
    let (stage, generator) = (Stage::new(), Generator::default());
    let mut rows: BTreeMap<String, Counts> = BTreeMap::new();
    let mut nothing: BTreeSet<String> = BTreeSet::new();
    let mut failures = Vec::new();
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    let mut processor = processor::Processor::start();
    for (index, form) in forms().iter().enumerate() {
        let name = format!("{:?}", form.code);
        if !name.contains(&wanted) {
            continue;
        }
        let mut counts = Counts::default();
        for ring in [3, 1, 0] {
            let mut known = BTreeSet::new();
            // What ring 1 may do is not tried in ring 0, where a fault's frame goes on the same stack.
            if ring == 0 && counts.cases > 0 {
                continue;
            }
            for number in 0..TRIED_AT_MOST {
                if number >= TRIED && counts.cases > 0 {
                    break;
                }
                let mut case = generator.case(form, 0xDE_41ED, number << 16 | index as u64);
                if case.code.len() < case.len {
                    continue;
                }
                fit(&mut case, number);
                // Now and then the instruction itself lies in two pages.
                let into = if number.is_multiple_of(4) {
                    0x1000 - 1 - number as u32 / 4 % (case.len as u32)
                } else {
                    0
                };
                match Trial::new(&stage, &case, ring, into) {
                    Ok(Some(trial)) if known.len() < DENIED && known.insert(trial.signature()) => {
                        if let Err(why) = trial.deny_all(&mut counts) {
                            failures.push(format!("{name} in ring {ring}, case {number}: {why}"));
                            break;
                        }
                        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
                        if ring == 3 && into == 0 {
                            let told = processor.ask(form.code, &case, &trial.pages_of_data());
                            failures.extend(told.map(|why| format!("{name}, case {number}: {why}")));
                        }
                    }
                    Ok(_) => {}
                    Err(stop) => *counts.stopped.entry(stop).or_default() += 1,
                }
            }
        }
        if counts.cases == 0 && !never_done(form.code) && counts.stopped.is_empty() {
            nothing.insert(name.clone());
        }
        rows.insert(name, counts);
    }
    report(&rows);
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    processor.report();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    println!("skipped: no x86-64 Linux, so no real processor to ask");
    for failure in failures.iter().take(40) {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} forms fail with something else than they should", failures.len());
    let failed: u64 = rows.values().map(Counts::failed).sum();
    assert!(!wanted.is_empty() || failed > 70_000, "only {failed} accesses failed");
    assert!(nothing.is_empty(), "no case of these forms is executed to its end: {nothing:#?}");
}

fn report(rows: &BTreeMap<String, Counts>) {
    let mut all = Counts::default();
    for (name, counts) in rows {
        if std::env::var_os("ORACLE_TABLE").is_some() {
            let stopped: Vec<String> =
                counts.stopped.iter().map(|(why, times)| format!("{times} not done: {why}")).collect();
            println!(
                "{name:28} {:4} cases {:6} accesses failed {}",
                counts.cases,
                counts.failed(),
                stopped.join(", ")
            );
        }
        all.add(counts);
    }
    let done = rows.values().filter(|counts| counts.cases > 0).count();
    println!("{done} forms in {} cases, {} accesses failed:", all.cases, all.failed());
    for (what, times) in &all.kinds {
        println!("  {times:7} {what}");
    }
    println!("what may change all the same:");
    for (what, source) in EXCEPTIONS {
        println!("  {what}: {source}");
    }
    println!("what the manuals would allow besides:");
    for (what, source) in NOT_USED {
        println!("  {what}: {source}");
    }
}
