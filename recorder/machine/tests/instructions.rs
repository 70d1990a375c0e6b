//! Instructions, one table a family. Flags are written as `O S Z A P C`.

mod common;

use common::*;
use machine::image::AssembleError;
use machine::registers::flags;
use machine::{Model, Reg, Stop, Until, Va};

type Write = fn(&mut CodeAssembler) -> Result<(), AssembleError>;

/// Runs code in ring 0 up to INT3 and shows EAX, EBX, ECX, EDX and the flags.
fn run(regs: [u32; 4], write: impl FnOnce(&mut CodeAssembler) -> Result<(), AssembleError>) -> String {
    let mut world = World::new();
    let [a, b, c, d] = regs;
    world.m.cpu.regs = [a, c, d, b, KERNEL_STACK, 0, 0, 0];
    world.code(KERNEL_CODE, |asm| {
        write(asm)?;
        asm.int3()
    });
    match world.run() {
        Stop::Native(at) if at == Va(HANDLERS + 3 * 16) => show(&world),
        Stop::Native(at) => format!("trap {}", (at.0 - HANDLERS) / 16),
        other => format!("{other:?}"),
    }
}

fn show(world: &World) -> String {
    use flags::{AF, CF, OF, PF, SF, ZF};
    let eflags = world.stack::<3>()[2];
    let names = [(OF, 'O'), (SF, 'S'), (ZF, 'Z'), (AF, 'A'), (PF, 'P'), (CF, 'C')];
    let set: String = names.iter().filter(|(mask, _)| eflags & mask != 0).map(|(_, name)| name).collect();
    let [a, b, c, d] = [Reg::Eax, Reg::Ebx, Reg::Ecx, Reg::Edx].map(|reg| world.reg(reg));
    format!("{a:X} {b:X} {c:X} {d:X} {set}").trim_end().to_string()
}

#[test]
fn arithmetic_on_parts_of_registers() {
    assert_eq!(run([0x1122_33FF, 0, 0, 0], |a| a.add(al, 1)), "11223300 0 0 0 ZAPC");
    assert_eq!(run([0x1122_FF33, 0, 0, 0], |a| a.add(ah, 1)), "11220033 0 0 0 ZAPC");
    assert_eq!(run([0x1122_FFFF, 0, 0, 0], |a| a.add(ax, 1)), "11220000 0 0 0 ZAPC");
    assert_eq!(run([1, 2, 0, 0], |a| a.sub(eax, ebx)), "FFFFFFFF 2 0 0 SAPC");
    assert_eq!(run([0x80, 2, 0, 0], |a| a.neg(al)), "80 2 0 0 OSC");
    assert_eq!(run([0xF0, 0x1234, 0, 0], |a| a.xchg(al, bh)), "12 F034 0 0");
    assert_eq!(
        run([5, 0, 0, 0], |a| {
            a.stc()?;
            a.adc(eax, -1)
        }),
        "5 0 0 0 APC"
    );
    assert_eq!(
        run([5, 0, 0, 0], |a| {
            a.stc()?;
            a.sbb(eax, 5)
        }),
        "FFFFFFFF 0 0 0 SAPC"
    );
    assert_eq!(
        run([0xFFFF_FFFF, 0, 0, 0], |a| {
            a.stc()?;
            a.inc(eax)
        }),
        "0 0 0 0 ZAPC"
    );
    assert_eq!(run([0, 0, 0, 0], |a| a.dec(eax)), "FFFFFFFF 0 0 0 SAP");
    assert_eq!(run([5, 9, 0, 0], |a| a.xadd(eax, ebx)), "E 5 0 0");
    assert_eq!(run([5, 9, 0, 0], |a| a.xadd(eax, eax)), "A 9 0 0 P");
    assert_eq!(run([7, 9, 7, 0], |a| a.cmpxchg(ecx, ebx)), "7 9 9 0 ZP");
    assert_eq!(run([6, 9, 7, 0], |a| a.cmpxchg(ecx, ebx)), "7 9 7 0 SAPC");
    assert_eq!(run([0x1234_5678, 0, 0, 0], |a| a.bswap(eax)), "78563412 0 0 0");
}

