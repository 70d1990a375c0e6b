//! Native routines: what C code would do in a kernel or in a system DLL, written in Rust and run
//! when EIP reaches the routine's address.
//!
//! A routine is called like a C function: stdcall, arguments above the return address, result in
//! EAX. Its frame is a real one: EBP is saved and set, locals lie below it, so a stack can be walked
//! through native routines as through executed code. A routine that must call something that can
//! block, switch threads or be interrupted is split there: it returns [`Flow::Call`] with the number
//! of the stage at which it goes on, keeps what it needs in its locals on the guest's stack, and has
//! no other memory.
//!
//! Routine `n` of a table at `base` has sixteen addresses from `base + 16 n`: its entry, and its
//! stages 1 to 15, which are the return addresses of the calls it makes.

use guest::{Pointer, Read, Write};
use machine::{Fault, Machine, Reg, Va};

/// Addresses that one routine occupies: its entry and fifteen stages.
pub const STAGES: u32 = 16;

/// Locals of a routine whose frame is built in place.
const FEW: usize = 31;

/// What a table says of a routine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutineInfo {
    /// The field's name for it.
    pub name: &'static str,
    /// Doublewords of arguments, removed on return (stdcall).
    pub params: u8,
    /// Doublewords of locals, zeroed on entry.
    pub locals: u8,
}

/// How a routine goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It returns to its caller with this value in EAX.
    Return(u32),
    /// It calls `target` with `args` (first argument first) and goes on at `stage` of itself, where
    /// the result is [`Frame::result`].
    Call {
        /// The routine or code that is called.
        target: Va,
        /// Its arguments, pushed from the last to the first.
        args: Args,
        /// Where this routine goes on: 1 to 15.
        stage: u8,
    },
    /// It gives up its frame and goes to `Va` as if that had been called in its place: ESP points to
    /// its own return address.
    Jump(Va),
    /// It has set EIP, ESP and whatever else itself.
    Direct,
}

/// A native routine's activation: the machine, and where on its stack the routine stands.
pub struct Frame<'m> {
    /// The machine.
    pub m: &'m mut Machine,
    /// The address of the routine's entry.
    pub entry: Va,
    /// 0 on entry, else the stage at which the routine goes on.
    pub stage: u8,
    info: RoutineInfo,
}

impl<'m> Frame<'m> {
    /// Enters the routine `info` at the address where the machine stopped: at its entry the frame is
    /// built (EBP pushed and set, locals zeroed), at a stage ESP is put back below the locals.
    ///
    /// # Errors
    /// The page fault of building the frame; nothing is changed then.
    pub fn enter(m: &'m mut Machine, at: Va, info: RoutineInfo) -> Result<Frame<'m>, Fault> {
        let entry = Va(at.0 & !(STAGES - 1));
        let stage = (at.0 % STAGES) as u8;
        let locals = u32::from(info.locals) * 4;
        if stage == 0 {
            let esp = m.cpu.esp();
            // A routine is entered many times in every event: most have their locals in place.
            let (mut few, mut many) = ([0; 4 + 4 * FEW], Vec::new());
            let len = (4 + locals) as usize;
            let raw = match few.get_mut(..len) {
                Some(few) => few,
                None => {
                    many.resize(len, 0);
                    &mut many[..]
                }
            };
            raw[len - 4..].copy_from_slice(&m.cpu.reg(Reg::Ebp).to_le_bytes());
            m.put(Va(esp).sub(4 + locals), raw)?;
            m.cpu.set_reg(Reg::Ebp, esp.wrapping_sub(4));
        }
        m.cpu.set_reg(Reg::Esp, m.cpu.reg(Reg::Ebp).wrapping_sub(locals));
        Ok(Frame { m, entry, stage, info })
    }

    /// The routine's name, parameters and locals.
    pub fn info(&self) -> RoutineInfo {
        self.info
    }

    fn ebp(&self) -> Va {
        Va(self.m.cpu.reg(Reg::Ebp))
    }

    /// Where argument `index` lies, counted from 0.
    pub fn arg_at(&self, index: u8) -> Va {
        debug_assert!(index < self.info.params, "{} has no argument {index}", self.info.name);
        self.ebp().add(8 + 4 * u32::from(index))
    }

    /// Argument `index`, counted from 0.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn arg(&mut self, index: u8) -> Result<u32, Fault> {
        self.m.load(self.arg_at(index))
    }

