//! `latentlab lab`: the setup, then JupyterLab.

use crate::command::become_program;
use crate::project::{Outcome, Project};
use crate::relay::Spare;
use crate::setup::{set_up, set_up_jupyter};
use crate::warm;

#[derive(clap::Args)]
pub struct Arguments {
    /// Do not open a browser; print the address
    #[arg(long)]
    no_open: bool,
    /// The port to listen on; without it, the first free one from 8888
    #[arg(long)]
    port: Option<u16>,
}

pub fn lab(arguments: &Arguments) -> Outcome<()> {
    let project = Project::find()?;
    // The first spare kernel builds the library, while the lessons can be read.
    let has_spare = Spare::is_wanted();
    if has_spare {
        set_up_jupyter(&project)?
    } else {
        set_up(&project)?
    }
    // The lessons of an installation that many share are read-only.
    let notebooks = match project.shared {
        Some(_) => std::env::current_dir().map_err(|error| format!("The current folder cannot be read ({error})."))?,
        None => project.notebooks(),
    };
    println!("Starting JupyterLab in {}. Ctrl-C ends it.", notebooks.display());
    if project.shared.is_none() && !warm::is_up_to_date(&project) {
        println!("Meanwhile the library is built: notebooks can be read now, and their cells run once it is there.");
    }
    let mut command = project.python();
    command
        // Root is allowed (in a container), because the server listens on loopback only and requires a token.
        .args(["-m", "jupyterlab", "-y", "--Application.log_level=WARN", "--allow-root"])
        .args(["--KernelSpecManager.ensure_native_kernel=False", "--MultiKernelManager.default_kernel_name=rust"])
        // A kernel that first compiles a change of the library must not count as dead.
        .arg("--MappingKernelManager.kernel_info_timeout=600")
        // By default, the server drops output above 1 MB of text or 1,000 messages a second, figures included. An
        // endless loop that prints is still cut off, by the number of messages.
        .arg("--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e10")
        .arg("--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=1e4")
        .arg("--notebook-dir")
        .arg(&notebooks);
    if arguments.no_open {
        command.arg("--no-browser");
    }
    if let Some(port) = arguments.port {
        command.arg(format!("--port={port}"));
    }
    if has_spare {
        // Without one, the first notebook waits longer.
        let _ = Spare::start_for(&command, &notebooks);
    }
    Err(format!("JupyterLab could not be started ({}).", become_program(command)))
}
