//! What charts draw on: a list of shapes, which is then written as SVG or painted into pixels.

use std::cell::RefCell;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::theme::{INK, Paint, Theme};

/// A place in units of the canvas.
pub(super) type Point = (i32, i32);

/// The canvas is this many times finer than the figure's pixels, because plotters has only whole coordinates: a PNG is
/// averaged from it, an SVG has the factor in its `viewBox`.
pub(super) const DETAIL: u32 = 2;

/// A length in pixels, in units of the canvas.
pub(super) fn px(length: impl Into<f64>) -> i32 {
    (length.into() * f64::from(DETAIL)).round() as i32
}

/// How lines are drawn, or areas filled.
#[derive(Clone, Copy)]
pub(super) struct Style {
    paint: Paint,
    /// Of lines, in units of the canvas.
    width: Option<u32>,
}

/// A line's style; `width` in pixels.
pub(super) fn stroke(paint: Paint, width: f64) -> Style {
    Style { paint, width: Some(px(width) as u32) }
}

impl From<Paint> for Style {
    /// A filled area.
    fn from(paint: Paint) -> Self {
        Self { paint, width: None }
    }
}

impl Style {
    fn in_theme(self, theme: Theme) -> ShapeStyle {
        let color = self.paint.rgba(theme);
        ShapeStyle { color, filled: self.width.is_none(), stroke_width: self.width.unwrap_or(1) }
    }
}

/// A rectangle to draw on. Coordinates count from its upper left corner, in units of the canvas, and are moved to its
/// edge where they lie outside.
pub(super) struct Canvas<'a> {
    shapes: &'a RefCell<Vec<Shape>>,
    corner: Point,
    end: Point,
}

/// What is drawn, in coordinates of the whole canvas.
pub(super) enum Shape {
    /// Joined points, with the lengths of dashes and gaps if it is dashed.
    Path(Vec<Point>, Option<[i32; 2]>, Style),
    Circle(Point, i32, Paint),
    Rectangle([Point; 2], Style),
    Polygon(Vec<Point>, Paint),
    Text(Box<(String, TextStyle<'static>, Paint)>, Point),
    Image(Sprite),
}

/// An image at a place of the figure, in pixels; each of its own pixels becomes a square of `scale`.
pub(super) struct Sprite {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) scale: u32,
    pub(super) width: u32,
    /// Row by row, each red, green and blue.
    pub(super) rows: Vec<[u8; 3]>,
}

impl<'a> Canvas<'a> {
    /// The whole canvas of a figure, `size` in pixels.
    pub(super) fn new(shapes: &'a RefCell<Vec<Shape>>, (width, height): (u32, u32)) -> Self {
        Self { shapes, corner: (0, 0), end: ((width * DETAIL) as i32, (height * DETAIL) as i32) }
    }

    /// A part of it, in pixels.
    pub(super) fn part(&self, x: u32, y: u32, (width, height): (u32, u32)) -> Self {
        let unit = |length: u32| (length * DETAIL) as i32;
        let corner = (self.end.0.min(self.corner.0 + unit(x)), self.end.1.min(self.corner.1 + unit(y)));
        Self { shapes: self.shapes, corner, end: (corner.0 + unit(width), corner.1 + unit(height)) }
    }

    /// Width and height in units of the canvas.
    pub(super) fn size(&self) -> Point {
        (self.end.0 - self.corner.0, self.end.1 - self.corner.1)
    }

    pub(super) fn path(&self, points: &[Point], style: Style) {
        self.add(Shape::Path(points.iter().map(|point| self.inside(*point)).collect(), None, style));
    }

    /// A path of dashes and gaps, their lengths in pixels.
    pub(super) fn dashed(&self, points: &[Point], [dash, gap]: [f64; 2], style: Style) {
        let points = points.iter().map(|point| self.inside(*point)).collect();
        self.add(Shape::Path(points, Some([px(dash), px(gap)]), style));
    }

    /// A filled circle, `radius` in units of the canvas.
    pub(super) fn circle(&self, center: Point, radius: i32, paint: Paint) {
        self.add(Shape::Circle(self.inside(center), radius, paint));
    }

