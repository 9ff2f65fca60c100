//! The colours of lines, classes, clusters and shares.

use super::theme::Theme;

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

/// The same ten on a dark page: each has a contrast of at least 3.5 to it (WCAG 2.1 asks for 3), for which the darkest
/// are lighter. Found by a search for colours near Petroff's that stay as far apart as possible in the simulations
/// below.
pub(super) const PALETTE_ON_DARK: [[u8; 3]; 10] = [
    [0x4a, 0x95, 0xdc],
    [0xff, 0xa9, 0x05],
    [0xd5, 0x1b, 0x25],
    [0x94, 0xa4, 0xa2],
    [0x8f, 0x45, 0xd9],
    [0xad, 0x6d, 0x61],
    [0xef, 0x6b, 0x20],
    [0xba, 0xad, 0x70],
    [0x5b, 0x70, 0x7d],
    [0x93, 0xe0, 0xe6],
];

/// Ten further colours, for clusters: as far apart in the simulations, and for usual vision as far from those of the
/// classes. Found by a search, too.
pub(super) const CLUSTERS: [[u8; 3]; 10] = [
    [0xff, 0x22, 0x3f],
    [0xba, 0x08, 0xcb],
    [0xf1, 0xba, 0xbc],
    [0x47, 0x32, 0xfd],
    [0x24, 0x04, 0x2c],
    [0x15, 0xd3, 0x12],
    [0xbe, 0x51, 0x90],
    [0x75, 0x19, 0x70],
    [0xf5, 0x8d, 0xde],
    [0x2d, 0x6d, 0x21],
];
pub(super) const CLUSTERS_ON_DARK: [[u8; 3]; 10] = [
    [0xbc, 0x7a, 0x98],
    [0xbf, 0x39, 0x45],
    [0xd6, 0x52, 0xd6],
    [0x9c, 0xd3, 0x9c],
    [0x0f, 0xee, 0x32],
    [0x95, 0x1a, 0xf9],
    [0xf8, 0xa7, 0xfc],
    [0x80, 0x4b, 0x77],
    [0x43, 0x80, 0x00],
    [0xf1, 0xe4, 0x91],
];

/// How opaque dots are at least where they cover each other: paler, the ten colours come too near to each other.
pub(super) const OPACITY: f64 = 0.8;

/// A colour with a share of another one in it.
pub(super) fn mixed(color: [u8; 3], other: [u8; 3], share: f64) -> [u8; 3] {
    let channel = |c: usize| f64::from(color[c]) + (f64::from(other[c]) - f64::from(color[c])) * share;
    [0, 1, 2].map(|c| channel(c) as u8)
}

/// The lightest and the darkest grey of JupyterLab's two themes that a curve stands on, each with the grey of its text.
const PAGES: [[u8; 2]; 2] = [[0xff, 0x21], [0x21, 0xff]];

/// How much of the page's text colour each of the ten of [`PALETTE`] has in it where a curve stands on the page itself:
/// on a light page and on a dark one its contrast is at least 3 (WCAG 2.1, 1.4.11). Found by a search for shares with
/// which they stay apart in the simulations below.
pub(super) const TEXT_IN_CURVES: [f64; 10] = [0.0, 0.25, 0.12, 0.34, 0.14, 0.12, 0.21, 0.17, 0.36, 0.33];

/// The least such share of a colour, as a multiple of 1/100.
pub(super) fn text_in_curve(color: [u8; 3]) -> f64 {
    let is_enough =
        |share: &f64| PAGES.iter().all(|[page, text]| contrast(mixed(color, [*text; 3], *share), [*page; 3]) >= 3.0);
    (0..100).map(|percent| f64::from(percent) / 100.0).find(is_enough).unwrap_or(1.0)
}

/// The contrast of two colours by WCAG 2.1: from 1 to 21.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let luminance = |color: [u8; 3]| {
        let [red, green, blue] = color.map(|channel| linear(f64::from(channel) / 255.0));
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let [a, b] = [a, b].map(|color| luminance(color) + 0.05);
    a.max(b) / a.min(b)
}

/// The light of a channel of sRGB, all from 0 to 1.
fn linear(channel: f64) -> f64 {
    if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
}

/// The colour of a share: from that of the paper to a strong blue, about evenly to the eye; small shares must still
/// differ from none.
pub(super) fn shade(share: f64, theme: Theme) -> [u8; 3] {
    let (none, all) = match theme {
        Theme::Light => ([255; 3], [8, 48, 107]),
        Theme::Dark => ([0x11; 3], [158, 212, 255]),
    };
    mixed(none, all, share.powf(0.7))
}

