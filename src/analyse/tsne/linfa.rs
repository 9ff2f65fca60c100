//! t-SNE by the crate linfa-tsne, made safe for any codes.

use std::thread;

use linfa::traits::Transformer;
use ndarray::{Array2, ArrayView1};

use super::Tsne;
use super::descent::EXAGGERATED;
use crate::error::{Error, ErrorKind, Result};
use crate::random;

/// The most iterations: nothing can stop it on its way.
pub(super) const LINFA_ITERATIONS: usize = 10_000;

/// Its trees call themselves for each halving of the plane.
const STACK: usize = 64 << 20;

/// Points about zero, (n, dim), in the plane.
pub(super) fn embed(points: &Array2<f32>, perplexity: f64, settings: &Tsne) -> Result<Vec<[f32; 2]>> {
    let wrong = |what: &str, expected: &str, got: &str| {
        Err(Error::expected(ErrorKind::Argument, format!("tsne, linfa, {what}"), expected, got)
            .hint("TsneMethod::Grid takes any codes"))
    };
    if points.ncols() < 2 {
        return wrong("codes", "at least 2 values a code", "1");
    }
    let Some(turned) = turned(points) else {
        return wrong("codes", "codes that differ", "equal ones");
    };
    let (seed, iterations) = (settings.seed, settings.iterations);
    let embedded = thread::Builder::new().name("tsne, linfa".into()).stack_size(STACK).spawn(move || {
        linfa_tsne::TSneParams::embedding_size_with_rng(2, random::stream(seed, 0))
            .perplexity(perplexity)
            .approx_threshold(0.5)
            .max_iter(iterations)
            .preliminary_iter(EXAGGERATED.min(iterations))
            .transform(turned)
    });
    let embedded =
        embedded.map_err(|error| Error::new(ErrorKind::Io, "tsne, linfa", format!("no thread ({error})")))?;
    // What panics there ends with its thread.
    let Ok(embedded) = embedded.join() else {
        return wrong("result", "points of the plane", "a panic of the crate bhtsne");
    };
    let embedded =
        embedded.map_err(|error| Error::new(ErrorKind::Argument, "tsne, linfa", error.to_string()).source(error))?;
    let points: Vec<[f32; 2]> = embedded.rows().into_iter().map(|row| [row[0] as f32, row[1] as f32]).collect();
    if points.iter().flatten().any(|value| !value.is_finite()) {
        return wrong("result", "finite points", "others");
    }
    Ok(points)
}

/// The points mirrored so that the one farthest from zero lies on the first axis; nothing if they are all zero. Distances, and with them the
/// embedding, stay the same.
///
/// linfa-tsne divides by the greatest coordinate and then looks for the width of each point's bell, from exp(-d^2) on. Where the squared distances d^2 of neighbours
/// are far apart, as those of pictures, it goes to infinity instead, everything becomes NaN, and its tree, in which NaN has no place, overflows the stack. Now the
/// greatest coordinate is the greatest length: no two points are farther apart than 2, and exp(-d^2) and exp(d^2 / 2), its second step, are
/// never so unequal (e^4 and e^2 to 1 at most) that both have less entropy than a third of the neighbours: the width is found between.
fn turned(points: &Array2<f32>) -> Option<Array2<f64>> {
    let mut points = points.mapv(f64::from);
    let length = |point: ArrayView1<f64>| point.dot(&point).sqrt();
    let lengths = points.rows().into_iter().map(length).enumerate();
    let (farthest, longest) = lengths.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, longest)| *longest > 0.0)?;
    // Householder's reflection.
    let mut mirror = points.row(farthest).to_owned();
    mirror[0] += longest.copysign(mirror[0]);
    let mirror = &mirror / length(mirror.view());
    for mut point in points.rows_mut() {
        let twice = 2.0 * point.dot(&mirror);
        point.scaled_add(-twice, &mirror);
    }
    Some(points)
}
