//! Starts the Rust kernel in a build folder of its own. Jupyter calls it, by the kernelspec that the setup writes.

use crate::command::{become_program, without_cargo_run};
use crate::execute::Kernel;
use crate::project::{Outcome, Project, make_folder, remove_folder};
use crate::relay;
use crate::warm;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn kernel(connection_file: &Path, kind: Kernel) -> Outcome<()> {
    #[cfg(unix)]
    parent::end_with_it();
    let project = Project::find()?;
    let evcxr = project.evcxr().ok_or("The Rust kernel is not installed. Run `cargo lab` once.")?;
    let mut command = Command::new(evcxr);
    if kind == Kernel::Bare {
        return bare(command, &project.build().join("bare"), connection_file);
    }
    let folder = if kind == Kernel::WarmUp {
        project.build().join("warm")
    } else {
        // The library may have been edited since JupyterLab was started.
        warm::set_up(&project)?;
        let slot = warm::claim(&project.build())?;
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
    without_cargo_run(&mut command);
    find_shared_libraries(&mut command, &folder.join("latentlab/compiled"))?;
    // rust-analyzer's own setting: fewer of the standard library's sources to read.
    let standard_library = project.build().join("rust");
    if standard_library.is_dir() && std::env::var_os("RUST_SRC_PATH").is_none() {
        command.env("RUST_SRC_PATH", standard_library);
    }
    relay::run(command, &folder, connection_file)
}

/// evcxr alone, as if it had just been installed.
fn bare(mut command: Command, folder: &Path, connection_file: &Path) -> Outcome<()> {
    remove_folder(folder)?;
    make_folder(folder)?;
    without_cargo_run(&mut command)
        .arg("--control_file")
        .arg(connection_file)
        .env("EVCXR_TMPDIR", folder.join("ctx"))
        .env("EVCXR_CONFIG_DIR", folder)
        .env("JUPYTER_PATH", folder)
        .current_dir(folder)
        .stdout(Stdio::null());
    Err(format!("The Rust kernel could not be started ({}).", become_program(command)))
}

/// The cells find the library there, and not where `cargo run` said that the tool has its own.
fn find_shared_libraries(command: &mut Command, folder: &Path) -> Outcome<()> {
    let variable = if cfg!(windows) {
        "PATH"
    } else if cfg!(target_vendor = "apple") {
        "DYLD_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let tools = std::env::current_exe().ok().and_then(|tool| Some(tool.parent()?.to_owned()));
    let others = std::env::var_os(variable).unwrap_or_default();
    let others =
        std::env::split_paths(&others).filter(|other| !tools.as_ref().is_some_and(|tools| other.starts_with(tools)));
    let all = std::env::join_paths(std::iter::once(folder.to_owned()).chain(others));
    command.env(variable, all.map_err(|error| format!("{}: {error}", folder.display()))?);
    Ok(())
}

#[cfg(unix)]
mod parent {
    use rustix::process::{
        Pid, Signal, getpgrp, getpid, getppid, kill_current_process_group, setpgid, test_kill_process,
    };
    use std::time::Duration;

    /// Without Jupyter there is no use in a kernel: when the process that has started this one ends, so does this one, with what it has started.
    pub fn end_with_it() {
        // As the head of a group of its own it can end the group; most of Jupyter's programs make it one.
        if getpgrp() != getpid() && setpgid(None, None).is_err() {
            return;
        }
        let parent = getppid();
        // Noted by Jupyter before it started this process: it may have ended already.
        let jupyter = std::env::var("JPY_PARENT_PID").ok().and_then(|id| Pid::from_raw(id.parse().ok()?));
        std::thread::spawn(move || {
            while getppid() == parent && jupyter.is_none_or(|jupyter| test_kill_process(jupyter).is_ok()) {
                std::thread::sleep(Duration::from_millis(500));
            }
            let _ = kill_current_process_group(Signal::KILL);
        });
    }
}
