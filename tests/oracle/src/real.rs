//! The real processor: a 32-bit process under ptrace, which is stepped one instruction at a time, or
//! executes a whole program on its own up to its first exception.
//!
//! The process's own stack and the system's pages in it are unmapped, so that what is not in the
//! layout faults. An exception stops the process as a signal; the signal is then let through to a
//! handler that is never executed, because its frame tells the vector, the error code and CR2.
//!
//! What is executed is random, so that the process gives up its system calls (seccomp's strict mode)
//! before it begins: one that tries to call the system is killed by it.

mod elf;
mod x87;

use crate::emulated::offset;
use crate::{
    Bytes, CODE, CONSTANT, CONSTANT_SIZE, Case, DATA, DATA_SIZE, Denied, End, FLAGS, LDT, NOTHING, SIGNALS,
    SIGNALS_SIZE, Scene, State,
};
use elf::elf;
use nix::libc::user_regs_struct;
use nix::sys::ptrace::{self, regset::NT_PRFPREG};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Where the kernel would start a signal's handler.
const HANDLER: u32 = CODE + 0xF00;
/// Rights to a page, as `mprotect` has them.
const READ: u32 = 1;
const WRITE: u32 = 2;
const TF: u64 = 0x100;
const ID: u64 = 0x20_0000;

/// A process that executes what it is given.
pub struct Real {
    child: Child,
    pid: Pid,
    memory: File,
    /// The registers at the last stop.
    regs: user_regs_struct,
    /// The constant page, which the process cannot change.
    constant: Vec<u8>,
    steps: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

fn os(e: nix::Error) -> String {
    format!("ptrace: {e}")
}

fn io(e: std::io::Error) -> String {
    format!("the judge's memory: {e}")
}

impl Real {
    /// Starts a process for single instructions.
    ///
    /// # Errors
    /// Why there is no such judge here, in a sentence.
    pub fn start(constant: &[u8]) -> Result<Real, String> {
        Real::start_with(constant, false)?.sealed()
    }

    /// Starts a process whose pages can be taken away: it can still call the system.
    ///
    /// # Errors
    /// Why there is no such judge here, in a sentence.
    pub fn start_open(constant: &[u8]) -> Result<Real, String> {
        Real::start_with(constant, false)
    }

    /// Starts a process for programs: it can write to its code, and execute its data.
    ///
    /// # Errors
    /// Why there is no such judge here, in a sentence.
    pub fn programs(constant: &[u8]) -> Result<Real, String> {
        Real::start_with(constant, true)?.sealed()
    }

    fn start_with(constant: &[u8], open: bool) -> Result<Real, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
        let path = folder.path().join("judge");
        fs::write(&path, elf(constant, open)).map_err(|e| format!("no program can be written: {e}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
        let mut child = Command::new(&path).spawn().map_err(|e| format!("no 32-bit programs: {e}"))?;
        let pid = Pid::from_raw(child.id() as i32);
        let (memory, regs) = match hold(pid) {
            Ok(held) => held,
            Err(why) => {
                // Nothing else would end it.
                let _ = child.kill();
                let _ = child.wait();
                return Err(why);
            }
        };
        let (steps, ended) = (Arc::default(), Arc::default());
        let mut real = Real { child, pid, memory, regs, constant: constant.to_vec(), steps, ended };
        real.watch();
        real.prepare()?;
        Ok(real)
    }

    /// From here on the process cannot call the system.
    fn sealed(mut self) -> Result<Real, String> {
        self.call(172, [22, 1, 0, 0]).map_err(|e| format!("no seccomp: {e}"))?;
        self.memory.write_all_at(&[NOTHING; 0x1000], CODE.into()).map_err(io)?;
        Ok(self)
    }

    /// Ends the process if a step takes more than ten seconds, so that no one waits for ever.
    fn watch(&self) {
        let (steps, ended) = (Arc::clone(&self.steps), Arc::clone(&self.ended));
        let pid = self.pid;
        std::thread::spawn(move || {
            let (mut last, mut still) = (0, 0);
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(500));
                let now = steps.load(Ordering::Relaxed);
                // An even number: no step is under way.
                still = if now == last && now % 2 == 1 { still + 1 } else { 0 };
                last = now;
                if still > 20 && !ended.load(Ordering::Relaxed) {
                    let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                    return;
                }
            }
        });
    }

