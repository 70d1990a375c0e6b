//! The names by which the kernels tell what is in use: `left_behind` and whoever reads a dump look for them.

use recorder::{Case, kernels, record};

const ALL: &[&str] =
    &["kernel stacks", "threads of process ", "handles of process ", "references to process ", "pool "];

#[test]
fn what_is_in_use_is_told_by_the_names_that_are_looked_for() {
    let own: [(&str, &[&str]); 2] = [
        ("nt", &["page frames", "timers", "ids", "pool Thre", "pool Proc"]),
        (
            "reactos",
            &["physical pages", "locks held", "processes", "references to processes", "handles to processes"],
        ),
    ];
    let text = "# A case.\nprocess app\nthread main in=app\n";
    let case = Case::parse("x", "x", text).unwrap_or_else(|error| panic!("{error}"));
    for (name, own) in own {
        let kernel = kernels::by_name(name).unwrap();
        let recording = record(&case, kernel).unwrap();
        let inventory = kernel.inventory(&recording.event(2).unwrap().machine);
        for kind in ALL {
            assert!(
                inventory.iter().any(|(known, _)| known.starts_with(kind)),
                "{name}: {kind}: {inventory:?}"
            );
        }
        for kind in ["kernel stacks"].iter().chain(own) {
            assert!(inventory.iter().any(|(known, _)| known == kind), "{name}: {kind}: {inventory:?}");
        }
    }
}
