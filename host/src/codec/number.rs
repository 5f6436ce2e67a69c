//! Owns which numbers are taken from bodies.
//! Must not know the format that they stand in.

/// More digits than any number that was meant as one. Readers behind us, guests' big-number types among them, take time
/// that grows with the square of the digits.
pub const MAX_DIGITS: usize = 1_000;
/// `1e1000000000` is ten bytes of JSON and a gigabyte as an exact number: the exponent is bounded, too. What an IEEE
/// double or a decimal128 holds stays far below.
pub const MAX_EXPONENT: u32 = 10_000;

/// Whether `text` is a number of JSON (RFC 8259 §6).
#[must_use]
pub fn is_json(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// Checks the size of a number of JSON.
///
/// # Errors
/// What is too large, in words.
pub fn check_size(number: &str) -> Result<(), String> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, ""));
    if mantissa.len() > MAX_DIGITS {
        return Err(format!("a number of more than {MAX_DIGITS} digits"));
    }
    let exponent = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    if exponent.len() > 6 || exponent.parse().unwrap_or(0) > MAX_EXPONENT {
        return Err(format!("a number whose exponent is beyond {MAX_EXPONENT}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        assert!(["0", "-1", "1.50", "1E+3", "-0.0e-0"].into_iter().all(is_json));
        assert!(
            ["", " 1", "1 ", "+1", "01", ".5", "1.", "1e", "NaN", "true", "1,2", "[1]"]
                .into_iter()
                .all(|n| !is_json(n))
        );
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(["1e10000", "1e-10000", "1e00000000001"].into_iter().all(|number| check_size(number).is_ok()));
        assert!(check_size(&"9".repeat(1000)).is_ok());
        assert!(check_size(&"9".repeat(1001)).is_err());
        assert!(
            ["1e10001", "1E-10001", "1e+99999999999999999999"].into_iter().all(|number| check_size(number).is_err())
        );
    }
}