    /// Unmaps what is not in the layout, makes the LDT, and says where signals go.
    fn prepare(&mut self) -> Result<(), String> {
        for (from, to) in foreign(self.pid)? {
            self.call(91, [from, to - from, 0, 0])?;
        }
        for (index, entry) in LDT.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let flags = u32::from(entry.wide)
                | u32::from(entry.contents) << 1
                | u32::from(entry.locked) << 3
                | u32::from(entry.pages) << 4
                | u32::from(!entry.present) << 5;
            self.put(SIGNALS, &[index as u32, entry.base, entry.limit, flags])?;
            self.call(123, [0x11, SIGNALS, 16, 0]).map_err(|e| format!("no LDT: {e}"))?;
        }
        // A stack of their own, and a handler that is not called once only and not held back.
        self.put(SIGNALS, &[SIGNALS, 0, SIGNALS_SIZE])?;
        self.call(186, [SIGNALS, 0, 0, 0])?;
        const ONSTACK: u32 = 0x0800_0000;
        const NODEFER: u32 = 0x4000_0000;
        const RESTORER: u32 = 0x0400_0000;
        self.put(SIGNALS, &[HANDLER, ONSTACK | NODEFER | RESTORER, HANDLER, 0, 0])?;
        for signal in [Signal::SIGILL, Signal::SIGTRAP, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGSEGV] {
            self.call(174, [signal as u32, SIGNALS, 0, 8])?;
        }
        self.memory.write_all_at(&[NOTHING; 0x1000], CODE.into()).map_err(io)
    }

    fn put(&self, at: u32, words: &[u32]) -> Result<(), String> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.memory.write_all_at(&bytes, at.into()).map_err(io)
    }

    /// Makes the process call the system.
    fn call(&mut self, number: u32, arguments: [u32; 4]) -> Result<(), String> {
        self.memory.write_all_at(&[0xCD, 0x80], CODE.into()).map_err(io)?;
        let mut regs = self.regs;
        flat(&mut regs);
        regs.rip = CODE.into();
        regs.orig_rax = u64::MAX;
        [regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi] =
            [number, arguments[0], arguments[1], arguments[2], arguments[3]].map(u64::from);
        ptrace::setregs(self.pid, regs).map_err(os)?;
        ptrace::step(self.pid, None).map_err(os)?;
        waitpid(self.pid, None).map_err(os)?;
        self.regs = ptrace::getregs(self.pid).map_err(os)?;
        match self.regs.rax as i32 {
            error @ -4095..=-1 => Err(format!("system call {number} gives error {}", -error)),
            _ => Ok(()),
        }
    }

    /// Executes one instruction (two, when the first holds off the step's trap) and says what came of
    /// it.
    ///
    /// # Errors
    /// When the process has died or ended in a way that no instruction should cause.
    pub fn step(&mut self, case: &Case) -> Result<(State, End), String> {
        let start = &case.start;
        self.ready(start)?;
        self.memory.write_all_at(&case.code, u64::from(CODE + offset(start))).map_err(io)?;
        let end = self.go(start, false)?;
        let nothing = vec![NOTHING; case.code.len()];
        self.memory.write_all_at(&nothing, u64::from(CODE + offset(start))).map_err(io)?;
        self.ended(start, end)
    }

    /// Executes one instruction while something is taken away from one of the pages of data.
    ///
    /// # Errors
    /// As of [`Real::step`], and when the system refuses it: the process must have been started by
    /// [`Real::start_open`].
    pub fn step_denied(&mut self, case: &Case, page: u32, denied: Denied) -> Result<(State, End), String> {
        let wanted = case.start.eflags & ID as u32;
        // While the page is there: this goes by way of it.
        if (u64::from(wanted) ^ self.regs.eflags) & ID != 0 {
            self.set_id(wanted)?;
        }
        self.protect(page, if denied == Denied::Everything { 0 } else { READ })?;
        let outcome = self.step(case);
        self.protect(page, if page == CONSTANT { READ } else { READ | WRITE })?;
        outcome
    }

    fn protect(&mut self, page: u32, rights: u32) -> Result<(), String> {
        self.call(125, [page, 0x1000, rights, 0])?;
        self.memory.write_all_at(&[NOTHING; 2], CODE.into()).map_err(io)
    }

    /// Runs a program from the start of the code page up to its INT3, with these registers and this data.
    ///
    /// # Errors
    /// When it ends in any other way.
    pub fn run_table(&mut self, program: &[u8], start: [u32; 8], data: &mut [u8]) -> Result<(), String> {
        self.memory.write_all_at(program, CODE.into()).map_err(io)?;
        self.memory.write_all_at(data, DATA.into()).map_err(io)?;
        let mut regs = self.regs;
        [regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi] =
            start.map(u64::from);
        (regs.rip, regs.eflags, regs.orig_rax) = (CODE.into(), 0x202, u64::MAX);
        flat(&mut regs);
        (regs.ds, regs.es) = (crate::FLAT_DATA.into(), crate::FLAT_DATA.into());
        (regs.fs_base, regs.gs_base) = (0, 0);
        ptrace::setregs(self.pid, regs).map_err(os)?;
        self.steps.fetch_add(1, Ordering::Relaxed);
        ptrace::cont(self.pid, None).map_err(os)?;
        let status = waitpid(self.pid, None).map_err(os);
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.regs = ptrace::getregs(self.pid).map_err(os)?;
        let end = u64::from(CODE) + program.len() as u64;
        match status? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) if self.regs.rip == end => {}
            other => return Err(format!("the program ends with {other:?} at {:X}", self.regs.rip)),
        }
        self.memory.write_all_at(&vec![NOTHING; program.len()], CODE.into()).map_err(io)?;
        self.memory.read_exact_at(data, DATA.into()).map_err(io)
    }

    /// Executes a program up to its first exception, and says what came of it and what the code page
    /// holds then.
    ///
    /// # Errors
    /// When the process has died or ended in a way that no program should cause.
    pub fn run(&mut self, scene: &Scene) -> Result<(State, End, Vec<u8>), String> {
        self.ready(&scene.start)?;
        self.memory.write_all_at(&scene.page, CODE.into()).map_err(io)?;
        let end = self.go(&scene.start, true)?;
        let mut page = vec![0; scene.page.len()];
        self.memory.read_exact_at(&mut page, CODE.into()).map_err(io)?;
        let (state, end) = self.ended(&scene.start, end)?;
        Ok((state, end, page))
    }

    /// Puts a state's memory, x87 state and ID flag.
    fn ready(&mut self, start: &State) -> Result<(), String> {
        if (u64::from(start.eflags) ^ self.regs.eflags) & ID != 0 {
            self.set_id(start.eflags & ID as u32)?;
        }
        let (data, constant) = start.bytes.0.split_at(DATA_SIZE as usize);
        self.memory.write_all_at(data, DATA.into()).map_err(io)?;
        if constant != self.constant {
            self.memory.write_all_at(constant, crate::CONSTANT.into()).map_err(io)?;
            self.constant.copy_from_slice(constant);
        }
        if let Some(x87) = &start.x87 {
            let mut image = ptrace::getregset::<NT_PRFPREG>(self.pid).map_err(os)?;
            x87::put(&mut image, x87);
            ptrace::setregset::<NT_PRFPREG>(self.pid, image).map_err(os)?;
        }
        Ok(())
    }

    /// Reads back where the process has come to.
    fn ended(&mut self, start: &State, end: Result<End, Signal>) -> Result<(State, End), String> {
        let x87 = match &start.x87 {
            Some(_) => Some(x87::get(&ptrace::getregset::<NT_PRFPREG>(self.pid).map_err(os)?)),
            None => None,
        };
        let regs = self.regs;
        let end = match end {
            Ok(end) => end,
            Err(signal) => self.cause(signal)?,
        };
        let mut bytes = Bytes(vec![0; start.bytes.0.len()]);
        bytes.0[DATA_SIZE as usize..].copy_from_slice(&self.constant);
        self.memory.read_exact_at(&mut bytes.0[..DATA_SIZE as usize], DATA.into()).map_err(io)?;
        let general = [regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi];
        let state = State {
            regs: general.map(|reg| reg as u32),
            eip: regs.rip as u32,
            eflags: regs.eflags as u32 & FLAGS,
            selectors: [regs.es, regs.cs, regs.ss, regs.ds, regs.fs, regs.gs].map(|seg| seg as u16),
            x87,
            bytes,
        };
        Ok((state, end))
    }

    /// Lets the process go from a state's registers, for one instruction or up to an exception. Gives the
    /// end, or the signal that stands for it.
    fn go(&mut self, start: &State, whole: bool) -> Result<Result<End, Signal>, String> {
        let mut regs = self.regs;
        let [eax, ecx, edx, ebx, esp, ebp, esi, edi] = start.regs.map(u64::from);
        (regs.rax, regs.rcx, regs.rdx, regs.rbx) = (eax, ecx, edx, ebx);
        (regs.rsp, regs.rbp, regs.rsi, regs.rdi) = (esp, ebp, esi, edi);
        regs.rip = u64::from(start.eip);
        regs.eflags = u64::from(start.eflags & FLAGS | 0x202);
        // No system call is to be started again.
        regs.orig_rax = u64::MAX;
        [regs.es, regs.cs, regs.ss, regs.ds, regs.fs, regs.gs] = start.selectors.map(u64::from);
        let base = |selector: u16| crate::entry(selector).map_or(0, |entry| entry.base.into());
        (regs.fs_base, regs.gs_base) = (base(start.selectors[4]), base(start.selectors[5]));
        ptrace::setregs(self.pid, regs).map_err(os)?;
        self.steps.fetch_add(1, Ordering::Relaxed);
        if whole { ptrace::cont(self.pid, None) } else { ptrace::step(self.pid, None) }.map_err(os)?;
        let status = waitpid(self.pid, None).map_err(os);
        self.steps.fetch_add(1, Ordering::Relaxed);
        let signal = match status? {
            WaitStatus::Stopped(_, signal) => signal,
            other => return Err(format!("the judge ended with {other:?}")),
        };
        self.regs = ptrace::getregs(self.pid).map_err(os)?;
        if signal != Signal::SIGTRAP {
            return Ok(Err(signal));
        }
        // INT3 is reported as sent by the kernel, the step as a trace.
        let info = ptrace::getsiginfo(self.pid).map_err(os)?;
        let trap = |vector| End::Fault { vector, error: 0, address: 0 };
        Ok(Ok(match info.si_code {
            0x80 => trap(3),
            _ if whole => trap(1),
            _ => End::Done,
        }))
    }

    /// Lets a signal through, up to its handler, and reads the cause out of its frame.
    fn cause(&mut self, signal: Signal) -> Result<End, String> {
        ptrace::step(self.pid, Some(signal)).map_err(os)?;
        match waitpid(self.pid, None).map_err(os)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => return Err(format!("the judge ended with {other:?} after {signal}")),
        }
        self.regs = ptrace::getregs(self.pid).map_err(os)?;
        if self.regs.rip != u64::from(HANDLER) {
            return Err(format!("{signal} led to {:X}", self.regs.rip));
        }
        // Return address, signal, and then `sigcontext`: the trap's number is its 13th word.
        let mut frame = [0; 8 + 88];
        self.memory.read_exact_at(&mut frame, self.regs.rsp).map_err(io)?;
        let word = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let (vector, error, address) = (word(8 + 48) as u8, word(8 + 52), word(8 + 84));
        let address = if vector == 14 { address } else { 0 };
        Ok(End::Fault { vector, error, address })
    }

    /// Makes the process change ID with POPFD: ptrace does not.
    fn set_id(&mut self, id: u32) -> Result<(), String> {
        self.memory.write_all_at(&[0x9D], CODE.into()).map_err(io)?;
        self.put(DATA, &[id | 0x202])?;
        let mut regs = self.regs;
        regs.orig_rax = u64::MAX;
        (regs.rip, regs.rsp) = (CODE.into(), DATA.into());
        regs.eflags &= !TF;
        flat(&mut regs);
        ptrace::setregs(self.pid, regs).map_err(os)?;
        ptrace::step(self.pid, None).map_err(os)?;
        waitpid(self.pid, None).map_err(os)?;
        self.regs = ptrace::getregs(self.pid).map_err(os)?;
        self.memory.write_all_at(&[NOTHING], CODE.into()).map_err(io)
    }
}

