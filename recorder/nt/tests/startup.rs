//! From boot to the first user instruction, and creation.

mod driver;

use contract::{Activity, Kernel, Status};
use driver::{Arg, Driver, PERIODS, park};

#[test]
fn booting_leads_init_to_park() {
    for period in PERIODS {
        let driver = Driver::boot(period);
        let init = driver.init();
        let threads = driver.nt.threads(&driver.m);
        let status = threads.iter().find(|status| status.id == init).unwrap();
        assert_eq!(status.activity, Activity::Runnable);
        assert_eq!(status.resume.map(|resume| resume.eip), Some(park().0), "{}", driver.place());
        let order = [
            "PspUserThreadStartup",
            "DbgkCreateThread",
            "KiInitializeUserApc",
            "LdrpInitialize",
            "NtTestAlert",
            "NtContinue",
            "BaseProcessStart",
            "NtSetInformationThread",
        ];
        let seen: Vec<_> = driver.trace.iter().filter(|name| order.contains(name)).copied().collect();
        assert_eq!(seen, order);
    }
}

#[test]
fn a_process_and_its_threads_reach_park() {
    for period in PERIODS {
        let mut driver = Driver::boot(period);
        let app = driver.process("app");
        driver.thread("main", app, 2, &[]);
        driver.thread("worker", app, 0, &[]);
        driver.has("process app state alive");
        driver.has("thread main state running");
        driver.has("thread worker state running");
        let (late, _) = driver.thread("late", app, 1, &[]);
        driver.has("thread late state suspended");
        driver.has("thread late suspend count 1");
        let init = driver.init();
        let (status, out) = driver.call(init, "NtResumeThread", &[Arg::Value(late), Arg::Words(&[9])]);
        assert_eq!((status, out[0][0]), (Some(Status::SUCCESS), 1));
        driver.has("thread late state running");
    }
}
