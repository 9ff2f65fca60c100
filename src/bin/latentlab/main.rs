//! The command-line tool: `cargo latentlab …`.

mod bench;
mod command;
mod data;
mod execute;
mod ipynb;
mod kernel;
mod knobs;
mod lab;
mod library;
#[cfg(test)]
#[path = "../../../tests/mutate/mod.rs"]
mod mutate;
mod project;
mod relay;
mod reproduce;
mod run;
mod setup;
mod timings;
mod warm;

use crate::execute::Kernel;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Execute notebooks without a browser; any failing cell ends with exit code 1
    Run(run::Arguments),
    /// List the data sets that are found, and fetch what is missing
    Data,
    /// Measure how many images a second the reports' models train on
    Bench(bench::Arguments),
    /// Run a report's protocol from beginning to end, and show its numbers beside ours
    Reproduce(reproduce::Arguments),
    /// Start the Rust kernel (Jupyter calls this)
    #[command(hide = true)]
    Kernel {
        /// Jupyter's description of the sockets to use
        #[arg(long)]
        connection_file: PathBuf,
        /// Work in the warm build itself, to make it
        #[arg(long)]
        warm_up: bool,
        /// evcxr alone, to compare with
        #[arg(long, conflicts_with = "warm_up")]
        bare: bool,
    },
}

/// Where nobody reads on (`latentlab run … | head`), there is nothing more to say, and a panic is nothing to show.
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with("failed printing to std")) {
            std::process::exit(1);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let done = match Arguments::parse().command {
        Command::Lab(arguments) => lab::lab(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments).map_err(|error| error.to_string()),
        Command::Reproduce(arguments) => reproduce::reproduce(&arguments),
        Command::Data => data::run().map_err(|error| error.to_string()),
        Command::Kernel { connection_file, warm_up, bare } => {
            let kind = if warm_up {
                Kernel::WarmUp
            } else if bare {
                Kernel::Bare
            } else {
                Kernel::Usual
            };
            kernel::kernel(&connection_file, kind)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
