//! Garments: outlines filled with grey, then the details by which each one is known.

use super::dice::Dice;
use super::raster::{Mask, PIXELS, SIDE};
use super::shape::{Field, Point, Warp, curve, polygon};

/// An image of the garment `label`, as Fashion-MNIST has them: it fills the frame, shoes point to the left.
pub(super) fn draw(label: usize, dice: &mut Dice) -> [f32; PIXELS] {
    let mut sketch = Sketch::new(dice);
    match label {
        0 => t_shirt(&mut sketch),
        1 => trouser(&mut sketch),
        2 => pullover(&mut sketch),
        3 => dress(&mut sketch),
        4 => coat(&mut sketch),
        5 => sandal(&mut sketch),
        6 => shirt(&mut sketch),
        7 => sneaker(&mut sketch),
        8 => bag(&mut sketch),
        _ => ankle_boot(&mut sketch),
    }
    sketch.image
}

/// A garment being drawn: later shapes cover earlier ones.
struct Sketch<'a> {
    dice: &'a mut Dice,
    image: [f32; PIXELS],
    warp: Warp,
    /// Folds and grain of the cloth: what a grey is multiplied with at each pixel.
    light: [f32; PIXELS],
    /// The cloth's grey.
    cloth: f32,
}

impl<'a> Sketch<'a> {
    fn new(dice: &'a mut Dice) -> Self {
        let turn = dice.about(0.03);
        let slant = dice.about(0.03);
        let size = dice.between(0.96, 1.05);
        let scale = [size * dice.between(0.9, 1.05), size];
        let shift = [dice.about(0.35), dice.about(0.5)];
        let warp = Warp::new(dice, turn, slant, scale, shift, 0.75);
        let grain = dice.between(0.01, 0.06);
        let folds = Field::new(dice, 0.12);
        let across: [f32; SIDE] = std::array::from_fn(|x| folds.at([x as f32, 14.0])[0]);
        let down: [f32; SIDE] = std::array::from_fn(|y| folds.at([14.0, y as f32])[1]);
        let mut light = [1.0; PIXELS];
        for (i, light) in light.iter_mut().enumerate() {
            *light += across[i % SIDE] + down[i / SIDE] + dice.between(-grain, grain);
        }
        let cloth = if dice.chance(0.22) { dice.between(0.22, 0.5) } else { dice.between(0.62, 1.0) };
        Self { dice, image: [0.0; PIXELS], warp, light, cloth }
    }

    fn paint(&mut self, mask: &Mask, grey: f32) {
        let cells = mask.cells();
        for ((pixel, &cover), light) in self.image[cells.clone()].iter_mut().zip(mask.cover()).zip(&self.light[cells]) {
            *pixel += cover * ((grey * light).clamp(0.0, 1.0) - *pixel);
        }
    }

    /// Fills a closed path.
    fn fill(&mut self, mut path: Vec<Point>, grey: f32) -> Mask {
        self.warp.apply(&mut path);
        let mask = Mask::fill(&path);
        self.paint(&mask, grey);
        mask
    }

    /// Draws lines that end where the shape `on` ends.
    fn lines(&mut self, on: &Mask, paths: &[&[Point]], radius: f32, grey: f32) {
        let mask = self.strokes(paths, radius).within(on);
        self.paint(&mask, grey);
    }

    /// Draws lines that stand free.
    fn straps(&mut self, paths: &[&[Point]], radius: f32, grey: f32) {
        let mask = self.strokes(paths, radius);
        self.paint(&mask, grey);
    }

    fn strokes(&self, paths: &[&[Point]], radius: f32) -> Mask {
        let mut mask = Mask::empty();
        for path in paths {
            let mut path = curve(path);
            self.warp.apply(&mut path);
            mask.stroke(&path, [radius; 2], 1.0);
        }
        mask
    }

    /// A grey that stands out from `grey` by `contrast`: darker on light cloth, lighter on dark cloth.
    fn accent(&self, contrast: f32) -> f32 {
        if self.cloth > 0.42 { self.cloth * (1.0 - contrast) } else { self.cloth + 0.65 * contrast }
    }