#[test]
fn multiplication_and_division() {
    assert_eq!(run([0x80, 0x80, 0, 9], |a| a.mul(bl)), "4000 80 0 9 OC");
    assert_eq!(run([0xFF, 0xFF, 0, 9], |a| a.imul(bl)), "1 FF 0 9");
    assert_eq!(run([0xFFFF_FFFF, 2, 0, 9], |a| a.mul(ebx)), "FFFFFFFE 2 0 1 OC");
    assert_eq!(run([0xFFFF_FFFF, 2, 0, 9], |a| a.imul(ebx)), "FFFFFFFE 2 0 FFFFFFFF");
    assert_eq!(run([3, 0x4000_0000, 0, 0], |a| a.imul_2(eax, ebx)), "C0000000 40000000 0 0 OC");
    assert_eq!(run([0, 7, 0, 0], |a| a.imul_3(eax, ebx, -3)), "FFFFFFEB 7 0 0");
    assert_eq!(run([100, 7, 0, 0], |a| a.div(ebx)), "E 7 0 2");
    assert_eq!(run([0, 7, 0, 7], |a| a.div(ebx)), "trap 0", "it does not fit");
    assert_eq!(run([1, 0, 0, 0], |a| a.div(ebx)), "trap 0");
    assert_eq!(run([-100i32 as u32, 7, 0, u32::MAX], |a| a.idiv(ebx)), "FFFFFFF2 7 0 FFFFFFFE");
    assert_eq!(run([0x8000_0000, u32::MAX, 0, u32::MAX], |a| a.idiv(ebx)), "trap 0");
    assert_eq!(run([0, u32::MAX, 0, 0x8000_0000], |a| a.idiv(ebx)), "trap 0", "the quotient of the host too");
    assert_eq!(run([0xFF80, 0xFF, 0, 0], |a| a.idiv(bl)), "trap 0");
    assert_eq!(run([0xFF81, 0xFF, 0, 0], |a| a.idiv(bl)), "7F FF 0 0");
}

#[test]
fn decimal_adjustment() {
    assert_eq!(
        run([0x79, 0, 0, 0], |a| {
            a.add(al, 0x35)?;
            a.daa()
        }),
        "14 0 0 0 APC"
    );
    assert_eq!(
        run([0x35, 0, 0, 0], |a| {
            a.sub(al, 0x47)?;
            a.das()
        }),
        "88 0 0 0 SAPC"
    );
    assert_eq!(
        run([0x0039, 0, 0, 0], |a| {
            a.add(al, 0x38)?;
            a.aaa()
        }),
        "107 0 0 0 APC"
    );
    assert_eq!(
        run([0x0205, 0, 0, 0], |a| {
            a.sub(al, 6)?;
            a.aas()
        }),
        "109 0 0 0 SAPC"
    );
    assert_eq!(run([63, 0, 0, 0], |a| a.aam(10)), "603 0 0 0 P");
    assert_eq!(run([0x0603, 0, 0, 0], |a| a.aad(10)), "3F 0 0 0 P");
    assert_eq!(run([63, 0, 0, 0], |a| a.db(&[0xD4, 0])), "trap 0");
}

#[test]
fn conversions_and_moves() {
    assert_eq!(run([0x1234_5680, 0, 0, 0], |a| a.cbw()), "1234FF80 0 0 0");
    assert_eq!(run([0x1234_8000, 0, 0, 0], |a| a.cwde()), "FFFF8000 0 0 0");
    assert_eq!(run([0x8000_0000, 0, 0, 5], |a| a.cdq()), "80000000 0 0 FFFFFFFF");
    assert_eq!(run([0x8000, 0, 0, 0x5_0005], |a| a.cwd()), "8000 0 0 5FFFF");
    assert_eq!(run([0x80, 0, 0, 0], |a| a.movsx(ebx, al)), "80 FFFFFF80 0 0");
    assert_eq!(run([0x80, 0xFFFF_FFFF, 0, 0], |a| a.movsx(bx, al)), "80 FFFFFF80 0 0");
    assert_eq!(run([0x80FF, 0, 0, 0], |a| a.movzx(ebx, ah)), "80FF 80 0 0");
    assert_eq!(run([5, 1, 0, 0], |a| a.lea(ecx, eax + ebx * 8 - 2)), "5 1 B 0");
    assert_eq!(run([1, 0xFFFF, 0, 0], |a| a.db(&[0x67, 0x8D, 0x40, 0x10])), "F FFFF 0 0");
    assert_eq!(
        run([1, 2, 0, 0], |a| {
            a.cmp(eax, ebx)?;
            a.cmovl(ecx, ebx)?;
            a.setg(dl)
        }),
        "1 2 2 0 SAPC"
    );
    assert_eq!(
        run([0x8500, 0, 0, 0], |a| {
            a.sahf()?;
            a.lahf()
        }),
        "8700 0 0 0 SPC"
    );
}

