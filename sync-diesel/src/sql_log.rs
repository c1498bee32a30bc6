//! The log of SQL statements, without their values (H-04).
//!
//! Diesel tells what it runs as a text that ends with the bound values. They are cut off, and so is what the statement's
//! own text says beside keywords and names: texts and numbers become `?`, comments go. What is logged can then be shown
//! to anybody who may know the schema.

use std::fmt::Write;
use std::time::Instant;

use diesel::connection::{Instrumentation, InstrumentationEvent};

/// What Diesel writes between a statement and its values.
const BINDS: &str = " -- binds: ";
/// Longer statements are cut; they are lists of placeholders.
const MAX_LENGTH: usize = 2000;

/// Logs each statement of one connection once it is done.
#[derive(Debug)]
pub(crate) struct SqlLog {
    connection: &'static str,
    started: Option<Instant>,
}

impl SqlLog {
    pub(crate) const fn new(is_reader: bool) -> Self {
        Self { connection: if is_reader { "reader" } else { "writer" }, started: None }
    }
}

impl Instrumentation for SqlLog {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if !tracing::enabled!(target: "sync_diesel::sql", tracing::Level::DEBUG) {
            return;
        }
        match event {
            InstrumentationEvent::StartQuery { .. } => self.started = Some(Instant::now()),
            InstrumentationEvent::FinishQuery { query, error, .. } => {
                let started = self.started.take();
                let micros =
                    started.map(|started| u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
                let mut text = String::new();
                // A value that cannot be written ends the text early, behind the statement.
                let _ = write!(text, "{query}");
                // The error's text may be the app's own; that there was one is enough here.
                tracing::debug!(
                    target: "sync_diesel::sql",
                    connection = self.connection,
                    micros,
                    failed = error.is_some(),
                    "{}",
                    masked(&text)
                );
            }
            _ => {}
        }
    }
}

/// The statement without values and comments, on one line.
fn masked(text: &str) -> String {
    let text = text.find(BINDS).map_or(text, |end| &text[..end]);
    let mut masked = String::with_capacity(text.len().min(MAX_LENGTH));
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if masked.len() >= MAX_LENGTH {
            masked.push_str(" ..");
            break;
        }
        let (length, shown) = match first {
            '\'' => (quoted(rest, '\''), "?"),
            '"' | '`' => {
                let length = quoted(rest, first);
                (length, &rest[..length])
            }
            '[' => {
                let length = rest.find(']').map_or(rest.len(), |end| end + 1);
                (length, &rest[..length])
            }
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), " "),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), " "),
            '0'..='9' => {
                let end =
                    rest.find(|next: char| !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_')));
                (end.unwrap_or(rest.len()), "?")
            }
            _ if first.is_whitespace() => {
                let length = rest.find(|next: char| !next.is_whitespace()).unwrap_or(rest.len());
                (length, " ")
            }
            _ if is_of_a_name(first) => {
                let length = rest.find(|next| !is_of_a_name(next)).unwrap_or(rest.len());
                (length, &rest[..length])
            }
            _ => (first.len_utf8(), &rest[..first.len_utf8()]),
        };
        if shown != " " || !masked.ends_with(' ') {
            masked.push_str(shown);
        }
        rest = &rest[length..];
    }
    masked.trim().to_owned()
}

fn is_of_a_name(next: char) -> bool {
    next.is_alphanumeric() || next == '_' || next == '$'
}

/// Length of a quoted text at the beginning; a doubled quote does not end it.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_open = true;
    for (place, next) in text.char_indices().skip(1) {
        if next == quote {
            is_open = !is_open;
        } else if !is_open {
            return place;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h_04_statements_are_shown_without_values() {
        for (text, expected) in [
            ("SELECT 1", "SELECT ?"),
            ("SELECT a1, t.\"b\" FROM t -- binds: [\"secret\", 5]", "SELECT a1, t.\"b\" FROM t"),
            ("SELECT x -- binds: [\"a -- binds: secret\"]", "SELECT x"),
            (
                "INSERT INTO t VALUES ('se''cret', x'0aff', 1.5e3, -7, ?)",
                "INSERT INTO t VALUES (?, x?, ?, -?, ?)",
            ),
            ("SELECT 'never closed, secret", "SELECT ?"),
            (
                "SELECT \"o'clock\", `a'b`, [c'd] FROM t WHERE a = 'secret'",
                "SELECT \"o'clock\", `a'b`, [c'd] FROM t WHERE a = ?",
            ),
            ("SELECT 1 -- don't\n, 'secret'", "SELECT ? , ?"),
            ("/* don't: secret */ SELECT\n   a", "SELECT a"),
            ("SELECT 0xFF, 1_000, a_1", "SELECT ?, ?, a_1"),
            ("UPDATE \"Tür\" SET \"größe\" = 'groß' || '😀'", "UPDATE \"Tür\" SET \"größe\" = ? || ?"),
            ("", ""),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
        let long = masked(&format!("SELECT {}", "?, ".repeat(5000)));
        assert!(long.len() < MAX_LENGTH + 10 && long.ends_with(".."), "{}", long.len());
    }
}
