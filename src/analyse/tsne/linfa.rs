//! t-SNE by the crate linfa-tsne, made safe for any codes.

use std::thread;

use linfa::traits::Transformer;
use ndarray::{Array2, ArrayView1};

use super::EXAGGERATED;
use crate::error::{Error, ErrorKind, Result};
use crate::random;

/// The maximum number of iterations, as nothing can stop it.
pub(super) const LINFA_ITERATIONS: usize = 10_000;

/// Its trees recurse for each halving of the plane.
const STACK: usize = 64 << 20;

/// Embeds points around zero, (n, dim).
pub(super) fn embed(points: &Array2<f32>, perplexity: f64, iterations: usize) -> Result<Vec<[f32; 2]>> {
    let wrong = |what: &str, expected: &str, got: &str| {
        Err(Error::argument(format!("tsne, linfa, {what}"), expected, got).hint("TsneMethod::Grid takes any codes"))
    };
    if points.ncols() < 2 {
        return wrong("codes", "at least 2 values a code", "1");
    }
    let Some(turned) = turned(points) else {
        return wrong("codes", "codes that differ", "equal ones");
    };
    let embedded = thread::Builder::new().name("tsne, linfa".into()).stack_size(STACK).spawn(move || {
        linfa_tsne::TSneParams::embedding_size_with_rng(2, random::stream(0, 0))
            .perplexity(perplexity)
            .approx_threshold(0.5)
            .max_iter(iterations)
            .preliminary_iter(EXAGGERATED.min(iterations))
            .transform(turned)
    });
    let embedded =
        embedded.map_err(|error| Error::new(ErrorKind::Io, "tsne, linfa", format!("no thread ({error})")))?;
    // A panic of the crate ends only this thread.
    let Ok(embedded) = embedded.join() else {
        return wrong("result", "an embedding", "a panic of the crate bhtsne");
    };
    let embedded =
        embedded.map_err(|error| Error::new(ErrorKind::Argument, "tsne, linfa", error.to_string()).source(error))?;
    let points: Vec<[f32; 2]> = embedded.rows().into_iter().map(|row| [row[0] as f32, row[1] as f32]).collect();
    if points.iter().flatten().any(|value| !value.is_finite()) {
        return wrong("result", "finite points", "others");
    }
    Ok(points)
}

/// The points mirrored so that the one farthest from zero lies on the first axis; `None` if they are all zero.
/// Distances, and with them the embedding, stay the same.
///
/// linfa-tsne divides by the largest coordinate and then searches the width of each point's Gaussian, starting with
/// exp(-d^2). Where the squared distances d^2 of neighbours differ widely, as those of images, the search goes to
/// infinity, everything becomes NaN, and its tree, which has no place for a NaN, overflows the stack. After the
/// reflection the largest coordinate is the largest length: no two points are farther apart than 2, and exp(-d^2) and
/// exp(d^2 / 2), its second step, are never so unequal (e^4 and e^2 to 1 at most) that both have less entropy than a
/// third of the neighbours: the width is found between.
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