#[test]
fn single_bits() {
    assert_eq!(run([0, 33, 0, 0], |a| a.bts(eax, ebx)), "2 21 0 0");
    assert_eq!(run([2, 33, 0, 0], |a| a.btr(eax, ebx)), "0 21 0 0 C");
    assert_eq!(run([2, 0, 0, 0], |a| a.btc(eax, 1)), "0 0 0 0 C");
    assert_eq!(run([0x0010_0000, 9, 0, 0], |a| a.bsr(ebx, eax)), "100000 14 0 0");
    assert_eq!(run([0, 9, 0, 0], |a| a.bsf(ebx, eax)), "0 9 0 0 Z");
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.mov(eax, -1)?;
        a.bts(dword_ptr(KERNEL_DATA + 8), eax)?;
        a.mov(eax, 65)?;
        a.bts(dword_ptr(KERNEL_DATA + 8), eax)?;
        a.int3()
    });
    assert_eq!(world.run(), handler(3));
    assert_eq!((world.peek32(KERNEL_DATA + 4), world.peek32(KERNEL_DATA + 16)), (0x8000_0000, 2));
}

#[test]
fn shifts_through_the_count_register_and_memory() {
    assert_eq!(run([1, 0, 33, 0], |a| a.shl(eax, cl)), "2 0 21 0");
    assert_eq!(
        run([1, 0, 32, 0], |a| {
            a.stc()?;
            a.shl(eax, cl)
        }),
        "1 0 20 0 C",
        "no count, no flags"
    );
    assert_eq!(run([0x8000_0001, 0, 0, 0], |a| a.rol(eax, 4)), "18 0 0 0");
    assert_eq!(run([0x1234_5678, 0x9ABC_DEF0, 0, 0], |a| a.shld(eax, ebx, 8)), "3456789A 9ABCDEF0 0 0 P");
}

#[test]
fn the_stack() {
    assert_eq!(
        run([1, 2, 3, 4], |a| {
            a.pushad()?;
            a.xor(eax, eax)?;
            a.mov(ebx, eax)?;
            a.popad()
        }),
        "1 2 3 4 ZP"
    );
    assert_eq!(
        run([0, 0, 0, 0], |a| {
            a.push(esp)?;
            a.pop(eax)?;
            a.sub(eax, esp)
        }),
        "0 0 0 0 ZP"
    );
    assert_eq!(
        run([0x1_2345, 0, 0, 0], |a| {
            a.push(ax)?;
            a.push(ax)?;
            a.pop(ebx)
        }),
        "12345 23452345 0 0"
    );
    assert_eq!(
        run([7, 0, 0, 0], |a| {
            a.push(eax)?;
            a.push(eax)?;
            a.pop(dword_ptr(esp))?;
            a.pop(ebx)
        }),
        "7 7 0 0"
    );
    assert_eq!(
        run([0, 0, 0, 0], |a| {
            a.push(-2)?;
            a.pop(eax)
        }),
        "FFFFFFFE 0 0 0"
    );
    let frame: Write = |a| {
        a.mov(ebp, esp)?;
        a.enter(0x10, 2)?;
        a.mov(eax, esp)?;
        a.mov(ebx, ebp)?;
        a.leave()
    };
    let [eax_is, ebx_is] = [KERNEL_STACK - 12 - 0x10, KERNEL_STACK - 4];
    assert_eq!(run([0; 4], frame), format!("{eax_is:X} {ebx_is:X} 0 0"));
}

