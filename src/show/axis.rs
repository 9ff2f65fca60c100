//! The range of an axis, and readable ticks in it.

/// An axis in its drawn coordinates: the values themselves, or their decimal logarithms.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// The ticks: where each is (in drawn coordinates), and its text.
    pub(super) ticks: Vec<(f64, String)>,
    /// Between the powers of ten of a logarithmic axis: its ticks without a text.
    pub(super) minor: Vec<f64>,
}

/// Larger numbers are refused: their differences would overflow.
pub(super) const LARGEST: f64 = 1e100;

/// The smallest range drawn, relative to the values: below it, their own rounding is all that would be seen.
const SMALLEST_RANGE: f64 = 1e-9;

impl Axis {
    /// An axis from the lowest to the highest value, and beyond both by a share `margin` of the range; about `count`
    /// ticks.
    pub(super) fn linear((low, high): (f64, f64), margin: f64, count: usize) -> Self {
        let (low, high) = widened(low, high);
        let (low, high) = (low - margin * (high - low), high + margin * (high - low));
        Self { low, high, ticks: enough_ticks(low, high, count), minor: Vec::new() }
    }

    /// An axis for 1, 2, 3 … up to `last`, with ticks at whole numbers only.
    pub(super) fn counting(last: usize, count: usize) -> Self {
        let (low, high) = if last > 1 { (1.0, last as f64) } else { (0.5, 1.5) };
        let margin = 0.02 * (high - low);
        let (low, high) = (low - margin, high + margin);
        let ticks = linear_ticks(low, high, count.min((high - low).ceil() as usize));
        Self { low, high, ticks, minor: Vec::new() }
    }

    /// The same as [`linear`](Self::linear) for the logarithms of values above zero.
    pub(super) fn logarithmic((low, high): (f64, f64), margin: f64, count: usize) -> Self {
        let (low, high) = widened(low.log10(), high.log10());
        let (low, high) = (low - margin * (high - low), high + margin * (high - low));
        let mut ticks = decades(low, high, &[1, 2, 5]);
        if ticks.len() > 2 * count {
            ticks = decades(low, high, &[1]);
        }
        if ticks.len() > 2 * count {
            let every = ticks.len().div_ceil(count);
            ticks = ticks.into_iter().step_by(every).collect();
        }
        if ticks.len() < 3 {
            ticks = decades(low, high, &[1, 2, 3, 4, 6, 8]);
        }
        if ticks.len() < 3 {
            let values = enough_ticks(10f64.powf(low), 10f64.powf(high), count);
            ticks = values.into_iter().map(|(value, text)| (value.log10(), text)).collect();
        }
        let mut minor = decades(low, high, &[2, 3, 4, 5, 6, 7, 8, 9]).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        // As narrow as a line they would be an area.
        if minor.len() > 50 {
            minor.clear();
        }
        Self { low, high, ticks, minor }
    }
}

impl Axis {
    /// Where a drawn coordinate lies, in whole units from 0 to `length`.
    pub(super) fn place(&self, value: f64, length: i32) -> i32 {
        ((value - self.low) / (self.high - self.low) * f64::from(length)).round() as i32
    }

    /// Leaves out ticks until no two texts touch on an axis of this `length`; `size` is the length of a text.
    pub(super) fn thinned(mut self, length: f64, size: impl Fn(&str) -> f64) -> Self {
        let touch = |ticks: &[(f64, String)], every: usize| {
            let ends = |(at, text): &(f64, String)| {
                let (middle, half) = ((at - self.low) / (self.high - self.low) * length, size(text) / 2.0);
                (middle - half, middle + half)
            };
            let ends: Vec<(f64, f64)> = ticks.iter().step_by(every).map(ends).collect();
            ends.windows(2).any(|pair| pair[0].0.max(pair[1].0) < pair[0].1.min(pair[1].1))
        };
        let every = (1..self.ticks.len()).find(|every| !touch(&self.ticks, *every)).unwrap_or(self.ticks.len().max(1));
        self.ticks = self.ticks.into_iter().step_by(every).collect();
        self
    }
}

/// The lowest and the highest value.
pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A range that can be drawn, even if all values are the same.
pub(super) fn widened(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if high - low > size * SMALLEST_RANGE && high - low > f64::MIN_POSITIVE / f64::EPSILON {
        (low, high)
    } else if size * 0.05 > f64::MIN_POSITIVE / f64::EPSILON {
        (low - size * 0.05, high + size * 0.05)
    } else {
        (low - 0.5, high + 0.5)
    }
}

/// The same, but at least three: an axis with two does not tell its scale from another one.
fn enough_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let most = (2 * count).max(8);
    let mut more = (count..=most).map(|count| linear_ticks(low, high, count));
    more.find(|ticks| ticks.len() >= 3).unwrap_or_else(|| linear_ticks(low, high, most))
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count as f64;
    let exponent = rough.log10().floor() as i32;
    let power = 10f64.powi(exponent);
    let (factor, carry) = match rough / power {
        r if r <= 1.0 => (1, 0),
        r if r <= 2.0 => (2, 0),
        r if r <= 5.0 => (5, 0),
        _ => (1, 1),
    };
    let exponent = exponent + carry;
    let step = decimal(factor, exponent);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let largest = low.abs().max(high.abs());
    (first..=last).map(|index| (decimal(index * factor, exponent), number(index * factor, exponent, largest))).collect()
}