    /// Stripes, checks or nothing.
    fn pattern(&mut self, on: &Mask) {
        if !self.dice.chance(0.35) {
            return;
        }
        let (across, down) = match self.dice.between(0.0, 3.0) as usize {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let step = self.dice.between(2.6, 5.5);
        let start = self.dice.between(0.0, step);
        let radius = step * self.dice.between(0.1, 0.25);
        let contrast = self.dice.between(0.2, 0.6);
        let mut paths = Vec::new();
        for i in 0..=(28.0 / step) as usize {
            let at = start + i as f32 * step;
            if across {
                paths.push([[0.0, at], [28.0, at]]);
            }
            if down {
                paths.push([[at, 0.0], [at, 28.0]]);
            }
        }
        let paths: Vec<&[Point]> = paths.iter().map(|path| path.as_slice()).collect();
        self.lines(on, &paths, radius, self.accent(contrast));
    }
}

/// A closed outline, symmetric about the middle, from its right half: (distance from the middle, y), top to bottom.
fn both_sides(right: &[Point]) -> Vec<Point> {
    let left = right.iter().rev().map(|&point| on_side(-1.0, point));
    right.iter().map(|&point| on_side(1.0, point)).chain(left).collect()
}

/// The point at a distance from the middle, to the right (`side` 1) or left (-1).
fn on_side(side: f32, [distance, y]: Point) -> Point {
    [14.0 + side * distance, y]
}

/// A stroke so short that the pen leaves a dot.
fn dot([x, y]: Point) -> [Point; 2] {
    [[x, y], [x, y + 0.01]]
}

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
    let tone = cloth * sketch.dice.between(0.85, 1.0);
    let elbow = [(shoulder + cuff[0]) / 2.0 + 0.8, (4.6 + cuff[1]) / 2.0];
    let inner = [cuff[0] - cuff_width, cuff[1] + 0.6];
    let sleeve = [[shoulder - 1.5, 3.8], [shoulder, 4.6], elbow, cuff, inner, [chest - 0.2, 10.0], [chest - 1.5, 8.0]];
    let right = sketch.fill(polygon(&sleeve.map(|point| on_side(1.0, point))), tone);
    let left = sketch.fill(polygon(&sleeve.map(|point| on_side(-1.0, point))), tone);
    let waist = [(chest + hem) / 2.0 - 0.4, 17.0];
    let body = [[neck, 2.4], [shoulder, 4.4], [chest, 10.0], waist, [hem, bottom]];
    let body = sketch.fill(polygon(&both_sides(&body)), cloth);
    let all = body.join(&left).join(&right);
    sketch.pattern(&all);
    let seam = sketch.accent(0.5);
    let armhole = [[shoulder, 4.6], [chest - 0.4, 7.5], [chest, 11.0]];
    sketch.lines(&all, &[&armhole.map(|p| on_side(1.0, p)), &armhole.map(|p| on_side(-1.0, p))], 0.2, seam);
    // Where a long sleeve hangs beside the body, the gap shows as a dark line.
    let gap = [[chest, 10.0], waist, [hem, cuff[1].min(bottom)]];
    sketch.straps(&[&gap.map(|p| on_side(1.0, p)), &gap.map(|p| on_side(-1.0, p))], 0.1, 0.0);
    let opening = [[neck, 1.8], [neck * 0.75, 2.4 + neck_depth * 0.7], [0.0, 2.4 + neck_depth]];
    sketch.fill(polygon(&both_sides(&opening)), cloth * 0.2);
    all
}

