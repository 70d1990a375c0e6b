//! Which random byte strings are worth asking about, and what to compare of their results.

use crate::{CODE, DATA, DATA_SIZE, State};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// An instruction to ask about.
pub struct Form {
    /// Which form it is: iced's code, the table's row.
    pub code: Code,
    /// Its length in bytes.
    pub len: usize,
    /// Status flags that it leaves undefined: not compared. From iced's tables, which follow the
    /// manuals.
    pub undefined: u32,
}

/// What a byte string is, if the judge can be asked about it from that state; else why not.
///
/// # Errors
/// The reason, for the table of skipped forms.
pub fn classify(bytes: &[u8], start: &State) -> Result<Form, &'static str> {
    let mut decoder = Decoder::with_ip(32, bytes, u64::from(CODE), DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return Err("no instruction");
    }
    if excluded(instruction.mnemonic()) {
        return Err("system, later or timed instruction");
    }
    if touches_segments(&instruction) {
        return Err("selectors of another system");
    }
    if !lands_in_data(&instruction, start) {
        return Err("address outside the window");
    }
    let undefined = undefined_flags(&instruction, start);
    Ok(Form { code: instruction.code(), len: instruction.len(), undefined })
}

/// What is not compared here: instructions of later processors and of the system, whose answers the
/// operating system or the processor's model decides, and x87, which has its own comparison to come.
fn excluded(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    // INT and INTO enter the system; HLT and port I/O are refused alike but IN/OUT need a bitmap.
    !matches!(
        mnemonic,
        Add | Or
            | Adc
            | Sbb
            | And
            | Sub
            | Xor
            | Cmp
            | Test
            | Inc
            | Dec
            | Neg
            | Not
            | Mul
            | Imul
            | Div
            | Idiv
            | Rol
            | Ror
            | Rcl
            | Rcr
            | Shl
            | Sal
            | Shr
            | Sar
            | Shld
            | Shrd
            | Bt
            | Bts
            | Btr
            | Btc
            | Bsf
            | Bsr
            | Mov
            | Movzx
            | Movsx
            | Xchg
            | Xadd
            | Cmpxchg
            | Cmpxchg8b
            | Bswap
            | Lea
            | Cbw
            | Cwde
            | Cwd
            | Cdq
            | Push
            | Pop
            | Pusha
            | Pushad
            | Popa
            | Popad
            | Enter
            | Leave
            | Pushf
            | Pushfd
            | Movsb
            | Movsw
            | Movsd
            | Cmpsb
            | Cmpsw
            | Cmpsd
            | Scasb
            | Scasw
            | Scasd
            | Lodsb
            | Lodsw
            | Lodsd
            | Stosb
            | Stosw
            | Stosd
            | Lahf
            | Sahf
            | Clc
            | Stc
            | Cmc
            | Cld
            | Std
            | Cli
            | Sti
            | Hlt
            | Xlatb
            | Aaa
            | Aas
            | Aam
            | Aad
            | Daa
            | Das
            | Salc
            | Bound
            | Nop
            | Ud2
            | Int3
            | Jmp
            | Call
            | Ret
            | Loop
            | Loope
            | Loopne
            | Jcxz
            | Jecxz
            | Jo
            | Jno
            | Jb
            | Jae
            | Je
            | Jne
            | Jbe
            | Ja
            | Js
            | Jns
            | Jp
            | Jnp
            | Jl
            | Jge
            | Jle
            | Jg
            | Seto
            | Setno
            | Setb
            | Setae
            | Sete
            | Setne
            | Setbe
            | Seta
            | Sets
            | Setns
            | Setp
            | Setnp
            | Setl
            | Setge
            | Setle
            | Setg
            | Cmovo
            | Cmovno
            | Cmovb
            | Cmovae
            | Cmove
            | Cmovne
            | Cmovbe
            | Cmova
            | Cmovs
            | Cmovns
            | Cmovp
            | Cmovnp
            | Cmovl
            | Cmovge
            | Cmovle
            | Cmovg
    )
}

