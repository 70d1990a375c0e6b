//! The machine and Bochs: every rule of the system level as directed tests, and runs of cases in
//! lock-step.
//!
//! Plainly run it takes some seconds: one in eight of the tests of the big families, and one case of each
//! topic. `ORACLE_BOCHS=all` takes every test, in steps as well, and every case on every kernel (two
//! minutes); `ORACLE_BOCHS=everything` does not leave out stretches that are alike to the last word.
//! `ORACLE_BOCHS=write` asks Bochs again for the committed answers. `ORACLE_FAMILY` keeps to the families,
//! or to the topics, whose name contains a text.

use oracle::bochs::directed::{FAMILIES, Family};
use oracle::bochs::judge::{Test, Theirs, Verdict, compare, run_ours, run_theirs};
use oracle::bochs::lockstep::{self, Covered, Stretch};
use oracle::bochs::scene::Scene;
use oracle::bochs::{Bochs, vectors};
use recorder::{Case, kernels, record};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many tests a family may have before only some of them are taken.
const SMALL: usize = 1500;
/// Of the big ones, one in so many.
const SAMPLE: usize = 8;
/// Stretches that one Bochs runs at most.
const BATCH: usize = 20_000;
/// Steps that one Bochs runs at most.
const BATCH_STEPS: usize = 400_000;

fn answers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/bochs.bin")
}

fn is(name: &str, value: &str) -> bool {
    std::env::var(name).is_ok_and(|set| set == value)
}

fn main() {
    let write = is("ORACLE_BOCHS", "write");
    let everything = is("ORACLE_BOCHS", "everything");
    let all = everything || is("ORACLE_BOCHS", "all");
    let only = std::env::var("ORACLE_FAMILY").unwrap_or_default();
    let mut failed = 0;
    match Bochs::find() {
        Ok(bochs) => {
            let judge = Judge { bochs, all, everything, only };
            failed += judge.directed(write);
            if !write {
                failed += judge.runs();
            }
        }
        Err(why) => {
            println!("skipped: {why}");
            assert!(!write, "without Bochs there are no answers to write");
        }
    }
    failed += committed();
    if failed > 0 {
        eprintln!("{failed} disagreements with Bochs");
        std::process::exit(1);
    }
}

/// A row of the table.
#[derive(Default)]
struct Row {
    tried: u64,
    agreed: u64,
    explained: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<String, u64>,
    parted: Vec<String>,
}

impl Row {
    fn count(&mut self, test: &Test, verdict: Verdict) {
        self.tried += 1;
        match verdict {
            Verdict::Agreed => self.agreed += 1,
            Verdict::Explained(why) => *self.explained.entry(why).or_default() += 1,
            Verdict::Skipped(why) => *self.skipped.entry(why).or_default() += 1,
            Verdict::Parted(how) => self.parted.push(format!("{}: {how}", test.name)),
        }
    }

    fn print(&self, name: &str) {
        let (explained, skipped): (u64, u64) = (self.explained.values().sum(), self.skipped.values().sum());
        let parted = self.parted.len();
        println!("{name:<14}{:>7}{:>8}{explained:>11}{skipped:>9}{parted:>8}", self.tried, self.agreed);
        for how in self.parted.iter().take(20) {
            println!("    PARTED {how}");
        }
    }

    fn add(&mut self, other: Row) {
        self.tried += other.tried;
        self.agreed += other.agreed;
        for (why, count) in other.explained {
            *self.explained.entry(why).or_default() += count;
        }
        for (why, count) in other.skipped {
            *self.skipped.entry(why).or_default() += count;
        }
        self.parted.extend(other.parted);
    }

    fn reasons(&self) {
        for (why, count) in &self.explained {
            println!("  explained {count:>5}: {why}");
        }
        for (why, count) in &self.skipped {
            println!("  skipped   {count:>5}: {why}");
        }
    }
}

fn heading() {
    println!(
        "{:<14}{:>7}{:>8}{:>11}{:>9}{:>8}",
        "family", "tried", "agreed", "explained", "skipped", "parted"
    );
}

/// The verdict on a test.
fn judged(base: &Scene, test: &Test, theirs: &Theirs) -> Verdict {
    match run_ours(&test.start) {
        Ok(ours) => compare(base, test, &ours, theirs),
        Err(why) => Verdict::Parted(why),
    }
}

