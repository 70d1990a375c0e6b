//! The program that every case thread runs, the same bytes on both kernels.
//!
//! It is what an application would be: an entry point, a loop in which a thread with nothing to do
//! sits ([`PARK`]), an APC routine, and the few instructions that a case can have a thread execute.
//! A thread that is asked to call something finds the call's frame on its stack, with [`PARK`] as the
//! return address, as if it had executed the CALL itself.

use machine::image::{Code, Stubs, asm::*};
use machine::{PAGE, Va};
use std::sync::OnceLock;

/// Where the program's image is mapped in every process: its header page. Readable, not writable.
pub const BASE: Va = Va(0x0040_0000);
/// Where its code is mapped: one page, readable and executable by ring 3, not writable.
pub const CODE: Va = Va(0x0040_1000);
/// Where its data is mapped: one page, writable by ring 3, zeroed, private to each process.
pub const DATA: Va = Va(0x0040_2000);
/// How many bytes the image occupies from [`BASE`].
pub const SIZE: u32 = 3 * PAGE;

/// The entry point of the program and start routine of every thread: `entry(parameter)`.
/// It ends with a plain RET and does not remove its parameter: callers restore ESP from EBP.
pub const ENTRY: &str = "entry";
/// The loop in which a thread with nothing to do sits.
pub const PARK: &str = "park";
/// Where a thread goes that is to return from [`ENTRY`]; EAX is the value returned.
pub const LEAVE: &str = "leave";
/// The APC routine: `apc(context, argument1, argument2)`, stdcall.
pub const APC: &str = "apc";

/// The program's code, assembled for [`CODE`].
///
/// Symbols besides the constants above, each ending in [`PARK`] if it ends: `read` (`MOV EAX,[ECX]`),
/// `write` (`MOV [ECX],EAX`), `execute` (JMP ECX), `divide` (DIV by zero), `breakpoint` (INT3),
/// `undefined` (UD2), `privileged` (HLT), `fnstcw` (EAX = the control word), `fldcw` (control word =
/// EAX, EAX = 0), `fld1` (push 1.0, EAX = 0), `syscall` (INT 2Eh with the number in EAX and EDX = ECX,
/// where the arguments lie), `fld` (push the single-precision number whose bits EAX holds, by way of
/// the last doubleword of [`DATA`], EAX = 0), `overflow` (INTO), `bounds` (BOUND), `float-divide` and
/// `float-invalid` (an unmasked x87 exception, 1/0 and 0/0, and the WAIT that reports it), `step` (TF
/// set for one instruction), `interrupt` (INT 80h) and `msr` (RDMSR).
pub fn code() -> &'static Code {
    static PROGRAM: OnceLock<Code> = OnceLock::new();
    PROGRAM.get_or_init(|| assemble().expect("the program assembles"))
}

/// The address of one of the program's symbols.
///
/// # Panics
/// When the program has no such symbol.
pub fn symbol(name: &str) -> Va {
    code().symbol(name)
}

fn assemble() -> Result<Code, machine::image::AssembleError> {
    let mut s = Stubs::new(CODE);
    let park = s.label(PARK);
    s.place(ENTRY)?;
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.place(PARK)?;
    s.asm.jmp(park)?;
    s.place(LEAVE)?;
    s.asm.mov(esp, ebp)?;
    s.asm.pop(ebp)?;
    s.asm.ret()?;
    s.place(APC)?;
    s.asm.ret_1(12)?;
    s.place("read")?;
    s.asm.mov(eax, dword_ptr(ecx))?;
    s.asm.jmp(park)?;
    s.place("write")?;
    s.asm.mov(dword_ptr(ecx), eax)?;
    s.asm.jmp(park)?;
    s.place("execute")?;
    s.asm.jmp(ecx)?;
    s.place("divide")?;
    s.asm.xor(ecx, ecx)?;
    s.asm.div(ecx)?;
    s.asm.jmp(park)?;
    s.place("breakpoint")?;
    s.asm.int3()?;
    s.asm.jmp(park)?;
    s.place("undefined")?;
    s.asm.ud2()?;
    s.asm.jmp(park)?;
    s.place("privileged")?;
    s.asm.hlt()?;
    s.asm.jmp(park)?;
    s.place("fnstcw")?;
    s.asm.push(0)?;
    s.asm.fnstcw(word_ptr(esp))?;
    s.asm.pop(eax)?;
    s.asm.jmp(park)?;
    s.place("fldcw")?;
    s.asm.push(eax)?;
    s.asm.fldcw(word_ptr(esp))?;
    s.asm.pop(eax)?;
    s.asm.xor(eax, eax)?;
    s.asm.jmp(park)?;
    s.place("fld1")?;
    s.asm.fld1()?;
    s.asm.xor(eax, eax)?;
    s.asm.jmp(park)?;
    s.place("syscall")?;
    s.asm.mov(edx, ecx)?;
    s.asm.int(0x2E)?;
    s.asm.jmp(park)?;
    s.place("fld")?;
    let scratch = DATA.0 + PAGE - 4;
    s.asm.mov(dword_ptr(scratch), eax)?;
    s.asm.fld(dword_ptr(scratch))?;
    s.asm.xor(eax, eax)?;
    s.asm.jmp(park)?;
    faults(&mut s)?;
    s.finish()
}

/// What the processor refuses besides page faults and the like.
fn faults(s: &mut Stubs) -> Result<(), machine::image::AssembleError> {
    let park = s.label(PARK);
    s.place("overflow")?;
    s.asm.mov(al, 0x7F)?;
    s.asm.inc(al)?;
    // INTO: a method of that name would be the conversion.
    s.asm.db(&[0xCE])?;
    s.asm.jmp(park)?;
    s.place("bounds")?;
    s.asm.xor(eax, eax)?;
    s.asm.push(1)?;
    s.asm.push(1)?;
    s.asm.bound(eax, dword_ptr(esp))?;
    s.asm.jmp(park)?;
    for (name, control) in [("float-divide", 0x37B), ("float-invalid", 0x37E)] {
        s.place(name)?;
        s.asm.push(control)?;
        s.asm.fldcw(word_ptr(esp))?;
        s.asm.pop(eax)?;
        if name == "float-divide" {
            s.asm.fld1()?;
        } else {
            s.asm.fldz()?;
        }
        s.asm.fldz()?;
        s.asm.fdivp(st1, st0)?;
        s.asm.wait()?;
        s.asm.jmp(park)?;
    }
    s.place("step")?;
    s.asm.pushfd()?;
    s.asm.or(byte_ptr(esp + 1), 1)?;
    s.asm.popfd()?;
    s.asm.nop()?;
    s.asm.jmp(park)?;
    s.place("interrupt")?;
    s.asm.int(0x80)?;
    s.asm.jmp(park)?;
    s.place("msr")?;
    s.asm.xor(ecx, ecx)?;
    s.asm.rdmsr()?;
    s.asm.jmp(park)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_fits_its_page_and_parks() {
        let code = code();
        assert!(code.bytes.len() < PAGE as usize);
        assert_eq!(symbol(ENTRY), CODE);
        let park = (symbol(PARK).0 - CODE.0) as usize;
        assert_eq!(code.bytes[park..park + 2], [0xEB, 0xFE]);
    }
}
