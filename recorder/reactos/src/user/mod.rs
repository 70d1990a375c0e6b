//! The system DLLs: what runs in ring 3 that is not the program.
//!
//! ntdll is executed code; kernel32's and the loader's C code are native routines on the user stack,
//! in the pages behind kernel32's code.

pub(crate) mod create;
pub(crate) mod csr;
pub(crate) mod exception;
pub(crate) mod loader;
pub(crate) mod thread;
pub(crate) mod win32;

mod ntdll;

pub(crate) use ntdll::{kernel32, ntdll};

use crate::ReactOs;
use contract::routines;

routines! {
    /// The C routines of ntdll and kernel32.
    pub(crate) enum Us for ReactOs; at 0x7C80_1000 {
        CreateProcess(1)[10] => create::create_process,
        CreateProcessInherit(1)[10] => create::create_process_inherit,
        CreateThread(6)[205] => create::create_thread,
        BaseExceptionHandler(3)[0] => exception::base_handler,
        KiUserExceptionDispatcher(2)[0] => exception::dispatcher,
        ExitProcess(1)[0] => thread::exit_process,
        ExitThread(1)[1] => thread::exit_thread,
        LdrShutdownProcess(0)[0] => loader::shutdown_process,
        LdrShutdownThread(0)[0] => loader::shutdown_thread,
        LdrpInit(4)[0] => loader::ldrp_init,
        LdrPEStartup(0)[1] => loader::attach::process,
        LdrpAttachThread(0)[1] => loader::attach::thread,
        LdrpDetachProcess(1)[1] => loader::attach::detach_process,
        LdrpDetachThread(0)[1] => loader::attach::detach_thread,
        RtlEnterCriticalSection(1)[1] => loader::lock::enter,
        RtlLeaveCriticalSection(1)[1] => loader::lock::leave,
        Kernel32DllMain(3)[0] => csr::kernel32_dll_main,
        CsrClientCallServer(2)[10] => csr::client_call_server,
        KiRaiseUserExceptionDispatcher(0)[10] => csr::raise_user_exception,
        MsvcrtDllMain(3)[0] => loader::modules::dll_main,
        SleepEx(2)[2] => win32::sleep_ex,
        TerminateProcess(2)[0] => win32::terminate_process,
        TerminateThread(2)[0] => win32::terminate_thread,
        RtlRosExitUserThreadStage2(1)[2] => thread::exit_user_thread,
    }
}
