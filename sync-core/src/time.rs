//! Text forms of instants, parsed and written by hand because a bulk pull does little else.
//!
//! Two forms exist: the SQL form of the local database, exactly what Diesel writes for a `DateTime<Utc>` on
//! SQLite (`2024-01-02 03:04:05.678+00:00`, fraction of 0, 3, 6 or 9 digits, so that texts sort as instants of
//! equal precision and bound values compare equal), and the wire form (`2024-01-02T03:04:05.678Z`, at least 3
//! digits, more only when the instant has them). No clock is read here.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

/// Parses ISO 8601 text with a date, `T`, `t` or a blank, a time with 0 to 9 fraction digits (further digits
/// are cut), and `Z`, `z`, an offset `+hh:mm`, `+hhmm`, `+hh`, or nothing (UTC).
///
/// Years 0001 to 9999. `None` for anything else.
///
/// ```
/// let parsed = sync_core::time::parse("2015-01-02T05:04:05.5+02:00").expect("a valid instant");
/// let mut text = String::new();
/// sync_core::time::write_wire(&mut text, parsed);
/// assert_eq!(text, "2015-01-02T03:04:05.500Z");
/// ```
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = digits(&bytes[0..4])?;
    if year == 0 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year as i32, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    let mut rest = &bytes[19..];
    let mut nanos = 0;
    if let Some((b'.', tail)) = rest.split_first() {
        let length = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let used = length.min(9);
        nanos = digits(&tail[..used])? * 10_u32.pow(9 - used as u32);
        rest = &tail[length..];
    }
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?;
    let local = NaiveDateTime::new(date, time).and_utc();
    let utc = match rest {
        [] | [b'Z' | b'z'] => local,
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let (hours, minutes) = match offset {
                [a, b, b':', c, d] | [a, b, c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
                [a, b] => (digits(&[*a, *b])?, 0),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = TimeDelta::minutes(i64::from(hours * 60 + minutes));
            if *sign == b'+' {
                local.checked_sub_signed(offset)?
            } else {
                local.checked_add_signed(offset)?
            }
        }
        _ => return None,
    };
    is_storable(utc).then_some(utc)
}

/// Whether the instant lies in the years 0001 to 9999, the range every form can carry.
pub fn is_storable(instant: DateTime<Utc>) -> bool {
    (1..=9999).contains(&instant.year())
}

/// Appends the SQL form. The instant must be [storable](is_storable).
pub fn write_sql(out: &mut String, instant: DateTime<Utc>) {
    write_seconds(out, instant, ' ');
    let nanos = instant.nanosecond() % 1_000_000_000;
    if nanos != 0 {
        out.push('.');
        if nanos.is_multiple_of(1_000_000) {
            push_digits(out, nanos / 1_000_000, 3);
        } else if nanos.is_multiple_of(1_000) {
            push_digits(out, nanos / 1_000, 6);
        } else {
            push_digits(out, nanos, 9);
        }
    }
    out.push_str("+00:00");
}

/// Appends the wire form: 3 fraction digits, or 6, 7 or 9 when the instant needs them.
pub fn write_wire(out: &mut String, instant: DateTime<Utc>) {
    write_seconds(out, instant, 'T');
    let nanos = instant.nanosecond() % 1_000_000_000;
    out.push('.');
    if nanos.is_multiple_of(1_000_000) {
        push_digits(out, nanos / 1_000_000, 3);
    } else if nanos.is_multiple_of(1_000) {
        push_digits(out, nanos / 1_000, 6);
    } else if nanos.is_multiple_of(100) {
        push_digits(out, nanos / 100, 7);
    } else {
        push_digits(out, nanos, 9);
    }
    out.push('Z');
}

/// Cuts an instant to whole milliseconds, downwards.
#[must_use]
pub fn floor_to_millis(instant: DateTime<Utc>) -> DateTime<Utc> {
    let below = instant.timestamp_subsec_nanos() % 1_000_000;
    instant - TimeDelta::nanoseconds(i64::from(below))
}

fn write_seconds(out: &mut String, instant: DateTime<Utc>, separator: char) {
    push_digits(out, instant.year().unsigned_abs(), 4);
    out.push('-');
    push_digits(out, instant.month(), 2);
    out.push('-');
    push_digits(out, instant.day(), 2);
    out.push(separator);
    push_digits(out, instant.hour(), 2);
    out.push(':');
    push_digits(out, instant.minute(), 2);
    out.push(':');
    push_digits(out, instant.second(), 2);
}

fn push_digits(out: &mut String, number: u32, width: u32) {
    let mut divisor = 10_u32.pow(width - 1);
    while divisor > 0 {
        out.push(char::from(b'0' + (number / divisor % 10) as u8));
        divisor /= 10;
    }
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes
        .iter()
        .try_fold(0_u32, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, sql: Option<&str>, wire: Option<&str>) {
        let parsed = parse(text);
        let written = |write: fn(&mut String, DateTime<Utc>)| {
            parsed.map(|instant| {
                let mut out = String::new();
                write(&mut out, instant);
                out
            })
        };
        assert_eq!(written(write_sql).as_deref(), sql, "{text}");
        assert_eq!(written(write_wire).as_deref(), wire, "{text}");
    }

    #[test]
    fn l_32_instants_are_read_with_any_digits_and_offset() {
        check("2024-01-02T03:04:05Z", Some("2024-01-02 03:04:05+00:00"), Some("2024-01-02T03:04:05.000Z"));
        check(
            "2024-01-02T03:04:05.5Z",
            Some("2024-01-02 03:04:05.500+00:00"),
            Some("2024-01-02T03:04:05.500Z"),
        );
        check(
            "2024-01-02T03:04:05.1234567+02:00",
            Some("2024-01-02 01:04:05.123456700+00:00"),
            Some("2024-01-02T01:04:05.1234567Z"),
        );
        check(
            "2024-02-29 23:59:59.000001-0130",
            Some("2024-03-01 01:29:59.000001+00:00"),
            Some("2024-03-01T01:29:59.000001Z"),
        );
        check("0001-01-01T00:00:00", Some("0001-01-01 00:00:00+00:00"), Some("0001-01-01T00:00:00.000Z"));
        check(
            "9999-12-31T23:59:59.999999999Z",
            Some("9999-12-31 23:59:59.999999999+00:00"),
            Some("9999-12-31T23:59:59.999999999Z"),
        );
        for bad in [
            "",
            "2024-01-02",
            "2024-13-02T03:04:05Z",
            "2023-02-29T00:00:00Z",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T03:04:05+2",
            "2024-01-02T03:04:05 Z",
            "0001-01-01T00:00:00+01:00",
            "é024-01-02T03:04:05Z",
        ] {
            check(bad, None, None);
        }
    }

    #[test]
    fn r_20_the_sql_form_is_the_one_chrono_formats_for_diesel() {
        for text in [
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.120Z",
            "1969-12-31T23:59:59.000001Z",
            "2024-01-02T03:04:05.000000100Z",
        ] {
            let instant = parse(text).expect("valid");
            let mut ours = String::new();
            write_sql(&mut ours, instant);
            assert_eq!(ours, instant.format("%F %T%.f%:z").to_string());
        }
    }

    #[test]
    fn floor_goes_down_also_before_1970() {
        let instant = parse("1969-12-31T23:59:59.9999999Z").expect("valid");
        let mut out = String::new();
        write_wire(&mut out, floor_to_millis(instant));
        assert_eq!(out, "1969-12-31T23:59:59.999Z");
    }
}