#[test]
fn loops_and_jumps() {
    let looped: Write = |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.inc(eax)?;
        a.loop_(again)
    };
    assert_eq!(run([0, 0, 5, 0], looped), "5 0 0 0 P");
    let skipped: Write = |a| {
        let mut over = a.create_label();
        a.jecxz(over)?;
        a.inc(eax)?;
        a.set_label(&mut over)?;
        a.inc(ebx)
    };
    assert_eq!(run([0; 4], skipped), "0 1 0 0");
    assert_eq!(
        run([0x8000_0000, 0, 0, 0], |a| {
            a.add(eax, eax)?;
            a.into()
        }),
        "trap 4"
    );
    assert_eq!(
        run([9, 0, 0, 0], |a| {
            a.push(8)?;
            a.push(1)?;
            a.bound(eax, dword_ptr(esp))
        }),
        "trap 5"
    );
    assert_eq!(
        run([8, 0, 0, 0], |a| {
            a.push(8)?;
            a.push(1)?;
            a.bound(eax, dword_ptr(esp))
        }),
        "8 0 0 0"
    );
}

#[test]
fn strings() {
    let mut world = World::new();
    world.poke(KERNEL_DATA, b"kernel\0junk");
    world.code(KERNEL_CODE, |a| {
        a.mov(esi, KERNEL_DATA)?;
        a.mov(edi, KERNEL_DATA + 0x100)?;
        a.mov(ecx, 11)?;
        a.rep().movsb()?;
        // The length: the way from the start to the byte that is zero.
        a.mov(edi, KERNEL_DATA + 0x100)?;
        a.xor(eax, eax)?;
        a.mov(ecx, -1)?;
        a.repne().scasb()?;
        a.not(ecx)?;
        a.mov(ebx, ecx)?;
        // Backwards, up to the difference.
        a.mov(byte_ptr(KERNEL_DATA + 0x102), 0x58)?;
        a.std()?;
        a.mov(esi, KERNEL_DATA + 6)?;
        a.mov(edi, KERNEL_DATA + 0x106)?;
        a.mov(ecx, 7)?;
        a.repe().cmpsb()?;
        a.int3()
    });
    let retired = world.m.retired;
    assert_eq!(world.run(), handler(3));
    assert_eq!((world.reg(Reg::Ebx), world.reg(Reg::Ecx)), (7, 2));
    assert_eq!(world.reg(Reg::Esi), KERNEL_DATA + 1);
    assert_eq!(world.m.retired - retired, 16 + 11 + 7 + 5 - 2);
}

#[test]
fn a_repeated_instruction_can_be_interrupted_and_goes_on() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.rep().stosd()?;
        a.int3()
    });
    world.m.cpu.regs = [7, 100, 0, 0, KERNEL_STACK, 0, 0, KERNEL_DATA];
    world.m.cpu.eflags |= flags::IF;
    assert_eq!(world.m.run(&Until::budget(40)), Stop::Budget);
    assert_eq!((world.reg(Reg::Ecx), world.m.cpu.eip), (60, KERNEL_CODE));
    world.m.cpu.interrupt = Some(0x50);
    assert_eq!(world.run(), handler(0x50));
    let [eip, _, eflags] = world.stack();
    assert_eq!((eip, eflags & flags::RF), (KERNEL_CODE, flags::RF));
    world.m.cpu.eip = eip;
    assert_eq!(world.run(), handler(3));
    assert_eq!((world.reg(Reg::Ecx), world.peek32(KERNEL_DATA + 99 * 4)), (0, 7));
    assert_eq!(world.m.retired, 101);
}

#[test]
fn lock_is_for_instructions_that_read_and_write_memory() {
    assert_eq!(run([0; 4], |a| a.lock().inc(dword_ptr(KERNEL_DATA))), "0 0 0 0");
    assert_eq!(run([0; 4], |a| a.db(&[0xF0, 0x40])), "trap 6", "a register");
    assert_eq!(run([0; 4], |a| a.db(&[0xF0, 0x8B, 0x00])), "trap 6", "a load");
    assert_eq!(run([0; 4], |a| a.db(&[0xF0, 0x90])), "trap 6");
}

