//! Folders of pictures, PNG and JPEG.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, imageops::FilterType};
use ndarray::Array4;
use rayon::prelude::*;

use super::arrays::UNLABELLED;
use super::{Dataset, content, open};
use crate::channel::Stoppable;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, State};
use crate::{format::thousands, limit, stop::StopHandle};

impl Dataset {
    /// The pictures of a folder (`.png`, `.jpg`, `.jpeg`) as images of `image_shape`: `[1, height, width]` makes them
    /// grey, `[3, height, width]` red, green and blue, all in \[0, 1\].
    ///
    /// Each sub-folder is a class with its name (as torchvision's `ImageFolder` has it), in alphabetical order, and the
    /// pictures of a class are in alphabetical order of their paths; those in folders within it belong to it. In a
    /// folder without sub-folders all have the one class "unlabelled". Hidden files and other files are left out.
    ///
    /// A picture of another size is resized, without regard to its proportions, by a triangle filter that averages
    /// where it shrinks (Pillow's `BILINEAR`); it is turned upright as its EXIF data say. Grey is 0.299 red + 0.587
    /// green + 0.114 blue (ITU-R 601, Pillow's `L`). Transparency is ignored.
    ///
    /// Where it takes longer than a moment, a notebook or a terminal shows how far it is.
    ///
    /// # Errors
    /// When the shape is another one, the folder or a class is without pictures, or has both pictures and folders with
    /// pictures, or a picture is damaged or something else: the error names it. Before anything is read, when the
    /// images would be larger than one result may be (4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES`
    /// says). When a notebook's stop button ends it, which costs no variable.
    ///
    /// ```no_run
    /// use latentlab::Dataset;
    ///
    /// let flowers = Dataset::image_folder("flowers", [3, 64, 64])?; // flowers/daisy/…, flowers/tulip/…
    /// let (train, test) = flowers.shuffled(0).split(3_000, 500)?;
    /// println!("{train}"); // 3,000 images of shape 3×64×64, 2 classes: daisy (…), tulip (…)
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn image_folder(folder: impl AsRef<Path>, image_shape: [usize; 3]) -> Result<Self> {
        Pictures::list(folder.as_ref())?.read("image_folder", image_shape, &StopHandle::new())
    }

    /// Two folders whose pictures belong together by their names, such as noisy and clean ones: two data sets in the
    /// same order. Each is read as [`image_folder`](Self::image_folder) reads it.
    ///
    /// Where inputs and targets differ in shape (grey and colour, small and large), call
    /// [`image_folder`](Self::image_folder) for each: equal names give the same order.
    ///
    /// # Errors
    /// As [`image_folder`](Self::image_folder), and when a picture has no partner in the other folder.
    ///
    /// ```no_run
    /// use latentlab::Dataset;
    ///
    /// let (noisy, clean) = Dataset::image_pairs("scans/noisy", "scans/clean", [1, 256, 256])?;
    /// assert_eq!(noisy.len(), clean.len());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn image_pairs(
        inputs: impl AsRef<Path>,
        targets: impl AsRef<Path>,
        image_shape: [usize; 3],
    ) -> Result<(Self, Self)> {
        Self::read_pairs([inputs.as_ref(), targets.as_ref()], image_shape)
    }

    fn read_pairs([inputs, targets]: [&Path; 2], image_shape: [usize; 3]) -> Result<(Self, Self)> {
        let both = [Pictures::list(inputs)?, Pictures::list(targets)?];
        for [one, other] in [[0, 1], [1, 0]].map(|pair| pair.map(|side| &both[side])) {
            let names: Vec<&Path> = other.names().collect();
            // Folder by folder in alphabetical order, which is not that of whole paths.
            let names = std::collections::BTreeSet::from_iter(names);
            if let Some(alone) = one.names().find(|name| !names.contains(name)) {
                let place = other.folder.join(alone).display().to_string();
                let expected = format!("the partner of {}", one.folder.join(alone).display());
                let error = Error::expected(ErrorKind::Data, place, expected, "no such picture");
                return Err(error.hint("Pictures that belong together have the same name in both folders"));
            }
        }
        let ([inputs, targets], stop) = (both, StopHandle::new());
        Ok((inputs.read("image_pairs", image_shape, &stop)?, targets.read("image_pairs", image_shape, &stop)?))
    }
}

