//! System call numbers (reactos.md 2.16) and the driver's door.

use crate::routines::Ke;

/// NumberOfServices: 0 to 234.
pub(crate) const COUNT: u32 = 235;

/// A service: its user-mode name, its number, its parameters, its routine.
pub(crate) struct Service {
    /// What a program calls.
    pub(crate) name: &'static str,
    /// EAX.
    pub(crate) number: u32,
    /// Doublewords of arguments.
    pub(crate) params: u32,
    /// The kernel's routine.
    pub(crate) routine: Ke,
}

macro_rules! services {
    ($($name:ident $number:literal / $params:literal,)*) => {
        /// Every service that is built. Numbers 1 to 6, 9, 10, 12, 14, 15 and 16, which the sheet leaves
        /// unnamed, are the test driver's door.
        pub(crate) const SERVICES: &[Service] = &[$(Service {
            name: stringify!($name), number: $number, params: $params, routine: Ke::$name,
        }),*];
    };
}
services! {
    DriverEnterCriticalRegion 1 / 0,
    DriverLeaveCriticalRegion 2 / 0,
    DriverQueueApc 3 / 2,
    DriverWait 4 / 3,
    DriverRemoveApc 5 / 1,
    DriverAttach 6 / 2,
    NtAlertResumeThread 7 / 2,
    NtAlertThread 8 / 1,
    DriverSetNotifyRoutine 9 / 1,
    DriverNotifications 10 / 3,
    NtAllocateVirtualMemory 11 / 6,
    DriverApcCounts 12 / 2,
    DriverInsertApc 14 / 4,
    DriverLeaveAndReadEvent 15 / 1,
    DriverSetPriority 16 / 2,
    NtClose 17 / 1,
    NtConnectPort 20 / 8,
    NtContinue 21 / 2,
    NtCreateEvent 23 / 5,
    NtCreateMutant 30 / 4,
    NtCreateProcess 34 / 8,
    NtCreateSection 36 / 7,
    NtCreateSemaphore 37 / 5,
    NtCreateThread 39 / 8,
    NtDelayExecution 43 / 2,
    NtDuplicateObject 52 / 7,
    NtFreeVirtualMemory 64 / 4,
    NtGetContextThread 66 / 2,
    NtOpenProcess 94 / 4,
    NtOpenThread 100 / 4,
    NtQueryInformationProcess 125 / 5,
    NtQueryInformationThread 126 / 5,
    NtQueueApcThread 150 / 5,
    NtReadVirtualMemory 156 / 5,
    NtRegisterThreadTerminatePort 157 / 1,
    NtReleaseMutant 158 / 2,
    NtReleaseSemaphore 159 / 3,
    NtRequestWaitReplyPort 166 / 3,
    NtResetEvent 167 / 2,
    NtResumeThread 169 / 2,
    NtSetContextThread 175 / 2,
    NtSetEvent 180 / 2,
    NtSetInformationProcess 188 / 4,
    NtSetInformationThread 189 / 4,
    NtSignalAndWaitForSingleObject 208 / 4,
    NtSuspendThread 211 / 2,
    NtTerminateProcess 214 / 2,
    NtTerminateThread 215 / 2,
    NtTestAlert 216 / 0,
    NtWaitForMultipleObjects 225 / 5,
    NtWaitForSingleObject 226 / 3,
    NtWriteVirtualMemory 232 / 5,
    NtYieldExecution 234 / 0,
}

/// Numbers and parameters of services that 2.16 names and that are not built: NtCallbackReturn,
/// NtDisplayString, NtMapViewOfSection, NtProtectVirtualMemory, NtQuerySystemInformation,
/// NtQuerySystemTime, NtQueryVirtualMemory, NtRaiseException, NtTerminateJobObject, NtW32Call. Their
/// arguments are copied from the caller's stack all the same (6.2).
const UNBUILT: [(u32, u32); 10] =
    [(13, 3), (51, 1), (82, 10), (109, 5), (143, 4), (144, 1), (148, 6), (151, 3), (213, 2), (233, 5)];

/// Doublewords of arguments of the service of that number; 0 where the sheet does not know it.
pub(crate) fn params(number: u32) -> u32 {
    let built = SERVICES.iter().find(|service| service.number == number).map(|service| service.params);
    let named = UNBUILT.into_iter().find(|(unbuilt, _)| *unbuilt == number);
    built.or(named.map(|(_, params)| params)).unwrap_or(0)
}
