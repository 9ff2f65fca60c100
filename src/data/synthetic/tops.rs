//! What is worn above the waist: T-shirt, pullover, shirt, coat.

use super::raster::Mask;
use super::shape::{Point, polygon};
use super::sketch::{Sketch, both_sides, dot, left, right};

/// The measures of a garment for the upper body; widths are halves.
struct Top {
    neck: f32,
    shoulder: f32,
    chest: f32,
    hem: f32,
    bottom: f32,
    /// Where the sleeve ends: distance from the middle and y of the cuff's outer corner.
    cuff: Point,
    cuff_width: f32,
}

/// Sleeves, body, the cloth's pattern, armholes and the opening of the neck; returns what is covered.
fn top(sketch: &mut Sketch, measures: &Top, neck_depth: f32) -> Mask {
    let Top { neck, shoulder, chest, hem, bottom, cuff, cuff_width } = *measures;
    let cloth = sketch.cloth;
    let tone = cloth * sketch.rng.between(0.85, 1.0);
    let elbow = [(shoulder + cuff[0]) / 2.0 + 0.8, (4.6 + cuff[1]) / 2.0];
    let inner = [cuff[0] - cuff_width, cuff[1] + 0.6];
    let sleeve = [[shoulder - 1.5, 3.8], [shoulder, 4.6], elbow, cuff, inner, [chest - 0.2, 10.0], [chest - 1.5, 8.0]];
    let sleeves = [right(sleeve), left(sleeve)].map(|sleeve| sketch.fill(polygon(&sleeve), tone));
    let waist = [(chest + hem) / 2.0 - 0.4, 17.0];
    let body = [[neck, 2.4], [shoulder, 4.4], [chest, 10.0], waist, [hem, bottom]];
    let body = sketch.fill(polygon(&both_sides(&body)), cloth);
    let all = body.join(&sleeves[0]).join(&sleeves[1]);
    sketch.pattern(&all);
    let seam = sketch.accent(0.5);
    let armhole = [[shoulder, 4.6], [chest - 0.4, 7.5], [chest, 11.0]];
    sketch.lines(&all, &[&right(armhole), &left(armhole)], 0.2, seam);
    // Where a long sleeve hangs beside the body, the gap shows as a dark line.
    let gap = [[chest, 10.0], waist, [hem, cuff[1].min(bottom)]];
    sketch.straps(&[&right(gap), &left(gap)], 0.1, 0.0);
    let opening = [[neck, 1.8], [neck * 0.75, 2.4 + neck_depth * 0.7], [0.0, 2.4 + neck_depth]];
    sketch.fill(polygon(&both_sides(&opening)), cloth * 0.2);
    all
}

pub(super) fn t_shirt(sketch: &mut Sketch) {
    let chest = sketch.rng.between(6.2, 7.8);
    let shoulder = chest + sketch.rng.between(0.3, 1.2);
    let measures = Top {
        neck: sketch.rng.between(2.4, 3.8),
        shoulder,
        chest,
        hem: chest + sketch.rng.between(-0.7, 0.8),
        bottom: sketch.rng.between(24.0, 27.0),
        cuff: [shoulder + sketch.rng.between(2.4, 3.8), sketch.rng.between(8.5, 11.5)],
        cuff_width: sketch.rng.between(2.4, 3.4),
    };
    let neck_depth = sketch.rng.between(0.8, 4.0);
    let all = top(sketch, &measures, neck_depth);
    if sketch.rng.chance(0.4) {
        // A print on the chest
        let (width, height) = (sketch.rng.between(1.5, 4.0), sketch.rng.between(1.2, 3.5));
        let y = sketch.rng.between(11.0, 13.5);
        let grey = sketch.accent(0.6);
        let taper = sketch.rng.between(0.5, 1.2);
        let print = both_sides(&[[width, y - height], [width * taper, y + height]]);
        sketch.patch(&all, polygon(&print), grey);
    }
}

pub(super) fn pullover(sketch: &mut Sketch) {
    let chest = sketch.rng.between(6.2, 8.0);
    let shoulder = chest + sketch.rng.between(0.2, 1.0);
    let measures = Top {
        neck: sketch.rng.between(2.2, 3.2),
        shoulder,
        chest,
        hem: chest + sketch.rng.between(-0.8, 0.4),
        bottom: sketch.rng.between(24.0, 26.0),
        cuff: [shoulder + sketch.rng.between(2.8, 4.2), sketch.rng.between(21.5, 25.0)],
        cuff_width: sketch.rng.between(2.4, 3.2),
    };
    let all = top(sketch, &measures, 0.9);
    let Top { neck, hem, bottom, cuff, cuff_width, .. } = measures;
    // Ribbing at neck, hem and cuffs
    let ribbing = sketch.accent(0.5);
    if sketch.rng.chance(0.25) {
        // A polo neck
        let polo = [[neck * 0.85, 0.8], [neck, 3.0], [0.0, 4.2]];
        sketch.fill(polygon(&both_sides(&polo)), sketch.cloth * 0.85);
    }
    let collar = [[-neck - 0.6, 2.4], [-neck * 0.5, 4.1], [0.0, 4.5], [neck * 0.5, 4.1], [neck + 0.6, 2.4]];
    sketch.lines(&all, &[&right(collar)], 0.55, ribbing);
    let band = [[-hem, bottom - 1.8], [0.0, bottom - 1.8], [hem, bottom - 1.8]];
    let wrist = [[cuff[0] + 0.5, cuff[1] - 1.8], [cuff[0] - cuff_width - 0.6, cuff[1] - 1.4]];
    let wrists = [right(wrist), left(wrist)];
    sketch.lines(&all, &[&right(band), &wrists[0], &wrists[1]], 0.3, ribbing);
}

