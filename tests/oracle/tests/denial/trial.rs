//! One instruction from one state: undisturbed, and then with each of its accesses denied.

use crate::expect::{Accessed, Denial, Touched, accesses, differs, is_listed, wrong_page_fault};
use crate::stage::{Caught, Kind, Stage, finish};
use iced_x86::Instruction;
use machine::{Machine, Pa, Seg, Stop, Until};
use oracle::{Case, decode};
use std::collections::BTreeMap;

const ACCESSED: u32 = 0x20;
const DIRTY: u32 = 0x40;
const CODE: u16 = 8;
const DOWN: u16 = 4;

/// How many accesses were denied, by what was denied.
#[derive(Default)]
pub struct Counts {
    pub cases: u64,
    pub kinds: BTreeMap<String, u64>,
    /// What the machine does not do, with how often it was met.
    pub stopped: BTreeMap<String, u64>,
}

impl Counts {
    pub fn failed(&self) -> u64 {
        self.kinds.values().sum()
    }
    pub fn add(&mut self, other: &Counts) {
        self.cases += other.cases;
        for (kind, times) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += times;
        }
    }
    fn count(&mut self, kind: String) {
        *self.kinds.entry(kind).or_default() += 1;
    }
}

/// An instruction that was executed to its end.
pub struct Trial<'a> {
    stage: &'a Stage,
    before: Machine,
    end: Machine,
    instruction: Instruction,
    touched: Vec<Touched>,
    listed: Option<Vec<Accessed>>,
}

