//! Randomly changed copies of images.

use rand::Rng;
use rayon::prelude::*;

use super::Dataset;
use crate::{
    error::{Error, ErrorKind, Result},
    random,
};

/// Random changes of images that keep what they show: each image is flipped, rotated, shifted, cropped and lit
/// differently, by [`Dataset::augmented`]. All channels of an image change alike.
///
/// | setting | what happens | default |
/// |---|---|---|
/// | [`flip_horizontal`](Self::flip_horizontal) | half of the images: left and right are exchanged | no |
/// | [`flip_vertical`](Self::flip_vertical) | half of the images: top and bottom are exchanged | no |
/// | [`rotate`](Self::rotate) | by up to so many degrees either way, about the middle | 0 |
/// | [`shift`](Self::shift) | by up to so many whole pixels in each direction | 0 |
/// | [`crop`](Self::crop) | a window of this height and width at a random place | all of it |
/// | [`brightness`](Self::brightness) | all values times a number that differs from 1 by at most this | 0 |
///
/// They happen in this order. Turned pixels are mixed from the nearest four (bilinear); what comes in from outside is
/// 0, or [`fill`](Self::fill).
///
/// ```
/// use latentlab::{Augmentation, Dataset};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let augmentation = Augmentation::new().shift(2).rotate(10.0);
/// for epoch in 0..3 {
///     let changed = digits.augmented(&augmentation, epoch)?; // other changes in each epoch
///     assert_eq!(changed.image_shape(), [1, 28, 28]);
/// }
/// let small = digits.augmented(&Augmentation::new().crop(24, 24), 0)?;
/// assert_eq!(small.image_shape(), [1, 24, 24]);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augmentation {
    flip_horizontal: bool,
    flip_vertical: bool,
    rotate: f32,
    shift: usize,
    crop: Option<[usize; 2]>,
    brightness: f32,
    fill: f32,
}

impl Augmentation {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exchanges left and right in half of the images.
    pub fn flip_horizontal(self) -> Self {
        Self { flip_horizontal: true, ..self }
    }

    /// Exchanges top and bottom in half of the images.
    pub fn flip_vertical(self) -> Self {
        Self { flip_vertical: true, ..self }
    }

    /// Rotates by a random angle from −`degrees` to `degrees`, from 0 to 180.
    pub fn rotate(self, degrees: f32) -> Self {
        Self { rotate: degrees, ..self }
    }

    /// Moves by a random number of whole pixels from −`pixels` to `pixels` in each direction.
    pub fn shift(self, pixels: usize) -> Self {
        Self { shift: pixels, ..self }
    }

    /// Cuts out a window of this size at a random place.
    pub fn crop(self, height: usize, width: usize) -> Self {
        Self { crop: Some([height, width]), ..self }
    }

    /// Multiplies all values of an image by a random number from 1 − `most` to 1 + `most`, from 0 to 1; the result is
    /// not clipped.
    pub fn brightness(self, most: f32) -> Self {
        Self { brightness: most, ..self }
    }

    /// The value of what comes in from outside the image (default 0, black).
    pub fn fill(self, value: f32) -> Self {
        Self { fill: value, ..self }
    }

    /// Refuses settings that do not suit images of this size; gives the size of the result.
    fn check(&self, [_, height, width]: [usize; 3]) -> Result<[usize; 2]> {
        let refuse = |setting: &str, expected: String, got: String| {
            Err(Error::argument(format!("Augmentation::{setting}"), expected, got))
        };
        if !(0.0..=180.0).contains(&self.rotate) {
            return refuse("rotate", "0 to 180 degrees".into(), self.rotate.to_string());
        }
        if !(0.0..=1.0).contains(&self.brightness) {
            return refuse("brightness", "0 to 1".into(), self.brightness.to_string());
        }
        if !self.fill.is_finite() {
            return refuse("fill", "a finite value".into(), self.fill.to_string());
        }
        if self.shift >= height.max(2).min(width.max(2)) && self.shift > 0 {
            let expected = format!("fewer pixels than an image has, {height} × {width}");
            return refuse("shift", expected, self.shift.to_string());
        }
        let [rows, columns] = self.crop.unwrap_or([height, width]);
        if !(1..=height).contains(&rows) || !(1..=width).contains(&columns) {
            let (expected, got) = (format!("1 × 1 to {height} × {width} pixels"), format!("{rows} × {columns}"));
            return Err(Error::expected(ErrorKind::Shape, "Augmentation::crop", expected, got));
        }
        Ok([rows, columns])
    }

