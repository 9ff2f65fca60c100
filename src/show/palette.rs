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

/// How opaque dots are at least where they cover each other: paler, the ten colours come too near to each other.
pub(super) const OPACITY: f64 = 0.8;

/// Text, axes and edges.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// The lines behind a chart.
pub(super) const MESH: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);

pub(super) fn color(index: usize) -> RGBColor {
    let [red, green, blue] = PALETTE[index % PALETTE.len()];
    RGBColor(red, green, blue)
}

/// A colour as HTML and SVG write it: "#3f90da".
pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The colour of one of `count` series or classes: one of the ten if they are enough, else one of `count` hues.
pub(super) fn color_of(index: usize, count: usize) -> RGBColor {
    if count <= PALETTE.len() { color(index) } else { hue(index as f64 / count as f64, index) }
}

/// A hue from 0 to 1 as a colour; neighbours differ in lightness too, for readers who cannot tell hues apart.
fn hue(share: f64, index: usize) -> RGBColor {
    // Oklab (B. Ottosson, 2020).
    let lightness = [0.65, 0.44, 0.77][index % 3];
    let (sin, cos) = (std::f64::consts::TAU * share).sin_cos();
    let linear = |chroma: f64| {
        let (a, b) = (chroma * cos, chroma * sin);
        let l = (lightness + 0.3963377774 * a + 0.2158037573 * b).powi(3);
        let m = (lightness - 0.1055613458 * a - 0.0638541728 * b).powi(3);
        let s = (lightness - 0.0894841775 * a - 1.2914855480 * b).powi(3);
        [
            4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
            -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
            -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
        ]
    };
    // The highest chroma that a screen has at this lightness.
    let on_screen = |chroma: &f64| linear(*chroma).iter().all(|value| (-1e-6..=1.0 + 1e-6).contains(value));
    let chroma = (0..=17).rev().map(|step| f64::from(step) / 100.0).find(on_screen).unwrap_or(0.0);
    let [red, green, blue] = linear(chroma).map(|value| {
        let value = value.clamp(0.0, 1.0);
        let value = if value > 0.0031308 { 1.055 * value.powf(1.0 / 2.4) - 0.055 } else { 12.92 * value };
        (255.0 * value).round() as u8
    });
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_colours_than_ten_differ_and_can_be_seen_on_white() {
        for count in [11, 26, 47, 62] {
            let colors: Vec<[f64; 3]> = (0..count)
                .map(|index| color_of(index, count))
                .map(|RGBColor(red, green, blue)| [red, green, blue].map(f64::from))
                .collect();
            for (index, color) in colors.iter().enumerate() {
                assert!(color.iter().sum::<f64>() < 640.0, "{color:?}");
                let distance = |other: &[f64; 3]| (0..3).map(|c| (color[c] - other[c]).powi(2)).sum::<f64>().sqrt();
                let nearest = colors[..index].iter().map(distance).fold(f64::INFINITY, f64::min);
                assert!(nearest > 9.0, "{count} colours, {index}: {nearest}");
                // The next one must differ in brightness too.
                let luma = |color: &[f64; 3]| 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
                let next = luma(&colors[(index + 1).min(count - 1)]);
                assert!(index + 1 == count || (luma(color) - next).abs() > 20.0, "{count} colours, {index}");
            }
        }
        assert_eq!(color_of(3, 10), color(3));
    }

    /// CIELAB of a colour, given as a screen has it, seen with a colour-vision deficiency (Machado, Oliveira and
    /// Fernandes 2009, severity 1; the matrices apply to linear light).
    fn seen(color: [u8; 3], opacity: f64, vision: &[[f64; 3]; 3]) -> [f64; 3] {
        let linear = color.map(|channel| {
            let value = opacity * f64::from(channel) / 255.0 + 1.0 - opacity;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        let times =
            |matrix: &[[f64; 3]; 3], v: [f64; 3]| matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
        let seen = times(vision, linear).map(|value| value.clamp(0.0, 1.0));
        const XYZ: [[f64; 3]; 3] =
            [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];
        let [x, y, z] = times(&XYZ, seen);
        let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let (x, y, z) = (f(x / 0.95047), f(y), f(z / 1.08883));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn translucent_colours_stay_apart_for_colour_blind_readers() {
        let visions = [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ];
        let nearest = |opacity: f64| {
            let mut nearest = f64::INFINITY;
            for vision in &visions {
                let colors = PALETTE.map(|color| seen(color, opacity, vision));
                for (index, a) in colors.iter().enumerate() {
                    for b in &colors[..index] {
                        nearest = nearest.min((0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt());
                    }
                }
            }
            nearest
        };
        // In CIELAB; 2.3 is just noticeable (Mahy et al. 1994).
        assert!(nearest(OPACITY) > 12.0, "{}", nearest(OPACITY));
        assert!(nearest(0.5) < 12.0, "what the threshold is for: {}", nearest(0.5));
    }
}
