//! The stage on which accesses are denied: every kind of memory that an instruction can reach has pages
//! of its own, and what the delivery of an exception needs lies in other pages than what instructions use.

use machine::registers::control::{AM, MP, OSFXSR, PG, WP};
use machine::{Machine, Pa, Reg, Seg, Segment, Stop, Table, Va};
use oracle::bochs::scene::{descriptor, gate};
use oracle::{CODE, CONSTANT, Case, DATA, FLAGS, FLAT_CODE, FLAT_DATA, LDT, NOTHING, local};

/// Tables of descriptors and the like, above everything that a generated operand aims at.
const TABLES: u32 = 0xFFFF_0000;
const GDT: u32 = TABLES;
const LOCAL: u32 = TABLES + 0x2000;
/// Vectors 0 to 7 lie in the page before, those of the faults in the page behind.
const IDT: u32 = TABLES + 0x4000 - 8 * 8;
/// The stack of ring 0 lies in the page before, that of ring 1 and the map of ports behind.
const TASK: u32 = TABLES + 0x6000 - 0xC;
const STACK0: u32 = TABLES + 0x8000;
const HANDLERS: u32 = TABLES + 0x8000;
/// Pushing on it soon crosses a page.
const STACK1: u32 = TABLES + 0xA008;
const TASK_LIMIT: u32 = 0x288;

/// What enters handlers of faults, in the GDT's second page.
const HANDLER_CODE: u16 = 0x1008;
const HANDLER_STACK: u16 = 0x1010;
/// Code and data of ring 1.
const CODE1: u16 = 0x31;
const DATA1: u16 = 0x39;
/// For LTR and LLDT.
pub const FREE_TASK: u16 = 0x40;
pub const FREE_LOCAL: u16 = 0x48;
/// Call gates to ring 1, with three parameters, of 32 and of 16 bits.
pub const CALL_GATE: u16 = 0x5B;
pub const CALL_GATE16: u16 = 0x63;
const SHORT1: u16 = 0x69;
const SHORT0: u16 = 0x70;
/// Vectors with gates to ring 1 that ring 3 may use: one in the IDT's first page, one in its second.
pub const GATES: [u8; 3] = [3, 4, 0x90];

const DIRECTORY: u32 = 0x1000;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Code,
    Data,
    Gdt,
    Ldt,
    Idt,
    Tss,
    InnerStack,
    /// What delivery needs. Never denied.
    Delivery,
}

const PAGES: [(u32, u32, Kind); 16] = [
    (CODE, 5, Kind::Code),
    (CODE + 0x1000, 5, Kind::Code),
    (DATA, 7, Kind::Data),
    (DATA + 0x1000, 7, Kind::Data),
    (CONSTANT, 5, Kind::Data),
    (TABLES, 3, Kind::Gdt),
    (TABLES + 0x1000, 3, Kind::Delivery),
    (TABLES + 0x2000, 3, Kind::Ldt),
    (TABLES + 0x3000, 3, Kind::Idt),
    (TABLES + 0x4000, 3, Kind::Delivery),
    (TABLES + 0x5000, 3, Kind::Delivery),
    (TABLES + 0x6000, 3, Kind::Tss),
    (TABLES + 0x7000, 3, Kind::Delivery),
    (TABLES + 0x8000, 3, Kind::Delivery),
    (TABLES + 0x9000, 3, Kind::InnerStack),
    (TABLES + 0xA000, 3, Kind::InnerStack),
];

/// A page of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub linear: u32,
    pub kind: Kind,
    /// Where its entry in a page table is.
    pub entry: Pa,
}

impl Page {
    /// Whether instructions reach it with their own rights, not with the processor's.
    pub fn is_of_ring(&self, ring: u8) -> bool {
        ring == 3 && matches!(self.kind, Kind::Code | Kind::Data)
    }
}

/// The machine before any case.
pub struct Stage {
    ready: Machine,
    pub pages: Vec<Page>,
}

/// What a fault left: its vector, its error code, and the machine as it was when it was raised.
pub struct Caught {
    pub vector: u8,
    pub error: u32,
    pub address: u32,
    /// The machine, with what the frame saved put back. Its flags hold RF.
    pub machine: Machine,
}

fn physical(linear: u32) -> Pa {
    let index = PAGES.iter().position(|page| page.0 == linear & !0xFFF).expect("a page of the stage");
    Pa((8 + index as u32) << 12 | linear & 0xFFF)
}

