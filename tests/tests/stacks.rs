//! The stacks that the behaviour sheets draw, as `tandem show CASE --kernel K --at EVENT+N --stack THREAD`
//! prints them: a golden for each, to be read slot by slot beside the sheet.
//!
//! An instant is named by the code or routine that is about to run for the first time in an event, and not
//! by a number, which would move with every change of a kernel.

use recorder::{Case, Player, kernels, record};
use tests::{read, root, tandem};

/// A stack that is drawn somewhere.
struct Picture {
    /// Of the golden, and what it shows.
    name: &'static str,
    case: &'static str,
    kernel: &'static str,
    /// Counted from 1.
    event: usize,
    /// The symbol of the code or the name of the routine that is reached.
    at: &'static str,
    thread: &'static str,
}

const FIRST_INSTRUCTION: &str = "corpus/startup/first_instruction_enters_the_apc_dispatcher.case";

const PICTURES: &[Picture] = &[
    // reactos.md 4.3: as Ke386InitThreadWithContext leaves it.
    Picture {
        name: "reactos_4_3_first_kernel_stack",
        case: FIRST_INSTRUCTION,
        kernel: "reactos",
        event: 2,
        at: "PsCreateTeb",
        thread: "main",
    },
    // reactos.md 5.5, 3.3: what lies on the user stack at the first user instruction.
    Picture {
        name: "reactos_5_5_first_user_stack",
        case: FIRST_INSTRUCTION,
        kernel: "reactos",
        event: 2,
        at: "KiUserApcDispatcher",
        thread: "main",
    },
    // reactos.md 5.6, 5.6.1: the stub's ESP is 70h too high; what it takes for the frame is the FX area.
    Picture {
        name: "reactos_5_6_stale_start_stub",
        case: "corpus/startup/stale_start_stub_never_reaches_user_mode.case",
        kernel: "reactos-msvc6",
        event: 2,
        at: "KiInitializeUserApc",
        thread: "main",
    },
    // reactos.md 7.5: a user APC of a thread that waited.
    Picture {
        name: "reactos_7_5_user_apc",
        case: "corpus/apc/alertable_sleep_runs_the_apc.case",
        kernel: "reactos",
        event: 4,
        at: "KiUserApcDispatcher",
        thread: "main",
    },
    // nt52.md 4.6: as KiInitializeContextThread leaves it, before the thread is ready.
    Picture {
        name: "nt_4_6_first_kernel_stack",
        case: FIRST_INSTRUCTION,
        kernel: "nt",
        event: 2,
        at: "KeReadyThread",
        thread: "main",
    },
    // nt52.md 5.6, 5.7: what lies on the user stack at the first user instruction.
    Picture {
        name: "nt_5_6_first_user_stack",
        case: FIRST_INSTRUCTION,
        kernel: "nt",
        event: 2,
        at: "KiUserApcDispatcher",
        thread: "main",
    },
    // nt52.md 5.6, 6.3: a user APC of a thread that waited, and the frame of the system call below it.
    Picture {
        name: "nt_5_6_user_apc",
        case: "corpus/apc/alertable_sleep_runs_the_apc.case",
        kernel: "nt",
        event: 4,
        at: "KiUserApcDispatcher",
        thread: "main",
    },
];

/// How many instructions of the event are done when the picture is taken.
fn instant(picture: &Picture) -> u64 {
    let kernel = kernels::by_name(picture.kernel).expect("a kernel that is listed exists");
    let text = read(&root().join(picture.case));
    let case = Case::parse(picture.case, picture.name, &text).unwrap_or_else(|error| panic!("{error}"));
    let recording = record(&case, kernel).unwrap_or_else(|error| panic!("{}: {error}", picture.case));
    let at = kernel.image().address(picture.at).unwrap_or_else(|| panic!("{} is not known", picture.at));
    let told = |error: recorder::SeekError| -> Player { panic!("{} is not reached: {error}", picture.at) };
    let mut player = Player::at(&recording, kernel, picture.event, 0).unwrap_or_else(told);
    while player.machine().cpu.next() != at {
        if let Err(error) = player.forward(1) {
            told(error);
        }
    }
    player.offset()
}

#[test]
fn stacks_that_the_sheets_draw() {
    for picture in PICTURES {
        let at = format!("{}+{}", picture.event, instant(picture));
        let args = ["show", picture.case, "--kernel", picture.kernel, "--at", &at, "--stack", picture.thread];
        let ran = tandem(&root(), &args);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", picture.name);
        // Without the line that tells the instant by its number.
        let (_, shown) = ran.out.split_once('\n').expect("a first line");
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("stacks");
        settings.bind(|| insta::assert_snapshot!(picture.name, shown));
    }
}