impl<'a> Trial<'a> {
    /// None where the case cannot be placed or raises an exception by itself.
    pub fn new(stage: &'a Stage, case: &Case, ring: u8, into: u32) -> Result<Option<Trial<'a>>, String> {
        let Some(before) = stage.place(case, ring, into) else { return Ok(None) };
        let wide = before.cpu.segments[1].attributes & 0x4000 != 0;
        let instruction = decode(&case.code, wide);
        let mut end = before.clone();
        if finish(&mut end)?.is_some() {
            return Ok(None);
        }
        let touched = stage
            .pages
            .iter()
            .filter(|page| page.kind != Kind::Delivery)
            .filter_map(|page| {
                let bits = end.memory.read_u32(page.entry);
                (bits & ACCESSED != 0).then_some(Touched { page: *page, written: bits & DIRTY != 0 })
            })
            .collect();
        let listed = accesses(&before, &instruction).filter(|_| is_listed(&before, &end, &instruction));
        // What happens to the stage's own tables is no case of it.
        let far = |one: &Accessed| one.at >= oracle::SYSTEM;
        if listed.iter().flatten().any(far) {
            return Ok(None);
        }
        Ok(Some(Trial { stage, before, end, instruction, touched, listed }))
    }

    /// What tells one way of accessing memory from another.
    pub fn signature(&self) -> Vec<(u32, bool)> {
        self.touched.iter().map(|touched| (touched.page.linear, touched.written)).collect()
    }

    /// The pages of data that it touches, with whether they are written.
    pub fn pages_of_data(&self) -> Vec<(u32, bool)> {
        let data = self.touched.iter().filter(|touched| touched.page.kind == Kind::Data);
        data.map(|touched| (touched.page.linear, touched.written)).collect()
    }

    /// Denies every access once.
    pub fn deny_all(&self, counts: &mut Counts) -> Result<(), String> {
        counts.cases += 1;
        self.all_is_touched()?;
        for touched in &self.touched {
            let user = touched.page.is_of_ring(self.before.cpu.cpl());
            let denials =
                [(Denial::Absent, true), (Denial::ReadOnly, touched.written), (Denial::Supervisor, user)];
            for (denial, _) in denials.into_iter().filter(|(_, applies)| *applies) {
                self.deny_page(*touched, denial)
                    .map_err(|why| format!("{} {denial:?}: {why}", name(*touched)))?;
                counts.count(format!("{} {denial:?}", name(*touched)));
            }
        }
        for seg in [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs] {
            self.deny_segment(seg, counts).map_err(|why| format!("{seg:?}: {why}"))?;
        }
        Ok(())
    }

    /// Holds what the machine touched against iced's list.
    fn all_is_touched(&self) -> Result<(), String> {
        let Some(list) = &self.listed else { return Ok(()) };
        for one in list.iter().filter(|one| !one.sometimes) {
            for page in [one.at, one.at.wrapping_add(one.len - 1)] {
                let known = self.touched.iter().find(|touched| touched.page.linear == page & !0xFFF);
                if !known.is_some_and(|known| known.written || !one.writes) {
                    return Err(format!("{one:X?} is not made"));
                }
            }
        }
        for touched in self.touched.iter().filter(|touched| touched.page.kind == Kind::Data) {
            let told = |one: &Accessed| {
                one.refused_in(touched.page.linear).is_some() && (one.writes || !touched.written)
            };
            if !list.iter().any(told) {
                return Err(format!("{touched:X?} is none of {list:X?}"));
            }
        }
        Ok(())
    }

    fn deny_page(&self, touched: Touched, denial: Denial) -> Result<(), String> {
        let mut denied = self.before.clone();
        let bit = match denial {
            Denial::Absent => 1,
            Denial::ReadOnly => 2,
            Denial::Supervisor => 4,
        };
        let entry = denied.memory.read_u32(touched.page.entry);
        denied.memory.write_u32(touched.page.entry, entry & !bit);
        let caught = self.fault(&denied)?;
        if caught.vector != 14 {
            return Err(format!("exception {} instead of a page fault", caught.vector));
        }
        let told = (caught.error, caught.address);
        // After some iterations the machine is not the one that the list was made for.
        let wrong = wrong_page_fault(
            &self.before,
            &self.instruction,
            self.listed.as_deref(),
            (touched, denial),
            told,
        );
        if let Some(why) = wrong {
            return Err(why);
        }
        if caught.machine.memory.read_u32(touched.page.entry) != entry & !bit {
            let repeated = caught.machine.retired != denied.retired || denial == Denial::ReadOnly;
            if !repeated {
                return Err("the entry that said no has changed".into());
            }
        }
        self.unchanged(&denied, &caught)?;
        let mut again = caught.machine;
        let now = again.memory.read_u32(touched.page.entry);
        again.memory.write_u32(touched.page.entry, now | bit);
        self.goes_on(again)
    }

    fn fault(&self, denied: &Machine) -> Result<Caught, String> {
        let mut m = denied.clone();
        let caught = finish(&mut m)?.ok_or_else(|| "no exception".to_owned())?;
        // Decoded blocks come to the same fault, before the handler's first instruction.
        let mut quick = denied.clone();
        quick.set_caching(true);
        let stop = quick.run(&Until::budget(100));
        if !matches!(stop, Stop::Native(_)) || m.step() != stop || quick != m {
            return Err(format!("in a block it ends with {stop:?}: {:?}", differs(&quick, &m)));
        }
        Ok(caught)
    }

    /// Nothing but what is named differs from the machine before the instruction, or before the iteration.
    fn unchanged(&self, denied: &Machine, caught: &Caught) -> Result<(), String> {
        let mut reference = denied.clone();
        for _ in denied.retired..caught.machine.retired {
            reference.step();
        }
        if let Some(what) = differs(&caught.machine, &reference) {
            return Err(format!("after the exception {what}"));
        }
        if caught.machine.cpu.eflags & 0x1_0000 == 0 {
            return Err("RF is clear in the frame".into());
        }
        self.memory_differs(&caught.machine, &reference, false)
    }

    fn memory_differs(&self, m: &Machine, reference: &Machine, ended: bool) -> Result<(), String> {
        for frame in m.memory.changed(&reference.memory) {
            let (Some(new), Some(old)) = (m.memory.page(frame), reference.memory.page(frame)) else {
                // A page of which only one has been written: the stack of the handler.
                let stack = self.stage.page_of(frame).is_some_and(|page| page.kind == Kind::Delivery);
                if stack {
                    continue;
                }
                return Err(format!("frame {frame:X} was written"));
            };
            for at in (0..0x1000).filter(|at| new[*at] != old[*at]) {
                let place = Pa(frame << 12 | at as u32);
                if !self.may_differ(place, (new[at], old[at]), ended) {
                    return Err(format!("byte {place:?} is {:02X} instead of {:02X}", new[at], old[at]));
                }
            }
        }
        Ok(())
    }

    /// Whether a byte of memory may have changed, by the named exceptions.
    fn may_differ(&self, place: Pa, (new, old): (u8, u8), ended: bool) -> bool {
        match self.stage.page_of(place.frame()) {
            Some(page) if page.kind == Kind::Delivery => true,
            Some(page) if matches!(page.kind, Kind::Gdt | Kind::Ldt) => {
                place.offset() % 8 == 5 && new == old | 1
            }
            Some(_) => false,
            None => {
                // The tables: bits of the pages that the instruction reaches, and of the handler's.
                let entry = Pa(place.0 & !3);
                let Some(page) = self.stage.pages.iter().find(|page| page.entry == entry) else {
                    return false;
                };
                let known = self.touched.iter().find(|touched| touched.page == *page);
                let allowed = match known {
                    _ if ended || page.kind == Kind::Delivery => ACCESSED | DIRTY,
                    Some(known) if known.written => ACCESSED | DIRTY,
                    Some(_) => ACCESSED,
                    None => 0,
                } as u8;
                place.0 & 3 == 0 && new & !allowed == old & !allowed && new & old == old
            }
        }
    }

    /// Given back what was denied, the instruction ends as if nothing had been.
    fn goes_on(&self, mut m: Machine) -> Result<(), String> {
        if let Some(again) = finish(&mut m)? {
            return Err(format!("executed again, it raises exception {}", again.vector));
        }
        if let Some(what) = differs(&m, &self.end) {
            return Err(format!("executed again, it ends with {what}"));
        }
        self.memory_differs(&m, &self.end, true).map_err(|why| format!("executed again, {why}"))
    }

    /// Cuts a segment off before and behind what is accessed through it.
    fn deny_segment(&self, seg: Seg, counts: &mut Counts) -> Result<(), String> {
        let index = seg as usize;
        let whole = self.before.cpu.segments[index];
        // Ring 0 has no other stack for the fault's frame.
        let handlers = seg == Seg::Ss && self.before.cpu.cpl() == 0;
        if whole.attributes & 0x80 == 0 || handlers {
            return Ok(());
        }
        let limited = |limit: u32, attributes: u16| {
            let mut m = self.before.clone();
            m.cpu.segments[index].limit = limit;
            m.cpu.segments[index].attributes = attributes;
            m
        };
        let executed = |limit, attributes| {
            let mut m = limited(limit, attributes);
            matches!(finish(&mut m), Ok(None))
        };
        let data = whole.attributes & CODE == 0;
        let down = data && whole.attributes & DOWN != 0;
        let top = if whole.attributes & 0x4000 != 0 { u32::MAX } else { 0xFFFF };
        // For each direction, limits that allow everything and nothing.
        let mut ways = vec![];
        if !down {
            ways.push((whole.attributes, whole.limit, 0, "limit"));
        }
        if data {
            ways.push((
                whole.attributes | DOWN,
                if down { whole.limit } else { 0 },
                top,
                "expand-down limit",
            ));
        }
        for (attributes, mut good, mut bad, what) in ways {
            if !executed(good, attributes) || executed(bad, attributes) {
                continue;
            }
            while good.abs_diff(bad) > 1 {
                let middle = good.min(bad) + good.abs_diff(bad) / 2;
                if executed(middle, attributes) { good = middle } else { bad = middle }
            }
            let further =
                |by: u32| if bad > good { bad.saturating_add(by).min(top) } else { bad.saturating_sub(by) };
            for limit in [bad, further(1), further(3), further(7)] {
                let m = limited(limit, attributes);
                let caught = self.fault(&m).map_err(|why| format!("{what} {limit:X}: {why}"))?;
                let wanted = if seg == Seg::Ss { 12 } else { 13 };
                if (caught.vector, caught.error) != (wanted, 0) {
                    let (vector, error) = (caught.vector, caught.error);
                    return Err(format!("{what} {limit:X}: exception {vector}, error code {error:X}"));
                }
                self.unchanged(&m, &caught).map_err(|why| format!("{what} {limit:X}: {why}"))?;
                let mut again = caught.machine;
                again.cpu.segments[index] = whole;
                self.goes_on(again).map_err(|why| format!("{what} {limit:X}: {why}"))?;
                counts.count(format!("{seg:?} {what}"));
            }
        }
        Ok(())
    }
}

/// What a page is to an instruction.
fn name(touched: Touched) -> String {
    let what = match touched.page.kind {
        Kind::Code => "fetch",
        Kind::Data if touched.written => "operand that is written",
        Kind::Data => "operand that is read",
        Kind::Gdt if touched.written => "GDT, accessed bit",
        Kind::Gdt => "GDT, descriptor",
        Kind::Ldt if touched.written => "LDT, accessed bit",
        Kind::Ldt => "LDT, descriptor",
        Kind::Idt => "IDT, gate",
        Kind::Tss => "TSS, stack or ports",
        Kind::InnerStack => "inner stack",
        Kind::Delivery => "delivery",
    };
    what.to_owned()
}
