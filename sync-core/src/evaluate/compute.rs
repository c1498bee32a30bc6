//! Functions and arithmetic that yield values. Every engine that runs them in SQL gives the same.

use chrono::{DateTime as Instant, Datelike, Timelike, Utc};

use crate::predicate::Function;
use crate::time;
use crate::value::{Value, ValueRef};

/// The value of a function; null for null or unfit arguments.
pub(super) fn compute(function: Function, arguments: &[ValueRef<'_>]) -> Value {
    use ValueRef::{DateTime, Text};
    // An instant that no column can hold has no parts.
    if arguments.iter().any(|argument| matches!(argument, DateTime(instant) if !time::is_storable(*instant)))
    {
        return Value::Null;
    }
    let value = match (function, arguments) {
        (Function::Length, [Text(text)]) => count(text),
        (Function::IndexOf, [Text(text), Text(part)]) => {
            text.find(part).map_or(Value::Integer(-1), |place| count(&text[..place]))
        }
        (Function::SubstringFrom, [Text(text), start]) => {
            size(*start).map_or(Value::Null, |start| Value::Text(text.chars().skip(start).collect()))
        }
        (Function::Substring, [Text(text), start, length]) => match (size(*start), size(*length)) {
            (Some(start), Some(length)) => Value::Text(text.chars().skip(start).take(length).collect()),
            _ => Value::Null,
        },
        (Function::Replace, [Text(text), Text(""), Text(_)]) => Value::Text((*text).to_owned()),
        (Function::Replace, [Text(text), Text(find), Text(with)])
            if with.len() > find.len() && text.len().saturating_mul(with.len()) > LONGEST_REPLACED =>
        {
            Value::Null
        }
        (Function::Replace, [Text(text), Text(find), Text(with)]) => Value::Text(text.replace(*find, with)),
        (Function::ToLower, [Text(text)]) => Value::Text(text.to_ascii_lowercase()),
        (Function::ToUpper, [Text(text)]) => Value::Text(text.to_ascii_uppercase()),
        (Function::Trim, [Text(text)]) => Value::Text(text.trim_matches(' ').to_owned()),
        (Function::Concat, [Text(left), Text(right)]) => Value::Text([*left, right].concat()),
        (Function::Round, [number]) => rounded(*number, |real| (real + 0.5_f64.copysign(real)).trunc()),
        (Function::Floor, [number]) => rounded(*number, f64::floor),
        (Function::Ceiling, [number]) => rounded(*number, f64::ceil),
        (Function::Year, [DateTime(instant)]) => Value::Integer(i64::from(instant.year())),
        (Function::Month, [DateTime(instant)]) => Value::Integer(i64::from(instant.month())),
        (Function::Day, [DateTime(instant)]) => Value::Integer(i64::from(instant.day())),
        (Function::Hour, [DateTime(instant)]) => Value::Integer(i64::from(instant.hour())),
        (Function::Minute, [DateTime(instant)]) => Value::Integer(i64::from(instant.minute())),
        (Function::Second, [DateTime(instant)]) => Value::Integer(i64::from(instant.second())),
        // A leap second counts as the second before it.
        (Function::Date, [DateTime(instant)]) => {
            moment(instant.timestamp() - instant.timestamp().rem_euclid(DAY), 0)
        }
        (Function::Time, [DateTime(instant)]) => {
            moment(instant.timestamp().rem_euclid(DAY), instant.timestamp_subsec_nanos() % 1_000_000_000)
        }
        (Function::Add | Function::Sub | Function::Mul | Function::Div | Function::Mod, [left, right]) => {
            arithmetic(function, *left, *right)
        }
        _ => Value::Null,
    };
    match value {
        Value::Real(real) if real.is_nan() => Value::Null,
        value => value,
    }
}

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

fn moment(seconds: i64, nanos: u32) -> Value {
    Instant::<Utc>::from_timestamp(seconds, nanos).map_or(Value::Null, Value::DateTime)
}

fn count(text: &str) -> Value {
    Value::Integer(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
}

/// A number of characters; reals count as their whole part, everything below 0 as 0.
fn size(number: ValueRef<'_>) -> Option<usize> {
    match number {
        ValueRef::Integer(number) => Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX)),
        ValueRef::Real(number) => Some(number as usize),
        _ => None,
    }
}

fn arithmetic(function: Function, left: ValueRef<'_>, right: ValueRef<'_>) -> Value {
    if let (ValueRef::Integer(left), ValueRef::Integer(right)) = (left, right) {
        let exact = match function {
            Function::Add => left.checked_add(right),
            Function::Sub => left.checked_sub(right),
            Function::Mul => left.checked_mul(right),
            _ if right == 0 => return Value::Null,
            Function::Div => left.checked_div(right),
            _ => Some(left.wrapping_rem(right)),
        };
        if let Some(exact) = exact {
            return Value::Integer(exact);
        }
    }
    if function == Function::Mod {
        // Of the whole parts, each exact.
        return match (whole(left), whole(right)) {
            (Some(_), Some(0)) | (None, _) | (_, None) => Value::Null,
            (Some(left), Some(right)) => Value::Real(left.wrapping_rem(right) as f64),
        };
    }
    let (Some(left), Some(right)) = (real(left), real(right)) else { return Value::Null };
    match function {
        Function::Add => Value::Real(left + right),
        Function::Sub => Value::Real(left - right),
        Function::Mul => Value::Real(left * right),
        Function::Div if right == 0.0 => Value::Null,
        _ => Value::Real(left / right),
    }
}

/// The whole part, beyond 64 bits the greatest or least there is.
fn whole(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(value) => Some(value),
        ValueRef::Real(value) => Some(value as i64),
        _ => None,
    }
}

