//! `default = ..`: a Rust literal of the field's type, as the SQL literal of the column's DEFAULT.

use syn::{Expr, ExprLit, ExprUnary, Lit, UnOp};

use crate::model::types::Kind;

/// Turns a Rust literal into an SQL literal in exactly the form the store writes for that type.
pub(crate) fn sql_literal(kind: Kind, value: &Expr) -> syn::Result<String> {
    let refuse = |message: &str| Err(syn::Error::new_spanned(value, message));
    let (negative, literal) = match value {
        Expr::Lit(ExprLit { lit, .. }) => (false, lit),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) => (true, lit),
            _ => return refuse("`default` needs a literal"),
        },
        _ => return refuse("`default` needs a literal"),
    };
    let sign = if negative { "-" } else { "" };
    match (kind, literal) {
        (Kind::Text, Lit::Str(text)) if text.value().contains('\0') => {
            refuse("a default text cannot hold a NUL character")
        }
        (Kind::Text, Lit::Str(text)) => Ok(quote_text(&text.value())),
        (Kind::Bool, Lit::Bool(value)) => Ok(String::from(if value.value { "1" } else { "0" })),
        (Kind::F32 | Kind::F64, Lit::Int(number)) => {
            real(kind, &format!("{sign}{}", number.base10_digits()), value)
        }
        (Kind::F32 | Kind::F64, Lit::Float(number)) => {
            real(kind, &format!("{sign}{}", number.base10_digits()), value)
        }
        (Kind::Uuid, Lit::Str(text)) => match is_uuid(&text.value()) {
            true => Ok(quote_text(&text.value())),
            false => refuse("a default uuid is written in lower case with hyphens"),
        },
        (Kind::DateTime, Lit::Str(text)) => match is_stored_instant(&text.value()) {
            true => Ok(quote_text(&text.value())),
            false => refuse("a default instant is written as it is stored: \"2024-01-02 03:04:05+00:00\""),
        },
        (_, Lit::Int(number)) if kind.integer_range().is_some() => {
            let digits = format!("{sign}{}", number.base10_digits());
            let (min, max) = kind.integer_range().unwrap_or_default();
            match digits.parse::<i64>() {
                Ok(parsed) if min <= parsed && parsed <= max => Ok(parsed.to_string()),
                _ => refuse(&format!("the default is outside {min}..={max}, the range of the field's type")),
            }
        }
        _ => refuse(match kind {
            Kind::Text => "the field is text: `default` needs a string literal",
            Kind::Bool => "the field is a bool: `default` needs `true` or `false`",
            Kind::F32 | Kind::F64 => "the field is a float: `default` needs a number",
            Kind::Uuid => "the field is a uuid: `default` needs a string literal",
            Kind::DateTime => "the field is an instant: `default` needs a string literal",
            _ => "the field is an integer: `default` needs an integer literal",
        }),
    }
}

fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An `f32` is stored widened, so its default is the widened value, not the shorter text.
fn real(kind: Kind, digits: &str, value: &Expr) -> syn::Result<String> {
    let parsed = match kind {
        Kind::F32 => digits.parse::<f32>().map(f64::from),
        _ => digits.parse::<f64>(),
    };
    match parsed {
        Ok(number) if number.is_finite() => Ok(format!("{number:?}")),
        _ => Err(syn::Error::new_spanned(value, "the default is outside the range of the field's type")),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// `2024-01-02 03:04:05+00:00`, the seconds with a fraction of 3, 6 or 9 digits or none.
fn is_stored_instant(text: &str) -> bool {
    let Some(local) = text.strip_suffix("+00:00") else { return false };
    let (seconds, fraction) = match local.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (local, None),
    };
    let shape_fits = seconds.len() == 19
        && seconds.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            10 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let fraction_fits = fraction.is_none_or(|digits| {
        matches!(digits.len(), 3 | 6 | 9) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !shape_fits || !fraction_fits {
        return false;
    }
    let number = |from: usize, to: usize| seconds[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

#[cfg(test)]
mod tests {
    use super::{Kind, sql_literal};

    fn check(kind: Kind, literal: &str, expected: Option<&str>) {
        let expr = syn::parse_str(literal).unwrap();
        assert_eq!(sql_literal(kind, &expr).ok().as_deref(), expected, "{kind:?} {literal}");
    }

    #[test]
    fn literals_become_sql() {
        check(Kind::Text, r#""it's""#, Some("'it''s'"));
        check(Kind::Text, r#""""#, Some("''"));
        check(Kind::Text, "1", None);
        check(Kind::Text, r#""\0""#, None);
        check(Kind::Bool, "true", Some("1"));
        check(Kind::Bool, "false", Some("0"));
        check(Kind::Bool, "1", None);
        check(Kind::F64, "1", Some("1.0"));
        check(Kind::F64, "-0.25", Some("-0.25"));
        check(Kind::F64, "1e999", None);
        check(Kind::F32, "0.1", Some("0.10000000149011612"));
        check(Kind::F32, "1e39", None);
        check(Kind::F32, "true", None);
    }

    #[test]
    fn integers_stay_in_range() {
        check(Kind::I8, "-128", Some("-128"));
        check(Kind::I8, "128", None);
        check(Kind::U8, "0xff", Some("255"));
        check(Kind::U8, "-1", None);
        check(Kind::I64, "-9_223_372_036_854_775_808", Some("-9223372036854775808"));
        check(Kind::I64, "9223372036854775808", None);
        check(Kind::U32, "1.5", None);
        check(Kind::I32, "1 + 1", None);
    }

    #[test]
    fn instants_and_uuids_have_the_stored_form() {
        check(Kind::DateTime, r#""2024-02-29 23:59:59.125+00:00""#, Some("'2024-02-29 23:59:59.125+00:00'"));
        check(Kind::DateTime, r#""2023-02-29 00:00:00+00:00""#, None);
        check(Kind::DateTime, r#""2024-01-02T03:04:05Z""#, None);
        check(Kind::DateTime, r#""2024-01-02 03:04:05.1+00:00""#, None);
        check(Kind::DateTime, r#""2024-01-02 24:04:05+00:00""#, None);
        check(Kind::DateTime, r#""語語語語語語語語""#, None);
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        check(Kind::Uuid, &format!("{uuid:?}"), Some(&format!("'{uuid}'")));
        check(Kind::Uuid, &format!("{:?}", uuid.to_uppercase()), None);
    }
}