/// A hue from 0 to 1 as a colour; neighbours differ in lightness too, for readers who cannot tell hues apart.
pub(super) fn hue(share: f64, index: usize, theme: Theme) -> [u8; 3] {
    // Oklab (B. Ottosson, 2020).
    let lightness = match theme {
        Theme::Light => [0.65, 0.44, 0.77],
        Theme::Dark => [0.66, 0.54, 0.82],
    }[index % 3];
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
    linear(chroma).map(|value| {
        let value = value.clamp(0.0, 1.0);
        let value = if value > 0.0031308 { 1.055 * value.powf(1.0 / 2.4) - 0.055 } else { 12.92 * value };
        (255.0 * value).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_colours_than_ten_differ_and_can_be_seen() {
        for (theme, count) in [Theme::Light, Theme::Dark].into_iter().flat_map(|t| [11, 26, 47, 62].map(|n| (t, n))) {
            let color = |index: usize| hue(index as f64 / count as f64, index, theme).map(f64::from);
            let colors: Vec<[f64; 3]> = (0..count).map(color).collect();
            for (index, color) in colors.iter().enumerate() {
                let sum = color.iter().sum::<f64>();
                assert!(if theme == Theme::Light { sum < 640.0 } else { sum > 180.0 }, "{color:?}");
                let distance = |other: &[f64; 3]| (0..3).map(|c| (color[c] - other[c]).powi(2)).sum::<f64>().sqrt();
                let nearest = colors[..index].iter().map(distance).fold(f64::INFINITY, f64::min);
                assert!(nearest > 9.0, "{count} colours, {index}: {nearest}");
                // The next one must differ in brightness too.
                let luma = |color: &[f64; 3]| 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
                let next = luma(&colors[(index + 1).min(count - 1)]);
                assert!(index + 1 == count || (luma(color) - next).abs() > 20.0, "{count} colours, {index}");
            }
        }
    }

    /// CIELAB of a colour on a grey, given as a screen has it, seen with a colour-vision deficiency (Machado, Oliveira
    /// and Fernandes 2009, severity 1; the matrices apply to linear light).
    fn seen(color: [u8; 3], (opacity, paper): (f64, u8), vision: &[[f64; 3]; 3]) -> [f64; 3] {
        let on_paper = |channel: u8| (opacity * f64::from(channel) + (1.0 - opacity) * f64::from(paper)) / 255.0;
        let linear = color.map(|channel| linear(on_paper(channel)));
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

    const VISIONS: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];
    type Ten = [[u8; 3]; 10];
    /// Greys of the paper, with the colours of classes and of clusters on it.
    const PAGES: [(u8, Ten, Ten); 2] = [(0xff, PALETTE, CLUSTERS), (0x11, PALETTE_ON_DARK, CLUSTERS_ON_DARK)];

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
    }

    fn nearest(colors: [[u8; 3]; 10], on: (f64, u8)) -> f64 {
        let mut nearest = f64::INFINITY;
        for vision in &VISIONS {
            let colors = colors.map(|color| seen(color, on, vision));
            for (index, a) in colors.iter().enumerate() {
                nearest = colors[..index].iter().map(|b| distance(*a, *b)).fold(nearest, f64::min);
            }
        }
        nearest
    }

    #[test]
    fn translucent_colours_stay_apart_for_colour_blind_readers() {
        // In CIELAB; 2.3 is just noticeable (Mahy et al. 1994).
        for (paper, classes, clusters) in PAGES {
            for colors in [classes, clusters] {
                let nearest = nearest(colors, (OPACITY, paper));
                assert!(nearest > 12.0, "on {paper}: {nearest}");
            }
        }
        assert!(nearest(PALETTE, (0.5, 0xff)) < 12.0, "what the threshold is for");
    }

    #[test]
    fn no_cluster_has_the_colour_of_a_class() {
        for (paper, classes, clusters) in PAGES {
            let [classes, clusters] =
                [classes, clusters].map(|colors| colors.map(|color| seen(color, (OPACITY, paper), &VISIONS[0])));
            let all = classes.iter().flat_map(|a| clusters.iter().map(move |b| distance(*a, *b)));
            assert!(all.clone().fold(f64::INFINITY, f64::min) > 15.0, "on {paper}");
        }
    }

    #[test]
    fn the_colours_can_be_seen_on_a_dark_page() {
        assert!(PALETTE_ON_DARK.iter().all(|color| contrast(*color, [0x11; 3]) >= 3.5));
        assert!(CLUSTERS_ON_DARK.iter().all(|color| contrast(*color, [0x11; 3]) >= 2.5));
    }

    #[test]
    fn a_curve_on_a_page_of_either_theme_can_be_seen_and_told_apart() {
        // WCAG's own example: #777777 is just too pale on white for text.
        assert!((contrast([0x77; 3], [0xff; 3]) - 4.48).abs() < 0.01);
        assert!(contrast(PALETTE[1], [0xff; 3]) < 2.0 && contrast(PALETTE[4], [0x11; 3]) < 3.0, "what it is for");
        for (page, text) in [(0xff, 0x21), (0x11, 0xff), (0x21, 0xff)] {
            let drawn = |color, share| mixed(color, [text; 3], share);
            let ten: [[u8; 3]; 10] = std::array::from_fn(|index| drawn(PALETTE[index], TEXT_IN_CURVES[index]));
            let many = (0..62).map(|index| hue(f64::from(index) / 62.0, index as usize, Theme::Light));
            for color in ten.into_iter().chain(many.map(|color| drawn(color, text_in_curve(color)))) {
                let contrast = contrast(color, [page; 3]);
                assert!(contrast >= 3.0, "{color:x?} on {page:x}: {contrast}");
            }
            let nearest = nearest(ten, (1.0, page));
            assert!(nearest > 9.0, "on {page:x}: {nearest}");
        }
        assert_eq!((text_in_curve(PALETTE[0]), text_in_curve(PALETTE[1])), (0.0, 0.25));
    }
}
