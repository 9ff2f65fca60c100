//! Starts the Rust kernel in its own build folder. Jupyter calls it, through the kernelspec that the setup writes.

use crate::cell_compiler;
use crate::command::become_program;
use crate::execute::Kernel;
use crate::project::{Outcome, Project, make_folder, remove_folder};
use crate::relay;
use crate::warm;
use std::path::Path;
use std::process::Command;

pub fn kernel(connection_file: &Path, kind: Kernel) -> Outcome<()> {
    #[cfg(unix)]
    parent::end_with_it();
    let project = Project::find()?;
    let evcxr = project.evcxr().ok_or("The Rust kernel is not installed. Run `cargo lab` once.")?;
    let mut lock = None;
    let folder = match kind {
        Kernel::WarmUp => project.build().join("warm"),
        Kernel::Bare => {
            let folder = project.build().join("bare");
            remove_folder(&folder)?;
            make_folder(&folder)?;
            folder
        }
        Kernel::Usual => {
            // The library may have been edited since JupyterLab was started.
            warm::set_up(&project)?;
            let slot = warm::claim(&project.build())?;
            lock = Some(slot.lock);
            slot.folder
        }
    };
    let mut command = relay::evcxr_in(&folder, &evcxr);
    if let Some(lock) = lock {
        // The kernel inherits the lock as its standard input, which it does not use: the slot is free when it ends.
        command.stdin(lock);
    }
    if kind == Kernel::Bare {
        // evcxr alone, as after a fresh installation.
        command.arg("--control_file").arg(connection_file).current_dir(folder);
        return Err(format!("The Rust kernel could not be started ({}).", become_program(command)));
    }
    find_shared_libraries(&mut command, &folder.join("latentlab/compiled"))?;
    if std::env::var_os("RUSTC_WORKSPACE_WRAPPER").is_none() {
        command.env("RUSTC_WORKSPACE_WRAPPER", cell_compiler::install(&folder)?);
    }
    // For rust-analyzer, which then reads fewer sources of the standard library.
    let standard_library = project.build().join("rust");
    if standard_library.is_dir() && std::env::var_os("RUST_SRC_PATH").is_none() {
        command.env("RUST_SRC_PATH", standard_library);
    }
    relay::run(command, &folder, connection_file)
}

/// Lets the cells find the shared library in this folder, and not in the folders that `cargo run` has added for the
/// tool.
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

    /// Ends this process and its children when the process that has started it ends: without Jupyter there is no use
    /// for a kernel.
    pub fn end_with_it() {
        // To kill its children it must lead a process group; most of Jupyter's programs start it as a leader.
        if getpgrp() != getpid() && setpgid(None, None).is_err() {
            return;
        }
        let parent = getppid();
        // Set by Jupyter before it started this process; Jupyter may have ended since.
        let jupyter = std::env::var("JPY_PARENT_PID").ok().and_then(|id| Pid::from_raw(id.parse().ok()?));
        std::thread::spawn(move || {
            while getppid() == parent && jupyter.is_none_or(|jupyter| test_kill_process(jupyter).is_ok()) {
                std::thread::sleep(Duration::from_millis(500));
            }
            let _ = kill_current_process_group(Signal::KILL);
        });
    }
}