/// The committed answers, which need no Bochs.
fn committed() -> usize {
    let start = Instant::now();
    let bytes = std::fs::read(answers()).unwrap_or_else(|error| panic!("{}: {error}", answers().display()));
    let (base, tests) =
        vectors::load(&bytes).unwrap_or_else(|error| panic!("{}: {error}", answers().display()));
    let mut row = Row::default();
    for (test, theirs) in &tests {
        row.count(test, judged(&base, test, theirs));
    }
    println!("\nthe committed answers of Bochs, {} bytes, {:.1?}", bytes.len(), start.elapsed());
    heading();
    row.print("all");
    row.parted.len()
}

struct Judge {
    bochs: Bochs,
    all: bool,
    everything: bool,
    only: String,
}

/// Which tests of a family are taken.
fn sample(family: &Family, base: &Scene, all: bool) -> Vec<Test> {
    let tests = family.tests(base);
    let every = if all || tests.len() < SMALL { 1 } else { SAMPLE };
    // The grids turn through rings and privileges; their periods are powers of two, and this one is odd.
    let every = if every == 1 { 1 } else { every + 1 };
    tests.into_iter().step_by(every).collect()
}

impl Judge {
    /// The directed tests.
    fn directed(&self, write: bool) -> usize {
        let start = Instant::now();
        let base = Scene::base();
        let families: Vec<&Family> =
            FAMILIES.iter().filter(|family| family.name.contains(&self.only)).collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(family) = families.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let tests = sample(family, &base, self.all);
                done.push((family.name, self.family(&base, tests)));
            }
            done
        };
        let mut rows: Vec<_> = std::thread::scope(|scope| {
            let other = scope.spawn(work);
            let mut rows = work();
            rows.extend(other.join().expect("the other half"));
            rows
        });
        rows.sort_by_key(|(name, _)| FAMILIES.iter().position(|family| family.name == *name));
        println!("directed tests on Bochs, {:.1?}", start.elapsed());
        heading();
        let mut total = Row::default();
        let mut kept = Vec::new();
        for (name, (row, tests)) in rows {
            row.print(name);
            total.add(row);
            kept.extend(tests);
        }
        total.print("all");
        total.reasons();
        if self.only.is_empty() && !self.all {
            let bytes = vectors::save(&base, &kept);
            if write {
                std::fs::create_dir_all(answers().parent().expect("a folder"))
                    .expect("the folder can be made");
                std::fs::write(answers(), bytes).expect("the answers can be written");
            } else if std::fs::read(answers()).unwrap_or_default() != bytes {
                println!("PARTED: the committed answers are not Bochs's; `ORACLE_BOCHS=write` writes them");
                return total.parted.len() + 1;
            }
        }
        total.parted.len()
    }

    fn family(&self, base: &Scene, tests: Vec<Test>) -> (Row, Vec<(Test, Theirs)>) {
        let folder = tempfile::tempdir().expect("a folder for Bochs");
        let ask = |tests: &[Test], stepped| {
            run_theirs(&self.bochs, folder.path(), base, tests, stepped).unwrap_or_else(|why| panic!("{why}"))
        };
        let stepped = self.all || tests.len() < SMALL;
        let mut answers = ask(&tests, stepped);
        let mut row = Row::default();
        for (test, theirs) in tests.iter().zip(&mut answers) {
            let mut verdict = judged(base, test, theirs);
            if matches!(verdict, Verdict::Parted(_)) && !stepped && row.parted.len() < 20 {
                // Once more in steps, to name the instruction.
                let again = ask(std::slice::from_ref(test), true).remove(0);
                verdict = judged(base, test, &again);
            }
            row.count(test, verdict);
        }
        (row, tests.into_iter().zip(answers).collect())
    }

    /// Runs of cases, in lock-step.
    fn runs(&self) -> usize {
        let start = Instant::now();
        let mut run = LockStep {
            judge: self,
            covered: Covered::default(),
            seen: BTreeSet::new(),
            alike: 0,
            waiting: Vec::new(),
            folder: tempfile::tempdir().expect("a folder for Bochs"),
            parted: Vec::new(),
            compared: Covered::default(),
        };
        let mut runs = 0;
        let mut booted = BTreeSet::new();
        for (topic, file) in self.cases() {
            let text = std::fs::read_to_string(&file).expect("a case can be read");
            let name = format!("{topic}/{}", file.file_stem().expect("a name").to_string_lossy());
            let case = Case::parse(&file.display().to_string(), &name, &text)
                .unwrap_or_else(|error| panic!("{error}"));
            let chosen = [case.kernels.0.as_str(), case.kernels.1.as_str()];
            for kernel in kernels::names().iter().filter(|kernel| self.all || chosen.contains(kernel)) {
                // A kernel that this case does not run on.
                let Ok(recording) = record(&case, kernels::by_name(kernel).expect("it was listed")) else {
                    continue;
                };
                // A boot is the same for every case.
                if booted.insert(*kernel) {
                    run.add(&recording, "boot", kernel, true);
                }
                run.add(&recording, &name, kernel, false);
                runs += 1;
            }
        }
        run.flush();
        let Covered { steps, repeated, stretches, natives } = run.covered;
        println!("\n{runs} runs of cases in lock-step with Bochs, {:.1?}", start.elapsed());
        println!(
            "  {steps} steps in {stretches} stretches of executed code, between {natives} native routines"
        );
        println!(
            "  {} steps in {} stretches compared; {} stretches were alike to the last word",
            run.compared.steps, run.compared.stretches, run.alike
        );
        println!("  {repeated} repetitions of an instruction that changes nothing");
        println!("  {} stretches parted", run.parted.len());
        for how in run.parted.iter().take(20) {
            println!("    PARTED {how}");
        }
        run.parted.len()
    }

    /// The cases to run: all of them, or the first of each topic.
    fn cases(&self) -> Vec<(String, PathBuf)> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus");
        let mut found = Vec::new();
        for topic in std::fs::read_dir(corpus).expect("the corpus is there").flatten() {
            let name = topic.file_name().to_string_lossy().into_owned();
            let files =
                std::fs::read_dir(topic.path()).into_iter().flatten().flatten().map(|file| file.path());
            let cases = files.filter(|file| file.extension().is_some_and(|extension| extension == "case"));
            found.extend(cases.map(|file| (name.clone(), file)));
        }
        found.sort();
        found.retain(|(topic, _)| topic.contains(&self.only));
        if !self.all {
            found.dedup_by(|(a, _), (b, _)| a == b);
        }
        found
    }
}

