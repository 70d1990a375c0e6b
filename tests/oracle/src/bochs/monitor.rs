//! The monitor's code: it plays the tape. What it does while the guest runs is in [`guest`].
//!
//! ESI reads the tape and EDI writes the answers, but while the guest runs, when both are in memory.

mod guest;

use super::layout::{
    ANSWERS, ANSWERS_SIZE, CR0, CR4, DIRECTORY, EPT, EPT_TABLES, FIELDS, FLOAT, GENERAL, GUEST, GUEST_SIZE,
    READ_ONLY, SHADOW, STACK, TAPE, VARIABLES, VMCS, VMXON, command,
};
use super::rom::{CODE, CONTROLS, DATA_SELECTOR, FIELD_TABLE, LENGTH_OF_TAPE, controls};
use machine::image::asm::*;
use machine::image::{AssembleError, Stubs};

/// Bochs's unit of memory.
const BLOCK: u32 = 0x2_0000;

/// The monitor's variables.
const TAPE_AT: u32 = VARIABLES;
const ANSWERS_AT: u32 = VARIABLES + 4;
const LAUNCHED: u32 = VARIABLES + 8;
const LEFT: u32 = VARIABLES + 12;
const FOLLOWS: u32 = VARIABLES + 16;
const DONE: u32 = VARIABLES + 20;
const LENGTH: u32 = VARIABLES + 28;
const SCRATCH: u32 = VARIABLES + 32;

/// The 32-bit part, and where the guest comes back to.
pub(super) fn assemble() -> Result<(Vec<u8>, u32), AssembleError> {
    let mut s = Stubs::new(machine::Va(CODE));
    prepare(&mut s)?;
    enter_root(&mut s)?;
    commands(&mut s)?;
    write_and_reset(&mut s)?;
    load(&mut s)?;
    guest::run(&mut s)?;
    guest::take(&mut s)?;
    guest::compare(&mut s)?;
    let code = s.finish()?;
    let back = code.symbol("back").0;
    Ok((code.bytes, back))
}

fn at(address: u32) -> AsmMemoryOperand {
    dword_ptr(address)
}

/// Paging, the nested page tables, and the interrupt controllers silenced.
fn prepare(s: &mut Stubs) -> Result<(), AssembleError> {
    let a = &mut s.asm;
    a.mov(eax, DATA_SELECTOR)?;
    a.mov(ds, eax)?;
    a.mov(es, eax)?;
    a.mov(ss, eax)?;
    a.mov(fs, eax)?;
    a.mov(gs, eax)?;
    // Bochs gives memory to the guest in blocks of 128 KiB, when each is first touched and in that
    // order; but it has read the whole tape to where the tape's first block lies. So the tape's blocks
    // have to be touched first of all, one after the other.
    let mut touch = a.create_label();
    a.mov(esi, TAPE)?;
    a.mov(ecx, at(LENGTH_OF_TAPE))?;
    a.add(ecx, esi)?;
    a.set_label(&mut touch)?;
    a.mov(al, byte_ptr(esi))?;
    a.add(esi, BLOCK)?;
    a.cmp(esi, ecx)?;
    a.jbe(touch)?;
    a.mov(esp, STACK)?;
    a.cld()?;
    a.mov(al, 0xFF)?;
    a.out(0x21, al)?;
    a.out(0xA1, al)?;
    // Zeroes for everything below the tables' end.
    a.mov(edi, DIRECTORY)?;
    a.mov(ecx, (EPT_TABLES - DIRECTORY) / 4)?;
    a.xor(eax, eax)?;
    a.rep().stosd()?;
    // 4 MiB pages, each at its own place.
    a.mov(edi, DIRECTORY)?;
    a.mov(eax, 0x83)?;
    let mut pages = a.create_label();
    a.set_label(&mut pages)?;
    a.stosd()?;
    a.add(eax, 0x40_0000)?;
    a.jnc(pages)?;
    a.mov(at(EPT), EPT + 0x1000 + 7)?;
    a.mov(at(EPT + 0x1000), EPT + 0x2000 + 7)?;
    let tables = GUEST_SIZE >> 21;
    a.mov(edi, EPT + 0x2000)?;
    a.mov(eax, EPT_TABLES + 7)?;
    a.mov(ecx, tables)?;
    let mut directories = a.create_label();
    a.set_label(&mut directories)?;
    a.mov(dword_ptr(edi), eax)?;
    a.add(edi, 8)?;
    a.add(eax, 0x1000)?;
    a.loop_(directories)?;
    a.mov(edi, EPT_TABLES)?;
    // Read, write, execute; write-back.
    a.mov(eax, GUEST + 0x37)?;
    a.mov(ecx, GUEST_SIZE >> 12)?;
    let mut leaves = a.create_label();
    a.set_label(&mut leaves)?;
    a.mov(dword_ptr(edi), eax)?;
    a.mov(dword_ptr(edi + 4), 0)?;
    a.add(edi, 8)?;
    a.add(eax, 0x1000)?;
    a.loop_(leaves)?;
    a.mov(eax, DIRECTORY)?;
    a.mov(cr3, eax)?;
    a.mov(eax, CR4)?;
    a.mov(cr4, eax)?;
    a.mov(eax, CR0)?;
    a.mov(cr0, eax)?;
    Ok(())
}

