//! Garments.

use super::dice::Dice;
use super::raster::{Mask, PIXELS};
use super::shape::closed;

pub(super) fn draw(label: usize, dice: &mut Dice) -> [f32; PIXELS] {
    let w = dice.between(5.0, 9.0) + label as f32 / 5.0;
    let o = [[14.0 - w, 4.0], [14.0 + w, 4.0], [14.0 + w, 24.0], [14.0 - w, 24.0]];
    let mask = Mask::fill(&closed(&o));
    mask.within(&Mask::fill(&o)).0
}
