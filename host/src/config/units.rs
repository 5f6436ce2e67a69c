//! Owns how durations and sizes are written.
//! Must not know what they are for.

use std::time::Duration;

/// The longest duration: 100 years of 365 days. Dates stay in range when it is added to one.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Nanoseconds by unit.
const TIMES: [(&str, u128); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `500ms`, `1.5s`, `1h30m`, or a bare number of seconds; `None` when it is none of these, or over [`MAX_DURATION`].
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let (mut total, mut is_first) = (0_u128, true);
    while is_first || !rest.is_empty() {
        let (number, unit, after) = split(rest)?;
        let scale = match unit {
            "" if is_first && after.is_empty() => 1_000_000_000,
            unit => TIMES.iter().find(|(name, _)| *name == unit)?.1,
        };
        total = total.checked_add(multiplied(number, scale)?)?;
        (rest, is_first) = (after, false);
    }
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let nanoseconds = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, nanoseconds)).filter(|duration| *duration <= MAX_DURATION)
}

/// Reads `64KiB`, `10MB` or a bare number of bytes; `None` when it is none of these.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, unit, after) = split(text.trim())?;
    let scale = match unit {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    let number: u64 = number.parse().ok().filter(|_| after.is_empty())?;
    number.checked_mul(scale)
}

/// A size as [`size`] reads it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*scale);
    let binary = SIZES.iter().filter(|(name, _)| name.ends_with('B') && (*name == "B" || name.contains('i')));
    let (unit, scale) = binary.rev().find(fits).copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// The number at the text's beginning, the unit after it, and what follows the unit.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    (number.starts_with(|c: char| c.is_ascii_digit())).then_some((number, unit, rest.trim_start()))
}

/// A decimal number times a scale, rounded down.
fn multiplied(number: &str, scale: u128) -> Option<u128> {
    const MOST_DIGITS: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.len() > MOST_DIGITS || fraction.len() > MOST_DIGITS {
        return None;
    }
    let parts: u128 = fraction.parse().ok()?;
    let whole: u128 = whole.parse().ok()?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * scale + parts * scale / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1h 30m 5s", 5_405_000),
            ("1.5s", 1_500),
            ("30", 30_000),
            ("0.25", 250),
            ("0", 0),
            ("2 h", 7_200_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        let none = [
            "",
            "s",
            "soon",
            "-1",
            "5x",
            "1h30",
            ".5s",
            "1.s",
            "1..2s",
            "36501d",
            "1e3",
            "5 s x",
            "9999999999999999999s",
        ];
        assert!(none.into_iter().all(|text| duration(text).is_none()));
    }

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("10MB", 10_000_000),
            ("1gib", 1 << 30),
            ("17", 17),
            ("2 KB", 2_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1M", "1MiBx", "1 MiB 1", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!([0, 1000, 1 << 16, 1 << 30].map(show_size), ["0B", "1000B", "64KiB", "1GiB"]);
    }

    proptest! {
        #[test]
        fn durations_round_trip(milliseconds in 0_u64..3_000_000_000_000) {
            let wanted = Duration::from_millis(milliseconds);
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            let combined = format!("{}d{}h{}m{}s{rest}ms", seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
            for text in [format!("{milliseconds}ms"), format!("{seconds}.{rest:03}"), combined] {
                prop_assert_eq!(duration(&text), Some(wanted), "{}", text);
            }
        }

        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = (duration(&text), size(&text));
        }
    }
}
