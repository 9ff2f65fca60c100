//! Codes projected to the plane, and points of the plane decoded to images.

use ndarray::{Array1, Array2, Array4};

use crate::{
    analyse::{Codes, Tsne, code_grid, decode, pca, tsne},
    error::{Error, ErrorKind, Result},
    model::Autoencoder,
    show::axis::{Axis, range},
};

/// How codes are projected to the plane.
#[derive(Clone, Debug)]
pub(super) enum Projection {
    /// Two numbers as they are, more by their principal components.
    Default,
    Pca,
    Tsne(Tsne),
}

/// Codes in the plane.
pub(super) struct Plane {
    /// Their coordinates, (n, 2).
    pub places: Array2<f32>,
    pub axes: [Axis; 2],
    pub names: [String; 2],
    /// How they were projected: "placed …".
    pub placed: &'static str,
    /// The line below the probe.
    pub note: String,
    /// Images decoded from a grid over the axes, row by row from the top left, (grid · grid, 1, height, width).
    pub decoded: Option<Array4<f32>>,
}

impl Projection {
    pub fn plane(&self, autoencoder: &Autoencoder, codes: &Codes, grid: usize) -> Result<Plane> {
        match (self, codes.latent_dim()) {
            (Self::Tsne(settings), _) => {
                let embedding = tsne(codes, settings)?;
                let places = embedding.codes();
                Ok(Plane {
                    axes: axes(places.points()),
                    places: places.points().clone(),
                    names: [0, 1].map(|index| places.axis_name(index)),
                    placed: "by t-SNE",
                    note: "t-SNE has no inverse: the probe shows the nearest point.".into(),
                    decoded: None,
                })
            }
            (_, 1) => {
                Err(Error::expected(ErrorKind::Shape, "explorer", "codes of at least 2 numbers, for the two axes", 1))
            }
            (Self::Default, 2) => {
                let axes = axes(codes.points());
                Ok(Plane {
                    decoded: Some(decode(autoencoder, &grid_over(&axes, grid)?).and_then(finite)?),
                    axes,
                    places: codes.points().clone(),
                    names: [0, 1].map(|index| codes.axis_name(index)),
                    placed: "as they are",
                    note: format!("Mixed from the nearest four of {grid} × {grid} decoded codes."),
                })
            }
            (Self::Default | Self::Pca, _) => {
                let components = pca(codes, 2)?;
                let places = components.transform(codes)?;
                let axes = axes(places.points());
                let on_plane = Codes::new(grid_over(&axes, grid)?, Array1::zeros(grid * grid), vec!["none".into()])?;
                let decoded_codes = components.inverse_transform(&on_plane)?;
                let beside = match codes.latent_dim() {
                    2 => "",
                    _ => "A code on the plane itself: real ones lie beside it. ",
                };
                let share = |index: usize| 100.0 * components.explained_variance_ratio()[index];
                Ok(Plane {
                    decoded: Some(decode(autoencoder, decoded_codes.points()).and_then(finite)?),
                    axes,
                    names: [0, 1].map(|index| format!("{} ({:.0} %)", places.axis_name(index), share(index))),
                    places: places.points().clone(),
                    placed: "on the plane of two principal components",
                    note: format!("{beside}Mixed from the nearest four of {grid} × {grid} decoded points."),
                })
            }
        }
    }
}

/// With some space around the points, as in a scatter.
fn axes(places: &Array2<f32>) -> [Axis; 2] {
    [0, 1].map(|axis| Axis::linear(range(places.column(axis).iter().copied().map(f64::from)), 0.04, 7))
}

fn grid_over(axes: &[Axis; 2], grid: usize) -> Result<Array2<f32>> {
    let [low, high] = [axes.each_ref().map(|axis| axis.low as f32), axes.each_ref().map(|axis| axis.high as f32)];
    code_grid(low, high, grid)
}

fn finite(images: Array4<f32>) -> Result<Array4<f32>> {
    match images.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::expected(ErrorKind::Argument, "explorer, grid", "finite grey values decoded", value)),
        None => Ok(images),
    }
}