impl Stage {
    pub fn new() -> Stage {
        let mut m = Machine::new(64);
        m.set_caching(false);
        let (mut table, mut pages) = (DIRECTORY, Vec::new());
        for (linear, rights, kind) in PAGES {
            let upper = DIRECTORY + (linear >> 22) * 4;
            if m.memory.read_u32(Pa(upper)) == 0 {
                table += 0x1000;
                m.memory.write_u32(Pa(upper), table | 0x67);
            }
            let entry = Pa((m.memory.read_u32(Pa(upper)) & !0xFFF) + (linear >> 12 & 0x3FF) * 4);
            m.memory.write_u32(entry, physical(linear).0 | rights | 0x60);
            pages.push(Page { linear, kind, entry });
        }
        m.memory.write(physical(CODE), &[NOTHING; 0x1000]);
        m.memory.write(physical(CODE + 0x1000), &[NOTHING; 0x1000]);
        tables(&mut m);
        m.cpu.gdtr = Table { base: GDT, limit: 0x1017 };
        m.cpu.idtr = Table { base: IDT, limit: 0x7FF };
        m.cpu.ldtr =
            Segment { selector: 0x50, base: LOCAL, limit: 8 * LDT.len() as u32 - 1, attributes: 0x82 };
        m.cpu.tr = Segment { selector: 0x78, base: TASK, limit: TASK_LIMIT, attributes: 0x8B };
        m.cpu.cr3 = DIRECTORY;
        m.cpu.cr0 |= PG | WP | MP | AM;
        m.cpu.cr4 |= OSFXSR;
        m.cpu.sysenter = [0x08, STACK0, HANDLERS + 0xF00];
        m.gates.kernel = HANDLERS..HANDLERS + 0xF00;
        Stage { ready: m, pages }
    }

    /// The machine before a case in a ring, its instruction `into` bytes into the code; none where the
    /// ring cannot hold what the case starts from.
    pub fn place(&self, case: &Case, ring: u8, into: u32) -> Option<Machine> {
        let start = &case.start;
        let mut m = self.ready.clone();
        m.poke(DIRECTORY, Va(CODE + into), &case.code).expect("two pages of code");
        for (page, bytes) in start.bytes.0.chunks(0x1000).enumerate() {
            m.memory.write(physical(oracle::Bytes::address(page * 0x1000)), bytes);
        }
        let mut selectors = start.selectors;
        if ring != 3 {
            if selectors[Seg::Ss as usize] != FLAT_DATA {
                return None;
            }
            let short = [local(9), local(17)].contains(&selectors[1]);
            selectors[1] = match (ring, short) {
                (_, false) if selectors[1] != FLAT_CODE => return None,
                (1, false) => CODE1,
                (1, true) => SHORT1,
                (_, false) => 0x08,
                (_, true) => SHORT0,
            };
            selectors[2] = if ring == 1 { DATA1 } else { 0x18 };
        }
        for (seg, selector) in SEGMENTS.into_iter().zip(selectors) {
            m.load_segment(seg, selector).expect("a selector that the ring can hold");
        }
        let cs = &mut m.cpu.segments[Seg::Cs as usize];
        if cs.base != 0 {
            cs.limit = 0x1FFF;
        }
        m.cpu.regs = start.regs;
        if ring == 0 {
            // Faults push on the same stack.
            m.cpu.set_reg(Reg::Esp, STACK0);
        }
        m.cpu.eip = (CODE + into).wrapping_sub(m.cpu.seg(Seg::Cs).base);
        m.cpu.eflags = start.eflags & FLAGS | 0x202;
        if let Some(x87) = &start.x87 {
            oracle::put_x87(&mut m, x87);
        }
        // No descriptor has been accessed yet, and no page.
        for table in [GDT, LOCAL] {
            for at in (table..table + 0x100).step_by(8) {
                let access = physical(at + 5);
                let mut byte = [0];
                m.memory.read(access, &mut byte);
                if byte[0] & 0x10 != 0 {
                    m.memory.write(access, &[byte[0] & !1]);
                }
            }
        }
        self.forget(&mut m);
        Some(m)
    }

    /// Clears the accessed and dirty bits of all pages.
    fn forget(&self, m: &mut Machine) {
        for page in &self.pages {
            let entry = m.memory.read_u32(page.entry);
            m.memory.write_u32(page.entry, entry & !0x60);
        }
    }

    /// The page of a frame.
    pub fn page_of(&self, frame: u32) -> Option<&Page> {
        self.pages.get((frame as usize).checked_sub(8)?)
    }
}

const SEGMENTS: [Seg; 6] = [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs];