fn t_shirt(sketch: &mut Sketch) {
    let chest = sketch.dice.between(6.2, 7.8);
    let shoulder = chest + sketch.dice.between(0.3, 1.2);
    let measures = Top {
        neck: sketch.dice.between(2.4, 3.8),
        shoulder,
        chest,
        hem: chest + sketch.dice.between(-0.7, 0.8),
        bottom: sketch.dice.between(24.0, 27.0),
        cuff: [shoulder + sketch.dice.between(2.4, 3.8), sketch.dice.between(8.5, 11.5)],
        cuff_width: sketch.dice.between(2.4, 3.4),
    };
    let neck_depth = sketch.dice.between(0.8, 4.0);
    let all = top(sketch, &measures, neck_depth);
    if sketch.dice.chance(0.4) {
        // A print on the chest
        let (width, height) = (sketch.dice.between(1.5, 4.0), sketch.dice.between(1.2, 3.5));
        let y = sketch.dice.between(11.0, 13.5);
        let grey = sketch.accent(0.6);
        let taper = sketch.dice.between(0.5, 1.2);
        let print = both_sides(&[[width, y - height], [width * taper, y + height]]);
        let mut print = polygon(&print);
        sketch.warp.apply(&mut print);
        let print = Mask::fill(&print).within(&all);
        sketch.paint(&print, grey);
    }
}

fn pullover(sketch: &mut Sketch) {
    let chest = sketch.dice.between(6.2, 8.0);
    let shoulder = chest + sketch.dice.between(0.2, 1.0);
    let measures = Top {
        neck: sketch.dice.between(2.2, 3.2),
        shoulder,
        chest,
        hem: chest + sketch.dice.between(-0.8, 0.4),
        bottom: sketch.dice.between(24.0, 26.0),
        cuff: [shoulder + sketch.dice.between(2.8, 4.2), sketch.dice.between(21.5, 25.0)],
        cuff_width: sketch.dice.between(2.4, 3.2),
    };
    let all = top(sketch, &measures, 0.9);
    let Top { neck, hem, bottom, cuff, cuff_width, .. } = measures;
    // Ribbing at neck, hem and cuffs
    let ribbing = sketch.accent(0.5);
    if sketch.dice.chance(0.25) {
        // A polo neck
        let polo = [[neck * 0.85, 0.8], [neck, 3.0], [0.0, 4.2]];
        sketch.fill(polygon(&both_sides(&polo)), sketch.cloth * 0.85);
    }
    let collar = [[-neck - 0.6, 2.4], [-neck * 0.5, 4.1], [0.0, 4.5], [neck * 0.5, 4.1], [neck + 0.6, 2.4]];
    sketch.lines(&all, &[&collar.map(|p| on_side(1.0, p))], 0.55, ribbing);
    let band = [[-hem, bottom - 1.8], [0.0, bottom - 1.8], [hem, bottom - 1.8]];
    let wrist = [[cuff[0] + 0.5, cuff[1] - 1.8], [cuff[0] - cuff_width - 0.6, cuff[1] - 1.4]];
    let wrists = [wrist.map(|p| on_side(1.0, p)), wrist.map(|p| on_side(-1.0, p))];
    sketch.lines(&all, &[&band.map(|p| on_side(1.0, p)), &wrists[0], &wrists[1]], 0.3, ribbing);
}

