//! The perplexity of t-SNE.

use ndarray::Array2;

use super::{Control, Function, figures, int_slider, start};
use crate::{
    analyse::{Codes, Tsne},
    error::{Error, Result},
    show::Scatter,
};

/// The codes that are embedded within a second or two, and the iterations: openTSNE's.
const POINTS: usize = 1_000;
const ITERATIONS: usize = 750;
/// The largest perplexity of the slider, and that at first.
const LARGEST: usize = 100;
const FIRST: usize = 30;

/// Shows a slider for the perplexity of t-SNE, and below it the embedding as it comes about: when the slider moves,
/// t-SNE starts again with the same seed.
///
/// The slider goes from 1 to a third of the other points, at most 100, and starts at 30; van der Maaten & Hinton (2008)
/// advise 5 to 50. Of more than 1,000 codes it takes 1,000, evenly spaced in their order. Each run has 750 iterations,
/// 250 of them with early exaggeration; all other settings are [`Tsne`]'s defaults. A run that is not finished when the
/// slider moves is given up. What [`interact`](super::interact) says of kernels, threads and saved notebooks holds here
/// too.
///
/// # Errors
/// If there are fewer than 7 codes, for which only one perplexity would be possible.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, embed, tsne_perplexity};
///
/// let codes = embed(&Autoencoder::tiny(8)?, &Dataset::built_in_digits(50, 0)?)?;
/// tsne_perplexity(&codes)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn tsne_perplexity(codes: &Codes) -> Result<()> {
    let (controls, function) = embedding(codes, ITERATIONS)?;
    start(controls, function)
}

fn embedding(codes: &Codes, iterations: usize) -> Result<(Vec<Control>, Function)> {
    if codes.len() < 7 {
        return Err(Error::argument("tsne_perplexity, codes", "at least 7", codes.len()));
    }
    let count = codes.len().min(POINTS);
    let chosen: Vec<usize> = (0..count).map(|index| index * codes.len() / count).collect();
    let codes = codes.select(&chosen)?;
    let largest = LARGEST.min((count - 1) / 3);
    let controls = vec![int_slider("perplexity", 1..=largest).start_at(FIRST.min(largest) as f64)];
    let function = figures(move |values, show| {
        let perplexity = values.integer("perplexity")?;
        let figure = |points: &[[f32; 2]], state: String| {
            let points = codes.moved(Array2::from(points.to_vec()), "t-SNE")?;
            Ok(Scatter::of(&points).figure()?.title(format!("t-SNE, perplexity {perplexity}: {state}")))
        };
        let settings = Tsne::new().perplexity(perplexity as f64).iterations(iterations).progress_every(0);
        let embedding = settings.fit_watched(&codes, &mut |iteration, points| {
            show(&|| figure(points, format!("iteration {iteration} of {iterations}")))
        })?;
        let divergence = embedding.divergence();
        let points: Vec<[f32; 2]> = embedding.codes().points().outer_iter().map(|point| [point[0], point[1]]).collect();
        figure(&points, format!("KL divergence {divergence:.3} after {} iterations", embedding.iterations()))
    });
    Ok((controls, function))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Content, Values},
        *,
    };
    use crate::data::Dataset;

    #[test]
    fn each_iteration_is_shown_until_it_is_interrupted() {
        let codes = Codes::of_pixels(&Dataset::built_in_digits(40, 0).unwrap());
        let (controls, mut function) = embedding(&codes, 20).unwrap();
        let mut values = Values::new(controls);
        assert_eq!(values.integer("perplexity").unwrap(), 13);
        let mut seen = Vec::new();
        let mut run = |values: &mut Values, most: usize| {
            let mut shown = Vec::new();
            let end = function(values, &mut |figure| {
                shown.push(figure().unwrap().to_svg().unwrap());
                shown.len() < most
            });
            let Ok(Content::Figure(end)) = end else { panic!("no figure") };
            seen.push(end.to_svg().unwrap());
            shown
        };
        let (all, few) = (run(&mut values, 99), run(&mut values, 5));
        assert_eq!((all.len(), few.len()), (20, 5));
        assert_eq!(all[..5], few, "the same seed");
        assert!(all[4].contains("perplexity 13: iteration 5 of 20") && all[4] != all[5]);
        values.set_number(0, 3.0);
        assert!(run(&mut values, 99)[19] != all[19]);
        let ends = ["perplexity 13: KL divergence", "after 5 iterations", "perplexity 3: KL divergence"];
        assert!(seen.iter().zip(ends).all(|(svg, text)| svg.contains(text)), "{seen:?}");
    }

    #[test]
    fn the_codes_are_bounded_and_the_range_follows_from_them() {
        let codes = |n: usize| {
            let points = Array2::from_shape_fn((n, 2), |(i, j)| ((i * 7 + j * 3) % 11) as f32);
            // Sorted by class, as data sets often are.
            let labels = (0..n).map(|i| i * 5 / n).collect();
            Codes::new(points, labels, (0..5).map(|class| class.to_string()).collect()).unwrap()
        };
        for (n, largest, shown) in [(7, 2, 7), (100, 33, 100), (3_333, 100, 1_000)] {
            let (controls, mut function) = embedding(&codes(n), 1).unwrap();
            let mut values = Values::new(controls);
            values.set_number(0, 1e9);
            assert_eq!(values.integer("perplexity").unwrap(), largest);
            let svg = super::super::tests::svg(&mut function, &mut values);
            let dots = |color: usize| {
                let [red, green, blue] = crate::show::PALETTE[color];
                let color = format!("#{red:02X}{green:02X}{blue:02X}");
                svg.lines().filter(|line| line.starts_with("<circle") && line.contains(&color)).count()
            };
            // One more of each in the legend.
            assert_eq!((0..5).map(dots).sum::<usize>(), shown + 5, "of {n}");
            assert!(n < 100 || (0..5).all(|class| dots(class).abs_diff(shown / 5) <= 2), "of {n}");
        }
        let error = embedding(&codes(6), 1).map(drop).unwrap_err().to_string();
        assert_eq!(error, "tsne_perplexity, codes: expected at least 7, got 6");
    }
}
