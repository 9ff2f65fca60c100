//! Where the codes lie on each map, and the plane that is decoded.

use ndarray::{Array1, Array2, s};

use crate::{
    analyse::{Codes, PrincipalComponents, Tsne, code_grid, pca, tsne},
    error::{Error, ErrorKind, Result},
    show::axis::{Axis, range},
};

/// The map that comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum First {
    /// Codes of two numbers as they are, others by their principal components.
    Default,
    Pca,
    Tsne,
}

/// Coordinates of the points, (n, 2 or more), with the names of the axes.
pub(super) struct Map {
    pub points: Array2<f32>,
    pub names: Vec<String>,
}

pub(super) struct Maps {
    pub codes: Map,
    /// Of up to three principal components, if there are codes enough.
    pub pca: Option<(PrincipalComponents, Map)>,
    pub tsne: Option<Map>,
    /// Those that are seen at first, the most important first: "codes", "pca", "tsne".
    pub shown: Vec<&'static str>,
}

impl Maps {
    pub fn new(codes: &Codes, first: First, settings: Option<&Tsne>) -> Result<Self> {
        let (count, latent_dim) = codes.points().dim();
        if latent_dim == 1 {
            return Err(Error::expected(
                ErrorKind::Shape,
                "explorer",
                "codes of at least 2 numbers, for the two axes",
                1,
            ));
        }
        let tsne = settings.map(|settings| {
            let placed = tsne(codes, settings)?;
            Ok(Map { points: placed.codes().points().clone(), names: names(placed.codes()) })
        });
        let needs_pca = first == First::Pca || latent_dim > 2 && first != First::Tsne;
        let pca = (needs_pca || count >= 2).then(|| {
            let components = pca(codes, latent_dim.min(3).min(count.max(2)))?;
            let placed = components.transform(codes)?;
            let share = |index: usize| 100.0 * components.explained_variance_ratio()[index];
            let names = names(&placed).into_iter().enumerate();
            let names = names.map(|(index, name)| format!("{name} ({:.0} %)", share(index))).collect();
            Ok((components, Map { points: placed.points().clone(), names }))
        });
        // Where it is one map among others, it may be missing.
        let pca = if needs_pca { pca.transpose()? } else { pca.and_then(Result::ok) };
        let mut shown = match first {
            First::Pca => vec!["pca", "codes"],
            First::Tsne => vec!["tsne", "codes"],
            First::Default if latent_dim > 2 => vec!["pca", "codes"],
            First::Default => vec!["codes"],
        };
        if first == First::Tsne && latent_dim > 2 && pca.is_some() {
            shown.insert(1, "pca");
        }
        if settings.is_some() && first != First::Tsne {
            shown.push("tsne");
        }
        Ok(Self {
            codes: Map { points: codes.points().clone(), names: names(codes) },
            pca,
            tsne: tsne.transpose()?,
            shown,
        })
    }

    /// The map that comes first.
    pub fn first(&self) -> &Map {
        match (self.shown[0], &self.pca, &self.tsne) {
            ("pca", Some((_, map)), _) | ("tsne", _, Some(map)) => map,
            _ => &self.codes,
        }
    }

    /// The name of the map whose plane is decoded beforehand where the page cannot decode, and that map.
    pub fn plane(&self) -> (&'static str, &Map) {
        match &self.pca {
            Some((_, map)) if self.codes.points.ncols() > 2 || self.shown[0] == "pca" => ("pca", map),
            _ => ("codes", &self.codes),
        }
    }

    /// Codes in `grid` rows and columns over that plane, row by row from the top left.
    pub fn grid(&self, grid: usize) -> Result<Array2<f32>> {
        let (name, map) = self.plane();
        let points = grid_over(&axes(map), grid)?;
        match &self.pca {
            Some((components, _)) if name == "pca" => on_plane(components, points),
            _ => Ok(points),
        }
    }

    /// Codes that the probe can come to: a grid over each plane. Other pairs of axes take turns, one for each code.
    pub fn reached(&self, grid: usize) -> Result<Vec<Array2<f32>>> {
        let mut all = Vec::new();
        if let Some((components, map)) = &self.pca {
            all.push(on_plane(components, grid_over(&axes(map), grid)?)?);
        }
        let axes: Vec<Axis> = (0..self.codes.points.ncols()).map(|column| axis(&self.codes, column)).collect();
        let (count, latent_dim) = self.codes.points.dim();
        let shares = code_grid([0.0; 2], [1.0; 2], grid)?;
        let mut reached = self
            .codes
            .points
            .select(ndarray::Axis(0), &Vec::from_iter((0..shares.nrows()).map(|row| row * count / shares.nrows())));
        for (row, mut code) in reached.rows_mut().into_iter().enumerate() {
            let pair = row % (latent_dim * (latent_dim - 1));
            let (first, second) = (pair % latent_dim, (pair % latent_dim + 1 + pair / latent_dim) % latent_dim);
            for (share, column) in shares.row(row).iter().zip([first, second]) {
                let Axis { low, high, .. } = axes[column];
                code[column] = (low + f64::from(*share) * (high - low)) as f32;
            }
        }
        all.push(reached);
        Ok(all)
    }
}

fn names(codes: &Codes) -> Vec<String> {
    (0..codes.latent_dim()).map(|index| codes.axis_name(index)).collect()
}

/// With some space around the points, as in a scatter.
pub(super) fn axis(map: &Map, column: usize) -> Axis {
    Axis::linear(range(map.points.column(column).iter().copied().map(f64::from)), 0.04, 7)
}

pub(super) fn axes(map: &Map) -> [Axis; 2] {
    [axis(map, 0), axis(map, 1)]
}

fn grid_over(axes: &[Axis; 2], grid: usize) -> Result<Array2<f32>> {
    let [low, high] = [axes.each_ref().map(|axis| axis.low as f32), axes.each_ref().map(|axis| axis.high as f32)];
    code_grid(low, high, grid)
}

/// The codes of points of the plane of the first two components.
fn on_plane(components: &PrincipalComponents, points: Array2<f32>) -> Result<Array2<f32>> {
    let count = components.components().nrows();
    let mut scores = Array2::zeros((points.nrows(), count));
    scores.slice_mut(s![.., ..2]).assign(&points);
    let labels = Array1::zeros(points.nrows());
    let scores = Codes::new(scores, labels, vec!["none".into()])?;
    Ok(components.inverse_transform(&scores)?.points().clone())
}
