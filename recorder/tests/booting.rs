//! A kernel boots once in a process, whoever needs it first. Alone in its process, so that the first is known.

use recorder::{Case, Recording, Replay, drive, kernels, record, record_in_detail};

#[test]
fn a_boot_that_was_first_needed_by_a_run_without_a_recording_is_recorded_all_the_same() {
    let case = Case::parse("booting", "booting", "# A case.\nprocess app\nthread main in=app\n")
        .unwrap_or_else(|error| panic!("{error}"));
    for name in kernels::names() {
        let kernel = kernels::by_name(name).unwrap();
        drive(&case, kernel).unwrap();
        let recording = record(&case, kernel).unwrap();
        // In detail a kernel boots by itself.
        let detailed = record_in_detail(&case, kernel).unwrap();
        let of = |recording: &Recording| (recording.boot.inputs.clone(), recording.boot.trace.clone());
        assert!(!recording.boot.trace.is_empty(), "{name}");
        assert!(of(&recording) == of(&detailed), "{name}");
        let booted = Replay::start(&recording, kernel).next_event().unwrap().unwrap();
        assert!(booted.same, "{name}: {:?}", booted.strayed);
    }
}
