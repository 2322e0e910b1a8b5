use std::process::ExitCode;

fn main() -> ExitCode {
    drawbridge_cli::main()
}
