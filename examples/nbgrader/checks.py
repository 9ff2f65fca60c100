"""The exercises that nbgrader marks by itself: what the student is told to name, the cells that check it, and, where the
solutions' notebook names it otherwise, a solution of its own.

`BEGIN HIDDEN TESTS` and what follows are in no student's copy. The checks do not depend on the data or on how long was
trained.
"""

CHECKS = {
    "01_tiny_autoencoder": {
        2: {
            "names": "Call the model `fixed`, and train it with `config`.",
            "test": """
let outputs = reconstruct(&fixed, &test.take(500))?;
assert!(outputs.images().iter().all(|output| *output > 0.0), "some outputs of `fixed` are exactly 0: is a ReLU left?");
let black = test.images().mapv(|v| v * v).mean().unwrap();
// BEGIN HIDDEN TESTS
assert!(fixed.decoder().summary().to_string().contains("sigmoid"), "the decoder of `fixed` has no sigmoid");
let loss = evaluate(&fixed, &test, Loss::MeanSquaredError)?;
assert!(loss < black, "`fixed` has a loss of {loss}, no better than the {black} of a black image: is it trained?");
// END HIDDEN TESTS
""",
        },
    },
    "02_dense_or_convolutional": {
        2: {
            "names": "Call the model `fixed` and its training's history `history`.",
            "test": """
let norms = |model: &Autoencoder| model.decoder().summary().to_string().matches("batch_norm").count();
assert_eq!(norms(&fixed) + 1, norms(&cae32), "the decoder of `fixed` is to have one batch normalisation less");
assert_eq!(fixed.encoder().summary().to_string(), cae32.encoder().summary().to_string(), "the encoder is another");
// BEGIN HIDDEN TESTS
assert_eq!(history.validation_loss.len(), epochs, "`fixed` is to be trained with `config`");
// END HIDDEN TESTS
""",
        },
    },
    "03_clustering_codes": {
        2: {
            "names": "Write a function `fn standardised(codes: &Codes) -> Result<Codes>`.",
            "test": """
let wide = Codes::new(codes32.points() * 7.0, codes32.labels().clone(), codes32.class_names().to_vec())?;
let deviation = standardised(&wide)?.points().std_axis(Axis(0), 0.0);
assert!(deviation.iter().all(|s| *s == 0.0 || (s - 1.0).abs() < 1e-3), "the deviations are {deviation}, not 1");
// BEGIN HIDDEN TESTS
let flat = Codes::new(codes32.points() * 0.0, codes32.labels().clone(), codes32.class_names().to_vec())?;
assert!(standardised(&flat)?.points().iter().all(|v| v.is_finite()), "a number that never changes has no deviation");
assert_eq!(standardised(&wide)?.labels(), codes32.labels(), "the labels belong to the codes");
// END HIDDEN TESTS
""",
        },
    },
    "04_classifying_codes": {
        1: {
            "names": "Store the head's answers in `predictions`, the rows of those it is sure of in "
            "`sure: Vec<usize>`, and how many of these are right in `right: usize`.",
            "test": """
assert!(sure.iter().all(|row| predictions.confidences()[*row] >= 0.9), "`sure` has a row with less than 90 %");
// BEGIN HIDDEN TESTS
let all = predictions.confidences().iter().filter(|confidence| **confidence >= 0.9).count();
assert_eq!(sure.len(), all, "`sure` has {} of {all} rows", sure.len());
let wrong = sure.iter().filter(|row| predictions.labels()[**row] != test.labels()[**row]).count();
assert_eq!(right + wrong, all, "{right} right and {wrong} wrong ones are not {all}");
// END HIDDEN TESTS
""",
        },
    },
    "05_denoising": {
        1: {
            "names": "Write a function `fn noise_error(images: &Dataset, sigma: f32, seed: u64) -> Result<f32>`: the mean "
            "squared error that `with_noise` makes.",
            "solution": """
fn noise_error(images: &Dataset, sigma: f32, seed: u64) -> Result<f32> {
    Ok(mse(&images.with_noise(sigma, seed)?, images))
}
for sigma in [0.1, 0.5, 2.0] {
    println!("σ {sigma}: error {:.4}, σ² {:.4}", noise_error(&test, sigma, 0)?, sigma * sigma);
}
println!("the same noise again: {}", noise_error(&test, 1.0, 0)? == noise_error(&test, 1.0, 0)?);
""",
            "test": """
for sigma in [0.1, 0.5, 2.0] {
    let error = noise_error(&test, sigma, 0)?;
    assert!((error / (sigma * sigma) - 1.0).abs() < 0.05, "σ {sigma}: the error is {error}");
}
// BEGIN HIDDEN TESTS
assert_eq!(noise_error(&test, 1.5, 7)?, noise_error(&test, 1.5, 7)?, "the same seed gives another noise");
assert_ne!(noise_error(&test, 1.5, 7)?, noise_error(&test, 1.5, 8)?, "the seed is not used");
// END HIDDEN TESTS
""",
        },
        2: {
            "names": "Store the corrected number in `error`.",
            "solution": """
let error = mse(&reconstruct(&denoising, &noisy)?, &test);
println!("compared with the clean images: {error:.4}");
""",
            "test": """
let with_noisy = mse(&reconstruct(&denoising, &noisy)?, &noisy);
assert!(error < with_noisy, "`error` is not below the colleague's number, {with_noisy}");
// BEGIN HIDDEN TESTS
let right = mse(&test, &reconstruct(&denoising, &noisy)?);
assert!((error - right).abs() < 1e-6, "`error` is {error}, not {right}");
// END HIDDEN TESTS
""",
        },
    },
    "06_latent_space": {
        1: {
            "names": "Call the result of `pca` `components`, and the codes that come back from it `back`.",
            "solution": """
let garment_codes = embed(&two, &garments_test)?;
let components = pca(&garment_codes, 2)?;
let back = components.inverse_transform(&components.transform(&garment_codes)?)?;
let difference = (back.points() - garment_codes.points()).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
println!("shares {:.4}, largest difference {difference:.6}", components.explained_variance_ratio().iter().sum::<f64>());
""",
            "before": "let garment_codes = embed(&two, &garments_test)?;",
            "test": """
let shares: f64 = components.explained_variance_ratio().iter().sum();
assert!((shares - 1.0).abs() < 1e-4, "the shares add up to {shares}");
// BEGIN HIDDEN TESTS
let codes = embed(&two, &garments_test)?;
let scale = codes.points().mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
let difference = (back.points() - codes.points()).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
assert!(difference < 1e-3 * scale, "`back` and the codes differ by {difference}");
// END HIDDEN TESTS
""",
        },
    },
    "07_generative_adversarial_network": {
        1: {
            "names": "Store the lowest possible loss in `floor: f64`, and the discriminator's losses in `losses: Vec<f64>`.",
            "test": """
assert!(!losses.is_empty() && losses.iter().all(|loss| *loss >= floor - 1e-6), "a loss lies below `floor`, {floor}");
// BEGIN HIDDEN TESTS
assert!((floor - 0.325083).abs() < 1e-4, "`floor` is {floor}: the loss of answering 0.9 where 0.9 is asked for");
// END HIDDEN TESTS
""",
        },
    },
    "11_variational_autoencoder": {
        2: {
            "names": "Write the corrected line as a function `fn sample(mean: &Array1<f32>, log_variance: &Array1<f32>, "
            "epsilon: &Array2<f32>) -> Array2<f32>`.",
            "solution": """
fn sample(mean: &Array1<f32>, log_variance: &Array1<f32>, epsilon: &Array2<f32>) -> Array2<f32> {
    epsilon * &log_variance.mapv(|log| (log / 2.0).exp()) + mean
}
let (model, epsilon) = (vae.autoencoder(), random_codes(10, 2, 0)?);
let place = test.labels().iter().position(|label| *label == 8).unwrap();
let (bag, logs): (Array1<f32>, Array1<f32>) = (means.row(place).to_owned(), log_variances.row(place).to_owned());
let [wrong, right] = [&epsilon * &logs + &bag, sample(&bag, &logs, &epsilon)];
ImageGrid::rows([("wrong", &decode(&model, &wrong)?), ("right", &decode(&model, &right)?)]).figure()?
""",
            "test": """
let (mean, zeros, ones) = (Array1::from_elem(2, 5.0_f32), Array1::<f32>::zeros(2), Array2::<f32>::ones((3, 2)));
let drawn = sample(&mean, &zeros, &ones);
assert!(drawn.iter().all(|v| (v - 6.0).abs() < 1e-5), "with a variance of 1, ε = 1 lies 1 beside the mean: {drawn}");
// BEGIN HIDDEN TESTS
let drawn = sample(&mean, &(&zeros + 4.0_f32.ln()), &ones);
assert!(drawn.iter().all(|v| (v - 7.0).abs() < 1e-5), "with a variance of 4, ε = 1 lies 2 beside the mean: {drawn}");
// END HIDDEN TESTS
""",
        },
    },
    "12_wide_autoencoder": {
        1: {
            "names": "Write a function `fn floor(images: &Dataset) -> f32`: the lowest binary cross-entropy per pixel.",
            "test": """
let grey = test.take(5).with_images(test.take(5).images().mapv(|_| 0.5))?;
assert!((floor(&grey) - 2.0_f32.ln()).abs() < 1e-5, "the floor of grey images is {}, not ln 2", floor(&grey));
// BEGIN HIDDEN TESTS
let rounded = test.with_images(test.images().mapv(f32::round))?;
assert!(floor(&rounded).abs() < 1e-5, "the floor of black and white images is {}, not 0", floor(&rounded));
// END HIDDEN TESTS
""",
        },
    },
    "13_open_lab": {
        1: {
            "names": "Write the loss that does not depend on the batch as `fn sum_of_an_image(output: &Tensor, target: "
            "&Tensor) -> Tensor`: the sum over an image's values, averaged over the images.",
            "test": """
let loss_of = |images: usize| -> Result<f32> {
    let ones = Tensor::from(&Array2::<f32>::ones((images, 6)));
    sum_of_an_image(&ones, &(&ones * 3.0)).item()
};
assert!((loss_of(1)? - 24.0).abs() < 1e-4, "six values that are off by 2 give {}, not 24", loss_of(1)?);
// BEGIN HIDDEN TESTS
assert!((loss_of(5)? - 24.0).abs() < 1e-4, "five such images give {}, not 24", loss_of(5)?);
// END HIDDEN TESTS
""",
        },
    },
}