pub(super) fn shirt(sketch: &mut Sketch) {
    let chest = sketch.rng.between(6.2, 7.8);
    let shoulder = chest + sketch.rng.between(0.3, 1.0);
    let long = sketch.rng.chance(0.65);
    let cuff = if long {
        [shoulder + sketch.rng.between(2.6, 4.2), sketch.rng.between(20.0, 24.5)]
    } else {
        [shoulder + sketch.rng.between(2.4, 3.8), sketch.rng.between(9.5, 12.0)]
    };
    let measures = Top {
        neck: sketch.rng.between(2.2, 2.8),
        shoulder,
        chest,
        hem: chest + sketch.rng.between(-0.6, 0.6),
        bottom: sketch.rng.between(24.5, 27.0),
        cuff,
        cuff_width: sketch.rng.between(2.2, 3.0),
    };
    let all = top(sketch, &measures, 2.0);
    // Collar, button line, sometimes a pocket
    let light = (sketch.cloth * 1.15).min(1.0);
    let dark = sketch.accent(0.65);
    let neck = measures.neck;
    let collar = [[0.2, 4.8], [neck - 0.4, 1.6], [neck + 1.2, 3.0], [neck + 0.6, 6.0]];
    for leaf in [left(collar), right(collar)] {
        sketch.fill(polygon(&leaf), light);
        sketch.straps(&[&[leaf[0], leaf[3]], &[leaf[3], leaf[2]]], 0.15, dark);
    }
    let bottom = measures.bottom;
    sketch.lines(&all, &[&[[14.6, 5.0], [14.8, 15.0], [14.6, bottom]]], 0.1, dark);
    let step = sketch.rng.between(2.8, 3.6);
    let buttons: Vec<[Point; 2]> = (0..6).map(|i| dot([13.8, 6.6 + i as f32 * step])).collect();
    let buttons: Vec<&[Point]> = buttons.iter().map(|button| button.as_slice()).collect();
    sketch.lines(&all, &buttons, 0.45, dark);
    if sketch.rng.chance(0.35) {
        let pocket = [[16.0, 10.5], [16.0, 13.5], [19.0, 13.5], [19.0, 10.5], [16.0, 10.5]];
        sketch.lines(&all, &[&pocket], 0.1, dark);
    }
}

pub(super) fn coat(sketch: &mut Sketch) {
    let chest = sketch.rng.between(6.2, 7.6);
    let shoulder = chest + sketch.rng.between(0.3, 1.0);
    let measures = Top {
        neck: sketch.rng.between(2.2, 3.0),
        shoulder,
        chest,
        hem: chest + sketch.rng.between(0.0, 1.8),
        bottom: sketch.rng.between(26.4, 27.6),
        cuff: [shoulder + sketch.rng.between(2.6, 3.8), sketch.rng.between(20.0, 23.0)],
        cuff_width: sketch.rng.between(2.4, 3.2),
    };
    let all = top(sketch, &measures, 1.0);
    let Top { neck, bottom, .. } = measures;
    // Lining above the lapels, lapels, the open front
    let (dark, light) = (sketch.accent(0.7), (sketch.cloth * 1.2).min(1.0));
    let low = sketch.rng.between(9.5, 14.0);
    sketch.fill(polygon(&both_sides(&[[neck, 2.4], [0.0, low]])), sketch.cloth * 0.3);
    let lapel = [[neck - 0.4, 1.8], [neck + 1.4, 3.4], [neck + 1.8, 6.4], [0.2, low]];
    for lapel in [left(lapel), right(lapel)] {
        sketch.fill(polygon(&lapel), light);
        sketch.straps(&[&[lapel[1], lapel[2], lapel[2], lapel[3]]], 0.15, dark);
    }
    let open = sketch.rng.between(0.1, 0.9);
    let front = both_sides(&[[0.2, low], [open, bottom + 1.0]]);
    sketch.fill(polygon(&front), 0.0);
    sketch.lines(&all, &[&[[14.0, low], [14.0, bottom]]], 0.25, sketch.cloth * 0.15);
    let pocket_y = sketch.rng.between(17.5, 20.0);
    let pocket = [[2.4, pocket_y], [5.2, pocket_y - 0.7]];
    sketch.lines(&all, &[&right(pocket), &left(pocket)], 0.3, dark);
    if sketch.rng.chance(0.3) {
        let belt = right([[-8.0, 15.5], [0.0, 15.8], [8.0, 15.5]]);
        sketch.lines(&all, &[&belt], 0.6, dark);
    } else {
        let buttons = [1.5, 4.5, 7.5].map(|y| dot([15.5, low + y]));
        sketch.lines(&all, &buttons.each_ref().map(|button| button.as_slice()), 0.4, dark);
    }
}
