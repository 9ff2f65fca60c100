//! PNG files from pixels.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};
pub(super) use png::Compression;
use png::{BitDepth, ColorType, Encoder, Filter, PixelDimensions, Unit};

use crate::error::{Error, ErrorKind, Result};

type Rgb = [u8; 3];

/// Red, green and blue of each pixel, row by row.
pub(super) struct Pixels<'a> {
    pub width: u32,
    pub height: u32,
    pub rgb: &'a [u8],
}

/// The most colours of a palette.
const COLORS: usize = 256;
/// How many of the most frequent ones stay as they are.
const FREQUENT: usize = 48;
/// Pixels per metre at the 96 per inch of CSS.
const PER_METRE: f64 = 96.0 / 0.0254;

impl Pixels<'_> {
    /// A PNG file without any loss: with a palette if there are few colours.
    pub fn png(&self) -> Result<Vec<u8>> {
        let counts = self.counts();
        let palette = (counts.len() <= COLORS).then(|| counts.iter().map(|(color, _)| (*color, *color)).collect());
        self.encoded(palette, 1, Compression::High)
    }

    /// A PNG file of a drawing, at `density` times 96 pixels per inch: with a palette in which these colours are
    /// `exact`. If they are too many for that, greys become similar ones, and with others there is no palette.
    pub fn drawing(&self, exact: &HashSet<Rgb>, density: u32, compression: Compression) -> Result<Vec<u8>> {
        let counts = self.counts();
        let fits = counts.len() <= COLORS || exact.len() < COLORS - FREQUENT;
        let palette = match fits {
            true => Some(palette(counts, exact)),
            false if exact.iter().all(|color| grey(*color).is_some()) => Some(palette(counts, &HashSet::new())),
            false => None,
        };
        self.encoded(palette, density, compression)
    }

    fn colors(&self) -> &[Rgb] {
        self.rgb.as_chunks().0
    }

    /// How often each colour occurs, the most frequent first.
    fn counts(&self) -> Vec<(Rgb, u32)> {
        // Without hashing the greys, which images have most of.
        let (mut greys, mut others) = ([0; 256], HashMap::<Rgb, u32>::new());
        for run in self.colors().chunk_by(|a, b| a == b) {
            let count = match grey(run[0]) {
                Some(level) => &mut greys[level],
                None => others.entry(run[0]).or_default(),
            };
            *count += run.len() as u32;
        }
        let greys = (0..=u8::MAX).map(|level| [level; 3]).zip(greys).filter(|(_, count)| *count > 0);
        let mut counts: Vec<_> = others.into_iter().chain(greys).collect();
        counts.sort_by_key(|(color, count)| (std::cmp::Reverse(*count), *color));
        counts
    }

    /// `palette`: what each colour becomes.
    fn encoded(&self, palette: Option<HashMap<Rgb, Rgb>>, density: u32, compression: Compression) -> Result<Vec<u8>> {
        let per_metre = (f64::from(density) * PER_METRE).round() as u32;
        let set = |encoder: &mut Encoder<'_, &mut Vec<u8>>| {
            encoder.set_pixel_dims(Some(PixelDimensions { xppu: per_metre, yppu: per_metre, unit: Unit::Meter }));
            encoder.set_compression(compression);
            // Figures are flat areas: unfiltered they become smallest.
            encoder.set_filter(Filter::NoFilter);
        };
        let size = [self.width, self.height];
        let Some(palette) = palette else {
            return encoded(size, self.rgb, |encoder| {
                encoder.set_color(ColorType::Rgb);
                set(encoder);
            });
        };
        let mut colors: Vec<Rgb> = palette.values().copied().collect();
        colors.sort_unstable();
        colors.dedup();
        let index = |color: &Rgb| colors.binary_search(color).unwrap_or_default() as u8;
        let indices: HashMap<Rgb, u8> = palette.iter().map(|(color, becomes)| (*color, index(becomes))).collect();
        let greys = Vec::from_iter((0..=u8::MAX).map(|level| indices.get(&[level; 3]).copied().unwrap_or_default()));
        let mut pixels = Vec::with_capacity(self.colors().len());
        for run in self.colors().chunk_by(|a, b| a == b) {
            let index = grey(run[0]).map_or_else(|| indices[&run[0]], |level| greys[level]);
            pixels.resize(pixels.len() + run.len(), index);
        }
        encoded(size, &pixels, |encoder| {
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(colors.into_flattened());
            set(encoder);
        })
    }
}

