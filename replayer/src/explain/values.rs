//! The values of fields that hold a number with a name, and are numbers in both kernels' layouts: those of
//! the NT ABI (nt52.md 2.18, reactos.md 2.11).

const MODES: &[(u32, &str)] = &[(0, "KernelMode"), (1, "UserMode")];
const WAIT_TYPES: &[(u32, &str)] = &[(0, "WaitAll"), (1, "WaitAny")];
const ENVIRONMENTS: &[(u32, &str)] = &[
    (0, "OriginalApcEnvironment"),
    (1, "AttachedApcEnvironment"),
    (2, "CurrentApcEnvironment"),
    (3, "InsertApcEnvironment"),
];
const WAIT_REASONS: &[(u32, &str)] = &[
    (0, "Executive"),
    (1, "FreePage"),
    (2, "PageIn"),
    (3, "PoolAllocation"),
    (4, "DelayExecution"),
    (5, "Suspended"),
    (6, "UserRequest"),
    (7, "WrExecutive"),
    (8, "WrFreePage"),
    (9, "WrPageIn"),
    (10, "WrPoolAllocation"),
    (11, "WrDelayExecution"),
    (12, "WrSuspended"),
    (13, "WrUserRequest"),
    (14, "WrEventPair"),
    (15, "WrQueue"),
    (16, "WrLpcReceive"),
    (17, "WrLpcReply"),
    (18, "WrVirtualMemory"),
    (19, "WrPageOut"),
    (20, "WrRendezvous"),
    (26, "WrKernel"),
    (27, "WrResource"),
    (28, "WrPushLock"),
    (29, "WrMutex"),
    (30, "WrQuantumEnd"),
    (31, "WrDispatchInt"),
    (32, "WrPreempted"),
    (33, "WrYieldExecution"),
];

/// The names of a field's values, by the field's last name; none for a field without such.
pub(super) fn names(path: &str) -> &'static [(u32, &'static str)] {
    match path.rsplit('.').next().unwrap_or_default() {
        "WaitMode" | "ApcMode" | "PreviousMode" => MODES,
        "WaitReason" => WAIT_REASONS,
        "WaitType" => WAIT_TYPES,
        "ApcStateIndex" => ENVIRONMENTS,
        _ => &[],
    }
}