fn shirt(sketch: &mut Sketch) {
    let chest = sketch.dice.between(6.2, 7.8);
    let shoulder = chest + sketch.dice.between(0.3, 1.0);
    let long = sketch.dice.chance(0.65);
    let cuff = if long {
        [shoulder + sketch.dice.between(2.6, 4.2), sketch.dice.between(20.0, 24.5)]
    } else {
        [shoulder + sketch.dice.between(2.4, 3.8), sketch.dice.between(9.5, 12.0)]
    };
    let measures = Top {
        neck: sketch.dice.between(2.2, 2.8),
        shoulder,
        chest,
        hem: chest + sketch.dice.between(-0.6, 0.6),
        bottom: sketch.dice.between(24.5, 27.0),
        cuff,
        cuff_width: sketch.dice.between(2.2, 3.0),
    };
    let all = top(sketch, &measures, 2.0);
    // Collar, button line, sometimes a pocket
    let light = (sketch.cloth * 1.15).min(1.0);
    let dark = sketch.accent(0.65);
    let neck = measures.neck;
    let collar = [[0.2, 4.8], [neck - 0.4, 1.6], [neck + 1.2, 3.0], [neck + 0.6, 6.0]];
    for side in [-1.0, 1.0] {
        let leaf = collar.map(|p| on_side(side, p));
        sketch.fill(polygon(&leaf), light);
        sketch.straps(&[&[leaf[0], leaf[3]], &[leaf[3], leaf[2]]], 0.15, dark);
    }
    let bottom = measures.bottom;
    sketch.lines(&all, &[&[[14.6, 5.0], [14.8, 15.0], [14.6, bottom]]], 0.1, dark);
    let step = sketch.dice.between(2.8, 3.6);
    let buttons: Vec<[Point; 2]> = (0..6).map(|i| dot([13.8, 6.6 + i as f32 * step])).collect();
    let buttons: Vec<&[Point]> = buttons.iter().map(|button| button.as_slice()).collect();
    sketch.lines(&all, &buttons, 0.45, dark);
    if sketch.dice.chance(0.35) {
        let pocket = [[16.0, 10.5], [16.0, 13.5], [19.0, 13.5], [19.0, 10.5], [16.0, 10.5]];
        sketch.lines(&all, &[&pocket], 0.1, dark);
    }
}

fn coat(sketch: &mut Sketch) {
    let chest = sketch.dice.between(6.2, 7.6);
    let shoulder = chest + sketch.dice.between(0.3, 1.0);
    let measures = Top {
        neck: sketch.dice.between(2.2, 3.0),
        shoulder,
        chest,
        hem: chest + sketch.dice.between(0.0, 1.8),
        bottom: sketch.dice.between(26.4, 27.6),
        cuff: [shoulder + sketch.dice.between(2.6, 3.8), sketch.dice.between(20.0, 23.0)],
        cuff_width: sketch.dice.between(2.4, 3.2),
    };
    let all = top(sketch, &measures, 1.0);
    let Top { neck, bottom, .. } = measures;
    // Lining above the lapels, lapels, the open front
    let (dark, light) = (sketch.accent(0.7), (sketch.cloth * 1.2).min(1.0));
    let low = sketch.dice.between(9.5, 14.0);
    sketch.fill(polygon(&both_sides(&[[neck, 2.4], [0.0, low]])), sketch.cloth * 0.3);
    for side in [-1.0, 1.0] {
        let lapel = [[neck - 0.4, 1.8], [neck + 1.4, 3.4], [neck + 1.8, 6.4], [0.2, low]].map(|p| on_side(side, p));
        sketch.fill(polygon(&lapel), light);
        sketch.straps(&[&[lapel[1], lapel[2], lapel[2], lapel[3]]], 0.15, dark);
    }
    let open = sketch.dice.between(0.1, 0.9);
    let front = both_sides(&[[0.2, low], [open, bottom + 1.0]]);
    sketch.fill(polygon(&front), 0.0);
    sketch.lines(&all, &[&[[14.0, low], [14.0, bottom]]], 0.25, sketch.cloth * 0.15);
    let pocket_y = sketch.dice.between(17.5, 20.0);
    let pocket = [[2.4, pocket_y], [5.2, pocket_y - 0.7]];
    sketch.lines(&all, &[&pocket.map(|p| on_side(1.0, p)), &pocket.map(|p| on_side(-1.0, p))], 0.3, dark);
    if sketch.dice.chance(0.3) {
        let belt = [[-8.0, 15.5], [0.0, 15.8], [8.0, 15.5]].map(|p| on_side(1.0, p));
        sketch.lines(&all, &[&belt], 0.6, dark);
    } else {
        let buttons = [1.5, 4.5, 7.5].map(|y| dot([15.5, low + y]));
        sketch.lines(&all, &buttons.each_ref().map(|button| button.as_slice()), 0.4, dark);
    }
}