/// The pictures of a folder, before they are read.
struct Pictures {
    folder: PathBuf,
    class_names: Vec<String>,
    /// Each with its label.
    files: Vec<(PathBuf, usize)>,
}

/// How deep folders may lie in each other: links can make them endless.
const DEEPEST: usize = 16;

/// Where the compressed data of a file are much smaller than this part of its pixels, they are not there. Deflate has
/// 1,032; a JPEG of one colour about 500.
const MOST_COMPRESSED: u64 = 4096;

/// So many pictures are read before progress and stop button are looked at, and so long nothing is shown.
const BLOCK: usize = 64;
const MOMENT: Duration = Duration::from_millis(500);

const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

impl Pictures {
    fn list(folder: &Path) -> Result<Self> {
        let none = |folder: &Path| {
            let expected = "at least one picture (.png, .jpg or .jpeg)";
            Error::expected(ErrorKind::Data, folder.display().to_string(), expected, "none")
        };
        let Entries { files, folders } = Entries::of(folder)?;
        let mut classes = Vec::new();
        for (class, name) in folders {
            let mut pictures = Vec::new();
            collect(&class, DEEPEST, &mut pictures)?;
            classes.push((class, name, pictures));
        }
        let mut listed = Self { folder: folder.to_owned(), class_names: Vec::new(), files: Vec::new() };
        match (files.is_empty(), classes.is_empty()) {
            (true, true) => return Err(none(folder)),
            (false, true) => {
                listed.class_names.push(UNLABELLED.into());
                listed.files.extend(files.into_iter().map(|file| (file, 0)));
            }
            (false, false) => {
                let got = format!("{} beside the folder {}", files[0].display(), classes[0].0.display());
                let expected = "either pictures or a folder of pictures for each class";
                return Err(Error::expected(ErrorKind::Data, folder.display().to_string(), expected, got));
            }
            (true, false) => {
                for (label, (class, name, pictures)) in classes.into_iter().enumerate() {
                    if pictures.is_empty() {
                        return Err(none(&class).hint("Every folder is a class: remove the empty ones"));
                    }
                    listed.class_names.push(name);
                    listed.files.extend(pictures.into_iter().map(|file| (file, label)));
                }
            }
        }
        Ok(listed)
    }

    /// The paths within the folder.
    fn names(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(file, _)| file.strip_prefix(&self.folder).unwrap_or(file))
    }

    fn read(self, place: &str, image_shape: [usize; 3], stop: &StopHandle) -> Result<Dataset> {
        let [channels, height, width] = image_shape;
        let sides = [height, width].map(|side| u32::try_from(side).ok().filter(|side| *side > 0));
        let ([1 | 3], [Some(high), Some(wide)]) = ([channels], sides) else {
            let expected = "an image shape of [1, height, width] for grey or [3, height, width] for colour";
            return Err(Error::argument(place, expected, format!("{image_shape:?}")));
        };
        let (n, shown) = (self.files.len(), self.folder.display().to_string());
        let count = limit::check(&shown, "the images", &[n, channels, height, width])?;
        let mut values = vec![0.0; count];
        let (_stoppable, mut progress, start) = (Stoppable::begin(), Progress::begin(1), Instant::now());
        let read = |done: usize| format!("{} of {} pictures", thousands(done), thousands(n));
        let state = |done: usize| State {
            share: done as f64 / n as f64,
            text: format!("{} from {shown}", read(done)),
            ..State::default()
        };
        for (block, values) in values.chunks_mut(BLOCK * (count / n)).enumerate() {
            let done = block * BLOCK;
            if stop.should_stop() {
                let message = format!("stopped after {}; there is no data set of a part", read(done));
                return Err(Error::new(ErrorKind::Stopped, place, message));
            }
            if start.elapsed() > MOMENT {
                progress.within(|| state(done));
            }
            let images = values.par_chunks_mut(count / n).zip(&self.files[done..]);
            // The first in order, whichever thread is faster.
            let mistake = images.find_map_first(|(values, (file, _))| read_picture(file, [high, wide], values).err());
            if let Some(error) = mistake {
                return Err(error);
            }
        }
        if progress.is_live() && start.elapsed() > MOMENT {
            progress.unit(n, true, || state(n));
        }
        let images = Array4::from_shape_vec((n, channels, height, width), values);
        let images = images.map_err(|error| Error::new(ErrorKind::Shape, place, error.to_string()))?;
        Ok(Dataset {
            images: images.into(),
            labels: Arc::new(self.files.iter().map(|(_, label)| *label).collect()),
            class_names: self.class_names.into(),
            source: format!("{} images from {shown}", thousands(n)).into(),
        })
    }
}