fn real(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(value) => Some(value as f64),
        ValueRef::Real(value) => Some(value),
        _ => None,
    }
}

/// A replacement that could make a text of more bytes than this has no value, as in SQL: replacements of replacements
/// could ask for gigabytes.
const LONGEST_REPLACED: usize = 16 * 1024 * 1024;

/// From here on a real has no fraction.
const WHOLE: f64 = 4_503_599_627_370_496.0;

fn rounded(number: ValueRef<'_>, round: impl Fn(f64) -> f64) -> Value {
    match number {
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) if value.abs() < WHOLE => Value::Real(round(value)),
        ValueRef::Real(value) => Value::Real(value),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_the_values_documented_at_their_names() {
        use Function as F;
        use ValueRef::{Integer as I, Null, Real as R, Text as T};
        let int = Value::Integer;
        let text = |text: &str| Value::Text(text.to_owned());
        let long = "a".repeat(5_000);
        for (function, arguments, expected) in [
            (F::Length, vec![T("äb😀")], int(3)),
            (F::Length, vec![Null], Value::Null),
            (F::IndexOf, vec![T("äbc"), T("c")], int(2)),
            (F::IndexOf, vec![T("abc"), T("x")], int(-1)),
            (F::IndexOf, vec![T("abc"), T("")], int(0)),
            (F::SubstringFrom, vec![T("äbc"), I(1)], text("bc")),
            (F::SubstringFrom, vec![T("abc"), I(-5)], text("abc")),
            (F::SubstringFrom, vec![T("abc"), I(9)], text("")),
            (F::Length, vec![T("ä\0b")], int(3)),
            (F::SubstringFrom, vec![T("abc\0d"), I(1)], text("bc\0d")),
            (F::Substring, vec![T("a\0bcd"), I(1), I(2)], text("\0b")),
            (F::Replace, vec![T("a\0b"), T("\0"), T("x")], text("axb")),
            (F::Replace, vec![T("a\0b"), T("a\0"), T("x")], text("xb")),
            (F::IndexOf, vec![T("a\0b"), T("b")], int(2)),
            (F::Substring, vec![T("abcd"), I(1), I(2)], text("bc")),
            (F::Substring, vec![T("abcd"), I(1), I(-2)], text("")),
            (F::Replace, vec![T("a.a"), T("a"), T("bb")], text("bb.bb")),
            (F::Replace, vec![T("a"), T(""), T("b")], text("a")),
            (F::Replace, vec![T(&long), T("a"), T(&long)], Value::Null),
            (F::Replace, vec![T(&long), T(""), T(&long)], text(&long)),
            (F::Replace, vec![T(&long), T(&long), T(&long)], text(&long)),
            (F::ToLower, vec![T("AÄ")], text("aÄ")),
            (F::ToUpper, vec![T("aä")], text("Aä")),
            (F::Trim, vec![T(" \ta ")], text("\ta")),
            (F::Concat, vec![T("a"), T("b")], text("ab")),
            (F::Concat, vec![T("a"), Null], Value::Null),
            (F::Add, vec![I(1), I(2)], int(3)),
            (F::Add, vec![I(i64::MAX), I(1)], Value::Real(9_223_372_036_854_775_808.0)),
            (F::Sub, vec![I(1), R(0.5)], Value::Real(0.5)),
            (F::Div, vec![I(-7), I(2)], int(-3)),
            (F::Div, vec![I(7), R(2.0)], Value::Real(3.5)),
            (F::Div, vec![I(7), I(0)], Value::Null),
            (F::Div, vec![I(i64::MIN), I(-1)], Value::Real(9_223_372_036_854_775_808.0)),
            (F::Mod, vec![I(-7), I(2)], int(-1)),
            (F::Mod, vec![I(i64::MIN), I(-1)], int(0)),
            (F::Mod, vec![R(7.9), I(2)], Value::Real(1.0)),
            (
                F::Mod,
                vec![R(9_007_199_254_740_992.0), I(-9_007_199_254_740_993)],
                Value::Real(9_007_199_254_740_992.0),
            ),
            (F::Mod, vec![I(7), R(0.5)], Value::Null),
            (F::Mod, vec![R(1e300), I(i64::MAX - 1)], Value::Real(1.0)),
            (F::Round, vec![R(-2.5)], Value::Real(-3.0)),
            (F::Floor, vec![R(-2.5)], Value::Real(-3.0)),
            (F::Ceiling, vec![R(-2.5)], Value::Real(-2.0)),
            (F::Ceiling, vec![I(7)], int(7)),
            (F::Floor, vec![T("7")], Value::Null),
            (F::Year, vec![T("2015")], Value::Null),
        ] {
            assert_eq!(compute(function, &arguments), expected, "{function:?} {arguments:?}");
        }
        let instant = crate::time::parse("0999-02-03T04:05:06.9999999Z").expect("an instant");
        for (function, expected) in
            [(F::Year, 999), (F::Month, 2), (F::Day, 3), (F::Hour, 4), (F::Minute, 5), (F::Second, 6)]
        {
            assert_eq!(compute(function, &[ValueRef::DateTime(instant)]), int(expected), "{function:?}");
        }
        for (text, date, time) in [
            ("0999-02-03T04:05:06.9999999Z", "0999-02-03T00:00:00Z", "1970-01-01T04:05:06.9999999Z"),
            ("0001-01-01T00:00:00.0000001Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00.0000001Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T00:00:00Z", "1970-01-01T23:59:59.9999999Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            let [text, date, time] =
                [text, date, time].map(|text| crate::time::parse(text).expect("an instant"));
            assert_eq!(compute(F::Date, &[ValueRef::DateTime(text)]), Value::DateTime(date));
            assert_eq!(compute(F::Time, &[ValueRef::DateTime(text)]), Value::DateTime(time));
        }
    }
}
