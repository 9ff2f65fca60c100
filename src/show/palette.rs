//! The colours of lines and classes.

use plotters::style::RGBColor;

/// Ten colours that stay apart for readers with any of the usual colour-vision deficiencies: the ten-colour sequence of
/// M. A. Petroff, "Accessible Color Sequences for Data Visualization", arXiv:2107.02270 (2021). As red, green, blue.
pub const PALETTE: [[u8; 3]; 10] = [
    [0x3f, 0x90, 0xda],
    [0xff, 0xa9, 0x0e],
    [0xbd, 0x1f, 0x01],
    [0x94, 0xa4, 0xa2],
    [0x83, 0x2d, 0xb6],
    [0xa9, 0x6b, 0x59],
    [0xe7, 0x63, 0x00],
    [0xb9, 0xac, 0x70],
    [0x71, 0x75, 0x81],
    [0x92, 0xda, 0xdd],
];

/// Text, axes and edges.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// The lines behind a chart.
pub(super) const MESH: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);

pub(super) fn color(index: usize) -> RGBColor {
    let [red, green, blue] = PALETTE[index % PALETTE.len()];
    RGBColor(red, green, blue)
}
