//! Defects found by structure: an autoencoder that has seen good fabric only, trained with SSIM, makes good fabric of
//! bad, and where the two differ is the defect (Bergmann et al. 2018; Wang et al. 2004 for SSIM).

use latentlab::{
    ndarray::{Array4, s},
    *,
};

/// The side of a window, in pixels.
const WINDOW: usize = 7;
/// The side of a defect.
const DEFECT: usize = 8;

pub fn run() -> Result<()> {
    let train = Dataset::from_array(fabric(2_000, 1)?)?;
    let good = fabric(200, 2)?;
    let (bad, places) = damage(&good);
    let config = TrainConfig::new().epochs(12).batch_size(50).learning_rate(0.002);
    let is_bad: Vec<bool> = (0..400).map(|image| image >= 200).collect();
    let mut rows = vec![("good", good.clone()), ("damaged", bad.clone())];
    let mut chart = RocChart::new();
    for (name, loss) in [("squared error", Loss::MeanSquaredError), ("1 - SSIM", Loss::of("1 - SSIM", dissimilarity))] {
        let mut autoencoder = Autoencoder::strided([16, 32, 64], 128, 8)?;
        let history = train_ae(&mut autoencoder, &train, &config.clone().loss(loss))?;
        let of_bad = errors(&autoencoder, &bad, loss)?;
        let all = [worst(&errors(&autoencoder, &good, loss)?), worst(&of_bad)].concat();
        let roc = roc_curve(&is_bad, &all.iter().map(|(error, _)| f64::from(*error)).collect::<Vec<_>>())?;
        let touches = |place: &usize, defect: &usize| place.abs_diff(defect + DEFECT / 2) <= DEFECT / 2;
        let found = |(worst, defect): &(&(f32, [usize; 2]), &[usize; 2])| {
            worst.1.iter().zip(defect.iter()).all(|(place, defect)| touches(place, defect))
        };
        let found = all[200..].iter().zip(&places).filter(found).count();
        let (first, last) = (history.loss[0], history.final_loss());
        println!("{name}: loss {first:.4} to {last:.4}; {roc}; {:.1} % of the defects found", found as f64 / 2.0);
        rows.push((name, of_bad));
        chart = chart.curve(name, &roc);
    }

    let path = std::env::temp_dir().join("latentlab-ssim.png");
    rows.iter_mut().for_each(|(_, images)| *images = images.slice(s![..10, .., .., ..]).to_owned());
    let images = ImageGrid::rows(rows.iter().map(|(name, images)| (*name, images))).figure()?;
    row([images, chart.figure()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}

/// 1 − SSIM of each window (n, 1, 22, 22): luminance, contrast and structure, with the constants of the paper for
/// values in [0, 1].
fn windows(output: &Tensor, target: &Tensor) -> Tensor {
    let mean = Sequential::input([1, 28, 28]).avg_pool2d(WINDOW).stride(1);
    let mean = |x: &Tensor| mean.forward(x);
    let (mx, my) = (mean(output), mean(target));
    let variance_x = mean(&output.square()) - mx.square();
    let variance_y = mean(&target.square()) - my.square();
    let covariance = mean(&(output * target)) - &mx * &my;
    let (c1, c2) = (0.01f32.powi(2), 0.03f32.powi(2));
    let likeness = (&mx * &my * 2.0 + c1) * (covariance * 2.0 + c2);
    1.0 - likeness / ((mx.square() + my.square() + c1) * (variance_x + variance_y + c2))
}

fn dissimilarity(output: &Tensor, target: &Tensor) -> Tensor {
    windows(output, target).mean()
}

/// The error around each pixel, between images and what the autoencoder makes of them: that of the window around it, 0
/// near the border.
fn errors(autoencoder: &Autoencoder, images: &Array4<f32>, loss: Loss) -> Result<Array4<f32>> {
    let x = Tensor::from(images);
    let y = autoencoder.decoder().forward(&autoencoder.encoder().forward(&x));
    let windows = match loss {
        Loss::MeanSquaredError => {
            Sequential::input([1, 28, 28]).avg_pool2d(WINDOW).stride(1).forward(&(y - x).square())
        }
        _ => windows(&y, &x),
    };
    let padded = Sequential::input([1, 22, 22]).zero_pad2d(WINDOW / 2).forward(&windows);
    padded.to_array()?.into_dimensionality().map_err(Error::other)
}

/// The largest error of each image, and where it is.
fn worst(errors: &Array4<f32>) -> Vec<(f32, [usize; 2])> {
    let larger = |a: (f32, [usize; 2]), b: (f32, [usize; 2])| if b.0 > a.0 { b } else { a };
    let pixels = |map: ndarray::ArrayView3<f32>| {
        map.indexed_iter().map(|((_, y, x), error)| (*error, [y, x])).fold((f32::MIN, [0, 0]), larger)
    };
    errors.outer_iter().map(pixels).collect()
}

/// Woven fabric in many contrasts and positions, with a little noise.
fn fabric(n: usize, seed: u64) -> Result<Array4<f32>> {
    let random = Step::new(seed).uniform([n, 3]).to_array()?;
    let noise = random_codes(n, 784, seed)? * 0.01;
    let wave = |place: usize, shift: f32| ((place as f32 / 7.0 + shift) * std::f32::consts::TAU).sin();
    Ok(Array4::from_shape_fn((n, 1, 28, 28), |(n, _, y, x)| {
        let contrast = 0.05 + 0.25 * random[[n, 0]];
        0.5 + contrast * wave(y, random[[n, 1]]) * wave(x, random[[n, 2]]) + noise[[n, 28 * y + x]]
    }))
}

/// The same with a square in each image in which the threads lie the other way, and where it begins.
fn damage(images: &Array4<f32>) -> (Array4<f32>, Vec<[usize; 2]>) {
    let mut bad = images.clone();
    let places: Vec<_> = (0..images.dim().0).map(|n| [4 + n * 5 % 12, 4 + n * 7 % 12]).collect();
    for (n, [top, left]) in places.iter().enumerate() {
        let square = s![n, 0, *top..top + DEFECT, *left..left + DEFECT];
        bad.slice_mut(square).assign(&images.slice(square).slice(s![..;-1, ..]));
    }
    (bad, places)
}
