//! Random short programs on the machine, with blocks and without, and on the real processor.
//!
//! `ORACLE_PROGRAMS` says how many to try, `ORACLE_SEED` from which seed, and `ORACLE_CASE` tries that
//! program alone and shows it. A program on which two disagree is shown after everything was taken out
//! of it that is not needed for them to disagree.

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
    use oracle::program::Program;
    use oracle::{
        DATA_SIZE, End, Generator, PARTIAL, Pools, Ran, Real, Scene, State, Traced, Undefined, Whole,
        background, difference, explained, forget_operand, forms, may_be_partial,
    };
    use std::collections::BTreeMap;

    /// How often the processor is asked again about a program on which it disagrees.
    const AGAIN: usize = 3;

    /// What came of a program.
    enum Verdict {
        /// Everything was the same. How many instructions were executed, and the exception at the end.
        Agreed(u64, u8),
        /// There was nothing to compare, and why.
        Skipped(String),
        Disagreed(String),
    }

    struct Judges {
        start: Box<dyn Fn() -> Result<Real, String>>,
        real: Real,
        whole: Whole,
        /// How often the processor was asked again.
        again: u64,
    }

    impl Judges {
        fn judge(&mut self, program: &Program, piece: u64) -> Verdict {
            let mut scene = program.scene();
            let traced = match scene.settle(&mut self.whole) {
                Ok(traced) => traced,
                Err(why) => return Verdict::Skipped(why),
            };
            for piece in [u64::MAX, piece] {
                if let Some(what) = self.whole.blocks(&scene, piece) {
                    return Verdict::Disagreed(format!("in blocks, {piece} at a time: {what}"));
                }
            }
            let mut verdict = self.ask(&scene, &traced);
            // An interrupt of the system's between two instructions changes null selectors of 1 to 3 to 0 on
            // Intel's processors; what is really so is so every time.
            for _ in 0..AGAIN {
                if !matches!(verdict, Verdict::Disagreed(_)) {
                    break;
                }
                self.again += 1;
                verdict = self.ask(&scene, &traced);
            }
            verdict
        }

        fn ask(&mut self, scene: &Scene, traced: &Traced) -> Verdict {
            match self.real.run(scene) {
                Ok((state, end, page)) => compared(Ran { state, end, page }, traced, &scene.start),
                Err(why) => {
                    // What made the judge disagree has ended it.
                    self.real = (self.start)().expect("a judge again");
                    Verdict::Disagreed(format!("the processor does not come back: {why}"))
                }
            }
        }
    }

    fn compared(mut real: Ran, traced: &Traced, start: &State) -> Verdict {
        let machine = &traced.ran;
        let mut state = machine.state.clone();
        forget_operand(&real.state, &mut state, start);
        for flags in [&mut real.state.eflags, &mut state.eflags] {
            *flags &= !traced.undefined;
        }
        let (left, right) = ((real.state, real.end), (state, machine.end));
        if let Some(why) = explained(&left, &right, traced.mnemonic, &traced.last) {
            return Verdict::Skipped(why.to_owned());
        }
        if let Some(what) = difference(&left, &right, &Undefined::default()) {
            let mask = traced.undefined;
            return Verdict::Disagreed(format!("{what} (undefined at the end: {mask:X})"));
        }
        match real.page.iter().zip(&machine.page).position(|(a, b)| a != b) {
            Some(_) if may_be_partial(right.1, traced.mnemonic) => Verdict::Skipped(PARTIAL.to_owned()),
            Some(at) => Verdict::Disagreed(format!(
                "byte {at:X} of the code is {:02X} instead of {:02X}",
                machine.page[at], real.page[at]
            )),
            None => Verdict::Agreed(
                traced.executed,
                match left.1 {
                    End::Fault { vector, .. } => vector,
                    End::Done => unreachable!("a program ends with an exception"),
                },
            ),
        }
    }

    /// The shortest program that can be had by leaving parts out and on which two still disagree.
    fn shrunk(judges: &mut Judges, program: Program, what: String, piece: u64) -> (Program, String) {
        let (mut program, mut what) = (program, what);
        let mut index = program.parts.len();
        while index > 0 {
            index -= 1;
            let shorter = program.without(index);
            if let Verdict::Disagreed(still) = judges.judge(&shorter, piece) {
                (program, what) = (shorter, still);
                index = program.parts.len();
            }
        }
        (program, what)
    }

    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    fn show(program: &Program) -> String {
        let start = &program.start;
        let plain = background();
        let changed: Vec<String> = (0..start.bytes.0.len())
            .filter(|at| start.bytes.0[*at] != plain.0[*at])
            .map(|at| format!("{:08X}={:02X}", oracle::Bytes::address(at), start.bytes.0[at]))
            .collect();
        let x87 = start.x87.as_ref().map_or(String::new(), |x87| {
            format!("\n    x87 control {:04X} status {:04X} full {:02X}", x87.control, x87.status, x87.full)
        });
        format!(
            "{}    from {:08X?}\n    EIP {:08X} EFLAGS {:06X} ES..GS {:02X?}{x87}\n    memory {}",
            program.listing(),
            start.regs,
            start.eip,
            start.eflags,
            start.selectors,
            changed.join(" ")
        )
    }

    pub fn main() {
        let constant = background().0[DATA_SIZE as usize..].to_vec();
        let start = Box::new(move || Real::programs(&constant));
        let real = match start() {
            Ok(real) => real,
            Err(why) => return println!("skipped: {why}"),
        };
        let mut judges = Judges { start, real, whole: Whole::default(), again: 0 };
        let generator = Generator::default();
        let pools = Pools::new(&forms());
        let seed = number("ORACLE_SEED").unwrap_or(1);
        let count = number("ORACLE_PROGRAMS").unwrap_or(20_000);
        let alone = number("ORACLE_CASE");
        let (mut agreed, mut executed, mut disagreed) = (0, 0, 0);
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        let mut ends: BTreeMap<u8, u64> = BTreeMap::new();
        for number in alone.map_or(0..count, |case| case..case + 1) {
            let program = generator.program(&pools, seed, number);
            if alone.is_some() {
                println!("program {number}\n{}", show(&program));
            }
            let piece = 1 + number % 5;
            match judges.judge(&program, piece) {
                Verdict::Agreed(instructions, vector) => {
                    agreed += 1;
                    *ends.entry(vector).or_default() += 1;
                    executed += instructions;
                }
                Verdict::Skipped(why) => *skipped.entry(why).or_default() += 1,
                Verdict::Disagreed(what) => {
                    disagreed += 1;
                    let (program, what) = shrunk(&mut judges, program, what, piece);
                    println!("program {number}: {what}\n{}", show(&program));
                    if disagreed == 10 {
                        break;
                    }
                }
            }
        }
        for (why, times) in &skipped {
            println!("{times} programs skipped: {why}");
        }
        println!("asked again {} times: an interrupt of the system's may have come between", judges.again);
        for (vector, times) in &ends {
            println!("{times} programs end with exception {vector}");
        }
        println!(
            "real processor: {agreed} programs agree, {executed} instructions, {disagreed} disagree (seed {seed})"
        );
        assert!(disagreed == 0, "the machine and the processor disagree");
        assert!(alone.is_some() || agreed > count * 3 / 4, "most programs can be compared");
    }
}