/// The level of a grey.
fn grey([red, green, blue]: Rgb) -> Option<usize> {
    (red == green && green == blue).then_some(usize::from(red))
}

/// What each colour becomes in a palette: itself if it is `exact` or frequent, or if all find a place; else the mean of
/// similar ones.
fn palette(counts: Vec<(Rgb, u32)>, exact: &HashSet<Rgb>) -> HashMap<Rgb, Rgb> {
    if counts.len() <= COLORS {
        return counts.into_iter().map(|(color, _)| (color, color)).collect();
    }
    let (mut kept, mut rest) = (HashMap::new(), Vec::new());
    for (rank, (color, count)) in counts.into_iter().enumerate() {
        if rank < FREQUENT || exact.contains(&color) {
            kept.insert(color, color);
        } else {
            rest.push((color, count));
        }
    }
    let places = COLORS - kept.len();
    for group in groups(&mut rest, places) {
        let mean = mean(group).map(|channel| channel.round() as u8);
        kept.extend(group.iter().map(|(color, _)| (*color, mean)));
    }
    kept
}

/// The weight of a colour: one at an edge occurs a few times and is seen all the same.
fn weight(count: u32) -> f64 {
    f64::from(count).sqrt()
}

fn mean(colors: &[(Rgb, u32)]) -> [f64; 3] {
    let all: f64 = colors.iter().map(|(_, count)| weight(*count)).sum();
    [0, 1, 2].map(|c| colors.iter().map(|(color, count)| weight(*count) * f64::from(color[c])).sum::<f64>() / all)
}

/// Similar colours in at most `most` groups: the group that is spread the widest is cut at its mean, again and again
/// (P. Heckbert, "Color image quantization for frame buffer display", 1982, by variance).
fn groups(colors: &mut [(Rgb, u32)], most: usize) -> Vec<&mut [(Rgb, u32)]> {
    /// Along which channel it is spread the most, and how much.
    fn spread(colors: &[(Rgb, u32)]) -> (usize, f64) {
        let mean = mean(colors);
        let along = |c: usize| {
            let square = |(color, count): &(Rgb, u32)| weight(*count) * (f64::from(color[c]) - mean[c]).powi(2);
            (c, colors.iter().map(square).sum::<f64>())
        };
        [0, 1, 2].map(along).into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    }
    let first = spread(colors);
    let mut groups = vec![(first, colors)];
    while groups.len() < most {
        let widest = (0..groups.len()).max_by(|a, b| groups[*a].0.1.total_cmp(&groups[*b].0.1));
        let Some(widest) = widest.filter(|widest| groups[*widest].1.len() > 1) else { break };
        let ((channel, _), group) = groups.swap_remove(widest);
        let middle = mean(group)[channel];
        group.sort_by_key(|(color, _)| color[channel]);
        let cut = group.partition_point(|(color, _)| f64::from(color[channel]) <= middle).clamp(1, group.len() - 1);
        let (low, high) = group.split_at_mut(cut);
        groups.extend([low, high].map(|part| (spread(part), part)));
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| !group.is_empty()).collect()
}

/// A PNG file of grey pixels, each from 0 (black) to `levels` - 1 (white).
pub(super) fn grey_png(width: u32, height: u32, pixels: &[u8], levels: usize) -> Result<Vec<u8>> {
    // A palette, so that the numbers written are small and neighbours differ by little.
    let grey = |level: usize| [(255 * level / (levels - 1)) as u8; 3];
    encoded([width, height], pixels, |encoder| {
        encoder.set_color(ColorType::Indexed);
        encoder.set_palette(Vec::from_iter((0..levels).flat_map(grey)));
        encoder.set_filter(Filter::Adaptive);
    })
}