/// Takes away what the last instruction loaded: code where [`CODE`] has another offset, or an RPL that ptrace
/// refuses.
fn flat(regs: &mut user_regs_struct) {
    (regs.cs, regs.ss) = (crate::FLAT_CODE.into(), crate::FLAT_DATA.into());
    (regs.es, regs.ds, regs.fs, regs.gs) = (0, 0, 0, 0);
}

/// Attaches to a process; gives its memory, and its registers where it stopped.
fn hold(pid: Pid) -> Result<(File, user_regs_struct), String> {
    ptrace::attach(pid).map_err(|e| format!("no ptrace: {e}"))?;
    waitpid(pid, None).map_err(|e| format!("no way to wait for the judge: {e}"))?;
    // Whoever ends this program must not leave the judge behind, in a loop perhaps.
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL).map_err(os)?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))
        .map_err(|e| format!("no access to the judge's memory: {e}"))?;
    Ok((memory, ptrace::getregs(pid).map_err(os)?))
}

impl Drop for Real {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // A process that has died already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The mappings that are not of the layout: the first stack and the system's pages.
fn foreign(pid: Pid) -> Result<Vec<(u32, u32)>, String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(io)?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let Some((from, to)) = range.and_then(|(from, to)| Some((hex(from)?, hex(to)?))) else { continue };
        let ours = [CODE..CONSTANT + CONSTANT_SIZE, SIGNALS..SIGNALS + SIGNALS_SIZE];
        if !ours.iter().any(|range| range.contains(&from)) {
            found.push((from, to));
        }
    }
    Ok(found)
}
