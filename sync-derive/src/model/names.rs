//! Names of tables, columns and identifiers.

use proc_macro2::Span;
use syn::Ident;
use syn::ext::IdentExt;
use syn::parse::Parser;

const LONGEST: usize = 128;

/// Names a column cannot have: the id's, and the system properties' on the wire in some dialect.
const WIRE_NAMES: &[&str] = &["id", "version", "updatedAt", "createdAt", "deleted"];

/// Checks the name of a table.
pub(crate) fn check_table(name: &str) -> Result<(), String> {
    check("table", name)?;
    if name.len() >= 7 && name.is_char_boundary(7) && name[..7].eq_ignore_ascii_case("sqlite_") {
        return Err(format!(
            "the table name \"{name}\" is reserved: SQLite's own tables start with `sqlite_`"
        ));
    }
    Ok(())
}

/// Checks the name of a column of the app.
pub(crate) fn check_column(name: &str) -> Result<(), String> {
    check("column", name)?;
    match WIRE_NAMES.iter().find(|reserved| reserved.eq_ignore_ascii_case(name)) {
        Some(reserved) => Err(format!(
            "the column name \"{name}\" is reserved: servers use `{reserved}` for a system property"
        )),
        None => Ok(()),
    }
}

fn check(what: &str, name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.starts_with("__") {
        "is reserved: names of system columns and tables start with `__`"
    } else if name.len() > LONGEST {
        "is longer than 128 characters"
    } else if !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        "may only have the letters a to z and A to Z, digits and underscores"
    } else if name.starts_with(|first: char| first.is_ascii_digit()) {
        "starts with a digit"
    } else {
        return Ok(());
    };
    Err(format!("the {what} name \"{name}\" {problem}"))
}

/// The identifier of this text, raw where it is a keyword; `None` where Rust has no such identifier.
pub(crate) fn identifier(name: &str, span: Span) -> Option<Ident> {
    let mut ident = Ident::parse_any.parse_str(name).ok()?;
    ident.set_span(span);
    if syn::parse_str::<Ident>(name).is_ok() {
        return Some(ident);
    }
    match name {
        "self" | "Self" | "super" | "crate" | "_" => None,
        _ => Some(Ident::new_raw(name, span)),
    }
}

/// Whether `table!` (or the code it writes) already uses this name where a column's struct would stand.
pub(crate) fn is_taken_by_table_macro(name: &str) -> bool {
    matches!(
        name,
        "table" | "star" | "columns" | "dsl" | "all_columns" | "diesel" | "SqlType" | "BoxedQuery"
            // Names of types in the expansion: a column's struct would shadow them.
            | "str" | "bool" | "usize" | "T" | "DB" | "QS" | "Rhs" | "Left" | "Right" | "Join" | "On" | "From"
    )
}

#[cfg(test)]
mod tests {
    use super::{check_column, check_table, identifier};
    use proc_macro2::Span;

    #[test]
    fn names_are_checked() {
        let check = |name: &str, fits: bool| {
            assert_eq!(check_column(name).is_ok(), fits, "{name}");
        };
        check("text", true);
        check("_private", true);
        check("a1", true);
        check("rowid", true);
        check("", false);
        check("__own", false);
        check("1st", false);
        check("größe", false);
        check("a b", false);
        check("a\"b", false);
        check("ID", false);
        check("Version", false);
        check("updatedat", false);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        assert!(check_table("Version").is_ok());
        assert!(check_table("SQLite_stat").is_err());
        assert!(check_table("語語語").is_err());
    }

    #[test]
    fn keywords_become_raw_identifiers() {
        let check = |name: &str, expected: Option<&str>| {
            let ident = identifier(name, Span::call_site()).map(|ident| ident.to_string());
            assert_eq!(ident.as_deref(), expected, "{name}");
        };
        check("todo", Some("todo"));
        check("type", Some("r#type"));
        check("übung", Some("übung"));
        check("crate", None);
        check("super", None);
        check("", None);
    }
}