fn tables(m: &mut Machine) {
    let flat = |access| descriptor(0, 0xF_FFFF, access, 0xC);
    let gdt: [(u16, u64); 17] = [
        (0x08, flat(0x9B)),
        (0x10, descriptor(0, 0xF_FFFF, 0x9B, 0xA)),
        (0x18, flat(0x93)),
        (0x20, flat(0xFB)),
        (0x28, flat(0xF3)),
        (CODE1 & !7, flat(0xBB)),
        (DATA1 & !7, flat(0xB3)),
        (FREE_TASK, descriptor(TASK, TASK_LIMIT, 0x89, 0)),
        (FREE_LOCAL, descriptor(LOCAL, 0xFF, 0x82, 0)),
        (0x50, descriptor(LOCAL, 8 * LDT.len() as u32 - 1, 0x82, 0)),
        (CALL_GATE & !7, gate(CODE1, CODE, 0xEC, 3)),
        (CALL_GATE16 & !7, gate(SHORT1, 0, 0xE4, 3)),
        (SHORT1 & !7, descriptor(CODE, 0x1FFF, 0xBB, 0)),
        (SHORT0, descriptor(CODE, 0x1FFF, 0x9B, 0)),
        (0x78, descriptor(TASK, TASK_LIMIT, 0x8B, 0)),
        (HANDLER_CODE, flat(0x9B)),
        (HANDLER_STACK, flat(0x93)),
    ];
    for (selector, raw) in gdt {
        m.memory.write(physical(GDT + u32::from(selector)), &raw.to_le_bytes());
    }
    for (index, entry) in LDT.iter().enumerate() {
        let raw = entry.map_or(0, |entry| entry.raw());
        m.memory.write(physical(LOCAL + 8 * index as u32), &raw.to_le_bytes());
    }
    let mut put = |at: u32, value: u32| m.memory.write_u32(physical(at), value);
    put(TASK + 4, STACK0);
    put(TASK + 8, HANDLER_STACK.into());
    put(TASK + 0xC, STACK1);
    put(TASK + 0x10, DATA1.into());
    // The map of ports begins here and forbids none.
    put(TASK + 0x64, 0x0068_0000);
    for vector in 0..256 {
        let inner = GATES.contains(&(vector as u8));
        let (selector, access) = if inner { (CODE1, 0xEE) } else { (HANDLER_CODE, 0x8E) };
        let offset = if inner { CODE } else { HANDLERS + 8 * vector };
        let raw = gate(selector, offset, access, 0);
        m.memory.write(physical(IDT + 8 * vector), &raw.to_le_bytes());
    }
}

/// Executes the instruction at EIP to its end, all its iterations. Gives how many instructions were
/// retired; none when a fault was raised, or when it does not end soon or stops.
pub fn finish(m: &mut Machine) -> Result<Option<Caught>, String> {
    let (here, cs, first) = (m.cpu.eip, m.cpu.segments[1].selector, m.retired);
    for _ in 0..48 {
        let (before, retired) = (m.cpu.clone(), m.retired);
        match m.step() {
            Stop::Budget => {}
            stop => {
                let why = format!("{stop:?}");
                return Err(why.split(" at EIP").next().unwrap_or(&why).to_owned());
            }
        }
        if m.retired == retired {
            return Ok(Some(caught(m, &before)));
        }
        let repeats = m.cpu.eip == here && m.cpu.segments[1].selector == cs;
        if !repeats || m.cpu.eflags & 0x1_0000 == 0 {
            return Ok(None);
        }
    }
    Err(format!("it does not end within {} iterations", m.retired - first))
}

/// Undoes the delivery of a fault by its frame.
fn caught(m: &Machine, before: &machine::Cpu) -> Caught {
    assert_eq!(m.cpu.segments[1].selector, HANDLER_CODE, "the handler's code");
    let vector = ((m.cpu.eip - HANDLERS) / 8) as u8;
    let coded = matches!(vector, 8 | 10..=14 | 17);
    let word = |index: u32| m.memory.read_u32(physical(m.cpu.esp() + 4 * index));
    let first = u32::from(coded);
    let error = if coded { word(0) } else { 0 };
    let mut undone = m.clone();
    let cpu = &mut undone.cpu;
    (cpu.eip, cpu.eflags) = (word(first), word(first + 2));
    assert_eq!(word(first + 1), u32::from(before.segments[1].selector), "CS in the frame");
    cpu.segments[1] = before.segments[1];
    if before.cpl() == 0 {
        cpu.regs[Reg::Esp as usize] += 4 * (3 + first);
    } else {
        cpu.regs[Reg::Esp as usize] = word(first + 3);
        assert_eq!(word(first + 4), u32::from(before.segments[2].selector), "SS in the frame");
    }
    cpu.segments[2] = before.segments[2];
    let address = std::mem::replace(&mut cpu.cr2, before.cr2);
    Caught { vector, error, address, machine: undone }
}