    pub(super) fn rectangle(&self, corners: [Point; 2], style: impl Into<Style>) {
        self.add(Shape::Rectangle(corners.map(|corner| self.inside(corner)), style.into()));
    }

    pub(super) fn polygon(&self, corners: &[Point], paint: Paint) {
        self.add(Shape::Polygon(corners.iter().map(|corner| self.inside(*corner)).collect(), paint));
    }

    /// Text as it is: [`text::draw`](super::text::draw) moves it where it would be cut off.
    pub(super) fn text(&self, text: String, style: &TextStyle<'static>, paint: Paint, (x, y): Point) {
        self.add(Shape::Text(Box::new((text, style.clone(), paint)), (self.corner.0 + x, self.corner.1 + y)));
    }

    /// An image, its place in pixels of this canvas, with a thin edge around it: it may be as white as the page.
    pub(super) fn image(&self, sprite: Sprite) {
        let corner = (px(sprite.x), px(sprite.y));
        let (width, height) = (px(sprite.width * sprite.scale), px(sprite.height() * sprite.scale));
        let edge = [(corner.0 - 1, corner.1 - 1), (corner.0 + width, corner.1 + height)];
        self.rectangle(edge, stroke(INK.mix(0.4), 0.5));
        let (left, top) = (self.corner.0 as u32 / DETAIL, self.corner.1 as u32 / DETAIL);
        self.add(Shape::Image(Sprite { x: left + sprite.x, y: top + sprite.y, ..sprite }));
    }

    fn add(&self, shape: Shape) {
        self.shapes.borrow_mut().push(shape);
    }

    fn inside(&self, (x, y): Point) -> Point {
        let ((left, top), (right, bottom)) = (self.corner, self.end);
        ((self.corner.0 + x).min(right).max(left), (self.corner.1 + y).min(bottom).max(top))
    }
}

impl Shape {
    /// Draws it on one of plotters' canvases. Images are laid over it later: they would lose their sharp pixels here.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        theme: Theme,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        match self {
            Self::Path(points, None, style) => area.draw(&PathElement::new(&points[..], style.in_theme(theme))),
            Self::Path(points, Some([dash, gap]), style) => {
                area.draw(&DashedPathElement::new(points.iter().copied(), *dash, *gap, style.in_theme(theme)))
            }
            Self::Circle(center, radius, paint) => {
                area.draw(&Circle::new(*center, *radius, paint.rgba(theme).filled()))
            }
            Self::Rectangle(corners, style) => {
                area.draw(&plotters::element::Rectangle::new(*corners, style.in_theme(theme)))
            }
            Self::Polygon(corners, paint) => {
                area.draw(&plotters::element::Polygon::new(&corners[..], paint.rgba(theme).filled()))
            }
            Self::Text(text, at) => {
                let (text, style, paint) = &**text;
                area.draw_text(text, &style.color(&paint.rgba(theme)), *at)
            }
            Self::Image(_) => Ok(()),
        }
    }
}

impl Sprite {
    /// The number of rows.
    pub(super) fn height(&self) -> u32 {
        self.rows.len() as u32 / self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_in_each_other_and_points_on_their_canvas() {
        let shapes = RefCell::default();
        let part = Canvas::new(&shapes, (100, 50)).part(10, 20, (30, 20)).part(5, 5, (10, 10));
        assert_eq!(part.size(), (20, 20));
        part.rectangle([(-1, 2), (99, 99)], INK);
        part.image(Sprite { x: 1, y: 2, scale: 3, width: 2, rows: vec![[0; 3]; 6] });
        let shapes = shapes.into_inner();
        assert!(matches!(shapes[0], Shape::Rectangle([(30, 52), (50, 70)], _)));
        assert!(matches!(shapes[1], Shape::Rectangle([(31, 53), (44, 70)], _)), "the image's edge");
        assert!(matches!(&shapes[2], Shape::Image(image) if (image.x, image.y, image.height()) == (16, 27, 3)));
    }
}
