//! The monitor while the guest runs: letting it go, taking its state when it comes back, and writing
//! down what of its memory has changed.

use super::{ANSWERS_AT, DONE, FOLLOWS, LAUNCHED, LEFT, LENGTH, SCRATCH, TAPE_AT, at};
use crate::bochs::layout::{
    ANSWERS, ANSWERS_SIZE, CURRENT, EPT, EPT_TABLES, FIELDS, GENERAL, GUEST, GUEST_SIZE, PREVIOUS, SHADOW,
    STACK, WORDS, answer,
};
use crate::bochs::rom::FIELD_TABLE;
use machine::image::asm::*;
use machine::image::{AssembleError, Stubs};

/// Runs the guest, a step at a time or freely.
pub(super) fn run(s: &mut Stubs) -> Result<(), AssembleError> {
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
pub(super) fn take(s: &mut Stubs) -> Result<(), AssembleError> {
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
pub(super) fn compare(s: &mut Stubs) -> Result<(), AssembleError> {
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
