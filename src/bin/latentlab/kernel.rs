//! Starts the Rust kernel in its own build folder. Jupyter calls it, through the kernelspec that the setup writes.

use crate::cell_cargo::{self, SHARED_LIBRARIES};
use crate::cell_compiler;
use crate::command::become_program;
use crate::execute::Kernel;
use crate::project::{Outcome, Project, Shared, make_folder, make_private_folder, remove_folder};
use crate::relay::{self, Connection, Spare};
use crate::user;
use crate::warm;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Without a connection file, it is a spare kernel, which builds the library only if it is told to.
pub fn kernel(connection_file: Option<&Path>, kind: Kernel, build: bool) -> Outcome<()> {
    #[cfg(unix)]
    parent::end_with_it(connection_file.is_none());
    let project = Project::find()?;
    let evcxr = project.evcxr().ok_or("The Rust kernel is not installed. Run `cargo lab` once.")?;
    let shared = project.shared.as_ref();
    let connection = connection_file.map(Connection::read).transpose()?;
    let (mut lock, mut spare) = (None, None);
    let folder = match kind {
        Kernel::WarmUp => project.build().join("warm"),
        Kernel::Bare => {
            let folder = project.build().join("bare");
            remove_folder(&folder)?;
            make_folder(&folder)?;
            folder
        }
        Kernel::Usual => {
            let ready = match shared {
                Some(shared) => warm::ready(&project, shared),
                // The library may have been edited since JupyterLab was started.
                None => warm::set_up(&project, connection.is_some() || build),
            };
            let stamp = match ready {
                Err(_) if connection.is_none() && !build => return Ok(()),
                stamp => stamp?,
            };
            spare = Spare::of(&user::slots(&project)?, &stamp);
            if let (Some(spare), Some(connection)) = (&spare, &connection)
                && let Some(done) = spare.take(connection)
            {
                return done;
            }
            if let (Some(spare), None) = (&mut spare, &connection)
                && !spare.reserve()?
            {
                return Ok(());
            }
            let slot = warm::claim(&project)?;
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
        command.args(connection_file.map(|file| [Path::new("--control_file"), file]).into_iter().flatten());
        command.current_dir(folder);
        return Err(format!("The Rust kernel could not be started ({}).", become_program(command)));
    }
    let (mut programs, mut libraries) = (Vec::new(), vec![folder.join("latentlab/compiled")]);
    if std::env::var_os("RUSTC_WORKSPACE_WRAPPER").is_none() {
        command.env("RUSTC_WORKSPACE_WRAPPER", cell_compiler::install(&folder)?);
        if cfg!(unix) {
            programs.push(cell_cargo::install(&folder)?);
        }
    }
    if let Some(shared) = shared {
        use_rust_of(shared, &mut command);
        // In the system's folder, one user's file would be in the way of another's.
        if cfg!(unix) && std::env::var_os("TMPDIR").is_none() {
            let temporary = user::slots(&project)?.join("tmp");
            make_private_folder(&temporary)?;
            command.env("TMPDIR", temporary);
        }
        programs.push(shared.rust.join("bin"));
        libraries.push(shared.libraries());
    }
    search_first(&mut command, SHARED_LIBRARIES, libraries)?;
    if cfg!(unix) {
        search_first(&mut command, "PATH", programs)?;
    }
    // For rust-analyzer, which then reads fewer sources of the standard library.
    let standard_library = project.build().join("rust");
    if standard_library.is_dir() && std::env::var_os("RUST_SRC_PATH").is_none() {
        command.env("RUST_SRC_PATH", standard_library);
    }
    if spare.is_some() {
        command.env_remove(relay::SESSION);
    }
    match (connection, spare) {
        (Some(connection), spare) => relay::run(command, &folder, &connection, spare.as_ref()),
        (None, Some(mut spare)) => spare.run(command, &folder),
        (None, None) => Err("a spare kernel is for a server of Jupyter only".to_owned()),
    }
}

/// The Rust that the library was compiled with, whatever the user has: another compiler cannot read the library.
fn use_rust_of(shared: &Shared, command: &mut Command) {
    // rustup, which evcxr asks first where there is one, takes the path of a toolchain, too.
    command.env("CARGO_HOME", &shared.cargo).env("RUSTUP_TOOLCHAIN", &shared.rust);
}

/// Has the kernel search these folders before all others of a variable that lists folders.
fn search_first(command: &mut Command, variable: &str, folders: Vec<PathBuf>) -> Outcome<()> {
    let tool = std::env::current_exe().unwrap_or_default();
    let others = std::env::var_os(variable).unwrap_or_default();
    // Where `cargo run` has added folders for the tool, they are not for the cells.
    let is_tools = |other: &PathBuf| variable != "PATH" && tool.parent().is_some_and(|tools| other.starts_with(tools));
    let others = std::env::split_paths(&others).filter(|other| !is_tools(other));
    let all = std::env::join_paths(folders.iter().cloned().chain(others));
    command.env(variable, all.map_err(|error| format!("{folders:?}: {error}"))?);
    Ok(())
}

#[cfg(unix)]
mod parent {
    use rustix::process::{
        Pid, Signal, getpgrp, getpid, getppid, kill_current_process_group, setpgid, test_kill_process,
    };
    use std::time::Duration;

    /// Ends this process and its children when the process that has started it ends: without Jupyter there is no use
    /// for a kernel. A spare kernel ends with Jupyter only, not with the kernel that has started it.
    pub fn end_with_it(is_spare: bool) {
        // To kill its children it must lead a process group; most of Jupyter's programs start it as a leader.
        if getpgrp() != getpid() && setpgid(None, None).is_err() {
            return;
        }
        let parent = getppid();
        // Set by Jupyter before it started this process; Jupyter may have ended since.
        let jupyter = std::env::var("JPY_PARENT_PID").ok().and_then(|id| Pid::from_raw(id.parse().ok()?));
        std::thread::spawn(move || {
            while (is_spare || getppid() == parent) && jupyter.is_none_or(|jupyter| test_kill_process(jupyter).is_ok())
            {
                std::thread::sleep(Duration::from_millis(500));
            }
            let _ = kill_current_process_group(Signal::KILL);
        });
    }
}