/// VMX root operation, and the control structure's constant fields.
fn enter_root(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("enter_root")?;
    let a = &mut s.asm;
    let mut locked = a.create_label();
    a.mov(ecx, 0x3A)?;
    a.rdmsr()?;
    a.test(al, 1)?;
    a.jne(locked)?;
    a.or(eax, 5)?;
    a.wrmsr()?;
    a.set_label(&mut locked)?;
    a.mov(ecx, 0x480)?;
    a.rdmsr()?;
    a.mov(at(VMXON), eax)?;
    a.mov(at(VMCS), eax)?;
    a.mov(at(SCRATCH), VMXON)?;
    a.mov(at(SCRATCH + 4), 0)?;
    a.vmxon(qword_ptr(SCRATCH))?;
    a.mov(at(SCRATCH), VMCS)?;
    a.vmclear(qword_ptr(SCRATCH))?;
    a.vmptrld(qword_ptr(SCRATCH))?;
    a.mov(esi, CONTROLS)?;
    a.mov(ebp, controls(0).len() as u32)?;
    let (mut next, mut free) = (a.create_label(), a.create_label());
    a.set_label(&mut next)?;
    a.mov(ebx, dword_ptr(esi + 4))?;
    a.mov(ecx, dword_ptr(esi + 8))?;
    a.jecxz(free)?;
    a.rdmsr()?;
    a.or(ebx, eax)?;
    a.and(ebx, edx)?;
    a.set_label(&mut free)?;
    a.mov(eax, dword_ptr(esi))?;
    a.vmwrite(eax, ebx)?;
    a.add(esi, 12)?;
    a.dec(ebp)?;
    a.jne(next)?;
    a.mov(esi, TAPE)?;
    a.mov(edi, ANSWERS + 4)?;
    Ok(())
}

/// The loop over the tape: ESI reads, EDI answers.
fn commands(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("next")?;
    let choices = [
        (command::WRITE, "write"),
        (command::RESET, "reset"),
        (command::LOAD, "load"),
        (command::RUN, "run"),
        (command::FLOAT, "float"),
        (command::COMPARE, "compare"),
    ];
    s.asm.cmp(edi, ANSWERS + ANSWERS_SIZE - 0x1_0000)?;
    let full = s.label("full");
    s.asm.ja(full)?;
    s.asm.lodsd()?;
    for (number, name) in choices {
        let label = s.label(name);
        s.asm.cmp(eax, number)?;
        s.asm.je(label)?;
    }
    // The end, or something that is no command: the length of the answers, and back to the debugger.
    s.place("full")?;
    let a = &mut s.asm;
    a.mov(eax, edi)?;
    a.sub(eax, ANSWERS)?;
    a.mov(at(ANSWERS), eax)?;
    a.xchg(bx, bx)?;
    a.hlt()?;
    Ok(())
}

