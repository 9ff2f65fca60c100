//! Garments: outlines filled with grey, then characteristic details.

use super::raster::{Mask, PIXELS};
use super::rng::Rng;
use super::shape::polygon;
use super::sketch::{Sketch, both_sides, left, right};
use super::{shoes, tops};

/// An image of the garment `label` as Fashion-MNIST has them: it fills the frame, shoes point to the left.
pub(super) fn draw(label: usize, rng: &mut Rng) -> [f32; PIXELS] {
    let mut sketch = Sketch::new(rng);
    match label {
        0 => tops::t_shirt(&mut sketch),
        1 => trouser(&mut sketch),
        2 => tops::pullover(&mut sketch),
        3 => dress(&mut sketch),
        4 => tops::coat(&mut sketch),
        5 => shoes::sandal(&mut sketch),
        6 => tops::shirt(&mut sketch),
        7 => shoes::sneaker(&mut sketch),
        8 => bag(&mut sketch),
        _ => shoes::ankle_boot(&mut sketch),
    }
    sketch.image
}

fn trouser(sketch: &mut Sketch) {
    let waist = sketch.rng.between(3.6, 5.0);
    let hip = waist + sketch.rng.between(0.5, 1.4);
    let ankle = hip + sketch.rng.between(-1.4, 0.8);
    let leg = sketch.rng.between(2.2, 4.0);
    let bottom = sketch.rng.between(25.5, 27.5);
    let crotch = sketch.rng.between(8.5, 11.0);
    let knee = 17.5;
    let inside = (ankle - leg).max(0.8);
    let outline = [
        [waist, 0.8],
        [hip, 7.0],
        [(hip + ankle) / 2.0, knee],
        [ankle, bottom],
        [inside, bottom],
        [inside * 0.45 + 0.3, knee],
        [0.15, crotch],
    ];
    let all = sketch.fill(polygon(&both_sides(&outline)), sketch.cloth);
    if sketch.rng.chance(0.3) {
        sketch.pattern(&all);
    }
    let (seam, band) = (sketch.accent(0.4), sketch.accent(0.55));
    sketch.lines(&all, &[&[[8.0, 2.6], [14.0, 3.0], [20.0, 2.6]]], 0.2, band);
    sketch.lines(&all, &[&[[14.0, 2.8], [14.0, crotch]]], 0.15, band);
    let pocket = [[hip - 2.6, 3.0], [hip - 1.8, 5.6], [hip, 6.4]];
    sketch.lines(&all, &[&right(pocket), &left(pocket)], 0.15, seam);
    if sketch.rng.chance(0.5) {
        let crease = [[hip * 0.55, 9.0], [ankle - leg / 2.0, bottom]];
        sketch.lines(&all, &[&right(crease), &left(crease)], 0.15, seam);
    }
}

