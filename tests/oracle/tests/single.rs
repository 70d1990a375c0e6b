//! Random single instructions of every form, on the machine and on the real processor.
//!
//! `ORACLE_COUNT` says how many to try in all (and more of each form of which fewer than a thousand can be
//! compared, when that is enough for a thousand of each), `ORACLE_SEED` from which seed, `ORACLE_FORM` keeps to
//! the forms whose name contains a text, `ORACLE_CASE` tries that case alone and shows it, and
//! `ORACLE_TABLE` prints the table by form.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("skipped: no x86-64 Linux, so no real processor to ask");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() {
    judged::main();
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod judged {
    use oracle::{
        Bytes, Case, DATA_SIZE, Emulated, End, Form, Generator, Real, State, background, difference,
        explained, lost, named,
    };
    use oracle::{excluded, forms, undefined, unjudged};
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Row {
        tried: u64,
        agreed: u64,
        /// How many the machine does not do, by what it says of them.
        stopped: BTreeMap<String, u64>,
    }

    /// How many cases of each form are compared at least, where there are so many in all.
    const EACH: u64 = 1_000;
    /// How many more cases of a form are tried for that.
    const MOST: u64 = 20_000;
    /// How often the processor is asked again about pointers that a task switch may have lost.
    const AGAIN: usize = 3;

    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    struct Judged {
        real: Real,
        emulated: Emulated,
        generator: Generator,
        seed: u64,
        /// How often the processor was asked again, because a task switch may have come between.
        again: u64,
    }

    impl Judged {
        /// The difference in a case, or what the machine says of an instruction that it does not do.
        fn judge(&mut self, case: &Case) -> Result<Option<String>, String> {
            let machine =
                self.emulated.step(case).map_err(|stop| format!("the machine stops: {}", named(&stop)))?;
            if let Some(why) = unjudged(&machine) {
                return Err(why.to_owned());
            }
            let mut real = self.step(case);
            // One task switch in a hundred thousand cases; what is really so is so every time.
            for _ in 0..AGAIN {
                if !lost(&real, &machine, case) {
                    break;
                }
                self.again += 1;
                real = self.step(case);
            }
            let instruction = case.instruction();
            if let Some(why) = explained(&real, &machine, instruction.mnemonic(), case) {
                return Err(why.to_owned());
            }
            let undefined = undefined(&instruction, case);
            Ok(difference(&real, &machine, &undefined))
        }

        fn step(&mut self, case: &Case) -> (State, End) {
            self.real.step(case).unwrap_or_else(|why| panic!("{why}\n{}", show(case)))
        }
    }

    fn show(case: &Case) -> String {
        let start = &case.start;
        let mut text = format!(
            "    {:02X?}\n    from {:08X?}\n    EIP {:08X} EFLAGS {:06X} ES..GS {:02X?}",
            &case.code[..case.len.min(case.code.len())],
            start.regs,
            start.eip,
            start.eflags,
            start.selectors
        );
        if let Some(x87) = &start.x87 {
            let st: Vec<String> = x87.st.iter().map(oracle::number).collect();
            text += &format!(
                "\n    control {:04X} status {:04X} full {:02X} ST {}",
                x87.control,
                x87.status,
                x87.full,
                st.join(" ")
            );
        }
        let plain = background();
        let changed: Vec<String> = (0..start.bytes.0.len())
            .filter(|at| start.bytes.0[*at] != plain.0[*at])
            .map(|at| format!("{:08X}={:02X}", Bytes::address(at), start.bytes.0[at]))
            .collect();
        text + "\n    memory " + &changed.join(" ")
    }

    pub fn main() {
        let generator = Generator::default();
        let constant = background().0[DATA_SIZE as usize..].to_vec();
        let real = match Real::start(&constant) {
            Ok(real) => real,
            Err(why) => return println!("skipped: {why}"),
        };
        let seed = number("ORACLE_SEED").unwrap_or(1);
        let mut judged = Judged { real, emulated: Emulated::default(), generator, seed, again: 0 };
        let wanted = std::env::var("ORACLE_FORM").unwrap_or_default();
        let all: Vec<Form> = forms();
        let asked: Vec<&Form> = all
            .iter()
            .filter(|form| excluded(form.code).is_none() && format!("{:?}", form.code).contains(&wanted))
            .collect();
        let count = number("ORACLE_COUNT").unwrap_or(200_000);
        let mut table: BTreeMap<usize, Row> = BTreeMap::new();
        let mut failures: Vec<String> = Vec::new();
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut ask = |number: u64| {
            let at = number as usize % asked.len();
            let form = asked[at];
            let case = judged.generator.case(form, judged.seed, number);
            let row = table.entry(at).or_default();
            match judged.judge(&case) {
                Err(why) => *row.stopped.entry(why).or_default() += 1,
                Ok(None) => {
                    row.tried += 1;
                    row.agreed += 1;
                }
                Ok(Some(what)) => {
                    row.tried += 1;
                    let times = failed.entry(format!("{:?}", form.code)).or_default();
                    *times += 1;
                    if *times <= 3 {
                        failures.push(format!("{:?}, case {number}: {what}\n{}", form.code, show(&case)));
                    }
                }
            }
            (row.tried > 0).then_some(row.tried)
        };
        let turns = match number("ORACLE_CASE") {
            Some(case) => case..case + 1,
            None => 0..count,
        };
        turns.for_each(|number| _ = ask(number));
        if count >= EACH * asked.len() as u64 {
            // Of some forms many cases cannot be compared: those go on, unless none of theirs can.
            for at in 0..asked.len() as u64 {
                let mut turn = count.next_multiple_of(asked.len() as u64) + at;
                let last = turn + MOST * asked.len() as u64;
                while turn < last && ask(turn).is_some_and(|tried| tried < EACH) {
                    turn += asked.len() as u64;
                }
            }
        }
        if std::env::var_os("ORACLE_TABLE").is_some() {
            for (at, row) in &table {
                let stopped: Vec<String> =
                    row.stopped.iter().map(|(why, times)| format!("{times} skipped: {why}")).collect();
                let name = format!("{:?}", asked[*at].code);
                println!("{name:28} {:6} tried {:6} agreed {}", row.tried, row.agreed, stopped.join(", "));
            }
            for form in &all {
                if let Some(why) = excluded(form.code) {
                    println!("{:28} skipped: {why}", format!("{:?}", form.code));
                }
            }
        }
        let tried: u64 = table.values().map(|row| row.tried).sum();
        let disagree: u64 = failed.values().sum();
        for failure in failures.iter().take(60) {
            println!("{failure}");
        }
        for (form, times) in &failed {
            println!("{form}: {times} disagree");
        }
        let few: Vec<String> = table
            .iter()
            .filter(|(_, row)| row.tried < EACH)
            .map(|(at, row)| format!("{:?} {}", asked[*at].code, row.tried))
            .collect();
        if count >= EACH * asked.len() as u64 && !few.is_empty() {
            println!("fewer than {EACH} compared: {}", few.join(", "));
        }
        println!("{} cases asked again: a task switch may have lost the x87's pointers", judged.again);
        println!(
            "real processor: {tried} instructions of {} forms tried, {disagree} disagree (seed {seed})",
            table.len()
        );
        assert!(failed.is_empty(), "the machine and the processor disagree");
    }
}