/// A PNG file of red, green and blue pixels, each value from 0 to `levels` - 1.
pub(super) fn color_png(width: u32, height: u32, pixels: &[u8], levels: usize) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = pixels.iter().map(|level| (255 * usize::from(*level) / (levels - 1)) as u8).collect();
    encoded([width, height], &bytes, |encoder| {
        encoder.set_color(ColorType::Rgb);
        encoder.set_filter(Filter::Adaptive);
    })
}

fn encoded(
    [width, height]: [u32; 2],
    pixels: &[u8],
    set: impl FnOnce(&mut Encoder<'_, &mut Vec<u8>>),
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    set(&mut encoder);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .map_err(|error| Error::new(ErrorKind::Figure, "image", format!("cannot be encoded as PNG: {error}")))?;
    Ok(bytes)
}

/// A PNG file as a `data:` URL.
pub(super) fn data_url(file: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

/// The width and height in pixels at which a PNG file is shown that states its pixels per metre.
pub(crate) fn shown_size(file: &[u8]) -> Option<[u32; 2]> {
    let number = |at: usize| file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let physical = file.windows(4).take(STATED).position(|name| name == b"pHYs")?;
    let per_metre = f64::from(number(physical + 4)?);
    let shown = |side: u32| (f64::from(side) * PER_METRE / per_metre).round() as u32;
    Some([shown(number(16)?), shown(number(20)?)]).filter(|size| per_metre > 0.0 && size.iter().all(|side| *side > 0))
}

/// What a file states stands in its first bytes.
pub(crate) const STATED: usize = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> (png::OutputInfo, Vec<u8>, Option<PixelDimensions>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info, pixels, reader.info().pixel_dims)
    }

    #[test]
    fn few_colours_stay_and_many_come_close() {
        let side = 120;
        let many: Vec<u8> = (0..side * side)
            .flat_map(|at| [(at % side) * 2, at / side * 2, 255 - at % side])
            .map(|c| c as u8)
            .collect();
        let few: Vec<u8> = many.iter().map(|channel| channel / 64 * 64).collect();
        let pixels = |rgb| Pixels { width: side as u32, height: side as u32, rgb };
        assert_eq!(read(&pixels(&few).png().unwrap()).1, few);
        assert_eq!(read(&pixels(&many).png().unwrap()).1, many);
        assert_eq!(read(&pixels(&few).drawing(&HashSet::new(), 2, Compression::High).unwrap()).1, few);

        let exact = HashSet::from_iter(many.as_chunks::<3>().0.iter().copied().step_by(97));
        let file = pixels(&many).drawing(&exact, 2, Compression::High).unwrap();
        let (_, made, _) = read(&file);
        let off = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        assert!(many.iter().zip(&made).map(off).max().unwrap() < 40);
        let kept = |(a, b): &(&Rgb, &Rgb)| !exact.contains(*a) || a == b;
        assert!(many.as_chunks().0.iter().zip(made.as_chunks().0).all(|pair| kept(&pair)));
        assert!(file.len() < pixels(&many).png().unwrap().len());
        let all = many.as_chunks().0.iter().copied().collect();
        assert_eq!(
            read(&pixels(&many).drawing(&all, 2, Compression::High).unwrap()).1,
            many,
            "too many to be exact in a palette"
        );
    }

    #[test]
    fn the_size_at_which_it_is_shown_is_stated() {
        let pixels = Pixels { width: 60, height: 30, rgb: &[7; 60 * 30 * 3] };
        for (density, size) in [(1, [60, 30]), (2, [30, 15]), (3, [20, 10]), (4, [15, 8])] {
            let file = pixels.drawing(&HashSet::new(), density, Compression::High).unwrap();
            assert_eq!(shown_size(&file), Some(size));
            assert_eq!(read(&file).2.unwrap().xppu, (f64::from(density) * 3779.5276).round() as u32);
        }
        let unstated = grey_png(2, 1, &[0, 1], 2).unwrap();
        assert_eq!((shown_size(&unstated), shown_size(b"pHYs"), shown_size(b"")), (None, None, None));
    }
}
