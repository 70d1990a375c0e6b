//! Ports. No device is behind them: they read as an empty bus and swallow what is written.

use super::Done;
use crate::op::{Value, Width};
use crate::segment::attribute;
use crate::{Machine, Reg, Trap, Va};

impl Machine {
    /// Checks the right to a port: by IOPL, or else by the bitmap in the TSS.
    pub(super) fn require_port(&mut self, port: u16, width: Width) -> Result<(), Trap> {
        const WIDE_TSS: u16 = 9;
        const BITMAP_OFFSET: u32 = 0x66;
        if u32::from(self.cpu.cpl()) <= self.io_privilege() {
            return Ok(());
        }
        let tss = self.cpu.tr;
        let wide = tss.attributes & WIDE_TSS == WIDE_TSS && tss.attributes & attribute::PRESENT != 0;
        if !wide || tss.limit < BITMAP_OFFSET + 1 {
            return Err(Trap::General(0));
        }
        let place = |offset: u32| Va(tss.base.wrapping_add(offset));
        let bitmap = u16::from_le_bytes(self.load_system(place(BITMAP_OFFSET))?);
        let offset = u32::from(bitmap) + u32::from(port >> 3);
        // Two bytes are read always, because a wide port may straddle them.
        if offset + 1 > tss.limit {
            return Err(Trap::General(0));
        }
        let bits = u16::from_le_bytes(self.load_system(place(offset))?);
        let wanted = (1u16 << width.bytes()) - 1;
        if bits >> (port & 7) & wanted != 0 { Err(Trap::General(0)) } else { Ok(()) }
    }

    fn port(&mut self, port: &Value) -> Result<u16, Trap> {
        Ok(self.read_value(Width::Word, port)? as u16)
    }

    pub(super) fn input(&mut self, width: Width, port: &Value) -> Done {
        let port = self.port(port)?;
        self.require_port(port, width)?;
        self.set_register(width, Reg::Eax, u32::MAX);
        Ok(())
    }

    pub(super) fn output(&mut self, width: Width, port: &Value) -> Done {
        let port = self.port(port)?;
        Ok(self.require_port(port, width)?)
    }
}
