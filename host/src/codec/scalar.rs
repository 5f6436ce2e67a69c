//! Owns what a text without quotes is: the core schema of YAML 1.2 (§10.3.2), with numbers as JSON writes them.
//! Must not know where the text comes from.

/// What a text without quotes is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(String),
    /// None of these: the text itself.
    Text,
}

/// What `text` is when it stands without quotes. `yes`, `no`, `on` and `off` are texts.
#[must_use]
pub fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => match based(text).or_else(|| number(text)) {
            Some(number) => Scalar::Number(number),
            None => Scalar::Text,
        },
    }
}

/// Whether `text` is one of the numbers that JSON lacks: infinities and "not a number".
#[must_use]
pub fn is_no_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// A hexadecimal or octal number; no longer ones than a machine has.
fn based(text: &str) -> Option<String> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => (digits, 16),
        (_, Some(digits)) => (digits, 8),
        _ => return None,
    };
    // `from_str_radix` takes a sign, the schema does not.
    let number = u128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'));
    number.map(|number| number.to_string())
}

/// A decimal number as JSON writes it: no `+`, no leading zeros, digits on both sides of the point.
#[must_use]
pub fn number(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some_digits = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    if !some_digits || !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    let mut out = sign.to_owned();
    let stripped = whole.trim_start_matches('0');
    out.push_str(if stripped.is_empty() { "0" } else { stripped });
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(if fraction.is_empty() { "0" } else { fraction });
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if unsigned.is_empty() || !digits(unsigned) {
            return None;
        }
        out.push('e');
        out.push_str(exponent);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_number(text: &str, json: &str) {
        assert_eq!(resolve(text), Scalar::Number(json.into()), "{text}");
    }

    #[test]
    fn numbers_become_those_of_json() {
        is_number("12345678901234567890123", "12345678901234567890123");
        is_number("-007", "-7");
        is_number("+0", "0");
        is_number(".5", "0.5");
        is_number("-1.", "-1.0");
        is_number("0.10", "0.10");
        is_number("1E+3", "1e+3");
        is_number("0x1F", "31");
        is_number("0o17", "15");
    }

    #[test]
    fn other_words_stay_texts() {
        for text in
            ["yes", "no", "on", "off", "y", ".", "-", "+", "1.2.3", "1e", "e1", "0x", "0x+1", "1_000", "tRue", "0b1"]
        {
            assert_eq!(resolve(text), Scalar::Text);
        }
        assert_eq!([resolve(""), resolve("~"), resolve("null")], [Scalar::Null, Scalar::Null, Scalar::Null]);
        assert_eq!(resolve("TRUE"), Scalar::Bool(true));
    }

    #[test]
    fn numbers_beside_json_are_known() {
        assert!([".inf", "-.INF", "+.Inf", ".NaN"].into_iter().all(is_no_json_number));
        assert!(["inf", "nan", "-.nan", "1"].into_iter().all(|text| !is_no_json_number(text)));
    }

    proptest! {
        #[test]
        fn what_is_a_number_is_one_in_json(text in r"[-+]?[0-9.]{0,4}([eE][-+]?[0-9]{0,3})?") {
            if let Some(number) = number(&text) {
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&number).is_ok(), "{number}");
            }
        }
    }
}