/// Stretches on their way to Bochs.
struct LockStep<'a> {
    judge: &'a Judge,
    covered: Covered,
    compared: Covered,
    seen: BTreeSet<u128>,
    alike: u64,
    waiting: Vec<(String, Stretch)>,
    folder: tempfile::TempDir,
    parted: Vec<String>,
}

impl LockStep<'_> {
    fn add(&mut self, recording: &recorder::Recording, name: &str, kernel: &str, boot: bool) {
        let whose = kernels::by_name(kernel).expect("it was recorded");
        let (stretches, covered) = lockstep::stretches(recording, whose, boot)
            .unwrap_or_else(|why| panic!("{name} on {kernel}: {why}"));
        for stretch in stretches {
            if !self.seen.insert(stretch.digest()) && !self.judge.everything {
                self.alike += 1;
                continue;
            }
            self.compared.steps += stretch.steps.len() as u64;
            self.compared.stretches += 1;
            self.waiting.push((format!("{name} on {kernel}"), stretch));
        }
        self.covered.add(covered);
        let steps: usize = self.waiting.iter().map(|(_, stretch)| stretch.steps.len()).sum();
        if self.waiting.len() > BATCH || steps > BATCH_STEPS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let (names, stretches): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        if stretches.is_empty() {
            return;
        }
        let half = stretches.len().div_ceil(2);
        let ask = |number: usize, stretches: &[Stretch]| {
            let folder = self.folder.path().join(number.to_string());
            std::fs::create_dir_all(&folder).expect("a folder for Bochs");
            lockstep::compare(&self.judge.bochs, &folder, stretches).unwrap_or_else(|why| panic!("{why}"))
        };
        let parted = std::thread::scope(|scope| {
            let second = scope.spawn(|| ask(1, &stretches[half..]));
            let mut parted = ask(0, &stretches[..half]);
            let shifted = second.join().expect("the other half").into_iter();
            parted.extend(shifted.map(|(index, how)| (index + half, how)));
            parted
        });
        self.parted.extend(parted.into_iter().map(|(index, how)| format!("{}: {how}", names[index])));
    }
}