    /// Argument `index` as a pointer to a structure.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn arg_ptr<P: Pointer>(&mut self, index: u8) -> Result<P, Fault> {
        Ok(P::at(Va(self.arg(index)?)))
    }

    /// Overwrites argument `index`, as C code may overwrite its parameters.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn set_arg(&mut self, index: u8, value: u32) -> Result<(), Fault> {
        self.m.store(self.arg_at(index), value)
    }

    /// Where local `index` lies, counted from 0 downwards from EBP.
    pub fn local_at(&self, index: u8) -> Va {
        debug_assert!(index < self.info.locals, "{} has no local {index}", self.info.name);
        self.ebp().sub(4 * (u32::from(index) + 1))
    }

    /// The lowest address of the structure that fills locals `first` to `first + count - 1`.
    pub fn block(&self, first: u8, count: u8) -> Va {
        self.local_at(first + count - 1)
    }

    /// Local `index`.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn local(&mut self, index: u8) -> Result<u32, Fault> {
        self.m.load(self.local_at(index))
    }

    /// Local `index` as a pointer to a structure.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn local_ptr<P: Pointer>(&mut self, index: u8) -> Result<P, Fault> {
        Ok(P::at(Va(self.local(index)?)))
    }

    /// Sets local `index`.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn set_local(&mut self, index: u8, value: u32) -> Result<(), Fault> {
        self.m.store(self.local_at(index), value)
    }

    /// The result of the call that this stage follows: EAX.
    pub fn result(&self) -> u32 {
        self.m.cpu.reg(Reg::Eax)
    }

    /// Calls `target` and goes on at `stage`.
    ///
    /// # Errors
    /// None; a `Result` so that a routine can end with it.
    ///
    /// # Panics
    /// With more than [`Args::MAX`] arguments.
    pub fn call(&self, target: Va, args: &[u32], stage: u8) -> Result<Flow, Fault> {
        debug_assert!(stage > 0 && u32::from(stage) < STAGES);
        let args = Args::new(args).expect("a routine has no more arguments");
        Ok(Flow::Call { target, args, stage })
    }

    /// Does what the routine decided: the stack and EIP are as after the CALL, RET or JMP.
    ///
    /// # Errors
    /// The page fault of a stack access; the stack and EIP are unchanged then.
    pub fn apply(self, flow: &Flow) -> Result<(), Fault> {
        match flow {
            Flow::Return(value) => {
                let (saved, back) = self.saved()?;
                let above = self.ebp().add(8 + 4 * u32::from(self.info.params));
                let m = self.m;
                m.cpu.set_reg(Reg::Ebp, saved);
                m.cpu.set_reg(Reg::Esp, above.0);
                m.cpu.set_reg(Reg::Eax, *value);
                m.cpu.eip = back;
            }
            Flow::Jump(target) => {
                let (saved, _) = self.saved()?;
                let esp = self.ebp().add(4);
                let m = self.m;
                m.cpu.set_reg(Reg::Ebp, saved);
                m.cpu.set_reg(Reg::Esp, esp.0);
                m.cpu.eip = target.0;
            }
            Flow::Call { target, args, stage } => {
                let mut raw = [0; 4 + 4 * Args::MAX];
                let words = std::iter::once(self.entry.0 + u32::from(*stage)).chain(args.iter().copied());
                for (place, word) in raw.chunks_exact_mut(4).zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
                let raw = &raw[..4 + 4 * args.len()];
                let esp = Va(self.m.cpu.esp()).sub(raw.len() as u32);
                self.m.put(esp, raw)?;
                self.m.cpu.set_reg(Reg::Esp, esp.0);
                self.m.cpu.eip = target.0;
            }
            Flow::Direct => {}
        }
        Ok(())
    }

    fn saved(&self) -> Result<(u32, u32), Fault> {
        // Read through the same rights as the routine has, but without needing the frame mutably.
        let mut raw = [0; 8];
        self.m.peek(self.m.cpu.cr3, self.ebp(), &mut raw)?;
        let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        Ok((word(0), word(4)))
    }
}

