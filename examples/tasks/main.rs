//! Tasks of public courses and papers, each with a loss, a layer or a training step of its own:
//! [docs/tasks.md](../../docs/tasks.md) lists them.
//!
//! `cargo run --release --example tasks` runs all; with the name of one behind it, such as `conditional_vae`, that one.

mod autorec;
mod clustering_layer;
mod conditional_vae;
mod recurrent;
mod skip_denoiser;
mod sparse;
mod ssim;
mod tied_weights;
mod vq_vae;
mod wasserstein;
mod wgan;

use latentlab::Result;

/// A task's name and its program.
type Task = (&'static str, fn() -> Result<()>);

const TASKS: &[Task] = &[
    ("autorec", autorec::run),
    ("clustering_layer", clustering_layer::run),
    ("conditional_vae", conditional_vae::run),
    ("recurrent", recurrent::run),
    ("skip_denoiser", skip_denoiser::run),
    ("sparse", sparse::run),
    ("ssim", ssim::run),
    ("tied_weights", tied_weights::run),
    ("vq_vae", vq_vae::run),
    ("wasserstein", wasserstein::run),
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
