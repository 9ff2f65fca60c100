use latentlab::{Autoencoder, Gan, Vae, code_grid, decode, generate, interpolate, random_codes, sample};

#[test]
fn a_grid_goes_right_and_up() {
    let codes = code_grid([0.0, 10.0], [2.0, 30.0], 3).unwrap();
    let expected = [[0., 30.], [1., 30.], [2., 30.], [0., 20.], [1., 20.], [2., 20.], [0., 10.], [1., 10.], [2., 10.]];
    assert_eq!(codes, ndarray::arr2(&expected));
}

#[test]
fn random_codes_are_those_of_a_sample() {
    let vae = Vae::strided([2, 3, 4], 8, 3).unwrap();
    let codes = random_codes(6, 3, 5).unwrap();
    let images = decode(&vae.autoencoder(), &codes).unwrap();
    assert_eq!(images, sample(&vae, 6, 5).unwrap());
}

#[test]
fn sizes_are_counted_before_anything_is_made() {
    let (vae, gan) = (Vae::strided([2, 3, 4], 8, 3).unwrap(), Gan::convolutional(10).unwrap());
    for n in [usize::MAX, 1 << 40] {
        let errors = [
            sample(&vae, n, 0).map(drop),
            generate(&gan, n, 0).map(drop),
            random_codes(n, 2, 0).map(drop),
            random_codes(2, n, 0).map(drop),
            interpolate(&[0.0, 1.0], &[1.0, 0.0], n).map(drop),
            code_grid([0.0; 2], [1.0; 2], n).map(drop),
        ];
        for (number, error) in errors.into_iter().enumerate() {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("expected at most 4 GiB for one result, got"), "{number}: {error}");
        }
    }
    assert_eq!(sample(&vae, 0, 0).unwrap().dim(), (0, 1, 28, 28));
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let autoencoder = Autoencoder::tiny(2).unwrap();
    let error = decode(&autoencoder, &ndarray::array![[0.0, 1.0], [0.0, f32::NAN]]).unwrap_err().to_string();
    assert_eq!(error, "decode, code 1, value 1: expected a finite number, got NaN");
    let error = interpolate(&[0.0, 1.0], &[f32::INFINITY, 1.0], 3).unwrap_err().to_string();
    assert_eq!(error, "interpolate, to, value 0: expected a finite number, got inf");
}

#[test]
fn bad_arguments_are_refused() {
    let table = [
        (random_codes(3, 0, 0), "random_codes, latent_dim: expected at least 1, got 0"),
        (interpolate(&[1.0], &[1.0, 2.0], 5), "interpolate: expected two codes with equally many values, got 1 and 2"),
        (interpolate(&[1.0], &[2.0], 1), "interpolate, steps: expected at least 2, got 1"),
        (code_grid([0.0; 2], [1.0; 2], 1), "code_grid, size: expected at least 2, got 1"),
        (
            code_grid([0.0, 1.0], [1.0, 1.0], 5),
            "code_grid: expected lowest values below the highest, got [0.0, 1.0] and [1.0, 1.0]",
        ),
    ];
    for (codes, expected) in table {
        assert_eq!(codes.unwrap_err().to_string(), expected);
    }
}