#[test]
fn what_is_no_instruction_is_undefined_and_what_is_too_long_is_protected() {
    assert_eq!(run([0; 4], |a| a.ud2()), "trap 6");
    assert_eq!(run([0; 4], |a| a.db(&[0x0F, 0xFF])), "trap 6");
    assert_eq!(run([0; 4], |a| a.db(&[0x8E, 0xC8])), "trap 6", "MOV CS");
    assert_eq!(run([0; 4], |a| a.db(&[0x0F, 0x6F, 0xC1])), "trap 6", "there is no MMX");
    assert_eq!(run([0; 4], |a| a.db(&[0x66; 15])), "trap 13");
    assert_eq!(
        run([0; 4], |a| {
            a.db(&[0x66; 14])?;
            a.nop()
        }),
        "0 0 0 0"
    );
}

#[test]
fn the_processor_says_what_it_is() {
    let features = "673 0 0 100A93D".to_string();
    assert_eq!(run([1, 0, 0, 0], |a| a.cpuid()), features);
    assert_eq!(run([0; 4], |a| a.cpuid()), "1 756E6547 6C65746E 49656E69");
    assert_eq!(
        run([0; 4], |a| {
            a.nop()?;
            a.rdtsc()
        }),
        "1 0 0 0"
    );
    assert_eq!(
        run([5, 0, 0x175, 0], |a| {
            a.wrmsr()?;
            a.xor(eax, eax)?;
            a.rdmsr()
        }),
        "5 0 175 0 ZP"
    );
    assert_eq!(run([5, 0, 0x10, 0], |a| a.rdmsr()), "trap 13");
}

#[test]
fn a_listing_is_in_nasms_style_and_ends_where_memory_does() {
    let mut world = World::new();
    world.poke(UNMAPPED - 5, &[0x8B, 0x45, 0xFC, 0x50, 0xB8]);
    let lines = world.m.disassemble(world.m.cpu.cr3, Va(UNMAPPED - 5), 9);
    let expected = [(UNMAPPED - 5, "mov eax, [ebp-4]"), (UNMAPPED - 2, "push eax"), (UNMAPPED - 1, "(bad)")];
    assert_eq!(lines, expected.map(|(at, text)| (Va(at), text.to_string())));
}

#[test]
fn an_older_processor_does_not_know_what_came_later() {
    let ud = handler(6);
    let known = |model, bytes: &[u8]| {
        let mut world = World::new();
        world.m.cpu.model = model;
        world.poke(KERNEL_CODE, bytes).poke(KERNEL_CODE + bytes.len() as u32, &[0xF4]);
        world.run() != ud
    };
    // The oldest processor that has each: MOVZX, BSWAP, CPUID, RDTSC, CMPXCHG8B, MOV from CR4, CMOVE,
    // SYSENTER, a long NOP, and FXSAVE.
    let instructions: [(Model, &[u8]); 10] = [
        (Model::I386, &[0x0F, 0xB6, 0xC1]),
        (Model::Pentium, &[0x0F, 0xC8]),
        (Model::Pentium, &[0x0F, 0xA2]),
        (Model::Pentium, &[0x0F, 0x31]),
        (Model::Pentium, &[0x0F, 0xC7, 0x0C, 0x24]),
        (Model::Pentium, &[0x0F, 0x20, 0xE0]),
        (Model::PentiumIii, &[0x0F, 0x44, 0xC1]),
        (Model::PentiumIii, &[0x0F, 0x34]),
        (Model::PentiumIii, &[0x0F, 0x1F, 0x00]),
        (Model::PentiumIii, &[0x0F, 0xAE, 0x04, 0x24]),
    ];
    for (oldest, bytes) in instructions {
        for model in [Model::I386, Model::Pentium, Model::PentiumIii] {
            assert_eq!(known(model, bytes), model >= oldest, "{bytes:02X?} on {model:?}");
        }
    }
}
