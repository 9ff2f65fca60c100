//! A vector-quantised autoencoder: each of the 7 × 7 places of a code is one of 64 words of a learned codebook (van den
//! Oord, Vinyals and Kavukcuoglu 2017, "Neural discrete representation learning").

use latentlab::{
    ndarray::{Array4, Ix2},
    *,
};

/// The words of the codebook, and the values of a word.
const WORDS: usize = 64;
const WIDTH: usize = 16;

/// The number of the nearest word at each place of some codes (n, width, 7, 7), and these words in the codes' shape.
fn quantise(codes: &Tensor, codebook: &Tensor) -> Result<(Vec<usize>, Tensor)> {
    let rows = codes.permute([0, 2, 3, 1]).reshape([codes.shape()[0] * 7 * 7, WIDTH]);
    // Without the square of the row, which is the same for all words.
    let distances = codebook.square().sum_axis(-1) - rows.matmul(&codebook.transpose()) * 2.0;
    let nearest: Vec<usize> = distances.argmin(-1)?.into_iter().collect();
    let words = codebook.index_select(0, &nearest).reshape([codes.shape()[0], 7, 7, WIDTH]);
    Ok((nearest, words.permute([0, 3, 1, 2])))
}

/// Puts the words that no place of these images takes where codes are, or they would never be learned.
fn revive(codebook: &mut Parameter, encoder: &Sequential, images: &Dataset) -> Result<()> {
    let codes = encoder.forward(&Tensor::from(images.images()));
    let (numbers, _) = quantise(&codes, &Tensor::from(&codebook.to_array()))?;
    let codes = codes.permute([0, 2, 3, 1]).reshape([numbers.len(), WIDTH]).to_array()?;
    let codes = codes.into_dimensionality::<Ix2>().map_err(Error::other)?;
    let mut words = codebook.to_array().into_dimensionality::<Ix2>().map_err(Error::other)?;
    for word in (0..WORDS).filter(|word| !numbers.contains(word)) {
        // Another place of another image for each.
        words.row_mut(word).assign(&codes.row(word * 97 % numbers.len()));
    }
    *codebook = Parameter::new(&words);
    Ok(())
}

pub fn run() -> Result<()> {
    let (train, test) = Dataset::digits()?.split(6_000, 1_000)?;
    let variance = train.images().var(0.0);
    let mut encoder = Sequential::input([1, 28, 28])
        .conv2d(32, 3)
        .stride(2)
        .same()
        .relu()
        .conv2d(64, 3)
        .stride(2)
        .same()
        .relu()
        .conv2d(WIDTH, 1);
    let mut decoder = Sequential::input([WIDTH, 7, 7])
        .conv_transpose2d(64, 3)
        .stride(2)
        .same()
        .relu()
        .conv_transpose2d(32, 3)
        .stride(2)
        .same()
        .relu()
        .conv_transpose2d(1, 3)
        .same();
    let mut codebook = Parameter::new(&(random_codes(WORDS, WIDTH, 0)? * 0.05));
    let mut adam = Optimizer::adam().init(0.001)?;

    for epoch in 0..8 {
        let (mut sums, mut batches) = ([0.0; 3], 0);
        for batch in train.shuffled_batches(128, epoch)? {
            let step = Step::new(adam.steps());
            if step.should_stop() {
                break;
            }
            if adam.steps() % 20 == 0 {
                revive(&mut codebook, &encoder, &batch)?;
            }
            let x = step.input(batch.images());
            let codes = encoder.forward(&x);
            let (_, words) = quantise(&codes, &step.parameter(&codebook))?;
            // The straight-through estimator: forward the words, backward as if they were the codes.
            let output = decoder.forward(&(&codes + (&words - &codes).detach()));
            let losses = [
                output.mean_squared_error(&x) / variance,
                words.mean_squared_error(&codes.detach()),
                codes.mean_squared_error(&words.detach()) * 0.25,
            ];
            let losses = adam.minimize(step, losses, (&mut encoder, &mut decoder, &mut codebook))?;
            sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
            batches += 1;
        }
        let [error, codebook, commitment] = sums.map(|sum| sum / f64::from(batches));
        let epoch = epoch + 1;
        println!("epoch {epoch}: error {error:.3} of the variance, codebook {codebook:.4}, commitment {commitment:.4}");
    }

    let codes = encoder.forward(&Tensor::from(test.images()));
    let (numbers, words) = quantise(&codes, &Tensor::from(&codebook.to_array()))?;
    let output = decoder.forward(&words);
    let error = output.mean_squared_error(&Tensor::from(test.images())).item()? / variance;
    let mut counts = [0.0f64; WORDS];
    numbers.iter().for_each(|number| counts[*number] += 1.0);
    let shares = counts.iter().filter(|count| **count > 0.0).map(|count| count / numbers.len() as f64);
    let perplexity = (-shares.map(|share| share * share.ln()).sum::<f64>()).exp();
    let used = counts.iter().filter(|count| **count > 0.0).count();
    println!("test: error {error:.3} of the variance, {used} of {WORDS} words used, perplexity {perplexity:.1}");

    let number = |(n, _, y, x): (usize, usize, usize, usize)| numbers[n * 49 + y / 4 * 7 + x / 4] as f32;
    let codes = Array4::from_shape_fn((12, 1, 28, 28), number) / (WORDS - 1) as f32;
    let output = output.slice(0, 0..12).to_array()?.into_dimensionality().map_err(Error::other)?;
    let originals = test.take(12);
    let rows = [("digits", originals.images()), ("words", &codes), ("reconstructions", &output)];
    let path = std::env::temp_dir().join("latentlab-vq-vae.png");
    ImageGrid::rows(rows).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