/// A native routine's arguments, held in place: a routine is served many times in every event, and a
/// list elsewhere would cost more than all that is noted of it otherwise.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Args {
    count: u8,
    /// Zero behind the last.
    values: [u32; Args::MAX],
}

impl Args {
    /// How many arguments a native routine has at most.
    pub const MAX: usize = 12;

    /// These arguments, doublewords, the first one first; none when they are more than [`Args::MAX`].
    pub fn new(values: &[u32]) -> Option<Args> {
        let mut args = Args { count: values.len().try_into().ok()?, ..Args::default() };
        args.values.get_mut(..values.len())?.copy_from_slice(values);
        Some(args)
    }

    /// All of them, with zeroes behind the last; none when they are more than `N`.
    #[inline]
    pub fn at_most<const N: usize>(&self) -> Option<[u32; N]> {
        (usize::from(self.count) <= N).then(|| self.values.first_chunk().copied()).flatten()
    }
}

impl std::ops::Deref for Args {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.values[..usize::from(self.count)]
    }
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

/// One routine of a kernel `K`: what it is called and what it does.
pub struct Row<K: ?Sized> {
    /// Name, parameters and locals.
    pub info: RoutineInfo,
    /// The routine.
    pub run: fn(&K, &mut Frame) -> Result<Flow, Fault>,
}

/// Declares a table of native routines: an enumeration whose variants know their addresses.
///
/// ```text
/// routines! {
///     /// The kernel's C code.
///     pub enum Ke for Nt at 0x8040_0000 {
///         NtClose(1)[2] => ob::handle::nt_close,       // one argument, two locals
///         KeTestAlertThread(1)[0] => ke::apc::test_alert,
///     }
/// }
/// // Ke::NtClose.at(): Va, the entry. Ke::ROWS: &[Row<Nt>]. Ke::BASE, Ke::END.
/// ```
#[macro_export]
macro_rules! routines {
    ($(#[$m:meta])* $vis:vis enum $table:ident for $kernel:ty; at $base:literal {
        $($name:ident ($params:literal) [$locals:literal] => $run:path,)*
    }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, dead_code)]
        #[repr(u32)]
        $vis enum $table { $($name),* }
        $(const _: () = assert!($params < $crate::routine::Args::MAX + 1, stringify!($name));)*
        #[allow(dead_code)]
        impl $table {
            /// The linear address of the first routine.
            pub const BASE: u32 = $base;
            /// The routines, in the order of their addresses.
            pub const ROWS: &'static [$crate::routine::Row<$kernel>] = &[$($crate::routine::Row {
                info: $crate::routine::RoutineInfo { name: stringify!($name), params: $params, locals: $locals },
                run: $run,
            }),*];
            /// The first linear address behind the last routine.
            pub const END: u32 = $base + $crate::routine::STAGES * Self::ROWS.len() as u32;
            /// The linear address of the routine's entry.
            pub const fn at(self) -> ::machine::Va {
                ::machine::Va($base + $crate::routine::STAGES * self as u32)
            }
        }
    };
}

/// What a native routine did when it was served, for traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The routine.
    pub info: RoutineInfo,
    /// The stage that ran; 0 is the entry.
    pub stage: u8,
    /// The arguments at the entry; none at a later stage.
    pub args: Args,
    /// How it went on.
    pub flow: Flow,
}

