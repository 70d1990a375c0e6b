//! The real processor: a 32-bit process under ptrace, stepped one instruction at a time.

use crate::{CODE, DATA, DATA_SIZE, End, STATUS_FLAGS, State};
use nix::sys::{ptrace, signal::Signal, wait::WaitStatus, wait::waitpid};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Child, Command};

/// A process that executes what it is given, one instruction at a time.
pub struct Native {
    child: Child,
    pid: Pid,
    memory: File,
}

impl Native {
    /// Starts the process.
    ///
    /// # Errors
    /// Why there is no such judge here, in a sentence.
    pub fn start() -> Result<Native, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
        let path = folder.path().join("judge");
        fs::write(&path, elf()).map_err(|e| format!("cannot write a program: {e}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
        let child =
            Command::new(&path).spawn().map_err(|e| format!("32-bit programs do not run here: {e}"))?;
        let pid = Pid::from_raw(child.id() as i32);
        let mut native = Native { child, pid, memory: File::open("/dev/null").map_err(|e| e.to_string())? };
        ptrace::attach(pid).map_err(|e| format!("ptrace is not allowed here: {e}"))?;
        waitpid(pid, None).map_err(|e| format!("the judge cannot be waited for: {e}"))?;
        native.memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .map_err(|e| format!("the judge's memory cannot be opened: {e}"))?;
        Ok(native)
    }

    /// Puts `code` at [`CODE`], executes one instruction from `start` and says what came of it.
    ///
    /// # Errors
    /// When the process has died or ended in a way that no instruction should cause.
    pub fn step(&mut self, code: &[u8], start: &State) -> Result<(State, End), String> {
        let io = |e: std::io::Error| format!("the judge's memory: {e}");
        let os = |e: nix::Error| format!("ptrace: {e}");
        self.memory.write_all_at(code, u64::from(CODE)).map_err(io)?;
        self.memory.write_all_at(&start.data, u64::from(DATA)).map_err(io)?;
        let mut regs = ptrace::getregs(self.pid).map_err(os)?;
        let [eax, ecx, edx, ebx, esp, ebp, esi, edi] = start.regs.map(u64::from);
        (regs.rax, regs.rcx, regs.rdx, regs.rbx) = (eax, ecx, edx, ebx);
        (regs.rsp, regs.rbp, regs.rsi, regs.rdi) = (esp, ebp, esi, edi);
        regs.rip = u64::from(start.eip);
        regs.eflags = u64::from(start.eflags & STATUS_FLAGS | 0x202);
        // No system call is to be restarted; and a step may have left other selectors behind.
        regs.orig_rax = u64::MAX;
        (regs.ds, regs.es, regs.fs, regs.gs) = (0x2B, 0x2B, 0, 0);
        ptrace::setregs(self.pid, regs).map_err(os)?;
        ptrace::step(self.pid, None).map_err(os)?;
        let end = match waitpid(self.pid, None).map_err(os)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let info = ptrace::getsiginfo(self.pid).map_err(os)?;
                // TRAP_TRACE is 2; INT3 is reported as sent by the kernel.
                if info.si_code == 0x80 { End::Breakpoint } else { End::Done }
            }
            WaitStatus::Stopped(_, Signal::SIGFPE) => End::Divide,
            WaitStatus::Stopped(_, Signal::SIGILL) => End::Undefined,
            WaitStatus::Stopped(_, Signal::SIGBUS) => End::Stack,
            WaitStatus::Stopped(_, Signal::SIGSEGV) => End::Violation,
            other => return Err(format!("the judge ended with {other:?}")),
        };
        let regs = ptrace::getregs(self.pid).map_err(os)?;
        let after = [regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi];
        let mut data = vec![0; DATA_SIZE as usize];
        self.memory.read_exact_at(&mut data, u64::from(DATA)).map_err(io)?;
        let state = State {
            regs: after.map(|reg| reg as u32),
            eip: regs.rip as u32,
            eflags: regs.eflags as u32 & STATUS_FLAGS,
            data,
        };
        Ok((state, end))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // A process that has died already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A static 32-bit ELF program: a code page that spins and two data pages.
fn elf() -> Vec<u8> {
    const HEADERS: u32 = 0x34 + 2 * 0x20;
    let mut file = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    half(&mut file, &[2, 3]); // executable, i386
    word(&mut file, &[1, CODE + 0xFF0, 0x34, 0, 0]);
    half(&mut file, &[0x34, 0x20, 2, 0, 0, 0]);
    // Readable and executable from file offset 1000h; readable and writable, zeroed.
    word(&mut file, &[1, 0x1000, CODE, CODE, 0x1000, 0x1000, 5, 0x1000]);
    word(&mut file, &[1, 0, DATA, DATA, 0, DATA_SIZE, 6, 0x1000]);
    debug_assert_eq!(file.len() as u32, HEADERS);
    file.resize(0x2000, 0x90);
    file[0x1FF0..0x1FF2].copy_from_slice(&[0xEB, 0xFE]);
    file
}