/// The factors times each power of ten that fall between two logarithms.
fn decades(low: f64, high: f64, factors: &[i64]) -> Vec<(f64, String)> {
    (low.floor() as i32..=high.ceil() as i32)
        .flat_map(|exponent| factors.iter().map(move |&factor| (factor, exponent)))
        .map(|(factor, exponent)| (decimal(factor, exponent).log10(), (factor, exponent)))
        .filter(|(at, _)| (low..=high).contains(at))
        .map(|(at, (factor, exponent))| (at, number(factor, exponent, decimal(factor, exponent))))
        .collect()
}

/// `digits × 10^exponent`, as near as a float can be (0.3, not 0.30000000000000004).
fn decimal(digits: i64, exponent: i32) -> f64 {
    format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN)
}

/// The same as text: plain if the axis' largest number and the last digit's place are of usual size, else `1.5e-7`.
fn number(digits: i64, exponent: i32, largest: f64) -> String {
    let value = decimal(digits, exponent);
    if digits == 0 {
        "0".into()
    } else if exponent < -6 || exponent < -4 && largest < 0.01 || largest >= 1e6 {
        format!("{value:e}")
    } else {
        format!("{value:.*}", usize::try_from(-exponent).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_short_decimals() {
        assert_eq!(texts(&Axis::linear((0.0, 0.52), 0.0, 6)), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(texts(&Axis::linear((1.0, 800.0), 0.0, 5)), ["200", "400", "600", "800"]);
        assert_eq!(
            texts(&Axis::linear((-0.06, 0.06), 0.0, 5)),
            ["-0.05", "0.00", "0.05"].map(|t| t.replace("0.00", "0"))
        );
        assert_eq!(texts(&Axis::linear((0.0, 3e-6), 0.0, 3)), ["0", "1e-6", "2e-6", "3e-6"]);
        assert_eq!(texts(&Axis::linear((0.06488, 0.06493), 0.0, 3)), ["0.06488", "0.06490", "0.06492"]);
        assert_eq!(texts(&Axis::linear((0.0, 4e6), 0.0, 4)), ["0", "1e6", "2e6", "3e6", "4e6"]);
    }

    #[test]
    fn counting_has_whole_numbers() {
        assert_eq!(texts(&Axis::counting(1, 8)), ["1"]);
        assert_eq!(texts(&Axis::counting(3, 8)), ["1", "2", "3"]);
        assert_eq!(texts(&Axis::counting(25, 8)), ["5", "10", "15", "20", "25"]);
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten_or_what_lies_between() {
        assert_eq!(
            texts(&Axis::logarithmic((1e-4, 1e3), 0.0, 5)),
            ["0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(texts(&Axis::logarithmic((0.04, 0.3), 0.0, 5)), ["0.05", "0.1", "0.2"]);
        assert_eq!(texts(&Axis::logarithmic((0.199, 0.251), 0.0, 5)), ["0.20", "0.22", "0.24"]);
        assert!(Axis::logarithmic((1e-90, 1e90), 0.0, 5).ticks.len() <= 10);
    }

    #[test]
    fn there_are_three_ticks_at_least_and_small_ones_between_powers_of_ten() {
        for step in 1..400 {
            let (low, high) = (0.013 * f64::from(step), 0.013 * f64::from(step) + 0.7 + 0.031 * f64::from(step % 97));
            for count in 2..9 {
                for axis in [Axis::linear((low, high), 0.0, count), Axis::logarithmic((low, high), 0.02, count)] {
                    assert!(
                        (3..=4 * count + 5).contains(&axis.ticks.len()),
                        "{low} to {high}, {count}: {:?}",
                        axis.ticks
                    );
                }
            }
        }
        let axis = Axis::logarithmic((1.0, 100.0), 0.0, 5);
        assert_eq!(axis.minor.len(), 16);
        assert!(axis.minor.iter().all(|at| (0.0..=2.0).contains(at)));
        assert!(Axis::logarithmic((1e-9, 1e9), 0.0, 5).minor.is_empty());
    }

    #[test]
    fn ticks_do_not_touch() {
        let axis = || Axis::linear((0.0, 10.0), 0.0, 10);
        assert_eq!(texts(&axis().thinned(500.0, |text| 7.0 * text.len() as f64)).len(), 11);
        assert_eq!(texts(&axis().thinned(500.0, |_| 70.0)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(&axis().thinned(500.0, |_| 1e6)), ["0"]);
    }

    #[test]
    fn ranges_without_width_are_drawn() {
        for value in [0.0_f64, 1.0, -3.0, 1e-320, 1e-300, 1e99, 16777217.0] {
            for high in [value, value + value.abs() * 1e-15] {
                let axis = Axis::linear((value, high), 0.05, 5);
                assert!(axis.low < value && high < axis.high, "{value}");
                assert!((2..=12).contains(&axis.ticks.len()), "{value}: {:?}", axis.ticks);
            }
        }
        let axis = Axis::linear((-LARGEST, LARGEST), 0.05, 5);
        assert!(axis.low.is_finite() && (3..=12).contains(&axis.ticks.len()));
    }
}
