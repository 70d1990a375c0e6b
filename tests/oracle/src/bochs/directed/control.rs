//! Privileged instructions, IOPL, control registers, model-specific registers, SYSENTER and SYSEXIT.

use super::Suite;
use crate::bochs::scene::{GDT, TSS, USER_DATA, code_at, descriptor, selector};
use machine::Reg;

/// Every instruction that wants ring 0, IOPL, or a right to a port.
const FORMS: [(&str, &[u8]); 41] = [
    ("CLI", &[0xFA]),
    ("STI", &[0xFB]),
    ("HLT", &[0xF4]),
    ("CLTS", &[0x0F, 0x06]),
    ("INVD", &[0x0F, 0x08]),
    ("WBINVD", &[0x0F, 0x09]),
    ("INVLPG", &[0x0F, 0x01, 0x3D, 0, 0, 6, 0]),
    ("INVLPG of a register", &[0x0F, 0x01, 0xF8]),
    ("LGDT", &[0x0F, 0x01, 0x15, 0, 0, 6, 0]),
    ("LIDT", &[0x0F, 0x01, 0x1D, 0, 0, 6, 0]),
    ("LGDT o16", &[0x66, 0x0F, 0x01, 0x15, 0, 0, 6, 0]),
    ("LGDT of a register", &[0x0F, 0x01, 0xD0]),
    ("SGDT", &[0x0F, 0x01, 0x05, 0, 0, 6, 0]),
    ("SIDT", &[0x0F, 0x01, 0x0D, 0, 0, 6, 0]),
    ("SGDT o16", &[0x66, 0x0F, 0x01, 0x05, 0, 0, 6, 0]),
    ("SLDT", &[0x0F, 0x00, 0xC0]),
    ("STR", &[0x0F, 0x00, 0xC8]),
    ("SLDT o16", &[0x66, 0x0F, 0x00, 0xC0]),
    ("SLDT m", &[0x0F, 0x00, 0x05, 0, 0, 6, 0]),
    ("SMSW", &[0x0F, 0x01, 0xE0]),
    ("SMSW m", &[0x0F, 0x01, 0x25, 0, 0, 6, 0]),
    ("LMSW", &[0x0F, 0x01, 0xF0]),
    ("MOV EAX, CR0", &[0x0F, 0x20, 0xC0]),
    ("MOV EAX, CR1", &[0x0F, 0x20, 0xC8]),
    ("MOV EAX, CR2", &[0x0F, 0x20, 0xD0]),
    ("MOV EAX, CR3", &[0x0F, 0x20, 0xD8]),
    ("MOV EAX, CR4", &[0x0F, 0x20, 0xE0]),
    ("MOV EAX, CR5", &[0x0F, 0x20, 0xE8]),
    ("MOV CR2, EAX", &[0x0F, 0x22, 0xD0]),
    ("MOV CR1, EAX", &[0x0F, 0x22, 0xC8]),
    ("RDMSR", &[0x0F, 0x32]),
    ("WRMSR", &[0x0F, 0x30]),
    ("IN AL, imm", &[0xE4, 0x80]),
    ("IN EAX, DX", &[0xED]),
    ("OUT imm, AL", &[0xE6, 0x80]),
    ("OUT DX, AX", &[0x66, 0xEF]),
    ("INSB", &[0x6C]),
    ("OUTSD", &[0x6F]),
    ("RSM", &[0x0F, 0xAA]),
    ("UD2", &[0x0F, 0x0B]),
    ("ARPL", &[0x63, 0xC8]),
];

pub(super) fn fill(suite: &mut Suite) {
    for (name, code) in FORMS {
        for ring in 0..4u8 {
            for iopl in 0..4u32 {
                suite.add(ring, format!("{name}, IOPL {iopl}"), |s| {
                    s.m.cpu.eflags |= iopl << 12;
                    s.reg(Reg::Eax, 0xB).reg(Reg::Ecx, 0x175).reg(Reg::Edx, 0x80);
                    s.reg(Reg::Esi, 0x6_0000).reg(Reg::Edi, 0x6_0100);
                    s.m.cpu.cr2 = 0x1234_5678;
                    s.write_u32(USER_DATA, GDT << 16 | 0xFF).write_u32(USER_DATA + 4, GDT >> 16);
                    s.bytes(code);
                });
            }
        }
    }
    ports(suite);
    registers(suite);
    fast_calls(suite);
    adjust(suite);
}

/// The map of ports in the task-state segment.
fn ports(suite: &mut Suite) {
    for (name, code, width) in
        [("IN AL", &[0xECu8][..], 1u32), ("OUT AX", &[0x66, 0xEF], 2), ("IN EAX", &[0xED], 4)]
    {
        for port in [0u32, 5, 7, 0xF8, 0xFF] {
            for map in [0u8, 0xFF, 0x20, 0x80] {
                for limit in [0x67u32, 0x68 + 0x1F, 0x68 + 0x20, 0x87] {
                    suite.add(3, format!("{name} port {port:X}, map {map:02X}, limit {limit:X}"), |s| {
                        s.m.cpu.tr.limit = limit;
                        s.write_u32(TSS + 0x64, 0x68 << 16).write(TSS + 0x68, &[map; 0x30]);
                        s.reg(Reg::Edx, port).bytes(code);
                        let _ = width;
                    });
                }
            }
        }
    }
    for (access, offset) in [(0x83u16, 0x68u32), (0x8B, 0xFFFF), (0x8B, 0x66), (0x8B, 0x67)] {
        suite.add(3, format!("IN with a task of access {access:02X} and a map at {offset:X}"), |s| {
            s.m.cpu.tr.attributes = access;
            s.write_u32(TSS + 0x64, offset << 16).reg(Reg::Edx, 1).bytes(&[0xEC]);
        });
    }
}

