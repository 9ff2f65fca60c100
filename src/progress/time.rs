/// A duration as text: "0.4 s", "12 s", "3 min 20 s", "1 h 5 min".
pub fn duration_text(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The time so far, and the estimated rest: "0.4 s so far, 35 s left".
pub(crate) fn times(seconds: f64, share: f64) -> String {
    let so_far = duration_text(seconds);
    match share {
        1.0.. => so_far,
        f64::MIN_POSITIVE..1.0 => format!("{so_far} so far, {} left", duration_text(seconds / share * (1.0 - share))),
        _ => format!("{so_far} so far"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let texts = [0.04, 9.4, 9.96, 59.6, 200.2, 3900.0].map(duration_text);
        assert_eq!(texts, ["0.0 s", "9.4 s", "10 s", "1 min 0 s", "3 min 20 s", "1 h 5 min"]);
    }

    #[test]
    fn the_rest_is_told_in_the_middle_only() {
        assert_eq!(times(2.0, 0.25), "2.0 s so far, 6.0 s left");
        assert_eq!([times(0.0, 0.0), times(8.0, 1.0)], ["0.0 s so far", "8.0 s"]);
    }
}
