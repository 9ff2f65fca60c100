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