fn write_and_reset(s: &mut Stubs) -> Result<(), AssembleError> {
    let next = s.label("next");
    s.place("write")?;
    let a = &mut s.asm;
    let (mut marked, mut only) = (a.create_label(), a.create_label());
    a.mov(edx, edi)?;
    a.lodsd()?;
    a.mov(ebx, eax)?;
    a.lodsd()?;
    a.mov(ecx, eax)?;
    a.lodsd()?;
    a.mov(ebp, ecx)?;
    a.push(esi)?;
    a.lea(edi, dword_ptr(ebx + GUEST))?;
    a.rep().movsb()?;
    a.pop(esi)?;
    a.test(eax, eax)?;
    a.je(only)?;
    a.push(esi)?;
    a.lea(edi, dword_ptr(ebx + SHADOW))?;
    a.mov(ecx, ebp)?;
    a.rep().movsb()?;
    a.pop(esi)?;
    a.jmp(marked)?;
    a.set_label(&mut only)?;
    // It counts as written: the page and its 2 MiB.
    a.mov(eax, ebx)?;
    a.shr(eax, 12)?;
    a.or(dword_ptr(eax * 8 + EPT_TABLES), 0x200)?;
    a.shr(eax, 9)?;
    a.or(dword_ptr(eax * 8 + (EPT + 0x2000)), 0x100)?;
    a.set_label(&mut marked)?;
    a.lea(esi, dword_ptr(esi + ebp + 3))?;
    a.and(esi, -4)?;
    a.mov(edi, edx)?;
    a.jmp(next)?;

    s.place("reset")?;
    let a = &mut s.asm;
    a.lodsd()?;
    a.mov(ecx, eax)?;
    a.shr(ecx, 2)?;
    a.push(esi)?;
    a.push(edi)?;
    a.mov(esi, SHADOW)?;
    a.mov(edi, GUEST)?;
    a.rep().movsd()?;
    a.pop(edi)?;
    a.pop(esi)?;
    a.jmp(next)?;
    Ok(())
}

/// Takes a state from the tape.
fn load(s: &mut Stubs) -> Result<(), AssembleError> {
    let next = s.label("next");
    s.place("load")?;
    let a = &mut s.asm;
    a.push(edi)?;
    a.mov(edi, GENERAL)?;
    a.mov(ecx, 8)?;
    a.rep().movsd()?;
    a.mov(edi, FIELD_TABLE)?;
    a.mov(ecx, (FIELDS.len() - READ_ONLY) as u32)?;
    let mut fields = a.create_label();
    a.set_label(&mut fields)?;
    a.lodsd()?;
    a.mov(ebx, dword_ptr(edi))?;
    a.add(edi, 4)?;
    a.vmwrite(ebx, eax)?;
    a.loop_(fields)?;
    a.add(esi, READ_ONLY as i32 * 4)?;
    a.lodsd()?;
    a.mov(cr2, eax)?;
    for register in [dr0, dr1, dr2, dr3, dr6] {
        a.lodsd()?;
        a.mov(register, eax)?;
    }
    a.mov(edi, FLOAT)?;
    a.mov(ecx, 128)?;
    a.rep().movsd()?;
    a.fxrstor(dword_ptr(FLOAT))?;
    a.pop(edi)?;
    a.jmp(next)?;

    s.place("float")?;
    let a = &mut s.asm;
    a.fxsave(dword_ptr(FLOAT))?;
    a.push(esi)?;
    a.mov(esi, FLOAT)?;
    a.mov(ecx, 128)?;
    a.rep().movsd()?;
    a.pop(esi)?;
    a.jmp(next)?;
    Ok(())
}
