//! The commands that train, in a tool that was compiled without the library, as `cargo lab` does to start sooner: hands
//! them to the whole tool, which cargo compiles first.

use crate::command::{become_program, without_cargo_run};
use crate::project::{Outcome, Project};
use std::env;
use std::ffi::OsString;
use std::process::Command;

/// Not looked at here, not even `--help`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _all: Vec<OsString>,
}

/// Runs the whole tool with this process's arguments. Returns only if it cannot be started.
pub fn run() -> Outcome<()> {
    let project = Project::find()?;
    if project.shared.is_some() {
        return Err("This installation has the notebooks' tool only. For this command, install the whole one: \
                    cargo install latentlab --features tool,grpc"
            .to_owned());
    }
    let manifest = project.root.join("Cargo.toml");
    let mut command = Command::new("cargo");
    without_cargo_run(&mut command)
        .args(["run", "--release", "--features", "tool,grpc", "--bin", "latentlab", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(env::args_os().skip(1));
    Err(format!("cargo could not be started ({}).", become_program(command)))
}
