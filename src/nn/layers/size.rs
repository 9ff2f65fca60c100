use serde::{Deserialize, Serialize};

/// A height and a width, such as those of a kernel: `3` for 3×3, `[5, 3]` for 5 rows and 3 columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeightWidth(pub(crate) [usize; 2]);

impl From<usize> for HeightWidth {
    fn from(both: usize) -> Self {
        Self([both, both])
    }
}

impl From<[usize; 2]> for HeightWidth {
    fn from(size: [usize; 2]) -> Self {
        Self(size)
    }
}

impl HeightWidth {
    /// Refuses a 0: "expected a stride of at least 1, got [0, 1]".
    pub(crate) fn at_least_1(self, what: &str) -> Result<[usize; 2], String> {
        if self.0.contains(&0) { Err(format!("expected a {what} of at least 1, got {:?}", self.0)) } else { Ok(self.0) }
    }
}

/// How many pixels at each of four sides, such as a padding: `2` for all, `[1, 3]` for 1 at the top and at the bottom
/// and 3 on the left and on the right, `[[1, 2], [3, 4]]` for 1 at the top, 2 at the bottom, 3 on the left and 4 on the
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sides(pub(crate) [[usize; 2]; 2]);

impl From<usize> for Sides {
    fn from(all: usize) -> Self {
        Self([[all; 2]; 2])
    }
}

impl From<[usize; 2]> for Sides {
    fn from([vertical, horizontal]: [usize; 2]) -> Self {
        Self([[vertical; 2], [horizontal; 2]])
    }
}

impl From<[[usize; 2]; 2]> for Sides {
    fn from(sides: [[usize; 2]; 2]) -> Self {
        Self(sides)
    }
}

impl Sides {
    /// How many rows and columns they have together.
    pub(crate) fn totals(self) -> [usize; 2] {
        self.0.map(|[before, after]| before.saturating_add(after))
    }
}
