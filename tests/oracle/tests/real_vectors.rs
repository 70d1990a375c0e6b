//! The machine gives the real processor's committed answers, on every platform.
//!
//! `ORACLE_REAL=write` asks the processor and writes them.

use oracle::vectors::{EACH, MAGIC, SEED, answer, mix};
use oracle::{Case, Emulated, Generator, excluded, forms, undefined};
use std::path::PathBuf;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/real.bin")
}

/// The cases with the names of their forms, and the digest of all of them.
fn cases() -> (Vec<(String, Case)>, u64) {
    let asked: Vec<_> = forms().into_iter().filter(|form| excluded(form.code).is_none()).collect();
    let generator = Generator::default();
    let mut all = 0;
    let mut cases = Vec::new();
    for number in 0..asked.len() * EACH {
        let form = &asked[number % asked.len()];
        let case = generator.case(form, SEED, number as u64);
        all = mix(all, &case);
        cases.push((format!("{:?}, case {number}", form.code), case));
    }
    (cases, all)
}

fn mask(case: &Case) -> oracle::Undefined {
    undefined(&case.instruction(), case)
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn write(cases: &[(String, Case)], all: u64) {
    let constant = oracle::background().0[oracle::DATA_SIZE as usize..].to_vec();
    let mut real = oracle::Real::start(&constant).expect("a processor to ask");
    let emulated = Emulated::default();
    let mut file = MAGIC.to_vec();
    file.extend(all.to_le_bytes());
    for (_, case) in cases {
        let judge = real.step(case).expect("the judge goes on");
        let mnemonic = case.instruction().mnemonic();
        let compared = emulated
            .step(case)
            .is_ok_and(|machine| oracle::explained(&judge, &machine, mnemonic, case).is_none());
        file.extend(if compared { answer(&judge, &mask(case)) } else { 0 }.to_le_bytes());
    }
    std::fs::write(path(), file).expect("the answers can be written");
}

#[test]
fn the_machine_gives_the_processors_answers() {
    let (cases, all) = cases();
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if std::env::var_os("ORACLE_REAL").is_some() {
        write(&cases, all);
    }
    let file = std::fs::read(path()).expect("vectors/real.bin");
    let (head, answers) = file.split_at(16);
    assert_eq!(&head[..8], MAGIC, "a file of answers");
    assert_eq!(head[8..], all.to_le_bytes(), "the generator has changed: write the answers anew");
    assert_eq!(answers.len(), 8 * cases.len(), "an answer for each case");
    let emulated = Emulated::default();
    let (mut compared, mut wrong) = (0, Vec::new());
    for ((name, case), wanted) in cases.iter().zip(answers.chunks_exact(8)) {
        if wanted == [0; 8] {
            continue;
        }
        compared += 1;
        let given = emulated.step(case).map(|outcome| answer(&outcome, &mask(case)));
        if given.as_ref().map(|given| given.to_le_bytes()).ok().as_ref().map(|given| &given[..])
            != Some(wanted)
        {
            wrong.push(name.clone());
        }
    }
    assert!(compared > 30_000, "{compared} answers compared");
    assert!(wrong.is_empty(), "not as the processor answered: {wrong:#?}");
}