    /// What happens to one image. Every number is drawn whatever the settings are, so that adding a setting leaves the
    /// others' numbers as they were.
    fn draw(&self, [height, width]: [usize; 2], size: [usize; 2], random: &mut random::Random) -> Change {
        let flips = [random.r#gen::<bool>(), random.r#gen::<bool>()];
        let angle = (2.0 * random.r#gen::<f32>() - 1.0) * self.rotate;
        // 64 bits on every platform
        let mut below = |end: usize| random.gen_range(0..end.max(1) as u64) as isize;
        let shifts = [0; 2].map(|_: i32| below(2 * self.shift + 1) - self.shift as isize);
        let window = [below(height - size[0] + 1), below(width - size[1] + 1)];
        let light = 1.0 + (2.0 * random.r#gen::<f32>() - 1.0) * self.brightness;
        Change {
            flips: [flips[0] && self.flip_vertical, flips[1] && self.flip_horizontal],
            angle: (angle != 0.0).then(|| angle.to_radians().sin_cos()),
            corner: [window[0] - shifts[0], window[1] - shifts[1]],
            light,
            fill: self.fill,
        }
    }
}

/// The change of one image: where each pixel comes from.
struct Change {
    /// Of rows, of columns.
    flips: [bool; 2],
    /// Sine and cosine of the angle.
    angle: Option<(f32, f32)>,
    /// Where in the flipped and rotated image the result's first pixel lies.
    corner: [isize; 2],
    light: f32,
    fill: f32,
}

impl Change {
    /// Writes one channel of the result.
    fn apply(&self, from: &[f32], [height, width]: [usize; 2], to: &mut [f32], columns: usize) {
        // Out of the image, and in it with the flips undone
        let pixel = |y: isize, x: isize| {
            let place =
                usize::try_from(y).ok().filter(|y| *y < height).zip(usize::try_from(x).ok().filter(|x| *x < width));
            place.map_or(self.fill, |(y, x)| {
                let y = if self.flips[0] { height - 1 - y } else { y };
                let x = if self.flips[1] { width - 1 - x } else { x };
                from[y * width + x]
            })
        };
        let middle = [(height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0];
        for (at, value) in to.iter_mut().enumerate() {
            let (y, x) = ((at / columns) as isize + self.corner[0], (at % columns) as isize + self.corner[1]);
            let found = match self.angle {
                None => pixel(y, x),
                Some((sin, cos)) => {
                    let (dy, dx) = (y as f32 - middle[0], x as f32 - middle[1]);
                    let (y, x) = (middle[0] + cos * dy + sin * dx, middle[1] - sin * dy + cos * dx);
                    let (top, left) = (y.floor(), x.floor());
                    let (down, right) = (y - top, x - left);
                    let (top, left) = (top as isize, left as isize);
                    let mixed = |row| (1.0 - right) * pixel(row, left) + right * pixel(row, left + 1);
                    (1.0 - down) * mixed(top) + down * mixed(top + 1)
                }
            };
            *value = self.light * found;
        }
    }
}

impl Dataset {
    /// The images after random changes; labels stay. An image's changes depend on the seed and its index, not on the
    /// number of images or threads.
    ///
    /// # Errors
    /// When a setting is out of its range or does not suit the images' size, or a value becomes infinite.
    ///
    /// ```
    /// use latentlab::{Augmentation, Dataset};
    ///
    /// let garments = Dataset::built_in_garments(100, 0)?;
    /// let more = garments.augmented(&Augmentation::new().flip_horizontal().brightness(0.2), 0)?;
    /// assert_eq!(more.labels(), garments.labels());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn augmented(&self, augmentation: &Augmentation, seed: u64) -> Result<Self> {
        let [channels, height, width] = self.image_shape();
        let [rows, columns] = augmentation.check(self.image_shape())?;
        let mut images = ndarray::Array4::zeros((self.len(), channels, rows, columns));
        let to = images.as_slice_mut().unwrap_or_default().par_chunks_mut(channels * rows * columns);
        let from = self.values().par_chunks(channels * height * width);
        to.zip(from).enumerate().for_each(|(index, (to, from))| {
            let mut random = random::stream(seed, index as u64);
            let change = augmentation.draw([height, width], [rows, columns], &mut random);
            for (to, from) in to.chunks_mut(rows * columns).zip(from.chunks(height * width)) {
                change.apply(from, [height, width], to, columns);
            }
        });
        self.with_images(images).map_err(|error| error.within("augmented"))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4, Axis, s};

    use super::*;

    /// Images whose pixels all differ, the channels by 100.
    fn numbered(n: usize, [channels, height, width]: [usize; 3]) -> Dataset {
        let images = Array4::from_shape_fn((n, channels, height, width), |(_, c, y, x)| (100 * c + 10 * y + x) as f32);
        Dataset::new(images, Array1::from_shape_fn(n, |i| i % 2), ["a", "b"]).unwrap()
    }

    #[test]
    fn half_of_the_images_are_flipped_in_all_channels() {
        let data = numbered(200, [3, 4, 5]);
        let flipped = data.augmented(&Augmentation::new().flip_horizontal(), 1).unwrap();
        let mirror = data.images().slice(s![.., .., .., ..;-1]).to_owned();
        let mut count = 0;
        for (index, image) in flipped.images().axis_iter(Axis(0)).enumerate() {
            let is_flipped = image == mirror.index_axis(Axis(0), index);
            assert!(is_flipped || image == data.images().index_axis(Axis(0), index));
            count += usize::from(is_flipped);
        }
        assert!((70..=130).contains(&count), "{count} of 200: 100 ± 7 expected");
        assert_eq!(flipped.labels(), data.labels());
        let upside_down = data.images().slice(s![.., .., ..;-1, ..]).to_owned();
        let vertical = data.augmented(&Augmentation::new().flip_vertical(), 1).unwrap();
        assert!((0..200).any(|i| vertical.images().index_axis(Axis(0), i) == upside_down.index_axis(Axis(0), i)));
    }

    #[test]
    fn shifts_fill_and_reach_all_places() {
        let data = numbered(300, [1, 4, 6]);
        let shifted = data.augmented(&Augmentation::new().shift(2).fill(-1.0), 0).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for image in shifted.images().axis_iter(Axis(0)) {
            // Pixel (1, 2) of the original is at (1 + dy, 2 + dx), if it is still there.
            let found = image.indexed_iter().find(|(_, value)| **value == 12.0);
            let Some(((_, y, x), _)) = found else { continue };
            let (dy, dx) = (y as isize - 1, x as isize - 2);
            places.insert((dy, dx));
            for ((_, y, x), value) in image.indexed_iter() {
                let (y, x) = (y as isize - dy, x as isize - dx);
                let is_inside = (0..4).contains(&y) && (0..6).contains(&x);
                assert_eq!(*value, if is_inside { (10 * y + x) as f32 } else { -1.0 });
            }
        }
        assert_eq!(places.len(), 4 * 5, "row −1 is outside: {places:?}");
    }

    #[test]
    fn crops_are_windows_of_the_image() {
        let data = numbered(200, [2, 5, 5]);
        let cropped = data.augmented(&Augmentation::new().crop(3, 4), 0).unwrap();
        assert_eq!(cropped.image_shape(), [2, 3, 4]);
        let mut corners = std::collections::BTreeSet::new();
        for (index, image) in cropped.images().axis_iter(Axis(0)).enumerate() {
            let corner = image[[0, 0, 0]] as usize;
            let (y, x) = (corner / 10, corner % 10);
            corners.insert(corner);
            assert_eq!(image, data.images().slice(s![index, .., y..y + 3, x..x + 4]));
        }
        assert_eq!(Vec::from_iter(corners), [0, 1, 10, 11, 20, 21]);
    }

    #[test]
    fn a_turn_keeps_the_middle_and_moves_the_rest_smoothly() {
        let blob = |y: usize, x: usize| {
            Array4::from_shape_fn((64, 1, 15, 15), |(_, _, r, c)| f32::from(u8::from((r, c) == (y, x))))
        };
        let turned = |y, x, degrees: f32| {
            let data = Dataset::new(blob(y, x), Array1::zeros(64), ["a"]).unwrap();
            data.augmented(&Augmentation::new().rotate(degrees), 5).unwrap()
        };
        assert!(turned(7, 7, 180.0).images().slice(s![.., 0, 7, 7]).iter().all(|value| (*value - 1.0).abs() < 1e-5));
        for image in turned(7, 12, 90.0).images().axis_iter(Axis(0)) {
            let total = image.sum();
            let center = image.indexed_iter().fold([0.0; 2], |sum, ((_, y, x), value)| {
                [sum[0] + value * (y as f32 - 7.0) / total, sum[1] + value * (x as f32 - 7.0) / total]
            });
            // It is 5 pixels from the middle, in the right half.
            assert!((center[0].hypot(center[1]) - 5.0).abs() < 0.4 && center[1] > -0.4, "{center:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_for_any_number_of_threads_and_images() {
        let all =
            Augmentation::new().flip_horizontal().flip_vertical().rotate(30.0).shift(1).crop(6, 5).brightness(0.5);
        let data = numbered(40, [3, 8, 7]);
        let changed = data.augmented(&all, 9).unwrap();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(alone.install(|| data.augmented(&all, 9).unwrap()).values(), changed.values());
        assert_eq!(data.take(7).augmented(&all, 9).unwrap().values(), changed.take(7).values());
        assert_ne!(data.augmented(&all, 10).unwrap().values(), changed.values());
        assert_eq!(data.augmented(&Augmentation::new(), 9).unwrap().values(), data.values());
        let lit = data.augmented(&Augmentation::new().brightness(0.5), 1).unwrap();
        let factor = lit.images()[[3, 2, 1, 1]] / data.images()[[3, 2, 1, 1]];
        assert!((0.5..1.5).contains(&factor) && lit.images()[[3, 0, 4, 4]] == 44.0 * factor, "{factor}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let data = numbered(2, [1, 4, 6]);
        for (augmentation, expected) in [
            (Augmentation::new().rotate(181.0), "Augmentation::rotate: expected 0 to 180 degrees, got 181"),
            (Augmentation::new().rotate(f32::NAN), "Augmentation::rotate: expected 0 to 180 degrees, got NaN"),
            (
                Augmentation::new().shift(4),
                "Augmentation::shift: expected fewer pixels than an image has, 4 × 6, got 4",
            ),
            (Augmentation::new().crop(5, 2), "Augmentation::crop: expected 1 × 1 to 4 × 6 pixels, got 5 × 2"),
            (Augmentation::new().crop(0, 2), "Augmentation::crop: expected 1 × 1 to 4 × 6 pixels, got 0 × 2"),
            (Augmentation::new().brightness(-0.1), "Augmentation::brightness: expected 0 to 1, got -0.1"),
            (Augmentation::new().fill(f32::INFINITY), "Augmentation::fill: expected a finite value, got inf"),
        ] {
            assert_eq!(data.augmented(&augmentation, 0).unwrap_err().to_string(), expected);
        }
        assert!(data.take(0).augmented(&Augmentation::new().crop(2, 2), 0).unwrap().is_empty());
    }
}
