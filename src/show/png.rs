//! PNG files from pixels.

use base64::{Engine, engine::general_purpose::STANDARD};
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use crate::error::{Error, ErrorKind, Result};

/// A PNG file of red, green and blue pixels, eight bits each.
pub(super) fn rgb_png(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    // Figures are flat areas: unfiltered they become smallest.
    encoded([width, height], pixels, |encoder| {
        encoder.set_color(ColorType::Rgb);
        encoder.set_filter(Filter::NoFilter);
    })
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
