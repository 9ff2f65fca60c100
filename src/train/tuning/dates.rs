//! Dates as Optuna writes them: `2026-11-26T17:09:57.764116+00:00`.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// A moment in coordinated universal time. The calendar is computed as in Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms" (2021): years begin in March, so that a leap day is a year's last.
pub(super) fn text(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / DAY + 719_468, since.as_secs() % DAY);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * from_march + 2) / 5 + 1, (from_march + 2) % 12 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}+00:00", since.subsec_micros())
}

/// The seconds of a date since 1970, or `None` if it is none.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', ' '])?;
    let (time, offset) = match time.find(['+', '-', 'Z']) {
        Some(at) => (&time[..at], time[at..].trim_start_matches('Z')),
        None => (time, ""),
    };
    let offset = match offset.split_at_checked(1) {
        Some(("-", rest)) => -clock(rest)?,
        Some((_, rest)) => clock(rest)?,
        None => 0.0,
    };
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let days = (153 * ((month + 9) % 12) + 2) / 5 + day - 1 + 365 * year + year / 4 - year / 100 + year / 400;
    Some((days - 719_468) as f64 * DAY as f64 + clock(time)? - offset)
}

/// The seconds of `17:09:57.764116` or `17:09`.
fn clock(text: &str) -> Option<f64> {
    let mut scale = 3600.0;
    text.split(':').try_fold(0.0, |sum, part| {
        let number: f64 = part.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
        let sum = sum + number * scale;
        scale /= 60.0;
        Some(sum)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As `datetime.fromtimestamp(…, timezone.utc).isoformat()` of Python writes them.
    #[test]
    fn dates_are_written_and_read() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999+00:00"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000+00:00"),
            (1_709_164_800_500_000, "2024-02-29T00:00:00.500000+00:00"),
            (1_795_712_997_764_116, "2026-11-26T17:09:57.764116+00:00"),
            (4_107_542_400_000_001, "2100-03-01T00:00:00.000001+00:00"),
        ] {
            assert_eq!(text(UNIX_EPOCH + Duration::from_micros(micros)), expected);
            assert!((seconds(expected).unwrap() - micros as f64 / 1e6).abs() < 1e-5, "{expected}");
        }
        assert_eq!(seconds("1970-01-01T02:00:01+02:00"), Some(1.0));
        assert_eq!(seconds("1970-01-01 00:00:01"), Some(1.0));
        for wrong in ["", "1970", "1970-01-01", "1970-13-01T00:00:00", "1970-01-01T00:00:xx", "é970-01-01T00:00:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