fn dress(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let bust = sketch.dice.between(3.6, 5.0);
    let waist = bust - sketch.dice.between(0.6, 1.3);
    let waist_y = sketch.dice.between(11.0, 14.0);
    let hem = waist + sketch.dice.between(1.2, 6.0);
    let bottom = sketch.dice.between(26.0, 27.5);
    let neck = sketch.dice.between(1.6, 2.4);
    let shoulder = neck + sketch.dice.between(1.0, 1.8);
    let hip = [waist + (hem - waist) * sketch.dice.between(0.35, 0.6), 18.5];
    let mut all = Mask::empty();
    let wrist = match sketch.dice.between(0.0, 5.0) as usize {
        0 => Some([bust + 3.6, sketch.dice.between(15.0, 18.0)]),
        1 => Some([bust + 2.6, sketch.dice.between(6.5, 8.5)]),
        _ => None,
    };
    if let Some([x, y]) = wrist {
        let sleeve = [[shoulder - 1.0, 1.6], [shoulder + 0.5, 2.0], [x, y], [x - 2.0, y + 0.6], [bust - 1.0, 6.0]];
        for side in [-1.0, 1.0] {
            all = all.join(&sketch.fill(polygon(&sleeve.map(|p| on_side(side, p))), cloth * 0.85));
        }
    }
    let outline =
        [[neck, 0.8], [shoulder, 1.2], [shoulder - 0.3, 4.5], [bust, 7.5], [waist, waist_y], hip, [hem, bottom]];
    let body = sketch.fill(polygon(&both_sides(&outline)), cloth);
    all = all.join(&body);
    sketch.pattern(&all);
    let depth = sketch.dice.between(2.0, 4.6);
    sketch.fill(polygon(&both_sides(&[[neck, 0.2], [neck * 0.8, depth * 0.8], [0.0, depth + 0.6]])), 0.0);
    let fold = sketch.accent(0.35);
    if sketch.dice.chance(0.6) {
        let belt = [[-6.0, waist_y], [0.0, waist_y + 0.4], [6.0, waist_y]].map(|p| on_side(1.0, p));
        let (radius, grey) = (sketch.dice.between(0.2, 0.8), sketch.accent(0.6));
        sketch.lines(&all, &[&belt], radius, grey);
    }
    if hem > waist + 2.5 {
        let folds =
            [-0.6, -0.2, 0.25, 0.65].map(|part| [[14.0 + part * waist, waist_y + 1.0], [14.0 + part * hem, bottom]]);
        sketch.lines(&all, &folds.each_ref().map(|line| line.as_slice()), 0.15, fold);
    }
}

fn trouser(sketch: &mut Sketch) {
    let waist = sketch.dice.between(3.6, 5.0);
    let hip = waist + sketch.dice.between(0.5, 1.4);
    let ankle = hip + sketch.dice.between(-1.4, 0.8);
    let leg = sketch.dice.between(2.2, 4.0);
    let bottom = sketch.dice.between(25.5, 27.5);
    let crotch = sketch.dice.between(8.5, 11.0);
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
    if sketch.dice.chance(0.3) {
        sketch.pattern(&all);
    }
    let (seam, band) = (sketch.accent(0.4), sketch.accent(0.55));
    sketch.lines(&all, &[&[[8.0, 2.6], [14.0, 3.0], [20.0, 2.6]]], 0.2, band);
    sketch.lines(&all, &[&[[14.0, 2.8], [14.0, crotch]]], 0.15, band);
    let pocket = [[hip - 2.6, 3.0], [hip - 1.8, 5.6], [hip, 6.4]];
    sketch.lines(&all, &[&pocket.map(|p| on_side(1.0, p)), &pocket.map(|p| on_side(-1.0, p))], 0.15, seam);
    if sketch.dice.chance(0.5) {
        let crease = [[hip * 0.55, 9.0], [ankle - leg / 2.0, bottom]];
        sketch.lines(&all, &[&crease.map(|p| on_side(1.0, p)), &crease.map(|p| on_side(-1.0, p))], 0.15, seam);
    }
}

