//! Installs what the notebooks need into the project's `.jupyter` folder: Python with JupyterLab, the Rust kernel, its
//! kernelspec, and the library built for it.
//!
//! Each step checks what is there, repeats itself if that is out of date, and records its success last: an interrupted
//! step counts as not done.

use crate::command::{narrate, output_of};
use crate::lessons::{notebooks_in, trust};
use crate::project::{Outcome, Project, cannot, make_private_folder, numbers, open_lock, remove_folder, write};
use crate::{relay, warm};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The kernel that is installed if the user has no suitable one, and the oldest Rust that compiles it.
const KERNEL: &str = "evcxr_jupyter@0.22.0";
const KERNEL_RUST: &str = "1.95";
/// The series of versions that the tool works with.
const KERNEL_SERIES: &str = "0.22.";
/// The feature that evcxr must be compiled with, except on Windows: socket files, to which other users of the machine
/// cannot connect.
const KERNEL_FEATURE: &str = "zeromq/ipc-transport";
/// Crates of it that no notebook calls, but that are a tenth of what is compiled: an editor's code actions. The others
/// stay optimised: with `opt-level = 1` for all, a kernel computes half as much again at its start.
const NOT_OPTIMISED: [&str; 3] = ["ra_ap_ide_assists", "ra_ap_ide_diagnostics", "ra_ap_ide_ssr"];
/// How long a program may take until it tells its version, which takes a second if nothing else runs.
const PATIENCE: Duration = Duration::from_secs(120);
const OLDEST_PYTHON: &str = "3.10";
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Sliders stay in the notebook that JupyterLab saves, at rest. Otherwise they are words when it is opened with another
/// kernel: "Error displaying widget", or with none, for ever, "Loading widget".
const SETTINGS: &str = "{ \"@jupyter-widgets/jupyterlab-manager:plugin\": { \"saveState\": true } }\n";

/// Installs what is missing, and prints what it does. Fast if everything is there.
pub fn set_up(project: &Project) -> Outcome<()> {
    set_up_jupyter(project)?;
    match project.shared {
        Some(_) => Ok(()),
        None => warm::set_up(project, true).map(drop),
    }
}

/// The same without the library, which a kernel needs at its start.
pub fn set_up_jupyter(project: &Project) -> Outcome<()> {
    if let Some(shared) = &project.shared {
        // Nothing is missing, or only its owner can install it.
        return warm::ready(project, shared).map(drop);
    }
    // evcxr sends its child process the library to load in a line whose fields are separated by spaces.
    if project.jupyter.to_string_lossy().contains(char::is_whitespace) {
        return Err(format!(
            "The Rust kernel cannot work in a folder whose path has a space in it: {}. Move the project, \
             or set LATENTLAB_JUPYTER to another folder for Jupyter's files.",
            project.jupyter.display()
        ));
    }
    // Jupyter's settings are JSON, which is Unicode only.
    if project.jupyter.to_str().is_none() || std::env::current_exe().is_ok_and(|tool| tool.to_str().is_none()) {
        return Err(format!(
            "Jupyter cannot work in a folder whose path is not Unicode: {}. Move the project.",
            project.jupyter.display()
        ));
    }
    let lock = open_lock(&project.jupyter.join("setup.lock"))?;
    if lock.try_lock().is_err() {
        println!("Waiting for another setup of this project to end …");
        lock.lock().map_err(|error| format!("The setup's lock cannot be taken ({error})."))?;
    }
    set_up_folders(project)?;
    set_up_python(project)?;
    // Notebooks that come later are for the user to trust.
    if !project.jupyter.join("data/nbsignatures.db").exists() {
        trust(project, &notebooks_in(&project.notebooks())?);
    }
    set_up_kernel(project)?;
    set_up_kernelspec(project)
}

/// The folders where Jupyter keeps its secrets: kernel keys, the server's token, the password hash, the signing key.
/// And what JupyterLab's settings are until a user changes them.
fn set_up_folders(project: &Project) -> Outcome<()> {
    ["runtime", "config", "data"].iter().try_for_each(|name| make_private_folder(&project.jupyter.join(name)))?;
    set_up_settings(project)
}

pub fn set_up_settings(project: &Project) -> Outcome<()> {
    write(&project.jupyter.join("config/labconfig/default_setting_overrides.json"), SETTINGS)
}

/// JupyterLab in its own virtual environment.
pub fn set_up_python(project: &Project) -> Outcome<()> {
    let folder = project.jupyter.join("python");
    let mark = folder.join("requirements.txt");
    let installed = fs::read_to_string(&mark).is_ok_and(|list| list == REQUIREMENTS);
    // The user's Python may have been removed or replaced since: then the environment's Python does not start.
    if installed && output_of(project.python().args(["-c", "import jupyterlab"])).is_some() {
        return Ok(());
    }
    let (mut venv, version) = find_python()?;
    println!("Installing JupyterLab with Python {version} (once; about a minute, 200 MB) …");
    remove_folder(&folder)?;
    venv.args(["-m", "venv"]).arg(&folder);
    narrate(venv)
        .map_err(|tail| format!("Python {version} could not make a virtual environment:\n{tail}\n{VENV_HINT}"))?;
    let list = project.jupyter.join("requirements.txt");
    write(&list, REQUIREMENTS)?;
    let mut pip = project.python();
    pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--progress-bar", "off", "-r"])
        .arg(&list);
    narrate(pip).map_err(|tail| {
        format!("JupyterLab could not be installed. Is there a network connection? The last lines of pip:\n{tail}")
    })?;
    fs::rename(&list, &mark).map_err(cannot("write", &mark))
}

