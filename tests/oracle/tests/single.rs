//! Random single instructions, on the machine and on the real processor.
//!
//! `ORACLE_COUNT` says how many to try (200,000 by default), `ORACLE_SEED` from which seed.

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
    use oracle::{CODE, DATA, DATA_SIZE, Emulated, End, Native, Random, State, classify};
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Row {
        tried: u32,
        agreed: u32,
    }

    fn number(name: &str, default: u64) -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A state whose registers mostly point into the data, so that memory operands hit it.
    fn state(random: &mut Random) -> State {
        let mut regs = [0; 8];
        for reg in &mut regs {
            *reg = match random.below(8) {
                0..=4 => DATA + 0x400 + random.below(u64::from(DATA_SIZE) - 0x800) as u32,
                5 => DATA + DATA_SIZE - random.below(12) as u32,
                6 => random.below(64) as u32,
                _ => random.edge(),
            };
        }
        regs[4] = DATA + 0x800 + random.below(0x800) as u32 * 2;
        let mut data = vec![0; DATA_SIZE as usize];
        for chunk in data.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
        State { regs, eip: CODE, eflags: random.next() as u32 & oracle::STATUS_FLAGS, data }
    }

    /// Bytes that are often one of the instructions of interest.
    fn bytes(random: &mut Random) -> [u8; 15] {
        let mut code = [0; 15];
        for byte in &mut code {
            *byte = random.next() as u8;
        }
        let mut at = 0;
        if random.below(4) == 0 {
            code[at] = random.pick(&[0x66, 0x67, 0xF2, 0xF3, 0xF0]);
            at += 1;
        }
        match random.below(3) {
            0 => code[at] = 0x0F,
            1 => {
                code[at] = random.pick(&[
                    0x69, 0x6B, 0x80, 0x81, 0x83, 0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF,
                ])
            }
            _ => {}
        }
        code
    }

    fn differs(native: &(State, End), emulated: &(State, End), undefined: u32) -> Option<String> {
        let (left, right) = (&native.0, &emulated.0);
        if native.1 != emulated.1 {
            return Some(format!("end: processor {:?}, machine {:?}", native.1, emulated.1));
        }
        if left.eip != right.eip {
            return Some(format!("EIP: processor {:08X}, machine {:08X}", left.eip, right.eip));
        }
        for (index, name) in ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"].iter().enumerate() {
            if left.regs[index] != right.regs[index] {
                return Some(format!(
                    "{name}: processor {:08X}, machine {:08X}",
                    left.regs[index], right.regs[index]
                ));
            }
        }
        if (left.eflags ^ right.eflags) & !undefined != 0 {
            return Some(format!(
                "EFLAGS: processor {:03X}, machine {:03X}, undefined {undefined:03X}",
                left.eflags, right.eflags
            ));
        }
        let byte = left.data.iter().zip(&right.data).position(|(a, b)| a != b)?;
        Some(format!(
            "byte {:08X}: processor {:02X}, machine {:02X}",
            DATA + byte as u32,
            left.data[byte],
            right.data[byte]
        ))
    }

    pub fn main() {
        let mut native = match Native::start() {
            Ok(native) => native,
            Err(why) => {
                println!("skipped: {why}");
                return;
            }
        };
        let (count, seed) = (number("ORACLE_COUNT", 200_000), number("ORACLE_SEED", 1));
        let emulated = Emulated::default();
        let mut random = Random(seed);
        let mut table: BTreeMap<String, Row> = BTreeMap::new();
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        let (mut tried, mut failures) = (0, Vec::new());
        while tried < count && failures.len() < 40 {
            let code = bytes(&mut random);
            let start = state(&mut random);
            let form = match classify(&code, &start) {
                Ok(form) => form,
                Err(why) => {
                    *skipped.entry(why.to_owned()).or_default() += 1;
                    continue;
                }
            };
            let machine = match emulated.step(&code, &start) {
                Ok(machine) => machine,
                Err(stop) => {
                    *skipped.entry(format!("{:?}: the machine stops: {stop:?}", form.code)).or_default() += 1;
                    continue;
                }
            };
            let real = native.step(&code, &start).expect("the judge goes on");
            tried += 1;
            // After a fault the flags and registers are those from before; nothing is undefined.
            let undefined = if real.1 == End::Done { form.undefined } else { 0 };
            let row = table.entry(format!("{:?}", form.code)).or_default();
            row.tried += 1;
            match differs(&real, &machine, undefined) {
                None => row.agreed += 1,
                Some(what) => failures.push(format!(
                    "{:?} {:02X?}: {what}\n    from {:08X?} flags {:03X}",
                    form.code,
                    &code[..form.len],
                    start.regs,
                    start.eflags
                )),
            }
        }
        if std::env::var_os("ORACLE_TABLE").is_some() {
            for (form, row) in &table {
                println!("{form:24} {:7} tried {:7} agreed", row.tried, row.agreed);
            }
            for (why, times) in &skipped {
                println!("skipped {times:8}: {why}");
            }
        }
        println!(
            "real processor: {tried} instructions of {} forms tried, {} disagree (seed {seed})",
            table.len(),
            failures.len()
        );
        for failure in &failures {
            println!("{failure}");
        }
        assert!(failures.is_empty(), "the machine and the processor disagree");
    }
}
