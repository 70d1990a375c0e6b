//! From boot to a parked thread, and what it meets on the way.

mod common;

use common::{Came, Driver};
use contract::{Kernel, program};
use machine::Reg;
use reactos::Variant;

const PERIODS: [Option<u64>; 4] = [None, Some(37), Some(101), Some(211)];

#[test]
fn init_parks_after_the_whole_startup_path() {
    for variant in [Variant::Article, Variant::R13089, Variant::Msvc6] {
        for period in PERIODS {
            let mut driver = Driver::boot(variant, period);
            assert!(!driver.stopped(), "{variant:?} {period:?}: {:?}", driver.view().bugcheck);
            let (_, thread) = driver.init();
            driver.make_current(thread);
            let names: Vec<_> = driver.trace.iter().map(|(name, _)| *name).collect();
            for name in ["PiBeforeBeginThread", "KiInitializeUserApc", "LdrpInit", "NtContinue"] {
                assert!(names.contains(&name), "{name} was not reached");
            }
            assert_eq!(driver.m.cpu.eflags & 0x3F7F00, 0x200);
            assert_eq!(driver.m.cpu.eip, program::symbol(program::PARK).0);
            assert_eq!(driver.m.cpu.reg(Reg::Edi), 0);
        }
    }
}

#[test]
fn a_process_with_threads_runs_and_parks() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = driver.process("app");
        let main = driver.thread("main", app, 2, &[]);
        driver.thread("worker", app, 0, &[]);
        assert_eq!(
            driver.facts(),
            ["process app state: alive", "thread main state: running", "thread worker state: running"]
        );
        // Creation left Alerted[0] set.
        assert_eq!(driver.call(main.id, "NtTestAlert", &[]), Came::Returned(0x101));
        assert_eq!(driver.call(main.id, "NtTestAlert", &[]), Came::Returned(0));
    }
}

#[test]
fn nothing_asks_for_what_the_image_does_not_have() {
    let kernel = reactos::ReactOs::new(Variant::Article);
    for name in ["NtCreateThread", "CreateProcess", "CreateThread", "ExitProcess", "DriverWait"] {
        assert!(kernel.image().services.contains_key(name));
    }
    assert!(!kernel.image().services.contains_key("NtCreateDebugObject"));
}
