//! Light and dark figures: what each part of a chart is coloured for, and the colour that a theme has for it.

use std::sync::atomic::{AtomicBool, Ordering};

use plotters::style::{RGBAColor, RGBColor};

use super::palette::{
    CLUSTERS, CLUSTERS_ON_DARK, PALETTE, PALETTE_ON_DARK, TEXT_IN_CURVES, hue, mixed, shade, text_in_curve,
};

/// Whether figures are dark on light, the default, or light on dark.
///
/// ```
/// use latentlab::{LineChart, Theme};
///
/// let figure = LineChart::new("epoch", "MSE").line("training", &[0.09, 0.07, 0.06]).figure()?;
/// figure.theme(Theme::Dark).save(std::env::temp_dir().join("dark.png"))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// For a white page.
    #[default]
    Light,
    /// For a page as dark as that of JupyterLab's dark theme, `#111111`.
    Dark,
}

static IS_DARK: AtomicBool = AtomicBool::new(false);

/// The theme of all figures from now on, unless they have [their own](crate::Figure::theme). In a Rust kernel without
/// `latentlab kernel`, a cell's setting ends with the cell.
///
/// ```
/// use latentlab::{Theme, set_theme};
///
/// set_theme(Theme::Dark);
/// # set_theme(Theme::Light);
/// ```
pub fn set_theme(theme: Theme) {
    IS_DARK.store(theme == Theme::Dark, Ordering::Relaxed);
}

impl Theme {
    /// That of figures without their own.
    pub(super) fn current() -> Self {
        if IS_DARK.load(Ordering::Relaxed) { Self::Dark } else { Self::Light }
    }

    /// The ten colours of lines and classes, as red, green and blue: [`PALETTE`](crate::PALETTE), or the same ten with
    /// the dark ones lighter. They stay apart for readers with any of the usual colour-vision deficiencies.
    ///
    /// ```
    /// use latentlab::{PALETTE, Theme};
    ///
    /// assert_eq!(Theme::Light.palette(), PALETTE);
    /// ```
    pub fn palette(self) -> [[u8; 3]; 10] {
        match self {
            Self::Light => PALETTE,
            Self::Dark => PALETTE_ON_DARK,
        }
    }

    /// What figures are drawn on.
    pub(super) fn paper(self) -> RGBColor {
        PAPER.rgb(self)
    }
}

/// A colour, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Ink,
    PaleInk,
    Mesh,
    Paper,
    Grey,
    /// One of so many series or classes.
    Class(usize, usize),
    /// One of so many clusters.
    Cluster(usize, usize),
    /// A share from none, 0, to all, 1.
    Share(f64),
}

/// What something is drawn with: a colour that depends on the theme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paint {
    role: Role,
    opacity: f64,
    /// How much nearer it is to white, or if negative to black.
    light: f64,
}

/// Text, axes and edges.
pub(super) const INK: Paint = Paint::new(Role::Ink);
/// Less important text.
pub(super) const PALE_INK: Paint = Paint::new(Role::PaleInk);
/// The lines behind a chart.
pub(super) const MESH: Paint = Paint::new(Role::Mesh);
/// What is drawn on.
pub(super) const PAPER: Paint = Paint::new(Role::Paper);
/// What has no colour among what has.
pub(super) const GREY: Paint = Paint::new(Role::Grey);

impl Paint {
    const fn new(role: Role) -> Self {
        Self { role, opacity: 1.0, light: 0.0 }
    }

    /// The colour of one of `count` series or classes: one of the ten if they are enough, else one of `count` hues.
    pub(super) fn class(index: usize, count: usize) -> Self {
        Self::new(Role::Class(index, count))
    }

    /// The colour of one of `count` clusters, which no class has as long as there are at most ten.
    pub(super) fn cluster(index: usize, count: usize) -> Self {
        Self::new(Role::Cluster(index, count))
    }

    /// A share as a colour: from that of the paper to a strong blue, about evenly to the eye.
    pub(super) fn share(share: f64) -> Self {
        Self::new(Role::Share(share))
    }

    /// The same, translucent.
    pub(super) fn mix(self, opacity: f64) -> Self {
        Self { opacity: self.opacity * opacity, ..self }
    }

    /// The same, nearer to white by a share, or to black by a negative one.
    pub(super) fn lit(self, light: f64) -> Self {
        Self { light, ..self }
    }

    pub(super) fn rgb(self, theme: Theme) -> RGBColor {
        let grey = |light: u8, dark: u8| [if theme == Theme::Light { light } else { dark }; 3];
        let among = |index: usize, count: usize, ten: [[u8; 3]; 10]| match ten.get(index % ten.len()) {
            Some(color) if count <= ten.len() => *color,
            _ => hue(index as f64 / count as f64, index, theme),
        };
        let color = match self.role {
            Role::Ink => grey(0x22, 0xe4),
            Role::PaleInk => grey(0x55, 0xb0),
            Role::Mesh => grey(0xe6, 0x33),
            Role::Paper => grey(0xff, 0x11),
            Role::Grey => grey(0xd4, 0x70),
            Role::Class(index, count) => among(index, count, theme.palette()),
            Role::Cluster(index, count) => {
                among(index, count, if theme == Theme::Light { CLUSTERS } else { CLUSTERS_ON_DARK })
            }
            Role::Share(share) => shade(share, theme),
        };
        let [red, green, blue] = mixed(color, [if self.light > 0.0 { 255 } else { 0 }; 3], self.light.abs());
        RGBColor(red, green, blue)
    }

    pub(super) fn rgba(self, theme: Theme) -> RGBAColor {
        let RGBColor(red, green, blue) = self.rgb(theme);
        RGBAColor(red, green, blue, self.opacity)
    }

    /// As HTML and SVG write it: "#3f90da".
    pub(super) fn hex(self, theme: Theme) -> String {
        let RGBColor(red, green, blue) = self.rgb(theme);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// The attributes of a curve that stands on the page itself, which may be light or dark whatever the theme is: with
    /// so much of the page's text colour that it can be seen. Browsers before 2023 take the colour as it is.
    pub(super) fn stroke_on_page(self) -> String {
        let (RGBColor(red, green, blue), hex) = (self.rgb(Theme::Light), self.hex(Theme::Light));
        let share = match self.role {
            Role::Class(index, count) if count <= TEXT_IN_CURVES.len() => TEXT_IN_CURVES[index % TEXT_IN_CURVES.len()],
            _ => text_in_curve([red, green, blue]),
        };
        let percent = 100.0 * share;
        format!("stroke=\"{hex}\" style=\"stroke: color-mix(in srgb, {hex}, currentColor {percent:.0}%)\"")
    }
}
