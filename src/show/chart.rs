//! What all kinds of chart have in common.

use super::canvas::Canvas;

/// A kind of chart that has been checked and can be drawn.
///
/// To add one, write a file with its settings, a `figure` method that checks them and ends with `Figure::new`, and this
/// trait; then add it to the list in `show/mod.rs`.
pub(super) trait Chart: Send + Sync {
    /// What it is, in a word or two: "line chart".
    fn kind(&self) -> &'static str;

    /// Width and height in pixels, without a title.
    fn size(&self) -> (u32, u32);

    /// Draws it on a canvas of its size.
    fn draw(&self, canvas: &Canvas<'_>);

    /// How many points or cells it draws one by one.
    fn points(&self) -> usize {
        0
    }

    /// Whether a notebook shows it as SVG, where text stays sharp, as long as there is so little to draw that the file
    /// is small.
    fn prefers_svg(&self) -> bool {
        self.points() <= 1_000
    }
}
