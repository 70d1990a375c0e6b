//! The bare machine: physical memory, page tables, GDT, IDT and TSS (nt52.md 1.1 to 1.3, 2.11), code.

use crate::global::*;
use crate::layout::*;
use crate::mm::frames::pte;
use crate::mm::process::SELF_MAP;
use crate::stubs::{CLOCK, TRAPS};
use crate::table::{Ke, LIMIT, SERVICES, User};
use crate::{CLOCK_VECTOR, NAME, Nt};
use contract::{BootError, program};
use guest::{Fault, Pointer, Va, Write};
use machine::registers::{control, flags};
use machine::{Machine, PAGE, Pa, Seg, Table};

/// The page directory's frame; frame 0 stays unused, so that 0 is none.
const DIRECTORY: u32 = 1;
const GDT: Va = TABLES;
const GDT_SIZE: u32 = 0x60;
const IDT: Va = Va(TABLES.0 + 0x800);
const IDT_SIZE: u32 = 0x800;
const TSS: Va = Va(TABLES.0 + PAGE);
/// Page tables of the kernel's half: 64 MB from 80000000, the kernel stacks, and the last 4 MB.
const KERNEL_TABLES: [(u32, u32); 3] =
    [(0x200, 0x210), (STACKS.0 >> 22, (STACKS.0 >> 22) + 1), (0x3FF, 0x400)];
/// What fills the pages of native routines: INT3.
const INT3: u8 = 0xCC;
/// MZ, the first two bytes of an image's header page.
const MZ: &[u8] = b"MZ";

/// Hands out page frames before there is an allocator.
struct Builder {
    m: Machine,
    next: u32,
}