fn touches_segments(instruction: &Instruction) -> bool {
    let far = matches!(instruction.op0_kind(), OpKind::FarBranch16 | OpKind::FarBranch32)
        || instruction.is_call_far_indirect()
        || instruction.is_jmp_far_indirect();
    let selector = (0..instruction.op_count()).any(|op| {
        instruction.op_kind(op) == OpKind::Register && instruction.op_register(op).is_segment_register()
    });
    // XMM forms share MOVSD's and CMPSD's mnemonics.
    let vector = (0..instruction.op_count()).any(|op| {
        instruction.op_kind(op) == OpKind::Register
            && (instruction.op_register(op).is_vector_register()
                || instruction.op_register(op).is_cr()
                || instruction.op_register(op).is_dr())
    });
    far || selector || vector
}

/// Whether memory operands lie in the data pages, or where neither side has anything mapped.
fn lands_in_data(instruction: &Instruction, start: &State) -> bool {
    let value = |register: Register| {
        let full = register.full_register32();
        let whole = match full.is_gpr32() {
            true => start.regs[full.number()],
            false => return Some(0),
        };
        Some(match register.size() {
            2 => u64::from(whole as u16),
            _ => u64::from(whole),
        })
    };
    let fine = |at: u32| (DATA..DATA + DATA_SIZE + 0x800).contains(&at) || at < 0x8000;
    let count = instruction.op_count();
    let explicit = (0..count).all(|op| {
        !matches!(
            instruction.op_kind(op),
            OpKind::Memory
                | OpKind::MemorySegSI
                | OpKind::MemorySegESI
                | OpKind::MemoryESDI
                | OpKind::MemoryESEDI
                | OpKind::MemorySegDI
                | OpKind::MemorySegEDI
        ) || instruction.mnemonic() == Mnemonic::Lea
            || instruction.virtual_address(op, 0, |r, _, _| value(r)).is_some_and(|at| {
                let bits = bit_offset(instruction, start);
                fine((at as u32).wrapping_add(bits))
            })
    });
    // The stack, and XLAT's table, are wherever the registers say; those are kept in the window.
    explicit
}

/// How far from its operand BT and its kin reach, in bytes, when the bit's number is in a register.
fn bit_offset(instruction: &Instruction, start: &State) -> u32 {
    let bits = matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
    if !bits || instruction.op1_kind() != OpKind::Register {
        return 0;
    }
    let register = instruction.op1_register();
    let whole = start.regs[register.full_register32().number()];
    match register.size() {
        2 => ((whole as u16 as i16 >> 4) * 2) as u32,
        _ => ((whole as i32 >> 5) * 4) as u32,
    }
}

fn undefined_flags(instruction: &Instruction, start: &State) -> u32 {
    use iced_x86::RflagsBits as Bits;
    let table = [
        (Bits::CF, 0x1),
        (Bits::PF, 0x4),
        (Bits::AF, 0x10),
        (Bits::ZF, 0x40),
        (Bits::SF, 0x80),
        (Bits::OF, 0x800),
    ];
    let undefined = instruction.rflags_undefined();
    let mut mask = table.iter().filter(|(bit, _)| undefined & bit != 0).map(|(_, flag)| flag).sum::<u32>();
    // A count in CL is not known to the tables: 0 changes nothing, OF is defined for 1 alone, and a
    // count beyond the operand leaves CF undefined (Intel SDM, SAL/SAR/SHL/SHR, RCL/ROL, SHLD).
    let mnemonic = instruction.mnemonic();
    if matches!(
        mnemonic,
        Mnemonic::Shl
            | Mnemonic::Sal
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Shld
            | Mnemonic::Shrd
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rcl
            | Mnemonic::Rcr
    ) {
        let last = instruction.op_count() - 1;
        let count = match instruction.op_kind(last) {
            OpKind::Register => start.regs[1] & 31,
            _ => u32::from(instruction.immediate8()) & 31,
        };
        let width = match instruction.op_kind(0) {
            OpKind::Register => instruction.op0_register().size() as u32 * 8,
            _ => instruction.memory_size().size() as u32 * 8,
        };
        let rotate = matches!(mnemonic, Mnemonic::Rol | Mnemonic::Ror | Mnemonic::Rcl | Mnemonic::Rcr);
        mask = match (count, rotate) {
            (0, _) => 0,
            (1, true) => 0,
            (1, false) => 0x10,
            (_, true) => 0x800,
            (_, false) => 0x810,
        };
        if count >= width && !rotate {
            mask |= 0x1;
        }
        if count > width && matches!(mnemonic, Mnemonic::Shld | Mnemonic::Shrd) {
            mask |= 0xC5 | 0x810;
        }
    }
    mask
}
