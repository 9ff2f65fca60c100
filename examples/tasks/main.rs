//! Tasks of public courses and papers, each with a loss, a layer or a training step of its own:
//! [docs/tasks.md](../../docs/tasks.md) lists them.
//!
//! `cargo run --release --example tasks`, or with the name of one: `cargo run --release --example tasks
//! conditional_vae`

mod conditional_vae;
mod recurrent;
mod sparse;
mod tied_weights;
mod vq_vae;
mod wgan;

use latentlab::Result;

/// A task's name and its program.
type Task = (&'static str, fn() -> Result<()>);

const TASKS: &[Task] = &[
    ("conditional_vae", conditional_vae::run),
    ("recurrent", recurrent::run),
    ("sparse", sparse::run),
    ("tied_weights", tied_weights::run),
    ("vq_vae", vq_vae::run),
    ("wgan", wgan::run),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in TASKS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}");
            run()?;
        }
    }
    Ok(())
}