fn sandal(sketch: &mut Sketch) {
    let high = sketch.dice.chance(0.5);
    let heel = if high { sketch.dice.between(4.0, 8.0) } else { sketch.dice.between(0.2, 1.6) };
    let ground = 20.5 + heel * 0.5;
    let thick = sketch.dice.between(1.3, 2.6);
    let (front, back) = (ground - thick, ground - thick - heel);
    let rubber = sketch.accent(0.4);
    // Heel, sole, and the bed of the foot as a lighter line
    let width = if sketch.dice.chance(0.4) { sketch.dice.between(5.0, 11.0) } else { sketch.dice.between(1.2, 3.0) };
    sketch.fill(polygon(&[[25.6, back], [25.2, ground], [25.2 - width, ground], [24.0 - width, back + 0.8]]), rubber);
    let sole = [
        [1.4, front + 0.2],
        [8.0, front],
        [15.0, front - heel * 0.5],
        [20.5, back],
        [25.8, back - 0.3],
        [25.8, back + thick],
        [20.0, back + thick],
        [14.0, ground - heel * 0.35],
        [8.0, ground],
        [2.2, ground],
    ];
    sketch.fill(polygon(&sole), rubber);
    let cloth = sketch.cloth;
    sketch.straps(
        &[&[[1.8, front], [8.0, front - 0.1], [15.0, front - heel * 0.5], [20.5, back], [25.6, back - 0.3]]],
        0.2,
        cloth,
    );
    // Bands over the toes and the instep, with gaps between them
    let band = sketch.dice.between(0.7, 1.4);
    let top = front - sketch.dice.between(3.2, 4.6);
    sketch.straps(
        &[&[[4.6, front - 0.4], [6.4, top + 0.4], [9.0, top], [10.6, front - 0.6 - heel * 0.2]]],
        band,
        cloth,
    );
    let instep = top - 1.6 - heel * 0.35;
    match sketch.dice.between(0.0, 3.0) as usize {
        0 => sketch.straps(
            &[&[[9.4, front - 0.8], [11.5, instep + 1.0], [14.6, instep], [16.6, back + 0.3]]],
            band,
            cloth,
        ),
        1 => sketch.straps(&[&[[7.0, top + 0.2], [11.5, instep + 0.8], [16.0, back - 4.2]]], band * 0.8, cloth),
        _ => {}
    }
    // Round the ankle, held by a strap from the toes or from the sole
    let ankle = back - sketch.dice.between(5.0, 7.5);
    let shin = sketch.dice.between(15.0, 17.5);
    let radius = sketch.dice.between(0.45, 0.8);
    let counter = [[25.2, back], [25.0, back - 2.5], [24.4, ankle]];
    sketch.straps(&[&counter], radius + 0.3, cloth);
    let hold = if sketch.dice.chance(0.5) {
        let strap = [[24.4, ankle], [20.0, ankle + 1.0], [shin, ankle + 0.4]];
        sketch.straps(&[&strap], radius, cloth);
        [[shin, ankle + 0.4], [(shin + 8.0) / 2.0, (ankle + top) / 2.0 + 0.6], [8.0, top]]
    } else {
        [[24.4, ankle], [19.0, back - 3.4], [13.5, front - 0.5 - heel * 0.45]]
    };
    sketch.straps(&[&hold], radius, cloth);
}

