//! Errors of Diesel and SQLite as errors of this product.

use std::error::Error as StdError;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use sync_core::error::{Error, ErrorKind, Result};

/// Start of the message with which a capture trigger refuses a write, followed by the kind and a colon.
pub(crate) const REFUSED: &str = "sync:";

/// Any error a closure of the app may return.
pub type BoxedError = Box<dyn StdError + Send + Sync + 'static>;

/// Turns a result of Diesel into ours.
pub(crate) trait OrStore<T> {
    /// See [`from_diesel`].
    fn or_store(self) -> Result<T>;
}

impl<T> OrStore<T> for diesel::QueryResult<T> {
    fn or_store(self) -> Result<T> {
        self.map_err(from_diesel)
    }
}

/// The error behind whatever a closure returned.
pub(crate) fn from_boxed(error: BoxedError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => match error.downcast::<DieselError>() {
            Ok(error) => from_diesel(*error),
            Err(error) => Error::new(ErrorKind::Store, "the database work failed").with_source(error),
        },
    }
}

/// Classifies an error of Diesel.
pub(crate) fn from_diesel(error: DieselError) -> Error {
    let (kind, message) = classify(&error);
    Error::new(kind, message).with_source(error)
}

fn classify(error: &DieselError) -> (ErrorKind, String) {
    match error {
        DieselError::NotFound => (ErrorKind::NotFound, "no such row".to_owned()),
        DieselError::DatabaseError(kind, information) => {
            let message = information.message();
            if let Some(refusal) = refusal(message) {
                return refusal;
            }
            match kind {
                DatabaseErrorKind::UniqueViolation => {
                    (ErrorKind::Store, "a unique constraint is violated".to_owned())
                }
                DatabaseErrorKind::ForeignKeyViolation => {
                    (ErrorKind::Store, "a foreign key constraint is violated".to_owned())
                }
                DatabaseErrorKind::NotNullViolation => {
                    (ErrorKind::Store, "a not null constraint is violated".to_owned())
                }
                DatabaseErrorKind::CheckViolation => {
                    (ErrorKind::Store, "a check constraint is violated".to_owned())
                }
                _ => by_message(message),
            }
        }
        DieselError::DeserializationError(_) => (
            ErrorKind::Corrupt,
            "a value of the local database cannot be read as what it should be".to_owned(),
        ),
        _ => (ErrorKind::Store, "the local database failed".to_owned()),
    }
}

/// What a capture trigger said.
fn refusal(message: &str) -> Option<(ErrorKind, String)> {
    let (kind, text) = message.strip_prefix(REFUSED)?.split_once(": ")?;
    let kind = match kind {
        "InvalidId" => ErrorKind::InvalidId,
        "InvalidValue" => ErrorKind::InvalidValue,
        _ => return None,
    };
    Some((kind, text.to_owned()))
}

/// Diesel keeps only the message of SQLite's other result codes; the messages are SQLite's constants.
fn by_message(message: &str) -> (ErrorKind, String) {
    let (kind, text) = if message.contains("is locked") || message.contains("database is busy") {
        (ErrorKind::Busy, "the local database is locked by another connection")
    } else if message.contains("malformed") || message.contains("not a database") {
        (ErrorKind::Corrupt, "the local database is damaged or no database")
    } else if message.contains("JSON cannot hold BLOB values") {
        (ErrorKind::Corrupt, "a stored value does not fit the type of its column")
    } else if message.contains("is full") {
        (ErrorKind::Store, "the disk of the local database is full")
    } else if message.contains("readonly") {
        (ErrorKind::Store, "the local database is read-only")
    } else if message.contains("unable to open") {
        (ErrorKind::Store, "the local database or a file beside it cannot be opened")
    } else {
        (ErrorKind::Store, "the local database failed")
    };
    (kind, text.to_owned())
}

/// Whether an error concerns the row being written and not the database: the row goes to quarantine, the
/// transaction goes on.
pub(crate) fn is_about_the_row(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, information) = error else { return false };
    match kind {
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation => true,
        DatabaseErrorKind::Unknown => {
            let message = information.message();
            let damaged = [
                "is locked",
                "busy",
                "malformed",
                "not a database",
                "is full",
                "readonly",
                "disk I/O",
                "out of memory",
                "interrupted",
                "unable to open",
                "no such table",
                "has no column",
                "no such column",
                "syntax error",
            ];
            !damaged.iter().any(|text| message.contains(text))
        }
        _ => false,
    }
}

/// The fault of a row whose value another row has.
pub(crate) const TAKEN: &str = "a unique constraint is violated";

/// What kind of constraint a row violated, for the reason of a quarantined row: no contents.
pub(crate) fn row_fault(error: &DieselError) -> &'static str {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => TAKEN,
        DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
            "a foreign key constraint is violated"
        }
        DieselError::DatabaseError(DatabaseErrorKind::NotNullViolation, _) => {
            "a not null constraint is violated"
        }
        DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, _) => "a check constraint is violated",
        _ => "the local database refused the row",
    }
}
