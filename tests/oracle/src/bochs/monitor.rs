//! The monitor's code: it plays the tape.
//!
//! ESI reads the tape and EDI writes the answers, but while the guest runs, when both are in memory.

use super::layout::{
    ANSWERS, ANSWERS_SIZE, CR0, CR4, CURRENT, DIRECTORY, EPT, EPT_TABLES, FIELDS, FLOAT, GENERAL, GUEST,
    GUEST_SIZE, PREVIOUS, READ_ONLY, SHADOW, STACK, TAPE, VARIABLES, VMCS, VMXON, WORDS, answer, command,
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
    run(&mut s)?;
    take(&mut s)?;
    compare(&mut s)?;
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

/// Runs the guest, a step at a time or freely.
fn run(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("run")?;
    let take = s.label("take");
    let (enter, resume, delta) = (s.label("enter"), s.label("resume"), s.label("delta"));
    let (back, finish, again, done) = (s.label("back"), s.label("finish"), s.label("again"), s.label("done"));
    let next = s.label("next");
    let a = &mut s.asm;
    a.lodsd()?;
    a.mov(at(LEFT), eax)?;
    a.lodsd()?;
    a.mov(at(LENGTH), eax)?;
    a.mov(at(DONE), 0)?;
    a.mov(at(TAPE_AT), esi)?;
    a.mov(at(ANSWERS_AT), edi)?;
    // The first step answers with everything.
    a.mov(edi, PREVIOUS)?;
    a.mov(eax, -1)?;
    a.mov(ecx, WORDS as u32)?;
    a.rep().stosd()?;

    s.place("enter")?;
    let a = &mut s.asm;
    // An event that is to be delivered is a step by itself, and the instruction behind it another.
    let mut plain = a.create_label();
    a.mov(edx, at(LENGTH))?;
    a.mov(eax, 0x4016)?;
    a.vmread(ebx, eax)?;
    a.shr(ebx, 31)?;
    a.je(plain)?;
    a.dec(edx)?;
    a.set_label(&mut plain)?;
    a.mov(eax, 0x482E)?;
    a.vmwrite(eax, edx)?;
    for (index, register) in [eax, ecx, edx, ebx, ebp, esi, edi].into_iter().enumerate() {
        let index = if index > 3 { index + 1 } else { index } as u32;
        a.mov(register, at(GENERAL + index * 4))?;
    }
    a.cmp(at(LAUNCHED), 0)?;
    a.jne(resume)?;
    a.mov(at(LAUNCHED), 1)?;
    a.vmlaunch()?;
    a.jmp(again)?;
    s.place("resume")?;
    s.asm.vmresume()?;
    // The state was refused.
    s.place("again")?;
    let a = &mut s.asm;
    a.mov(esp, STACK)?;
    a.mov(edi, at(ANSWERS_AT))?;
    a.mov(eax, answer::REFUSED)?;
    a.stosd()?;
    a.mov(ebx, 0x4400)?;
    a.vmread(eax, ebx)?;
    a.stosd()?;
    a.jmp(done)?;

    s.place("back")?;
    let a = &mut s.asm;
    for (index, register) in [eax, ecx, edx, ebx, ebp, esi, edi].into_iter().enumerate() {
        let index = if index > 3 { index + 1 } else { index } as u32;
        a.mov(at(GENERAL + index * 4), register)?;
    }
    a.cld()?;
    a.mov(ebx, 0x4402)?;
    a.vmread(eax, ebx)?;
    a.cmp(eax, 52)?;
    a.jne(finish)?;
    a.inc(at(DONE))?;
    a.call(take)?;
    a.call(delta)?;
    a.cmp(at(ANSWERS_AT), ANSWERS + ANSWERS_SIZE - 0x1_0000)?;
    a.ja(finish)?;
    a.dec(at(LEFT))?;
    a.jne(enter)?;

    s.place("finish")?;
    let a = &mut s.asm;
    a.call(take)?;
    a.mov(edi, at(ANSWERS_AT))?;
    a.mov(eax, answer::ENDED)?;
    a.stosd()?;
    a.mov(eax, at(DONE))?;
    a.stosd()?;
    a.mov(esi, CURRENT)?;
    a.mov(ecx, WORDS as u32)?;
    a.rep().movsd()?;
    s.place("done")?;
    let a = &mut s.asm;
    a.mov(esi, at(TAPE_AT))?;
    a.jmp(next)?;
    let _ = back;
    Ok(())
}

/// Takes the guest's state as words; and answers with what changed in it.
fn take(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("take")?;
    let a = &mut s.asm;
    a.mov(esi, GENERAL)?;
    a.mov(edi, CURRENT)?;
    a.mov(ecx, 8)?;
    a.rep().movsd()?;
    a.mov(esi, FIELD_TABLE)?;
    a.mov(ecx, FIELDS.len() as u32)?;
    let mut fields = a.create_label();
    a.set_label(&mut fields)?;
    a.lodsd()?;
    a.vmread(ebx, eax)?;
    a.mov(dword_ptr(edi), ebx)?;
    a.add(edi, 4)?;
    a.loop_(fields)?;
    a.mov(eax, cr2)?;
    a.stosd()?;
    for register in [dr0, dr1, dr2, dr3, dr6] {
        a.mov(eax, register)?;
        a.stosd()?;
    }
    a.ret()?;

    s.place("delta")?;
    let a = &mut s.asm;
    let (mut same, mut word) = (a.create_label(), a.create_label());
    a.mov(edi, at(ANSWERS_AT))?;
    a.mov(eax, answer::STEP)?;
    a.stosd()?;
    a.mov(ebx, edi)?;
    a.xor(eax, eax)?;
    a.stosd()?;
    a.stosd()?;
    a.stosd()?;
    a.xor(ecx, ecx)?;
    a.set_label(&mut word)?;
    a.mov(eax, dword_ptr(ecx * 4 + CURRENT))?;
    a.cmp(eax, dword_ptr(ecx * 4 + PREVIOUS))?;
    a.je(same)?;
    a.mov(dword_ptr(ecx * 4 + PREVIOUS), eax)?;
    a.stosd()?;
    a.bts(dword_ptr(ebx), ecx)?;
    a.set_label(&mut same)?;
    a.inc(ecx)?;
    a.cmp(ecx, WORDS as u32)?;
    a.jb(word)?;
    a.mov(at(ANSWERS_AT), edi)?;
    a.ret()?;
    Ok(())
}

/// Answers with the words of memory that differ from the shadow.
fn compare(s: &mut Stubs) -> Result<(), AssembleError> {
    let next = s.label("next");
    s.place("compare")?;
    let a = &mut s.asm;
    let (mut table, mut page, mut word) = (a.create_label(), a.create_label(), a.create_label());
    let (mut clean_table, mut clean_page, mut same) = (a.create_label(), a.create_label(), a.create_label());
    let mut undo = a.create_label();
    a.lodsd()?;
    a.mov(at(FOLLOWS), eax)?;
    a.mov(at(TAPE_AT), esi)?;
    a.mov(eax, answer::MEMORY)?;
    a.stosd()?;
    a.xor(ebp, ebp)?;
    a.set_label(&mut table)?;
    a.test(dword_ptr(ebp * 8 + (EPT + 0x2000)), 0x100)?;
    a.je(clean_table)?;
    a.and(dword_ptr(ebp * 8 + (EPT + 0x2000)), !0x100)?;
    a.mov(ebx, ebp)?;
    a.shl(ebx, 9)?;
    a.set_label(&mut page)?;
    a.test(dword_ptr(ebx * 8 + EPT_TABLES), 0x200)?;
    a.je(clean_page)?;
    a.and(dword_ptr(ebx * 8 + EPT_TABLES), !0x300)?;
    a.mov(esi, ebx)?;
    a.shl(esi, 12)?;
    a.add(esi, SHADOW)?;
    a.mov(ecx, 1024)?;
    a.set_label(&mut word)?;
    // EDI goes through the guest's page, and EDX keeps the place of the answers meanwhile.
    a.mov(edx, edi)?;
    a.lea(edi, dword_ptr(esi - (SHADOW - GUEST) as i32))?;
    a.repe().cmpsd()?;
    a.mov(edi, edx)?;
    a.je(clean_page)?;
    a.lea(eax, dword_ptr(esi - SHADOW as i32 - 4))?;
    a.mov(dword_ptr(edi), eax)?;
    a.mov(eax, dword_ptr(esi - (SHADOW - GUEST) as i32 - 4))?;
    a.mov(dword_ptr(edi + 4), eax)?;
    a.add(edi, 8)?;
    a.cmp(at(FOLLOWS), 1)?;
    a.ja(undo)?;
    a.jb(same)?;
    a.mov(dword_ptr(esi - 4), eax)?;
    a.jmp(same)?;
    a.set_label(&mut undo)?;
    a.mov(eax, dword_ptr(esi - 4))?;
    a.mov(dword_ptr(esi - (SHADOW - GUEST) as i32 - 4), eax)?;
    a.set_label(&mut same)?;
    a.test(ecx, ecx)?;
    a.jne(word)?;
    a.set_label(&mut clean_page)?;
    a.inc(ebx)?;
    a.test(ebx, 511)?;
    a.jne(page)?;
    a.set_label(&mut clean_table)?;
    a.inc(ebp)?;
    a.cmp(ebp, GUEST_SIZE >> 21)?;
    a.jb(table)?;
    a.mov(eax, -1)?;
    a.stosd()?;
    a.mov(at(SCRATCH), 0)?;
    a.mov(at(SCRATCH + 4), 0)?;
    a.mov(at(SCRATCH + 8), 0)?;
    a.mov(at(SCRATCH + 12), 0)?;
    a.mov(eax, 2)?;
    a.invept(eax, xmmword_ptr(SCRATCH))?;
    a.mov(esi, at(TAPE_AT))?;
    a.jmp(next)?;
    Ok(())
}