fn sneaker(sketch: &mut Sketch) {
    let ground = sketch.dice.between(19.5, 21.0);
    let thick = sketch.dice.between(1.8, 3.0);
    let sole = ground - thick;
    let collar = sole - sketch.dice.between(6.5, 8.5);
    let tongue = sketch.dice.between(13.5, 16.0);
    let toe = sketch.dice.between(2.6, 4.2);
    let upper = [
        [1.8, sole + 0.5],
        [2.2, sole - toe * 0.7],
        [4.5, sole - toe],
        [8.5, sole - toe - 0.8],
        [tongue - 1.5, collar + 0.4],
        [tongue + 0.2, collar - 0.6],
        [tongue + 1.2, collar + 1.2],
        [20.5, collar + 2.2],
        [23.5, collar + 0.8],
        [25.6, collar],
        [26.0, collar + 2.5],
        [26.2, sole + 0.5],
    ];
    let all = sketch.fill(polygon(&upper), sketch.cloth);
    let detail = sketch.accent(0.5);
    // Toe cap, side stripes or patch, laces
    if sketch.dice.chance(0.6) {
        let mut cap = polygon(&[[1.0, sole + 1.0], [1.0, 8.0], [5.5, sole - toe - 1.5], [7.0, sole + 1.0]]);
        sketch.warp.apply(&mut cap);
        let cap = Mask::fill(&cap).within(&all);
        let grey = sketch.accent(0.3);
        sketch.paint(&cap, grey);
    }
    match sketch.dice.between(0.0, 3.0) as usize {
        0 => {
            let stripes = [0.0, 2.0, 4.0].map(|x| [[13.5 + x, collar + 3.0], [12.0 + x, sole]]);
            sketch.lines(&all, &stripes.each_ref().map(|stripe| stripe.as_slice()), 0.4, detail);
        }
        1 => sketch.lines(&all, &[&[[11.0, sole - 2.0], [14.0, sole - 1.0], [22.0, collar + 3.2]]], 0.6, detail),
        _ => sketch.lines(&all, &[&[[20.5, collar], [20.0, collar + 4.0], [21.0, sole]]], 0.3, detail),
    }
    let laces = [0.15, 0.4, 0.65, 0.9].map(|t| {
        let [x, y] = [8.5 + t * (tongue - 9.5), sole - toe - 0.8 + t * (collar + 1.6 + toe - sole)];
        [[x - 0.2, y - 0.8], [x + 1.8, y + 1.6]]
    });
    let lace_grey = if sketch.cloth > 0.6 { 0.15 } else { 1.0 };
    sketch.lines(&all, &laces.each_ref().map(|lace| lace.as_slice()), 0.3, lace_grey);
    let rubber = if sketch.dice.chance(0.6) { sketch.dice.between(0.85, 1.0) } else { sketch.accent(0.6) };
    sketch.fill(
        polygon(&[
            [1.2, sole],
            [14.0, sole + 0.3],
            [26.4, sole - 0.4],
            [26.6, ground - 0.4],
            [14.0, ground],
            [2.4, ground],
        ]),
        rubber,
    );
    sketch.straps(&[&[[1.4, sole], [14.0, sole + 0.2], [26.2, sole - 0.4]]], 0.2, sketch.cloth * 0.3);
}

fn bag(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let bottom = sketch.dice.between(23.5, 26.0);
    let upper = sketch.dice.between(9.5, 13.0);
    let (wide, narrow) = (sketch.dice.between(9.5, 12.6), sketch.dice.between(7.5, 11.5));
    let (low, high) = if sketch.dice.chance(0.75) { (wide, narrow.min(wide)) } else { (narrow, wide) };
    let strap_grey = sketch.accent(0.25);
    // The handle, or a shoulder strap
    let foot = high * sketch.dice.between(0.4, 0.9);
    let apex = sketch.dice.between(1.5, 5.5);
    let strap = [
        [-foot, upper + 0.5],
        [-foot * 0.8, (upper + apex) / 2.0],
        [0.0, apex],
        [foot * 0.8, (upper + apex) / 2.0],
        [foot, upper + 0.5],
    ]
    .map(|p| on_side(1.0, p));
    let radius = sketch.dice.between(0.45, 1.0);
    sketch.straps(&[&strap], radius, strap_grey);
    if sketch.dice.chance(0.3) {
        sketch.straps(&[&strap.map(|[x, y]| [x + 1.6, y + 1.4])], radius, cloth * 0.7);
    }
    let corner = sketch.dice.between(0.6, 2.0);
    let body = [[high - 0.8, upper], [high, upper + 1.0], [low, bottom - corner], [low - corner, bottom]];
    let all = sketch.fill(polygon(&both_sides(&body)), cloth);
    if sketch.dice.chance(0.3) {
        sketch.pattern(&all);
    }
    let detail = sketch.accent(0.5);
    if sketch.dice.chance(0.55) {
        // A flap with its clasp
        let flap_y = upper + (bottom - upper) * sketch.dice.between(0.35, 0.6);
        let flap = [
            [-high - 0.5, upper + 2.0],
            [-high * 0.7, flap_y],
            [0.0, flap_y + 0.8],
            [high * 0.7, flap_y],
            [high + 0.5, upper + 2.0],
        ]
        .map(|p| on_side(1.0, p));
        sketch.lines(&all, &[&flap], 0.3, detail);
        sketch.lines(&all, &[&[[14.0, flap_y], [14.0, flap_y + 1.6]]], 0.8, if cloth > 0.6 { 0.1 } else { 1.0 });
    } else {
        // A zip below the rim, seams at the sides
        sketch.lines(&all, &[&[[1.0, upper + 2.0], [14.0, upper + 2.2], [27.0, upper + 2.0]]], 0.3, detail);
        let seam = [[high * 0.7, upper + 2.0], [low * 0.7, bottom]];
        sketch.lines(&all, &[&seam.map(|p| on_side(1.0, p)), &seam.map(|p| on_side(-1.0, p))], 0.25, detail);
    }
}