const VENV_HINT: &str =
    "On Debian and Ubuntu, virtual environments are a separate package: sudo apt install python3-venv";

/// The first suitable Python as a command, and its version.
fn find_python() -> Outcome<(Command, String)> {
    const VERSION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let names: &[&[&str]] =
        if cfg!(windows) { &[&["py", "-3"], &["python"], &["python3"]] } else { &[&["python3"], &["python"]] };
    let command = |name: &[&str]| {
        let mut command = Command::new(name[0]);
        command.args(&name[1..]);
        command
    };
    let mut problem = format!("Python is missing: JupyterLab needs Python {OLDEST_PYTHON} or newer.");
    for name in names {
        let Some(version) = output_of(command(name).args(["-c", VERSION])) else { continue };
        if numbers(&version) < numbers(OLDEST_PYTHON) {
            problem = format!("Python {version} is too old: JupyterLab needs {OLDEST_PYTHON} or newer.");
        } else if output_of(command(name).args(["-c", "import venv, ensurepip"])).is_none() {
            problem = format!("Python {version} is installed, but without its modules venv and ensurepip. {VENV_HINT}");
        } else {
            return Ok((command(name), version));
        }
    }
    Err(format!(
        "{problem}\nTo install Python: on Debian and Ubuntu, sudo apt install python3 python3-venv; on macOS, \
         brew install python; on Windows, winget install Python.Python.3.13; or https://www.python.org/downloads/."
    ))
}

/// The Rust kernel, unless the user has a suitable one.
pub fn set_up_kernel(project: &Project) -> Outcome<()> {
    let version_of = |name: &str| output_of(Command::new(name).arg("--version"));
    let (Some(rust), Some(_)) = (version_of("rustc"), version_of("cargo")) else {
        return Err("Rust is missing: the notebooks' kernel needs `cargo` and `rustc` on the PATH. \
                    Install them from https://rustup.rs/."
            .to_owned());
    };
    if project.evcxr().is_some() {
        return Ok(());
    }
    for program in project.kernels() {
        match unsuitable(project, &program) {
            None => return project.record_kernel(&program),
            Some(reason) => println!("{} is not used as the notebooks' kernel: {reason}.", program.display()),
        }
    }
    let rust = rust.split_whitespace().nth(1).unwrap_or_default();
    if numbers(rust) < numbers(KERNEL_RUST) {
        return Err(format!(
            "Rust {rust} is too old: the notebooks' kernel, {KERNEL}, needs {KERNEL_RUST} or newer. \
             Update it: rustup update stable"
        ));
    }
    println!("Compiling the Rust kernel, {KERNEL} (once; 4 to 15 minutes) …");
    let folder = project.jupyter.join("evcxr");
    let target = folder.join("target");
    let mut install = Command::new("cargo");
    // A fixed target folder: after an interruption, the next attempt continues from there.
    install.args(["install", "--locked", "--root"]).arg(&folder).arg("--target-dir").arg(&target);
    install.args([KERNEL, "--features", KERNEL_FEATURE]);
    // Link-time optimisation is a quarter of its compilation.
    install.env("CARGO_PROFILE_RELEASE_LTO", "off");
    for name in NOT_OPTIMISED {
        install.arg("--config").arg(format!("profile.release.package.{name}.opt-level=0"));
    }
    narrate(install).map_err(|tail| {
        format!(
            "The Rust kernel could not be installed. Is there a network connection? The last lines of cargo:\n{tail}"
        )
    })?;
    remove_folder(&target)?;
    let installed = project.kernels().into_iter().next().ok_or("cargo has installed no kernel.")?;
    match unsuitable(project, &installed) {
        None => project.record_kernel(&installed),
        Some(reason) => Err(format!("The Rust kernel {} does not work here: {reason}.", installed.display())),
    }
}

/// Why a program cannot be the notebooks' kernel; `None` if it can.
fn unsuitable(project: &Project, program: &Path) -> Option<String> {
    match relay::version_of(program, &project.jupyter, PATIENCE) {
        Ok(version) if version.starts_with(KERNEL_SERIES) => None,
        Ok(version) => Some(format!("it is evcxr {version}, and {KERNEL_SERIES}x is needed")),
        Err(error) => Some(format!(
            "{error}. Was it compiled with the feature {KERNEL_FEATURE}? It keeps other users of this machine out"
        )),
    }
}

/// Jupyter's kernelspec `rust`, and a setting by which JupyterLab asks nothing at its start.
pub fn set_up_kernelspec(project: &Project) -> Outcome<()> {
    let tool = std::env::current_exe().map_err(|error| format!("The tool cannot find itself ({error})."))?;
    // Jupyter puts the kernelspec's folder there: an installation that many share may be moved.
    let tool = if project.shared.is_some() { "{resource_dir}/../../../../bin/latentlab".into() } else { tool };
    let spec = serde_json::json!({
        "argv": [tool, "kernel", "--connection-file", "{connection_file}"],
        "display_name": "Rust",
        "language": "rust",
        "interrupt_mode": "message",
    });
    write(&project.jupyter.join("share/jupyter/kernels/rust/kernel.json"), &format!("{spec:#}\n"))?;
    let page = serde_json::json!({ "disabledExtensions": { "@jupyterlab/apputils-extension:announcements": true } });
    write(&project.jupyter.join("config/labconfig/page_config.json"), &format!("{page:#}\n"))
}
