//! Shoes, seen from the side, the toes to the left: sandal, sneaker, ankle boot.

use super::shape::polygon;
use super::sketch::Sketch;

pub(super) fn sandal(sketch: &mut Sketch) {
    let high = sketch.rng.chance(0.5);
    let heel = if high { sketch.rng.between(4.0, 8.0) } else { sketch.rng.between(0.2, 1.6) };
    let ground = 20.5 + heel * 0.5;
    let thick = sketch.rng.between(1.3, 2.6);
    let (front, back) = (ground - thick, ground - thick - heel);
    let rubber = sketch.accent(0.4);
    // Heel, sole, and the bed of the foot as a lighter line
    let width = if sketch.rng.chance(0.4) { sketch.rng.between(5.0, 11.0) } else { sketch.rng.between(1.2, 3.0) };
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
    let band = sketch.rng.between(0.7, 1.4);
    let top = front - sketch.rng.between(3.2, 4.6);
    sketch.straps(
        &[&[[4.6, front - 0.4], [6.4, top + 0.4], [9.0, top], [10.6, front - 0.6 - heel * 0.2]]],
        band,
        cloth,
    );
    let instep = top - 1.6 - heel * 0.35;
    match sketch.rng.between(0.0, 3.0) as usize {
        0 => sketch.straps(
            &[&[[9.4, front - 0.8], [11.5, instep + 1.0], [14.6, instep], [16.6, back + 0.3]]],
            band,
            cloth,
        ),
        1 => sketch.straps(&[&[[7.0, top + 0.2], [11.5, instep + 0.8], [16.0, back - 4.2]]], band * 0.8, cloth),
        _ => {}
    }
    // Round the ankle, held by a strap from the toes or from the sole
    let ankle = back - sketch.rng.between(5.0, 7.5);
    let shin = sketch.rng.between(15.0, 17.5);
    let radius = sketch.rng.between(0.45, 0.8);
    let counter = [[25.2, back], [25.0, back - 2.5], [24.4, ankle]];
    sketch.straps(&[&counter], radius + 0.3, cloth);
    let hold = if sketch.rng.chance(0.5) {
        let strap = [[24.4, ankle], [20.0, ankle + 1.0], [shin, ankle + 0.4]];
        sketch.straps(&[&strap], radius, cloth);
        [[shin, ankle + 0.4], [(shin + 8.0) / 2.0, (ankle + top) / 2.0 + 0.6], [8.0, top]]
    } else {
        [[24.4, ankle], [19.0, back - 3.4], [13.5, front - 0.5 - heel * 0.45]]
    };
    sketch.straps(&[&hold], radius, cloth);
}

pub(super) fn sneaker(sketch: &mut Sketch) {
    let ground = sketch.rng.between(19.5, 21.0);
    let thick = sketch.rng.between(1.8, 3.0);
    let sole = ground - thick;
    let collar = sole - sketch.rng.between(6.5, 8.5);
    let tongue = sketch.rng.between(13.5, 16.0);
    let toe = sketch.rng.between(2.6, 4.2);
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
    if sketch.rng.chance(0.6) {
        let cap = [[1.0, sole + 1.0], [1.0, 8.0], [5.5, sole - toe - 1.5], [7.0, sole + 1.0]];
        sketch.patch(&all, polygon(&cap), sketch.accent(0.3));
    }
    match sketch.rng.between(0.0, 3.0) as usize {
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
    let rubber = if sketch.rng.chance(0.6) { sketch.rng.between(0.85, 1.0) } else { sketch.accent(0.6) };
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

pub(super) fn ankle_boot(sketch: &mut Sketch) {
    let cloth = sketch.cloth;
    let ground = sketch.rng.between(24.5, 26.5);
    let heel = if sketch.rng.chance(0.4) { sketch.rng.between(3.0, 5.5) } else { sketch.rng.between(0.8, 2.0) };
    let rim = sketch.rng.between(1.5, 5.5);
    let front = sketch.rng.between(12.5, 15.0);
    let toe = sketch.rng.between(3.0, 4.4);
    let sole = ground - 1.2;
    let back = sole - heel * 0.8;
    let upper = [
        [1.8, sole],
        [2.0, sole - toe * 0.6],
        [4.5, sole - toe],
        [9.0, sole - toe - 1.8],
        [front - 0.4, sole - toe - 5.5],
        [front + sketch.rng.between(-1.0, 0.8), rim + 0.4],
        [25.0, rim],
        [24.6, back - 7.0],
        [25.8, back - 2.0],
        [25.6, back],
        [18.0, back + heel * 0.15],
        [11.0, sole],
    ];
    let all = sketch.fill(polygon(&upper), cloth);
    // Heel and sole
    let rubber = if sketch.rng.chance(0.7) { cloth * 0.45 } else { sketch.accent(0.6) };
    let width = if heel > 2.5 { sketch.rng.between(2.6, 4.5) } else { 7.0 };
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
    match sketch.rng.between(0.0, 3.0) as usize {
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
    if sketch.rng.chance(0.5) {
        sketch.lines(&all, &[&[[12.0, rim + 1.6], [26.0, rim + 1.4]]], 0.3, detail);
    }
}
