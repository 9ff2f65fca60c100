//! Starts the Rust kernel in a build folder of its own. Jupyter calls it, by the kernelspec that the setup writes.

use crate::build;
use crate::project::{Outcome, Project};
use crate::relay;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn kernel(connection_file: &Path, warm_up: bool) -> Outcome<()> {
    let project = Project::find()?;
    let evcxr = project.evcxr().ok_or("The Rust kernel is not installed. Run `cargo lab` once.")?;
    let mut command = Command::new(evcxr);
    let folder = if warm_up {
        project.build().join("warm")
    } else {
        let slot = build::claim(&project.build())?;
        // The kernel holds the lock as its standard input, which it does not use: the slot is free when it is gone.
        command.stdin(slot.lock);
        slot.folder
    };
    command
        .env("EVCXR_TMPDIR", folder.join("ctx"))
        .env("EVCXR_CONFIG_DIR", &folder)
        // evcxr replaces a kernelspec `rust` that it finds there, or in the user's home, by its own.
        .env("JUPYTER_PATH", &folder)
        .stdout(Stdio::null());
    // What `cargo run` tells the tool about itself would make the kernel's own cargo compile again what depends on it.
    for (name, _) in std::env::vars_os() {
        let cargos = |prefix| name.to_string_lossy().starts_with(prefix);
        if name == "CARGO" || ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].into_iter().any(cargos) {
            command.env_remove(&name);
        }
    }
    relay::run(command, connection_file, &folder)
}

/// The program takes this process's place, so that Jupyter's signals and Ctrl-C are its own. Returns only if that fails.
#[cfg(unix)]
pub fn become_program(mut command: Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

/// Waits for the program and ends as it did. Returns only if it cannot be started.
#[cfg(not(unix))]
pub fn become_program(mut command: Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