fn ankle_boot(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let ground = sketch.dice.between(24.5, 26.5);
    let heel = if sketch.dice.chance(0.4) { sketch.dice.between(3.0, 5.5) } else { sketch.dice.between(0.8, 2.0) };
    let rim = sketch.dice.between(1.5, 5.5);
    let front = sketch.dice.between(12.5, 15.0);
    let toe = sketch.dice.between(3.0, 4.4);
    let sole = ground - 1.2;
    let back = sole - heel * 0.8;
    let upper = [
        [1.8, sole],
        [2.0, sole - toe * 0.6],
        [4.5, sole - toe],
        [9.0, sole - toe - 1.8],
        [front - 0.4, sole - toe - 5.5],
        [front + sketch.dice.between(-1.0, 0.8), rim + 0.4],
        [25.0, rim],
        [24.6, back - 7.0],
        [25.8, back - 2.0],
        [25.6, back],
        [18.0, back + heel * 0.15],
        [11.0, sole],
    ];
    let all = sketch.fill(polygon(&upper), cloth);
    // Heel and sole
    let rubber = if sketch.dice.chance(0.7) { cloth * 0.45 } else { sketch.accent(0.6) };
    let width = if heel > 2.5 { sketch.dice.between(2.6, 4.5) } else { 7.0 };
    sketch.fill(polygon(&[[25.8, back - 0.2], [25.4, ground], [25.4 - width, ground], [24.6 - width, back]]), rubber);
    let tread = [
        [1.4, sole - 0.3],
        [11.0, sole - 0.2],
        [18.0, back],
        [25.8, back - 0.4],
        [25.8, back + 0.8],
        [18.0, back + 1.3],
        [11.0, ground],
        [1.8, ground],
    ];
    sketch.fill(polygon(&tread), rubber);
    let detail = sketch.accent(0.5);
    match sketch.dice.between(0.0, 3.0) as usize {
        // Zip
        0 => sketch.lines(&all, &[&[[19.5, rim], [19.0, back - 5.0], [18.0, back - 1.0]]], 0.3, detail),
        // Elastic
        1 => {
            let gusset = [[17.5, rim], [22.0, rim], [21.0, back - 6.0], [18.5, back - 6.0]];
            sketch.fill(polygon(&gusset), detail);
        }
        // Laces
        _ => {
            let laces = [0.1, 0.35, 0.6, 0.85].map(|t| {
                let [x, y] = [front - 0.5 - 2.0 * t, rim + 1.0 + t * (sole - toe - 4.0 - rim)];
                [[x, y], [x + 3.4, y + 1.0]]
            });
            sketch.lines(&all, &laces.each_ref().map(|lace| lace.as_slice()), 0.3, detail);
        }
    }
    if sketch.dice.chance(0.5) {
        sketch.lines(&all, &[&[[12.0, rim + 1.6], [26.0, rim + 1.4]]], 0.3, detail);
    }
}
