//! The program `tandem`.

fn main() -> std::process::ExitCode {
    replayer::cli::main().into()
}
