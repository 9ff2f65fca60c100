//! The command-line tool: `cargo latentlab …`.

#[cfg(feature = "library")]
mod bench;
mod cell_cargo;
mod cell_compiler;
mod command;
#[cfg(feature = "library")]
mod data;
#[allow(dead_code, reason = "the tool uses less of it than the library")]
#[path = "../../error.rs"]
mod error;
mod execute;
#[cfg(test)]
#[path = "../../../tests/folder/mod.rs"]
mod folder;
mod ipynb;
mod kernel;
mod knobs;
mod lab;
mod lessons;
mod library;
#[cfg(test)]
#[path = "../../../tests/mutate/mod.rs"]
mod mutate;
mod prefix;
mod project;
#[cfg_attr(not(unix), allow(dead_code))]
#[path = "../../channel/protocol.rs"]
mod protocol;
mod relay;
#[cfg(feature = "library")]
mod reproduce;
mod run;
mod setup;
mod timings;
mod user;
mod warm;
#[allow(dead_code, reason = "the tool uses less of it than the library")]
#[path = "../../file/whole.rs"]
mod whole;
#[cfg(not(feature = "library"))]
mod with_library;
#[cfg(feature = "library")]
mod worker;

use crate::execute::Kernel;
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(not(feature = "library"))]
use with_library::{self as bench, self as reproduce, self as worker};

/// Autoencoders in Rust, cell by cell in Jupyter.
#[derive(Parser)]
#[command(name = "latentlab", bin_name = "cargo latentlab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up JupyterLab and the Rust kernel inside the project, and open the notebooks
    Lab(lab::Arguments),
    /// Set up JupyterLab and the Rust kernel, and open nothing; with --prefix, in a folder that many users share
    Setup(prefix::Arguments),
    /// Copy the lessons into a folder of yours
    Lessons(lessons::Arguments),
    /// Execute notebooks without a browser; exit code 1 if a cell fails
    Run(run::Arguments),
    /// List the data sets that are found, and download the missing ones
    Data,
    /// Measure the training speed of the reports' models, in images per second
    Bench(bench::Arguments),
    /// Run a report's protocol, and show its numbers next to ours
    Reproduce(reproduce::Arguments),
    /// Run a program for each trial of a study that many workers share
    Worker(worker::Arguments),
    /// Start the Rust kernel (Jupyter calls this)
    #[command(hide = true)]
    Kernel {
        /// Jupyter's description of the sockets to use
        #[arg(long, required_unless_present = "spare")]
        connection_file: Option<PathBuf>,
        /// Work in the warm build itself, to create it
        #[arg(long)]
        warm_up: bool,
        /// Start evcxr alone, for comparison
        #[arg(long, conflicts_with = "warm_up")]
        bare: bool,
        /// Wait for the connection file of another process
        #[arg(long, conflicts_with_all = ["connection_file", "warm_up", "bare"])]
        spare: bool,
        /// Before that, build the library if it is not up to date
        #[arg(long, requires = "spare")]
        build: bool,
        /// Start the process that does this, and end
        #[arg(long, requires = "spare")]
        leave: bool,
    },
}

/// Exits instead of panicking when the reader of the standard output has closed it (`latentlab run … | head`).
fn exit_on_closed_output() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with("failed printing to std")) {
            std::process::exit(1);
        }
        default(panic);
    }));
}

fn main() -> ExitCode {
    exit_on_closed_output();
    let arguments: Vec<_> = std::env::args_os().collect();
    if cell_cargo::is_called(&arguments) {
        eprintln!("cargo could not be started ({})", cell_cargo::run(&arguments));
        return ExitCode::FAILURE;
    }
    if cell_compiler::is_called(&arguments) {
        cell_cargo::remember(&arguments[1..]);
        eprintln!("rustc could not be started ({})", cell_compiler::compile(&arguments[1..], &BTreeMap::new()));
        return ExitCode::FAILURE;
    }
    let result = match Arguments::parse().command {
        Command::Lab(arguments) => lab::lab(&arguments),
        Command::Setup(arguments) => prefix::setup(&arguments),
        Command::Lessons(arguments) => lessons::lessons(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "library")]
        Command::Bench(arguments) => bench::bench(&arguments).map_err(|error| error.to_string()),
        #[cfg(feature = "library")]
        Command::Reproduce(arguments) => reproduce::reproduce(&arguments),
        #[cfg(feature = "library")]
        Command::Worker(arguments) => worker::worker(&arguments),
        #[cfg(feature = "library")]
        Command::Data => data::run().map_err(|error| error.to_string()),
        #[cfg(not(feature = "library"))]
        Command::Bench(_) | Command::Reproduce(_) | Command::Worker(_) | Command::Data => with_library::run(),
        Command::Kernel { leave: true, .. } => relay::Spare::leave(),
        Command::Kernel { connection_file, warm_up, bare, build, .. } => {
            let kind = if warm_up {
                Kernel::WarmUp
            } else if bare {
                Kernel::Bare
            } else {
                Kernel::Usual
            };
            kernel::kernel(connection_file.as_deref(), kind, build)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
