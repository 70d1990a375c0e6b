//! The same denials in ring 3 on the real processor: what it says of the vector, of the error code, of CR2
//! and of everything that an instruction can change is held against the machine's.

use iced_x86::{Code, Mnemonic};
use oracle::{
    Case, Denied, Emulated, Real, background, decode, difference, excluded, explained, undefined, unjudged,
};
use std::collections::BTreeMap;

/// The judge, or why there is none.
pub struct Processor {
    real: Result<Real, String>,
    emulated: Emulated,
    agreed: u64,
    explained: BTreeMap<&'static str, u64>,
}

impl Processor {
    pub fn start() -> Processor {
        let constant = background().0[oracle::DATA_SIZE as usize..].to_vec();
        Processor {
            real: Real::start_open(&constant),
            emulated: Emulated::default(),
            agreed: 0,
            explained: BTreeMap::new(),
        }
    }

    /// Denies each of the pages, to either; the first difference.
    pub fn ask(&mut self, code: Code, case: &Case, pages: &[(u32, bool)]) -> Option<String> {
        let Ok(real) = &mut self.real else { return None };
        if excluded(code).is_some() || decode(&case.code, true).mnemonic() == Mnemonic::INVALID {
            return None;
        }
        let instruction = case.instruction();
        for (page, written) in pages {
            for denied in [Denied::Everything, Denied::Writing] {
                if denied == Denied::Writing && !written {
                    continue;
                }
                let machine = match self.emulated.step_denied(case, Some((*page, denied))) {
                    Ok(machine) => machine,
                    Err(stop) => return Some(format!("{stop:?}")),
                };
                if let Some(why) = unjudged(&machine) {
                    *self.explained.entry(why).or_default() += 1;
                    continue;
                }
                let judge = match real.step_denied(case, *page, denied) {
                    Ok(judge) => judge,
                    Err(why) => return Some(why),
                };
                if let Some(why) = explained(&judge, &machine, instruction.mnemonic(), case) {
                    *self.explained.entry(why).or_default() += 1;
                } else if let Some(what) = difference(&judge, &machine, &undefined(&instruction, case)) {
                    return Some(format!("on the real processor, {page:08X} without {denied:?}: {what}"));
                } else {
                    self.agreed += 1;
                }
            }
        }
        None
    }

    pub fn report(&self) {
        if let Err(why) = &self.real {
            return println!("real processor: skipped: {why}");
        }
        println!("real processor: {} denials agreed in everything", self.agreed);
        for (why, times) in &self.explained {
            println!("  {times:7} {why}");
        }
    }
}
