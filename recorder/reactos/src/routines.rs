//! The kernel's native routines: what its C code does.

use crate::{ReactOs, dbgk, driver, ex, ke, mm, ob, ps};
use contract::{Flow, Frame, Status, routines};
use machine::Fault;

routines! {
    /// The kernel's C routines, sixteen addresses each.
    // Ke is a prefix of the field's own.
    #[allow(clippy::enum_variant_names)]
    pub(crate) enum Ke for ReactOs; at 0xC004_0000 {
        // Levels, dispatching, interrupts, traps.
        KfLowerIrql(1)[0] => ke::irql::lower,
        KiDispatchInterrupt(0)[0] => ke::dispatch::dispatch_interrupt,
        KiQuantumEnd(0)[0] => ke::dispatch::quantum_end,
        PsDispatchThread(1)[1] => ke::dispatch::dispatch,
        PsDispatchThreadNoLock(1)[0] => ke::dispatch::dispatch_no_lock,
        KeSetBaseGdtSelector(2)[0] => ke::gdt::set_base,
        KeSetGdtSelector(3)[0] => ke::gdt::set,
        KeReleaseDispatcherDatabaseLockFromDpcLevel(0)[0] => nothing,
        PiWakeupReaperThread(0)[0] => ps::reaper::wakeup_reaper,
        KiInterruptDispatch(2)[0] => ke::interrupt::dispatch,
        KiTrapHandler(2)[0] => ke::trap::handler,
        KiDispatchException(5)[0] => ke::trap::dispatch,
        KiHandleFpuFault(0)[2] => ke::fpu::handle_fault,
        KeBugCheck(1)[0] => ke::bugcheck::bug_check,
        KeBugCheckEx(5)[0] => ke::bugcheck::bug_check_ex,
        KiServiceCheck(1)[0] => ke::trap::service_check,
        ExRaiseStatus(1)[0] => ke::bugcheck::raise_status,
        // APCs.
        KiAfterSystemCallHook(1)[1] => ke::deliver::after_system_call_hook,
        KiDeliverApc(3)[4] => ke::deliver::deliver,
        KiInitializeUserApc(6)[0] => ke::deliver::initialize_user_apc,
        KeInsertQueueApc(4)[1] => ke::apc::ke_insert_queue_apc,
        KeRemoveQueueApc(1)[0] => ke::apc::ke_remove_queue_apc,
        KeAttachProcess(1)[0] => ke::attach::ke_attach_process,
        KeDetachProcess(0)[0] => ke::attach::ke_detach_process,
        KeTestAlertThread(1)[1] => ke::alert::ke_test_alert_thread,
        KeAlertThread(2)[1] => ke::alert::ke_alert_thread,
        LdrInitApcKernelRoutine(5)[0] => ke::apc::free_apc,
        LdrInitApcRundownRoutine(1)[0] => ke::apc::free_apc_rundown,
        NtQueueApcRoutine(5)[0] => ke::apc::free_apc,
        PiSuspendThreadKernelRoutine(5)[0] => ke::apc::no_operation,
        PiSuspendThreadRundownRoutine(1)[0] => ke::apc::no_operation,
        PiSuspendThreadNormalRoutine(3)[0] => ps::suspend::normal_routine,
        PiTerminateThreadKernelRoutine(5)[0] => ke::apc::free_apc,
        PiTerminateThreadRundownRoutine(1)[0] => ke::apc::free_apc_rundown,
        PiTerminateThreadNormalRoutine(3)[0] => ps::terminate::normal_routine,
        KeGetContextKernelRoutine(5)[0] => ps::context::get_kernel_routine,
        KeSetContextKernelRoutine(5)[0] => ps::context::set_kernel_routine,
        // Waits.
        KeWaitForSingleObject(5)[0] => ke::wait::single,
        KeWaitForMultipleObjects(8)[4] => ke::wait::multiple,
        PsBlockThread(5)[0] => ke::wait::block,
        KeDelayExecutionThread(3)[0] => ke::wait::delay,
        KeSetEvent(3)[1] => ke::event::ke_set_event,
        KeReleaseSemaphore(4)[1] => ke::event::ke_release_semaphore,
        KeReleaseMutant(4)[1] => ke::mutant::ke_release_mutant,
        ExAcquireFastMutex(1)[0] => ex::fastmutex::acquire,
        ExReleaseFastMutex(1)[0] => ex::fastmutex::release,
        // Processes and threads.
        PiBeforeBeginThread(0)[0] => ps::start::before_begin_thread,
        PsInitializeThread(5)[0] => ps::thread::ps_initialize_thread,
        Ke386InitThreadWithContext(2)[0] => ps::start::ke386_init_thread_with_context,
        PsCreateTeb(4)[2] => ps::teb::ps_create_teb,
        PsFreeTeb(1)[0] => ps::teb::ps_free_teb,
        DbgkCreateThread(1)[0] => dbgk::create_thread,
        PsSuspendThread(2)[2] => ps::suspend::ps_suspend_thread,
        PsResumeThread(2)[2] => ps::suspend::ps_resume_thread,
        PiTerminateProcessThreads(2)[2] => ps::terminate::pi_terminate_process_threads,
        PsTerminateOtherThread(2)[0] => ps::terminate::ps_terminate_other_thread,
        PsTerminateCurrentThread(1)[2] => ps::exit::ps_terminate_current_thread,
        PspRunCreateProcessNotifyRoutines(2)[1] => ps::notify::run_process,
        PspRunCreateThreadNotifyRoutines(2)[1] => ps::notify::run_thread,
        PsTerminateSystemThread(1)[0] => ps::exit::ps_terminate_system_thread,
        PiTerminateProcess(2)[0] => ps::exit::pi_terminate_process,
        PsLockProcess(2)[0] => ps::lock::ps_lock_process,
        PsUnlockProcess(1)[0] => ps::lock::ps_unlock_process,
        PsReaperThreadMain(1)[0] => ps::reaper::reaper_main,
        PsReapThreads(0)[0] => ps::reaper::reap_threads,
        SystemThreadMain(1)[0] => ps::reaper::system_thread_main,
        ObCloseAllHandles(1)[0] => ob::handle::ob_close_all_handles,
        // Services.
        NtAlertResumeThread(2)[0] => ke::alert::nt_alert_resume_thread,
        NtAlertThread(1)[1] => ke::alert::nt_alert_thread,
        NtAllocateVirtualMemory(6)[0] => mm::services::nt_allocate,
        NtClose(1)[0] => ob::handle::nt_close,
        NtContinue(2)[1] => ps::context::nt_continue,
        NtCreateEvent(5)[0] => ob::services::nt_create_event,
        NtCreateMutant(4)[0] => ob::services::nt_create_mutant,
        NtCreateProcess(8)[2] => ps::create_process::nt_create_process,
        NtCreateSection(7)[0] => ps::create_process::nt_create_section,
        NtCreateSemaphore(5)[0] => ob::services::nt_create_semaphore,
        NtCreateThread(8)[189] => ps::create_thread::nt_create_thread,
        NtDelayExecution(2)[2] => ob::services::nt_delay_execution,
        NtDuplicateObject(7)[0] => ob::duplicate::nt_duplicate,
        NtFreeVirtualMemory(4)[0] => mm::services::nt_free,
        NtGetContextThread(2)[17] => ps::context::nt_get,
        NtOpenProcess(4)[0] => ob::open::nt_open_process,
        NtOpenThread(4)[0] => ob::open::nt_open_thread,
        NtQueryInformationProcess(5)[0] => ps::query::nt_query_information_process,
        NtQueryInformationThread(5)[0] => ps::query::nt_query_information_thread,
        NtQueueApcThread(5)[1] => ke::apc::nt_queue_apc_thread,
        NtReadVirtualMemory(5)[0] => mm::services::nt_read,
        NtReleaseMutant(2)[1] => ob::services::nt_release_mutant,
        NtReleaseSemaphore(3)[1] => ob::services::nt_release_semaphore,
        NtResetEvent(2)[1] => ob::services::nt_reset_event,
        NtResumeThread(2)[2] => ps::suspend::nt_resume_thread,
        NtSetContextThread(2)[17] => ps::context::nt_set,
        NtSetEvent(2)[1] => ob::services::nt_set_event,
        NtSetInformationProcess(4)[0] => ps::query::nt_set_information_process,
        NtSetInformationThread(4)[0] => ps::query::nt_set_information_thread,
        NtSignalAndWaitForSingleObject(4)[2] => ob::signal::nt_signal_and_wait_for_single_object,
        NtSuspendThread(2)[2] => ps::suspend::nt_suspend_thread,
        NtTerminateProcess(2)[1] => ps::terminate::nt_terminate_process,
        NtTerminateThread(2)[1] => ps::terminate::nt_terminate_thread,
        NtTestAlert(0)[0] => ke::alert::nt_test_alert,
        NtWaitForMultipleObjects(5)[68] => ob::services::nt_wait_for_multiple_objects,
        NtWaitForSingleObject(3)[3] => ob::services::nt_wait_for_single_object,
        NtWriteVirtualMemory(5)[0] => mm::services::nt_write,
        NtYieldExecution(0)[0] => ke::dispatch::nt_yield,
        NtUnknownService(0)[0] => unknown_service,
        // The test driver's door.
        DriverEnterCriticalRegion(0)[0] => driver::enter_critical_region,
        DriverLeaveCriticalRegion(0)[0] => driver::leave_critical_region,
        DriverQueueApc(2)[2] => driver::apc::queue_apc,
        DriverRemoveApc(1)[2] => driver::apc::remove_apc,
        DriverApcCounts(2)[0] => driver::apc::apc_counts,
        DriverAttach(2)[1] => driver::attach::attach,
        DriverSetNotifyRoutine(1)[0] => driver::notify::set_notify_routine,
        DriverNotifications(3)[0] => driver::notify::notifications,
        DriverProcessNotify(3)[0] => driver::notify::process,
        DriverThreadNotify(3)[0] => driver::notify::thread,
        DriverWait(3)[1] => driver::wait,
        DriverApcKernelRoutine(5)[0] => ke::apc::free_apc,
        DriverApcNormalRoutine(3)[0] => driver::apc::normal_routine,
    }
}

/// A routine that a one-processor build leaves empty.
fn nothing(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}

/// A service that this kernel has and Tandem does not.
fn unknown_service(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(Status::NOT_IMPLEMENTED.0))
}