/// MOV to CR0, CR3 and CR4, and the model-specific registers.
fn registers(suite: &mut Suite) {
    for bit in 0..32u32 {
        // CR0.NE may not be cleared in a virtual machine, PE leads to real mode.
        // CD is not the guest's own.
        if !matches!(bit, 0 | 30) {
            suite.add(0, format!("flip bit {bit} of CR0"), |s| {
                let value = s.m.cpu.cr0 ^ 1 << bit;
                s.reg(Reg::Eax, value).bytes(&[0x0F, 0x22, 0xC0, 0x0F, 0x20, 0xC3]);
            });
        }
        suite.add(0, format!("bit {bit} of CR3"), |s| {
            let value = s.m.cpu.cr3 ^ (if bit < 12 { 1 << bit } else { 0 });
            s.reg(Reg::Eax, value).bytes(&[0x0F, 0x22, 0xD8, 0x0F, 0x20, 0xDB]);
        });
        if bit != 13 {
            suite.add(0, format!("bit {bit} of CR4"), |s| {
                s.reg(Reg::Eax, 1 << bit).bytes(&[0x0F, 0x22, 0xE0, 0x0F, 0x20, 0xE3]);
            });
        }
    }
    suite.add(0, "PG without PE", |s| {
        s.reg(Reg::Eax, 0x8000_0030).bytes(&[0x0F, 0x22, 0xC0]);
    });
    suite.add(0, "NW without CD", |s| {
        s.reg(Reg::Eax, 0xA000_0033).bytes(&[0x0F, 0x22, 0xC0]);
    });
    for value in [0u32, 1, 2, 4, 8, 0xF, 0xFFFF] {
        suite.add(0, format!("LMSW {value:X}"), |s| {
            s.m.cpu.cr0 |= 8;
            s.reg(Reg::Eax, value).bytes(&[0x0F, 0x01, 0xF0, 0x0F, 0x20, 0xC3]);
        });
    }
    for register in [0x173u32, 0x174, 0x175, 0x176, 0x177, 0x1FFF] {
        for (name, code) in
            [("RDMSR", &[0x0Fu8, 0x32][..]), ("WRMSR", &[0x0F, 0x30]), ("both", &[0x0F, 0x30, 0x0F, 0x32])]
        {
            suite.add(0, format!("{name} {register:X}"), |s| {
                s.m.cpu.sysenter = [0x8, 0x9999, 0xAAAA];
                s.reg(Reg::Eax, 0x5_5555).reg(Reg::Edx, 0).reg(Reg::Ecx, register).bytes(code);
            });
        }
    }
    for ring in 0..4u8 {
        for disabled in [false, true] {
            suite.add(ring, format!("RDTSC, TSD {disabled}"), |s| {
                if disabled {
                    s.m.cpu.cr4 |= 4;
                }
                // The count itself is not compared.
                s.bytes(&[0x0F, 0x31, 0xB8, 0, 0, 0, 0, 0xBA, 0, 0, 0, 0]);
            });
        }
    }
}

fn fast_calls(suite: &mut Suite) {
    for ring in 0..4u8 {
        for cs in [0u32, 3, 8, 0xB, 0x18, 0xFFFC, 0xFFFB, 0xABCD_0008] {
            for flags in [0x202u32, 0x1_0202, 0x3246] {
                for (name, code) in [("SYSENTER", [0x0Fu8, 0x34]), ("SYSEXIT", [0x0F, 0x35])] {
                    suite.add(ring, format!("{name}, CS {cs:X}, flags {flags:X}"), |s| {
                        s.m.cpu.sysenter = [cs, 0x2_1000, 0x1_2500];
                        s.m.cpu.eflags = flags;
                        s.reg(Reg::Ecx, 0x5_7000).reg(Reg::Edx, code_at(3) + 0x40);
                        s.write(code_at(3) + 0x40, &[0x0F, 0x01, 0xC1]).bytes(&code);
                    });
                }
            }
        }
    }
    // The segments are flat whatever the descriptors say.
    suite.add(3, "SYSENTER over descriptors that say otherwise", |s| {
        s.set_descriptor(0x8, descriptor(0x1000, 0x10, 0, 0)).set_descriptor(0x10, 0);
        s.m.cpu.sysenter = [8, 0x2_1000, 0x1_2500];
        s.bytes(&[0x0F, 0x34]);
    });
}

fn adjust(suite: &mut Suite) {
    for target in 0..4u32 {
        for source in 0..4u32 {
            suite.add(3, format!("ARPL {target}, {source}"), |s| {
                s.reg(Reg::Eax, 0xABCD_1230 | target).reg(Reg::Ecx, 0x5550 | source).bytes(&[0x63, 0xC8]);
            });
            suite.add(3, format!("ARPL in memory {target}, {source}"), |s| {
                s.write_u32(USER_DATA, 0x1230 | target);
                if target >= source {
                    s.page(USER_DATA, 2, 0);
                }
                s.reg(Reg::Ecx, 0x5550 | source).bytes(&[0x63, 0x0D, 0, 0, 6, 0]);
            });
        }
    }
    let _ = selector::FREE;
}