/// Runs the native routine at the address where the machine stopped, and does what it decided.
///
/// # Errors
/// The page fault of the routine or of its frame, to be raised with [`Machine::page_fault`].
///
/// # Panics
/// When no routine of the kernel lies there: the machine's gates and the kernel's image disagree.
pub fn serve(kernel: &dyn crate::Kernel, m: &mut Machine, at: Va) -> Result<Served, Fault> {
    let (info, stage) = kernel.image().routine(at).unwrap_or_else(|| panic!("no native routine at {at}"));
    m.retired += 1;
    let mut frame = Frame::enter(m, at, info)?;
    // Whoever is told of a later stage knows them from the entry.
    let mut args = Args { count: if stage == 0 { info.params } else { 0 }, ..Args::default() };
    for index in 0..args.count {
        args.values[usize::from(index)] = frame.arg(index)?;
    }
    let flow = kernel.native(&mut frame)?;
    frame.apply(&flow)?;
    Ok(Served { info, stage, args, flow })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct K;
    fn double(_: &K, f: &mut Frame) -> Result<Flow, Fault> {
        match f.stage {
            0 => {
                let value = f.arg(0)?;
                f.set_local(1, value)?;
                f.call(Va(0x4000), &[value, 7], 3)
            }
            _ => Ok(Flow::Return(f.result() + f.local(1)?)),
        }
    }
    routines! { enum T for K; at 0x100 { Nothing(0)[0] => double, Double(1)[2] => double, } }

    #[test]
    fn arguments_are_compared_by_what_was_given() {
        let args = |count: usize| Args::new(&[5; Args::MAX + 1][..count]);
        assert_eq!(args(Args::MAX).as_deref(), Some(&[5; Args::MAX][..]));
        assert_eq!((args(Args::MAX + 1), Args::new(&[5; 256])), (None, None));
        assert!(args(2) != args(3) && args(2) != Args::new(&[5, 6]) && args(1) != Args::new(&[5, 0]));
        assert_eq!(format!("{:?}", args(2).unwrap()), "[5, 5]");
        let few = |count: usize| args(count)?.at_most::<2>();
        assert_eq!([0, 1, 2, 3].map(few), [Some([0, 0]), Some([5, 0]), Some([5, 5]), None]);
    }

    #[test]
    fn a_split_routine_keeps_its_locals_on_the_stack_and_cleans_up() {
        let mut m = Machine::new(4);
        assert_eq!(T::Double.at(), Va(0x110));
        m.cpu.set_reg(Reg::Esp, 0x2000);
        m.cpu.set_reg(Reg::Ebp, 0x2222);
        m.store(Va(0x2000), 0x9999u32).unwrap(); // return address
        m.store(Va(0x2004), 20u32).unwrap(); // argument
        let row = &T::ROWS[1];
        let mut frame = Frame::enter(&mut m, T::Double.at(), row.info).unwrap();
        let flow = (row.run)(&K, &mut frame).unwrap();
        frame.apply(&flow).unwrap();
        assert_eq!(m.cpu.eip, 0x4000);
        let esp = Va(m.cpu.esp());
        assert_eq!([m.load(esp), m.load(esp.add(4)), m.load(esp.add(8))], [Ok(0x113u32), Ok(20), Ok(7)]);
        // The callee returns 22 and forgets to remove its arguments.
        m.cpu.set_reg(Reg::Esp, esp.0 + 4);
        m.cpu.set_reg(Reg::Eax, 22);
        let mut frame = Frame::enter(&mut m, Va(0x113), row.info).unwrap();
        let flow = (row.run)(&K, &mut frame).unwrap();
        frame.apply(&flow).unwrap();
        assert_eq!(
            (m.cpu.eip, m.cpu.esp(), m.cpu.reg(Reg::Ebp), m.cpu.reg(Reg::Eax)),
            (0x9999, 0x2008, 0x2222, 42)
        );
    }
}
