//! The limit of one result's size, checked before anything is allocated.

use std::{env, sync::OnceLock};

use crate::error::{Error, Result};

/// The environment variable that sets how many bytes one result may have.
const VARIABLE: &str = "LATENTLAB_MAX_BYTES";

/// The default: 4 GiB.
const DEFAULT: usize = 4 << 30;

/// The product of `factors`, the number of `f32` values of `what`, if it is within the limit.
///
/// One result may have 4 GiB, or the number of bytes in the environment variable `LATENTLAB_MAX_BYTES`, which is read
/// at the first check. `place` is where the result would be made ("layer 3, up_sample2d"), `what` names it ("the
/// values of one image").
///
/// # Errors
/// When it would be larger (the product does not overflow), or the variable is not a number of bytes.
pub(crate) fn check(place: impl Into<String>, what: &str, factors: &[usize]) -> Result<usize> {
    static ALLOWED: OnceLock<Result<usize>> = OnceLock::new();
    let setting = || env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let allowed = ALLOWED.get_or_init(|| allowed_bytes(setting().as_deref())).clone()?;
    check_within(allowed, place, what, factors)
}

/// The limit that the variable's value sets.
fn allowed_bytes(value: Option<&str>) -> Result<usize> {
    match value.map(str::trim).filter(|value| !value.is_empty()) {
        None => Ok(DEFAULT),
        Some(value) => value.parse().map_err(|_| {
            Error::argument(VARIABLE, "a plain number of bytes", format!("{value:?}"))
                .hint(format!("The default is {DEFAULT}"))
        }),
    }
}

fn check_within(allowed: usize, place: impl Into<String>, what: &str, factors: &[usize]) -> Result<usize> {
    let count = factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor));
    // With a factor of 0 the product is 0, even if a part of it overflows.
    let count = if factors.contains(&0) { Some(0) } else { count };
    match count {
        Some(count) if count.checked_mul(size_of::<f32>()).is_some_and(|bytes| bytes <= allowed) => Ok(count),
        _ => {
            let wanted = factors.iter().map(|&factor| factor as f64).product::<f64>() * size_of::<f32>() as f64;
            let product = factors.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
            let expected = format!("at most {} for one result", in_units(allowed as f64));
            let got = format!("{} ({what}: {product} values)", in_units(wanted));
            Err(Error::argument(place, expected, got)
                .hint(format!("The environment variable {VARIABLE} allows more: a number of bytes, read once")))
        }
    }
}

/// "4 GiB", "37.3 GiB", "512 bytes".
fn in_units(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes, "bytes");
    for next in UNITS {
        if value < 1024. {
            break;
        }
        (value, unit) = (value / 1024., next);
    }
    // A decimal shows where a size is just above the limit.
    match value {
        _ if value.fract() == 0. && value < 1e6 => format!("{value} {unit}"),
        _ if value < 1e6 => format!("{value:.1} {unit}"),
        _ => format!("{value:.1e} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn sizes_are_counted_without_overflow() {
        let check = |factors: &[usize]| check_within(DEFAULT, "place", "the values", factors);
        assert_eq!(check(&[]).unwrap(), 1);
        assert_eq!(check(&[1 << 15, 1 << 15]).unwrap(), 1 << 30);
        assert_eq!(check(&[usize::MAX, usize::MAX, 0]).unwrap(), 0);
        for (factors, wanted) in [
            (&[(1 << 30) + 1][..], "4.0 GiB (the values: 1073741825 values)"),
            (&[1 << 31], "8 GiB (the values: 2147483648 values)"),
            (&[1 << 32, 1 << 32], "64 EiB (the values: 4294967296 × 4294967296 values)"),
            (&[1 << 63, 2, 3], "192 EiB (the values: 9223372036854775808 × 2 × 3 values)"),
            (&[usize::MAX, 2, 2], "256 EiB (the values: 18446744073709551615 × 2 × 2 values)"),
        ] {
            let error = check(factors).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Argument);
            let hint = "The environment variable LATENTLAB_MAX_BYTES allows more: a number of bytes, read once";
            assert_eq!(
                error.to_string(),
                format!("place: expected at most 4 GiB for one result, got {wanted}. {hint}")
            );
        }
        assert!(check(&[usize::MAX; 40]).unwrap_err().to_string().contains("e"), "a size beyond f64 is still reported");
    }

    #[test]
    fn the_variable_sets_the_limit() {
        assert_eq!(allowed_bytes(None).unwrap(), 4 << 30);
        assert_eq!(allowed_bytes(Some("")).unwrap(), 4 << 30);
        assert_eq!(allowed_bytes(Some(" 1024 ")).unwrap(), 1024);
        assert_eq!(
            allowed_bytes(Some("8 GiB")).unwrap_err().to_string(),
            "LATENTLAB_MAX_BYTES: expected a plain number of bytes, got \"8 GiB\". The default is 4294967296"
        );
        assert_eq!(check_within(1024, "", "", &[16, 16]).unwrap(), 256);
        let error = check_within(1024, "sample", "the images", &[257]).unwrap_err().to_string();
        assert!(
            error.starts_with("sample: expected at most 1 KiB for one result, got 1.0 KiB (the images: 257 "),
            "{error}"
        );
        assert!(check_within(usize::MAX, "", "", &[usize::MAX]).is_err());
    }
}