/// What is in a folder, in alphabetical order: pictures, and folders with their names. Hidden ones are left out.
struct Entries {
    files: Vec<PathBuf>,
    folders: Vec<(PathBuf, String)>,
}

impl Entries {
    fn of(folder: &Path) -> Result<Self> {
        let unreadable = |error| Error::io(folder, "read the folder, to list", error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
        entries.sort();
        let mut found = Self { files: Vec::new(), folders: Vec::new() };
        for (path, name) in entries {
            if name.starts_with('.') || name == "__MACOSX" {
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
            if path.is_dir() {
                found.folders.push((path, name));
            } else if ENDINGS.contains(&&*ending) {
                found.files.push(path);
            }
        }
        Ok(found)
    }
}

/// The pictures of a folder and of the folders in it.
fn collect(folder: &Path, depth: usize, pictures: &mut Vec<PathBuf>) -> Result<()> {
    if depth == 0 {
        let expected = format!("at most {DEEPEST} folders in each other");
        return Err(Error::expected(
            ErrorKind::Data,
            folder.display().to_string(),
            expected,
            "more (a link to itself?)",
        ));
    }
    let Entries { files, folders } = Entries::of(folder)?;
    pictures.extend(files);
    folders.iter().try_for_each(|(folder, _)| collect(folder, depth - 1, pictures))
}

/// Reads a picture into the values of an image, (channels, height, width).
fn read_picture(path: &Path, [height, width]: [u32; 2], values: &mut [f32]) -> Result<()> {
    let shown = path.display().to_string();
    let (file, length) = open::file(path)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|error| Error::io(path, "read", error))?;
    let format =
        image::guess_format(&bytes).ok().filter(|format| [ImageFormat::Png, ImageFormat::Jpeg].contains(format));
    let Some(format) = format else {
        let what = content::describe(&bytes[..bytes.len().min(content::BEGINNING)]);
        let got = what.unwrap_or_else(|| "something else".into());
        let error = Error::expected(ErrorKind::Data, format!("{shown}, byte 0"), "a PNG or JPEG picture", got);
        return Err(error.hint("Save it as PNG, or take it out of the folder"));
    };
    let damaged = |error: ImageError| {
        let error = match error {
            ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "its early end".into(),
            other => other.to_string(),
        };
        let name = if format == ImageFormat::Png { "PNG" } else { "JPEG" };
        let place = format!("{shown}, {} bytes", bytes.len());
        let error = Error::expected(ErrorKind::Data, place, format!("a sound {name} picture"), error);
        error.hint("If it is a damaged download, fetch it again; else take it out of the folder")
    };
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    reader.limits(Limits::no_limits()); // the limit of one result is ours
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (columns, rows) = decoder.dimensions();
    limit::check(
        &shown,
        "its pixels",
        &[rows as usize, columns as usize, decoder.color_type().channel_count().into()],
    )?;
    if decoder.total_bytes() / MOST_COMPRESSED > bytes.len() as u64 {
        let place = format!("{shown}, {} bytes", bytes.len());
        let expected = format!("a file that can hold the {columns} × {rows} pixels that it claims");
        return Err(Error::expected(ErrorKind::Data, place, expected, "too few bytes"));
    }
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    if (picture.width(), picture.height()) != (width, height) {
        picture = picture.resize_exact(width, height, FilterType::Triangle);
    }
    fill(&picture, (width * height) as usize, values);
    Ok(())
}

/// Writes a picture into one plane of `size` values, or three.
fn fill(picture: &DynamicImage, size: usize, values: &mut [f32]) {
    let color = picture.color();
    let is_fine = color.bytes_per_pixel() > color.channel_count();
    match (values.len() == size && !color.has_color(), is_fine) {
        (true, false) => fill_grey(picture.to_luma8().iter().map(|value| f32::from(*value) / 255.0), values),
        (true, true) => fill_grey(picture.to_luma16().iter().map(|value| f32::from(*value) / 65_535.0), values),
        (false, false) => {
            let pixels = picture.to_rgb8();
            fill_colors(pixels.pixels().map(|pixel| pixel.0.map(|value| f32::from(value) / 255.0)), size, values);
        }
        (false, true) => {
            let pixels = picture.to_rgb16();
            fill_colors(pixels.pixels().map(|pixel| pixel.0.map(|value| f32::from(value) / 65_535.0)), size, values);
        }
    }
}

fn fill_grey(pixels: impl Iterator<Item = f32>, values: &mut [f32]) {
    values.iter_mut().zip(pixels).for_each(|(value, grey)| *value = grey);
}

fn fill_colors(pixels: impl Iterator<Item = [f32; 3]>, size: usize, values: &mut [f32]) {
    for (at, [red, green, blue]) in pixels.enumerate() {
        if values.len() == size {
            values[at] = (0.299 * red + 0.587 * green + 0.114 * blue).min(1.0);
        } else {
            [values[at], values[size + at], values[2 * size + at]] = [red, green, blue];
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;
    use crate::data::folder::Folder;

    fn bytes(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// 3 × 2 pixels whose channels differ.
    fn colored(seed: u8) -> RgbImage {
        RgbImage::from_fn(3, 2, |x, y| Rgb([seed, (40 * x) as u8, (100 * y) as u8]))
    }

    #[test]
    fn folders_are_classes_and_pixels_are_exact() {
        let folder = Folder::new("pictures");
        for (name, seed) in [("tulip/b.png", 3), ("daisy/2.PNG", 2), ("daisy/10.png", 1), ("tulip/more/a.png", 4)] {
            folder.write(name, &bytes(colored(seed), ImageFormat::Png));
        }
        for other in [".DS_Store", "daisy/._2.png", "daisy/notes.txt", "README.md", "__MACOSX/x.png"] {
            folder.write(other, b"not a picture");
        }
        let data = Dataset::image_folder(&folder.0, [3, 2, 3]).unwrap();
        assert_eq!(data.class_names(), ["daisy", "tulip"]);
        assert_eq!(data.labels().to_vec(), [0, 0, 1, 1]);
        let red: Vec<f32> = data.images().outer_iter().map(|image| image[[0, 0, 0]] * 255.0).collect();
        assert_eq!(red.iter().map(|red| red.round() as u8).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(data.images()[[0, 1, 1, 2]], 80.0 / 255.0);
        assert_eq!(data.images()[[0, 2, 1, 0]], 100.0 / 255.0);
        assert_eq!(data.source(), format!("4 images from {}", folder.0.display()));

        let grey = Dataset::image_folder(&folder.0, [1, 2, 3]).unwrap();
        let expected = (0.299 * 1.0 + 0.587 * 80.0 + 0.114 * 100.0) / 255.0;
        assert!((grey.images()[[0, 0, 1, 2]] - expected).abs() < 1e-6);
        let one_class = Dataset::image_folder(folder.0.join("tulip/more"), [3, 2, 3]).unwrap();
        assert_eq!((one_class.len(), one_class.class_names()), (1, &["unlabelled".to_string()][..]));
    }

    #[test]
    fn many_pictures_keep_their_order_and_a_stop_is_an_error() {
        let folder = Folder::new("pictures-many");
        for seed in 0..2 * BLOCK as u8 + 2 {
            folder.write(&format!("{seed:03}.png"), &bytes(colored(seed), ImageFormat::Png));
        }
        let read = |stop: &StopHandle| Pictures::list(&folder.0).unwrap().read("image_folder", [3, 2, 3], stop);
        let stop = StopHandle::new();
        let data = read(&stop).unwrap();
        let is_in_order = |(seed, image): (usize, ndarray::ArrayView3<f32>)| image[[0, 0, 0]] == seed as f32 / 255.0;
        assert!(data.len() == 2 * BLOCK + 2 && data.images().outer_iter().enumerate().all(is_in_order));
        stop.stop();
        let error = read(&stop).unwrap_err();
        let expected = "image_folder: stopped after 0 of 130 pictures; there is no data set of a part";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Stopped, expected));
    }

    #[test]
    fn every_kind_of_picture_is_read() {
        let folder = Folder::new("picture-kinds");
        let of = |picture: DynamicImage, channels| {
            folder.write("a.png", &bytes(picture, ImageFormat::Png));
            Dataset::image_folder(&folder.0, [channels, 1, 2]).unwrap().values().to_vec()
        };
        let grey = GrayImage::from_fn(2, 1, |x, _| Luma([51 * (x as u8 + 1)]));
        assert_eq!(of(grey.clone().into(), 1), [0.2, 0.4]);
        assert_eq!(of(grey.into(), 3), [0.2, 0.4, 0.2, 0.4, 0.2, 0.4]);
        let fine = image::ImageBuffer::<Luma<u16>, _>::from_pixel(2, 1, Luma([13_107]));
        assert_eq!(of(fine.into(), 1), [0.2, 0.2]);
        let transparent = RgbaImage::from_pixel(2, 1, Rgba([51, 102, 255, 0]));
        assert_eq!(of(transparent.into(), 3), [0.2, 0.2, 0.4, 0.4, 1.0, 1.0]);
        let transparent = image::ImageBuffer::<LumaA<u8>, _>::from_pixel(2, 1, LumaA([51, 9]));
        assert_eq!(of(transparent.into(), 1), [0.2, 0.2]);
        assert!(of(RgbImage::from_pixel(2, 1, Rgb([255; 3])).into(), 1).iter().all(|white| *white == 1.0));
        // A JPEG under another name
        folder.write("a.png", &bytes(RgbImage::from_pixel(16, 16, Rgb([250, 20, 20])), ImageFormat::Jpeg));
        let [red, green, blue] = Dataset::image_folder(&folder.0, [3, 1, 1]).unwrap().values().try_into().unwrap();
        assert!(
            (red - 250.0 / 255.0).abs() < 0.02 && (green - blue).abs() < 0.02 && green < 0.12,
            "{red} {green} {blue}"
        );
    }

    #[test]
    fn a_smaller_picture_is_an_average() {
        let folder = Folder::new("picture-sizes");
        let stripes = GrayImage::from_fn(64, 64, |x, _| Luma([if x % 2 == 0 { 0 } else { 200 }]));
        folder.write("a.png", &bytes(stripes, ImageFormat::Png));
        let small = Dataset::image_folder(&folder.0, [1, 8, 16]).unwrap();
        assert!(small.values().iter().all(|value| (value - 100.0 / 255.0).abs() < 0.05), "{:?}", small.values());
        let large = Dataset::image_folder(&folder.0, [1, 100, 80]).unwrap();
        assert_eq!(large.image_shape(), [1, 100, 80]);
    }

    #[test]
    fn pairs_are_in_the_same_order_or_refused() {
        let folder = Folder::new("picture-pairs");
        for (name, seed) in [("a/x.png", 1), ("a/y.png", 2), ("b/y.png", 12), ("b/x.png", 11)] {
            folder.write(name, &bytes(colored(seed), ImageFormat::Png));
        }
        let sides = ["a", "b"].map(|side| folder.0.join(side));
        let (noisy, clean) = Dataset::image_pairs(&sides[0], &sides[1], [3, 2, 3]).unwrap();
        let red = |data: &Dataset| [0, 1].map(|image| (data.images()[[image, 0, 0, 0]] * 255.0).round() as u8);
        assert_eq!([red(&noisy), red(&clean)], [[1, 2], [11, 12]]);
        for (name, missing, there) in [("b/z.png", "a/z.png", "b/z.png"), ("a/w.png", "b/w.png", "a/w.png")] {
            let path = folder.write(name, &bytes(colored(5), ImageFormat::Png));
            let error = Dataset::image_pairs(&sides[0], &sides[1], [3, 2, 3]).unwrap_err().to_string();
            let [missing, there] = [missing, there].map(|name| folder.0.join(name).display().to_string());
            let expected = format!("{missing}: expected the partner of {there}, got no such picture. ");
            assert!(error.starts_with(&expected), "{error}");
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn bad_pictures_are_refused_with_path_expected_and_got() {
        let good = bytes(colored(1), ImageFormat::Png);
        let jpeg = bytes(RgbImage::from_fn(40, 40, |x, y| Rgb([(6 * x) as u8, (x * y) as u8, 9])), ImageFormat::Jpeg);
        // A header that claims 60,000 × 60,000 pixels, with its checksum
        let claiming = {
            let mut bytes = good.clone();
            bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
            let mut hasher = flate2::Crc::new();
            hasher.update(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&hasher.sum().to_be_bytes());
            bytes
        };
        let wide = {
            let mut bytes = claiming.clone();
            bytes[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
            let mut hasher = flate2::Crc::new();
            hasher.update(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&hasher.sum().to_be_bytes());
            bytes
        };
        for (bytes, expected) in [
            (&b""[..], "byte 0: expected a PNG or JPEG picture, got an empty file"),
            (b"GIF89a......", "byte 0: expected a PNG or JPEG picture, got a GIF image"),
            (b"<html>not found</html>", "byte 0: expected a PNG or JPEG picture, got an HTML page"),
            (b"\x01\x02\x03\x04", "byte 0: expected a PNG or JPEG picture, got something else"),
            (&good[..40], "40 bytes: expected a sound PNG picture, got "),
            (&good[..good.len() - 20], "bytes: expected a sound PNG picture, got "),
            (&jpeg[..100], "100 bytes: expected a sound JPEG picture, got "),
            (&claiming, "a.png: expected at most 4 GiB for one result, got 40.2 GiB (its pixels: 60000 × 60000 × 3"),
            (&wide, "bytes: expected a file that can hold the 16384 × 16384 pixels that it claims"),
        ] {
            let folder = Folder::new("picture-bad");
            folder.write("0.png", &good);
            let path = folder.write("a.png", bytes);
            folder.write("b.png", b"");
            let error = Dataset::image_folder(&folder.0, [3, 2, 3]).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn bad_folders_and_shapes_are_refused() {
        let folder = Folder::new("picture-folders");
        let refused = |shape| Dataset::image_folder(&folder.0, shape).unwrap_err().to_string();
        assert!(refused([1, 2, 2]).ends_with("expected at least one picture (.png, .jpg or .jpeg), got none"));
        folder.write("class/a.png", &bytes(colored(0), ImageFormat::Png));
        for shape in [[2, 4, 4], [0, 4, 4], [1, 0, 4], [3, 4, 0]] {
            let expected =
                "image_folder: expected an image shape of [1, height, width] for grey or [3, height, width] for colour";
            assert_eq!(refused(shape), format!("{expected}, got {shape:?}"));
        }
        let error = refused([3, 100_000, 100_000]);
        assert!(
            error.contains("expected at most 4 GiB for one result, got 111.8 GiB (the images: 1 × 3 × 1"),
            "{error}"
        );
        folder.write("empty/notes.txt", b"");
        assert!(refused([1, 2, 2]).contains("empty: expected at least one picture"));
        fs::remove_dir_all(folder.0.join("empty")).unwrap();
        folder.write("stray.png", b"");
        assert!(refused([1, 2, 2]).contains("expected either pictures or a folder of pictures for each class"));
        assert_eq!(Dataset::image_folder(folder.0.join("no"), [1, 2, 2]).unwrap_err().kind(), ErrorKind::Io);
        #[cfg(unix)]
        {
            fs::remove_file(folder.0.join("stray.png")).unwrap();
            std::os::unix::fs::symlink(&folder.0, folder.0.join("class/loop")).unwrap();
            assert!(refused([1, 2, 2]).contains("expected at most 16 folders in each other"));
        }
    }
}