fn dress(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let bust = sketch.rng.between(3.6, 5.0);
    let waist = bust - sketch.rng.between(0.6, 1.3);
    let waist_y = sketch.rng.between(11.0, 14.0);
    let hem = waist + sketch.rng.between(1.2, 6.0);
    let bottom = sketch.rng.between(26.0, 27.5);
    let neck = sketch.rng.between(1.6, 2.4);
    let shoulder = neck + sketch.rng.between(1.0, 1.8);
    let hip = [waist + (hem - waist) * sketch.rng.between(0.35, 0.6), 18.5];
    let mut all = Mask::empty();
    let wrist = match sketch.rng.between(0.0, 5.0) as usize {
        0 => Some([bust + 3.6, sketch.rng.between(15.0, 18.0)]),
        1 => Some([bust + 2.6, sketch.rng.between(6.5, 8.5)]),
        _ => None,
    };
    if let Some([x, y]) = wrist {
        let sleeve = [[shoulder - 1.0, 1.6], [shoulder + 0.5, 2.0], [x, y], [x - 2.0, y + 0.6], [bust - 1.0, 6.0]];
        for sleeve in [left(sleeve), right(sleeve)] {
            all = all.join(&sketch.fill(polygon(&sleeve), cloth * 0.85));
        }
    }
    let outline =
        [[neck, 0.8], [shoulder, 1.2], [shoulder - 0.3, 4.5], [bust, 7.5], [waist, waist_y], hip, [hem, bottom]];
    let body = sketch.fill(polygon(&both_sides(&outline)), cloth);
    all = all.join(&body);
    sketch.pattern(&all);
    let depth = sketch.rng.between(2.0, 4.6);
    sketch.fill(polygon(&both_sides(&[[neck, 0.2], [neck * 0.8, depth * 0.8], [0.0, depth + 0.6]])), 0.0);
    let fold = sketch.accent(0.35);
    if sketch.rng.chance(0.6) {
        let belt = right([[-6.0, waist_y], [0.0, waist_y + 0.4], [6.0, waist_y]]);
        let (radius, grey) = (sketch.rng.between(0.2, 0.8), sketch.accent(0.6));
        sketch.lines(&all, &[&belt], radius, grey);
    }
    if hem > waist + 2.5 {
        let folds =
            [-0.6, -0.2, 0.25, 0.65].map(|part| [[14.0 + part * waist, waist_y + 1.0], [14.0 + part * hem, bottom]]);
        sketch.lines(&all, &folds.each_ref().map(|line| line.as_slice()), 0.15, fold);
    }
}

fn bag(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let bottom = sketch.rng.between(23.5, 26.0);
    let upper = sketch.rng.between(9.5, 13.0);
    let (wide, narrow) = (sketch.rng.between(9.5, 12.6), sketch.rng.between(7.5, 11.5));
    let (low, high) = if sketch.rng.chance(0.75) { (wide, narrow.min(wide)) } else { (narrow, wide) };
    let strap_grey = sketch.accent(0.25);
    // The handle, or a shoulder strap
    let foot = high * sketch.rng.between(0.4, 0.9);
    let apex = sketch.rng.between(1.5, 5.5);
    let strap = right([
        [-foot, upper + 0.5],
        [-foot * 0.8, (upper + apex) / 2.0],
        [0.0, apex],
        [foot * 0.8, (upper + apex) / 2.0],
        [foot, upper + 0.5],
    ]);
    let radius = sketch.rng.between(0.45, 1.0);
    sketch.straps(&[&strap], radius, strap_grey);
    if sketch.rng.chance(0.3) {
        sketch.straps(&[&strap.map(|[x, y]| [x + 1.6, y + 1.4])], radius, cloth * 0.7);
    }
    let corner = sketch.rng.between(0.6, 2.0);
    let body = [[high - 0.8, upper], [high, upper + 1.0], [low, bottom - corner], [low - corner, bottom]];
    let all = sketch.fill(polygon(&both_sides(&body)), cloth);
    if sketch.rng.chance(0.3) {
        sketch.pattern(&all);
    }
    let detail = sketch.accent(0.5);
    if sketch.rng.chance(0.55) {
        // A flap with its clasp
        let flap_y = upper + (bottom - upper) * sketch.rng.between(0.35, 0.6);
        let flap = right([
            [-high - 0.5, upper + 2.0],
            [-high * 0.7, flap_y],
            [0.0, flap_y + 0.8],
            [high * 0.7, flap_y],
            [high + 0.5, upper + 2.0],
        ]);
        sketch.lines(&all, &[&flap], 0.3, detail);
        sketch.lines(&all, &[&[[14.0, flap_y], [14.0, flap_y + 1.6]]], 0.8, if cloth > 0.6 { 0.1 } else { 1.0 });
    } else {
        // A zip below the rim, seams at the sides
        sketch.lines(&all, &[&[[1.0, upper + 2.0], [14.0, upper + 2.2], [27.0, upper + 2.0]]], 0.3, detail);
        let seam = [[high * 0.7, upper + 2.0], [low * 0.7, bottom]];
        sketch.lines(&all, &[&right(seam), &left(seam)], 0.25, detail);
    }
}
