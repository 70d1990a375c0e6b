//! How fast guest code runs, and what copies of a machine cost.
//!
//! `cargo bench -p machine`. The best of several runs, because everything else only slows it down.

use machine::image::asm::{CodeAssembler, dword_ptr, eax, ebp, ebx, ecx, edi, edx, esi, esp};
use machine::image::{AssembleError, Stubs};
use machine::registers::control;
use machine::{Machine, PAGE, Pa, Reg, Seg, Stop, Table, Until, Va};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 7;
/// Linear addresses from here on are the physical ones; 32 MiB of them.
const KERNEL: u32 = 0x8000_0000;
const PAGES: u32 = 8192;
/// Frames: the page directory, its tables, and the tables of descriptors.
const DIRECTORY: u32 = 0x1000;
const TABLES: u32 = 0x10_0000;
const GDT: u32 = 0x2000;
const IDT: u32 = 0x3000;
const TSS: u32 = 0x4000;
const CODE: u32 = KERNEL + 0x8000;
const HANDLER: u32 = KERNEL + 0x9000;
const STACK: u32 = KERNEL + 0x1_0000;
const DATA: u32 = KERNEL + 0x2_0000;
/// The second of two ranges between which strings are moved, 64 KiB each.
const TARGET: u32 = KERNEL + 0x4_0000;
/// Where pages are touched that no translation is remembered of: 8 MiB.
const FAR: u32 = KERNEL + 0x80_0000;

type Write = fn(&mut CodeAssembler) -> Result<(), AssembleError>;

/// A machine in ring 0, with all of memory mapped for both rings and a gate for vector 2E.
fn machine() -> Machine {
    let mut m = Machine::new(PAGES);
    for table in 0..PAGES / 1024 {
        m.memory.write_u32(Pa(DIRECTORY + ((KERNEL >> 22) + table) * 4), (TABLES + table * PAGE) | 7);
    }
    for page in 0..PAGES {
        m.memory.write_u32(Pa(TABLES + page * 4), (page * PAGE) | 7);
    }
    let gdt = [0, 0x00CF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF, 0x00CF_FA00_0000_FFFF, 0x00CF_F200_0000_FFFF];
    for (index, descriptor) in gdt.into_iter().enumerate() {
        m.memory.write(Pa(GDT + index as u32 * 8), &u64::to_le_bytes(descriptor));
    }
    let task = 0x8000_8900_0000_0067 | u64::from(TSS) << 16;
    m.memory.write(Pa(GDT + 0x28), &task.to_le_bytes());
    let gate = u64::from(HANDLER & 0xFFFF_0000) << 32 | 0xEE00 << 32 | 8 << 16 | u64::from(HANDLER & 0xFFFF);
    m.memory.write(Pa(IDT + 0x2E * 8), &gate.to_le_bytes());
    m.memory.write_u32(Pa(TSS + 4), STACK);
    m.memory.write_u32(Pa(TSS + 8), 0x10);
    m.cpu.gdtr = Table { base: KERNEL + GDT, limit: 0x2F };
    m.cpu.idtr = Table { base: KERNEL + IDT, limit: 0x7FF };
    m.cpu.cr3 = DIRECTORY;
    m.cpu.cr0 |= control::PG;
    m.load_segment(Seg::Cs, 0x08).expect("a code segment");
    for seg in [Seg::Ss, Seg::Ds, Seg::Es] {
        m.load_segment(seg, 0x10).expect("a data segment");
    }
    m.load_task(0x28).expect("a task state segment");
    m.cpu.eip = CODE;
    m.cpu.set_reg(Reg::Esp, STACK);
    m
}

fn assemble(m: &mut Machine, at: u32, write: Write) {
    let mut stubs = Stubs::new(Va(at));
    write(&mut stubs.asm).expect("instructions that can be encoded");
    let code = stubs.finish().expect("labels that are placed");
    m.poke(m.cpu.cr3, code.base, &code.bytes).expect("mapped memory");
}

fn arithmetic(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.add(eax, 3)?;
    a.xor(edx, eax)?;
    a.shl(edx, 1)?;
    a.lea(ebx, edx + eax * 2 + 7)?;
    a.sub(ebx, ecx)?;
    a.inc(esi)?;
    a.dec(ecx)?;
    a.jne(again)?;
    a.jmp(again)
}

fn loads_and_stores(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let mut again = a.create_label();
    a.mov(edi, DATA)?;
    a.set_label(&mut again)?;
    a.mov(eax, dword_ptr(edi))?;
    a.add(eax, dword_ptr(edi + 0x40))?;
    a.mov(dword_ptr(edi + 0x1000), eax)?;
    a.push(eax)?;
    a.inc(dword_ptr(edi))?;
    a.pop(ebp)?;
    a.dec(ecx)?;
    a.jne(again)?;
    a.jmp(again)
}

