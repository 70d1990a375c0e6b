//! The x87 unit and CR0: #NM by MP, EM and TS, #MF by NE, and what moves the whole state.

use super::Suite;
use crate::bochs::scene::USER_DATA;
use machine::Reg;

const FORMS: [(&str, &[u8]); 22] = [
    ("FLD1", &[0xD9, 0xE8]),
    ("FWAIT", &[0x9B]),
    ("FNINIT", &[0xDB, 0xE3]),
    ("FNCLEX", &[0xDB, 0xE2]),
    ("FNSTSW AX", &[0xDF, 0xE0]),
    ("FNSTSW m", &[0xDD, 0x3D, 0, 0, 6, 0]),
    ("FNSTCW", &[0xD9, 0x3D, 0, 0, 6, 0]),
    ("FLDCW", &[0xD9, 0x2D, 0, 0, 6, 0]),
    ("FNSTENV", &[0xD9, 0x35, 0, 0, 6, 0]),
    ("FLDENV", &[0xD9, 0x25, 0, 0, 6, 0]),
    ("FNSAVE", &[0xDD, 0x35, 0, 0, 6, 0]),
    ("FRSTOR", &[0xDD, 0x25, 0, 0, 6, 0]),
    ("FXSAVE", &[0x0F, 0xAE, 0x05, 0, 0, 6, 0]),
    ("FXRSTOR", &[0x0F, 0xAE, 0x0D, 0, 0, 6, 0]),
    ("FXSAVE, not aligned", &[0x0F, 0xAE, 0x05, 8, 0, 6, 0]),
    ("FLD m64", &[0xDD, 0x05, 0, 0, 6, 0]),
    ("FSTP m32", &[0xD9, 0x1D, 0, 0, 6, 0]),
    ("FNOP", &[0xD9, 0xD0]),
    ("FNENI", &[0xDB, 0xE0]),
    ("FNDISI", &[0xDB, 0xE1]),
    ("FFREE", &[0xDD, 0xC0]),
    ("FNSAVE o16", &[0x66, 0xDD, 0x35, 0, 0, 6, 0]),
];

pub(super) fn fill(suite: &mut Suite) {
    for (name, code) in FORMS {
        // MP, EM, TS.
        for bits in 0..8u32 {
            for extensions in [false, true] {
                for pending in [false, true] {
                    for ring in [0u8, 3] {
                        let label =
                            format!("{name}, CR0 {:X}, OSFXSR {extensions}, pending {pending}", bits << 1);
                        suite.add(ring, label, |s| {
                            s.m.cpu.cr0 |= bits << 1;
                            if extensions {
                                s.m.cpu.cr4 |= 0x200;
                            }
                            let fpu = &mut s.m.cpu.fpu;
                            if pending {
                                fpu.control = 0x37E;
                                fpu.status = 0x8081;
                            }
                            // A state that FRSTOR, FLDENV and FXRSTOR can take: empty, all masked.
                            s.write_u32(USER_DATA, 0x37F).write_u32(USER_DATA + 8, 0xFFFF);
                            if name == "FXRSTOR" {
                                s.write_u32(USER_DATA + 8, 0).write_u32(USER_DATA + 24, 0x1F80);
                            }
                            s.bytes(code);
                        });
                    }
                }
            }
        }
    }
    for value in [0u32, 0x1F80, 0xFFBF, 0x1_0000, 0x40, 0x8000_0000] {
        suite.add(3, format!("FXRSTOR of MXCSR {value:X}"), |s| {
            s.m.cpu.cr4 |= 0x200;
            s.write_u32(USER_DATA, 0x37F).write_u32(USER_DATA + 24, value);
            s.bytes(&[0x0F, 0xAE, 0x0D, 0, 0, 6, 0]);
        });
    }
    suite.add(3, "an exception raised by one instruction is met by the next", |s| {
        s.m.cpu.fpu.control = 0x37E;
        s.write_u32(USER_DATA, 0x7FA0_0000).reg(Reg::Eax, 0);
        s.bytes(&[0xD9, 0x05, 0, 0, 6, 0, 0xB8, 1, 0, 0, 0, 0x9B]);
    });
}