impl Builder {
    fn frame(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Maps pages of the kernel's half for `len` bytes, with their contents.
    fn map(&mut self, at: Va, len: u32, bytes: &[u8], fill: u8) {
        for page in 0..len.div_ceil(PAGE) {
            let frame = self.frame();
            self.fill(frame, bytes, page, fill);
            self.enter(at.add(page * PAGE), frame);
        }
    }

    /// Fills a frame with page `page` of an image.
    fn fill(&mut self, frame: u32, bytes: &[u8], page: u32, fill: u8) {
        let start = ((page * PAGE) as usize).min(bytes.len());
        let part = &bytes[start..bytes.len().min(start + PAGE as usize)];
        if !part.is_empty() || fill != 0 {
            let mut raw = vec![fill; PAGE as usize];
            raw[..part.len()].copy_from_slice(part);
            self.m.memory.write(Pa(frame << 12), &raw);
        }
    }

    fn enter(&mut self, at: Va, frame: u32) {
        let table = self.m.memory.read_u32(Pa((DIRECTORY << 12) + (at.0 >> 22) * 4)) & pte::FRAME;
        let entry = frame << 12 | pte::PRESENT | pte::WRITABLE;
        self.m.memory.write_u32(Pa(table + (at.0 >> 12 & 0x3FF) * 4), entry);
    }
}

/// The frames of images that processes share.
struct Images {
    /// Address and frame of every page of the system DLLs and of KUSER_SHARED_DATA.
    shared: Vec<(Va, u32)>,
    /// The program's header and code.
    program: (u32, u32),
}

/// The machine, with interrupts disabled and the idle thread's code ahead.
pub(super) fn start(nt: &Nt) -> Result<Machine, BootError> {
    let mut builder = Builder { m: Machine::new(PAGES), next: DIRECTORY + 1 };
    let images = memory(nt, &mut builder);
    let Builder { mut m, next } = builder;
    m.cpu.cr3 = DIRECTORY << 12;
    m.cpu.cr4 |= control::OSFXSR;
    m.cpu.cr0 |= control::PG | control::WP | control::MP | control::TS;
    m.gates.kernel = Ke::BASE..Ke::END;
    m.gates.user = User::BASE..User::END;
    tables(nt, &mut m).and_then(|()| data(&mut m, next, &images)).map_err(faulted)?;
    segments(&mut m)?;
    Ok(m)
}

fn faulted(fault: Fault) -> BootError {
    BootError::Fault { kernel: NAME, fault }
}

fn memory(nt: &Nt, b: &mut Builder) -> Images {
    for (first, end) in KERNEL_TABLES {
        for index in first..end {
            let table = b.frame();
            let place = Pa((DIRECTORY << 12) + index * 4);
            b.m.memory.write_u32(place, table << 12 | pte::PRESENT | pte::WRITABLE);
        }
    }
    let own = Pa((DIRECTORY << 12) + SELF_MAP * 4);
    b.m.memory.write_u32(own, DIRECTORY << 12 | pte::PRESENT | pte::WRITABLE);
    b.map(Va(Ke::BASE), Ke::END - Ke::BASE, &[], INT3);
    let kernel = &nt.code.kernel;
    b.map(KERNEL_CODE, kernel.bytes.len() as u32, &kernel.bytes, INT3);
    b.map(DATA.va(), KernelData::EXTENT, &[], 0);
    b.map(TABLES, PAGE + KTss::EXTENT, &[], 0);
    b.map(DPC_STACK, PAGE, &[], 0);
    b.map(POOL, POOL_SIZE, &[], 0);
    b.map(PCR.va(), PAGE, &[], 0);
    let shared_data = b.frame();
    b.enter(SHARED.va(), shared_data);
    let mut shared = vec![(SHARED_USER, shared_data)];
    for (at, len, bytes, fill) in [
        (NTDLL, PAGE, MZ, 0),
        (NTDLL_CODE, nt.code.ntdll.bytes.len() as u32, &nt.code.ntdll.bytes[..], INT3),
        (Va(User::BASE), User::END - User::BASE, &[][..], INT3),
        (KERNEL32, PAGE, MZ, 0),
        (KERNEL32_CODE, nt.code.kernel32.bytes.len() as u32, &nt.code.kernel32.bytes[..], INT3),
    ] {
        for page in 0..len.div_ceil(PAGE) {
            let frame = b.frame();
            b.fill(frame, bytes, page, fill);
            shared.push((at.add(page * PAGE), frame));
        }
    }
    let program = (b.frame(), b.frame());
    b.fill(program.0, MZ, 0, 0);
    b.fill(program.1, &program::code().bytes, 0, INT3);
    Images { shared, program }
}

/// A descriptor: base, limit, access byte, and the flags nibble (G and D/B).
fn descriptor(base: u32, limit: u32, access: u8, nibble: u8) -> u64 {
    let (base, limit) = (u64::from(base), u64::from(limit));
    limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | u64::from(access) << 40
        | (limit >> 16 & 0xF) << 48
        | u64::from(nibble) << 52
        | (base >> 24) << 56
}

/// A 32-bit interrupt gate of the kernel's code segment.
fn gate(offset: Va, dpl: u8) -> u64 {
    let offset = u64::from(offset.0);
    offset & 0xFFFF
        | u64::from(selector::R0_CODE) << 16
        | u64::from(0x8E | dpl << 5) << 40
        | (offset >> 16) << 48
}

fn tables(nt: &Nt, m: &mut Machine) -> Result<(), Fault> {
    const FLAT: u32 = 0xF_FFFF;
    const PAGES_32: u8 = 0xC;
    const BYTES_32: u8 = 0x4;
    let rows = [
        (selector::R0_CODE, descriptor(0, FLAT, 0x9B, PAGES_32)),
        (selector::R0_DATA, descriptor(0, FLAT, 0x93, PAGES_32)),
        (selector::R3_CODE, descriptor(0, FLAT, 0xFB, PAGES_32)),
        (selector::R3_DATA, descriptor(0, FLAT, 0xF3, PAGES_32)),
        (selector::TSS, descriptor(TSS.0, KTss::EXTENT - 1, 0x89, 0)),
        (selector::R0_PCR, descriptor(PCR.va().0, PAGE - 1, 0x93, BYTES_32)),
        (selector::R3_TEB, descriptor(0, PAGE - 1, 0xF3, BYTES_32)),
    ];
    for (selector, value) in rows {
        m.store(GDT.add(u32::from(selector & !7)), value)?;
    }
    let symbol = |name| nt.code.kernel.symbol(name);
    for (vector, name, _) in TRAPS {
        let dpl = if matches!(vector, 3 | 4) { 3 } else { 0 };
        m.store(IDT.add(u32::from(*vector) * 8), gate(symbol(name), dpl))?;
    }
    m.store(IDT.add(7 * 8), gate(symbol("KiTrap07"), 0))?;
    m.store(IDT.add(0x2E * 8), gate(symbol("KiSystemService"), 3))?;
    m.store(IDT.add(u32::from(CLOCK_VECTOR) * 8), gate(symbol(CLOCK), 0))?;
    m.cpu.sysenter = [selector::R0_CODE.into(), DPC_STACK.0 + PAGE, symbol("KiFastCallEntry").0];
    let tss = KTss::at(TSS);
    m.set(tss.ss0(), selector::R0_DATA.into())?;
    m.set(tss.cr3(), DIRECTORY << 12)?;
    m.set(tss.io_map_base(), 0x20AC)?;
    m.set(PCR.self_pcr(), PCR.va())?;
    m.set(PCR.prcb(), PCR.version().at)?;
    m.set(PCR.exception_list(), u32::MAX)?;
    m.set(PCR.gdt(), GDT)?;
    m.set(PCR.idt(), IDT)?;
    m.set(PCR.tss(), TSS)?;
    m.set(PCR.set_member(), 1)
}

fn segments(m: &mut Machine) -> Result<(), BootError> {
    m.cpu.gdtr = Table { base: GDT.0, limit: (GDT_SIZE - 1) as u16 };
    m.cpu.idtr = Table { base: IDT.0, limit: (IDT_SIZE - 1) as u16 };
    let loads = [
        (Seg::Cs, selector::R0_CODE),
        (Seg::Ss, selector::R0_DATA),
        (Seg::Ds, selector::R3_DATA),
        (Seg::Es, selector::R3_DATA),
        (Seg::Fs, selector::R0_PCR),
        (Seg::Gs, 0),
    ];
    let failed = |what: String| BootError::Other { kernel: NAME, what };
    for (seg, selector) in loads {
        m.load_segment(seg, selector)
            .map_err(|trap| failed(format!("{seg:?} = {selector:04X}: {trap:?}")))?;
    }
    m.load_task(selector::TSS).map_err(|trap| failed(format!("the task register: {trap:?}")))?;
    m.cpu.eflags = flags::ONE | flags::IF;
    Ok(())
}

/// The kernel's variables that tell what booting has used, and the service table.
fn data(m: &mut Machine, used: u32, images: &Images) -> Result<(), Fault> {
    let bitmap = DATA.frame_bitmap().at;
    for frame in 0..used {
        let at = bitmap.add(frame / 8);
        let byte: u8 = guest::Read::load(m, at)?;
        m.store(at, byte | 1 << (frame % 8))?;
    }
    m.set(DATA.frame_cursor(), used)?;
    m.set(DATA.pool_next(), POOL.0)?;
    for (index, (at, frame)) in images.shared.iter().enumerate() {
        let place = DATA.shared_pages().at.add(8 * index as u32);
        m.store(place, *at)?;
        m.store(place.add(4), *frame)?;
    }
    debug_assert!((images.shared.len() as u32) < SHARED_PAGES);
    // The program's frames wait here until the section object is made.
    m.set(DATA.handle_section(), images.program.0)?;
    debug_assert_eq!(images.program.1, images.program.0 + 1);
    services(m)
}

/// KeServiceDescriptorTable: table 0, and three empty ones. A number without a service leads to one that
/// answers so.
fn services(m: &mut Machine) -> Result<(), Fault> {
    let table = DATA.service_table().at;
    let (base, arguments) = (DATA.services().at, DATA.service_arguments().at);
    m.store(table, base)?;
    m.store(table.add(8), LIMIT)?;
    m.store(table.add(12), arguments)?;
    for number in 0..LIMIT {
        m.store(base.add(4 * number), Ke::NtInvalidSystemService.at())?;
    }
    for (_, number, routine) in SERVICES {
        m.store(base.add(4 * number), routine.at())?;
        m.store(arguments.add(*number), routine.info().params * 4)?;
    }
    Ok(())
}
