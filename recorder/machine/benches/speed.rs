//! How fast guest code runs: millions of instructions a second, for a loop of arithmetic and for one
//! of loads and stores, both through paging.
//!
//! `cargo bench -p machine`. The best of several runs, because everything else only slows it down.

use machine::image::asm::{CodeAssembler, dword_ptr, eax, ebp, ebx, ecx, edi, edx, esi};
use machine::image::{AssembleError, Stubs};
use machine::registers::control;
use machine::{Machine, Pa, Reg, Seg, Stop, Until, Va};
use std::time::Instant;

const ROUNDS: u32 = 5;
const CODE: u32 = 0x8000_4000;
const DATA: u32 = 0x8000_8000;

/// A machine in ring 0 with 64 pages mapped from 80000000 on.
fn machine() -> Machine {
    let mut m = Machine::new(64);
    m.memory.write_u32(Pa(0x1000 + 0x200 * 4), 0x2003);
    for page in 0..64 {
        m.memory.write_u32(Pa(0x2000 + page * 4), page << 12 | 3);
    }
    m.memory.write(Pa(0x3008), &0x00CF_9A00_0000_FFFFu64.to_le_bytes());
    m.memory.write(Pa(0x3010), &0x00CF_9200_0000_FFFFu64.to_le_bytes());
    m.cpu.gdtr = machine::Table { base: 0x8000_3000, limit: 0x17 };
    m.cpu.cr3 = 0x1000;
    m.cpu.cr0 |= control::PG;
    m.load_segment(Seg::Cs, 0x08).expect("a code segment");
    for seg in [Seg::Ss, Seg::Ds, Seg::Es] {
        m.load_segment(seg, 0x10).expect("a data segment");
    }
    m.cpu.eip = CODE;
    m.cpu.set_reg(Reg::Esp, 0x8001_0000);
    m
}

fn assemble(m: &mut Machine, write: fn(&mut CodeAssembler) -> Result<(), AssembleError>) {
    let mut stubs = Stubs::new(Va(CODE));
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

fn report(name: &str, write: fn(&mut CodeAssembler) -> Result<(), AssembleError>) {
    let mut m = machine();
    assemble(&mut m, write);
    // As a test it only has to work.
    let instructions = if std::env::args().any(|argument| argument == "--bench") { 20_000_000 } else { 1000 };
    let speeds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        assert_eq!(m.run(&Until::budget(instructions)), Stop::Budget);
        instructions as f64 / start.elapsed().as_secs_f64() / 1e6
    });
    println!("{name:<18} {:7.1} M instructions/s", speeds.fold(0.0, f64::max));
}

fn main() {
    report("arithmetic", arithmetic);
    report("loads and stores", loads_and_stores);
    let m = machine();
    let start = Instant::now();
    let copies: Vec<Machine> = (0..1000).map(|_| m.clone()).collect();
    println!("{:<18} {:7.2} µs", "copy", start.elapsed().as_secs_f64() * 1e6 / copies.len() as f64);
}