fn calls(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let (mut again, mut routine) = (a.create_label(), a.create_label());
    a.set_label(&mut again)?;
    a.push(7)?;
    a.call(routine)?;
    a.add(edx, eax)?;
    a.jmp(again)?;
    a.set_label(&mut routine)?;
    a.push(ebp)?;
    a.mov(ebp, esp)?;
    a.mov(eax, dword_ptr(ebp + 8))?;
    a.pop(ebp)?;
    a.ret_1(4)
}

/// An iteration counts as an instruction, and moves four bytes.
fn moves(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.mov(esi, DATA)?;
    a.mov(edi, TARGET)?;
    a.mov(ecx, 0x4000)?;
    a.rep().movsd()?;
    a.jmp(again)
}

/// To ring 3, and from there into the kernel and back.
fn system_calls(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.int(0x2E)?;
    a.jmp(again)
}

/// A page further with every load, which is more than translations are remembered of.
fn walks(a: &mut CodeAssembler) -> Result<(), AssembleError> {
    let (mut again, mut next) = (a.create_label(), a.create_label());
    a.set_label(&mut again)?;
    a.mov(esi, FAR)?;
    a.mov(ecx, 2048)?;
    a.set_label(&mut next)?;
    a.mov(eax, dword_ptr(esi))?;
    a.add(esi, PAGE as i32)?;
    a.dec(ecx)?;
    a.jne(next)?;
    a.jmp(again)
}

/// Whether this is a benchmark; as a test it only has to work.
fn measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Instructions that a program retires a second.
fn speed(m: &mut Machine) -> f64 {
    let instructions: u32 = if measured() { 20_000_000 } else { 20_000 };
    let speeds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        assert_eq!(m.run(&Until::budget(instructions.into())), Stop::Budget);
        f64::from(instructions) / start.elapsed().as_secs_f64()
    });
    speeds.fold(0.0, f64::max)
}

fn of(write: Write) -> f64 {
    let mut m = machine();
    assemble(&mut m, CODE, write);
    speed(&mut m)
}

/// Round trips a second; four instructions each: INT, IRETD, JMP and a NOP.
fn round_trips() -> f64 {
    let mut m = machine();
    assemble(&mut m, CODE, system_calls);
    assemble(&mut m, HANDLER, |a| {
        a.nop()?;
        a.iretd()
    });
    m.load_segment(Seg::Cs, 0x1B).expect("a code segment");
    for seg in [Seg::Ss, Seg::Ds, Seg::Es] {
        m.load_segment(seg, 0x23).expect("a data segment");
    }
    m.cpu.set_reg(Reg::Esp, DATA);
    let speed = speed(&mut m) / 4.0;
    assert_eq!(m.memory.read_u32(Pa(STACK - KERNEL - 4)), 0x23, "it went to the kernel");
    speed
}

/// The shortest time of an action in microseconds. Each is made on what `prepare` gives.
fn shortest<T, R>(mut prepare: impl FnMut() -> T, mut action: impl FnMut(&mut T) -> R) -> f64 {
    let rounds = if measured() { 2000 } else { 2 };
    let times = (0..rounds).map(|_| {
        let mut subject = prepare();
        let start = Instant::now();
        black_box(action(&mut subject));
        start.elapsed().as_secs_f64() * 1e6
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A machine of 8192 pages of which 1000 were written, as a booted kernel leaves them.
fn booted() -> Machine {
    let mut m = machine();
    for page in 0..1000 {
        m.memory.write_u32(Pa(0x20_0000 + page * PAGE), page);
    }
    m
}

/// Writes to so many pages, spread over those that are in use.
fn dirty(m: &mut Machine, pages: u32) {
    for page in 0..pages {
        m.memory.write_u32(Pa(0x20_0000 + page * (1000 / pages) * PAGE), 0xFFFF_0000 | page);
    }
}

fn main() {
    let speeds: [(&str, Write); 3] =
        [("arithmetic", arithmetic), ("loads and stores", loads_and_stores), ("call and return", calls)];
    for (name, write) in speeds {
        println!("{name:<28} {:9.1} M instructions/s", of(write) / 1e6);
    }
    println!("{:<28} {:9.1} M bytes/s", "REP MOVSD", of(moves) * 4.0 / 1e6);
    println!("{:<28} {:9.2} M round trips/s", "INT 2E from ring 3", round_trips() / 1e6);
    println!("{:<28} {:9.2} M walks/s", "page-table walks", of(walks) / 4.0 / 1e6);

    let original = booted();
    println!("{:<28} {:9.2} µs", "copy", shortest(|| (), |()| original.clone()));
    for pages in [1, 10, 50, 500] {
        let changed = || {
            let mut m = original.clone();
            dirty(&mut m, pages);
            m
        };
        let restored = shortest(changed, |m| m.clone_from(&original));
        println!("{:<28} {restored:9.2} µs", format!("restore after {pages} pages"));
        let difference = shortest(changed, |m| m.memory.changed(&original.memory));
        println!("{:<28} {difference:9.2} µs", format!("difference of {pages} pages"));
    }
}
