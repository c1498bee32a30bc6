//! What a synced table looks like: schema metadata without any database library.
//!
//! `#[derive(SyncEntity)]` writes a [`TableSchema`] and implements [`SyncEntity`]; the store, the wire, the
//! predicates and the server read nothing else about an entity.

use crate::error::Result;
use crate::expression::Expr;
use crate::predicate::Node;
use crate::row::Row;
use crate::value::{ColumnType, Value};

/// A synced table: its name, locally and remotely, and its columns besides the four system columns.
#[derive(Debug, PartialEq)]
pub struct TableSchema {
    /// Name of the local table and of the remote table.
    pub name: &'static str,
    /// The app's columns in order of declaration; the system columns are not among them.
    pub columns: &'static [ColumnSchema],
    /// Whether conflicts are detected by version (`If-Match`); `#[sync(no_version)]` switches it off.
    pub versioned: bool,
    /// Whether rows deleted on the server stay in the local table, marked `__deleted`.
    pub keep_deleted: bool,
}

/// A column of a [`TableSchema`].
#[derive(Debug, PartialEq)]
pub struct ColumnSchema {
    /// Name of the SQL column and of the JSON member.
    pub name: &'static str,
    /// Name of the Rust field.
    pub field: &'static str,
    /// Type of the value.
    pub ty: ColumnType,
    /// Whether null is allowed (`Option<_>`).
    pub nullable: bool,
    /// Never sent and never changed by a pull (`#[sync(local)]`).
    pub local: bool,
    /// SQL literal of the column's DEFAULT.
    pub default: Option<&'static str>,
    /// Name of the table this column refers to (`#[sync(belongs_to = ..)]`).
    pub belongs_to: Option<&'static str>,
    /// Whether generated migrations index the column (`#[sync(index)]`); a column that refers to another table
    /// is always indexed.
    pub indexed: bool,
    /// How a change of this column on both sides is merged (`#[sync(merge = ..)]`); `None`: the conflict stays.
    pub merge: Option<MergeRule>,
    /// What the column is for.
    pub role: ColumnRole,
}

/// How a column that changed here and on the server, to different values, is merged (`#[sync(merge = ..)]`).
///
/// A column that changed on one side only takes that side's value, whatever its rule; what a rule decides is in
/// [`merge_value`](crate::merge::merge_value).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MergeRule {
    /// The local value.
    Local,
    /// The server's value.
    Remote,
    /// The greater value; null is no value and gives way. Numbers, instants, and booleans (`true` is greater: what is
    /// done stays done).
    Max,
    /// The smaller value; null is no value and gives way. Types as for [`Max`](Self::Max).
    Min,
    /// A counter: the base with what each side added or took away. Numbers only.
    Add,
}

impl MergeRule {
    /// Whether a column of this type can have the rule.
    pub const fn fits(self, ty: ColumnType) -> bool {
        let is_number = matches!(ty, ColumnType::Integer(_) | ColumnType::Float | ColumnType::Double);
        match self {
            Self::Local | Self::Remote => true,
            Self::Max | Self::Min => is_number || matches!(ty, ColumnType::DateTime | ColumnType::Bool),
            Self::Add => is_number,
        }
    }
}

/// Whether a column is the app's or one of the four system columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRole {
    /// A field of the entity.
    User,
    /// The row's id, primary key.
    Id,
    /// The server's version of the row; null while the row is unknown to the server.
    Version,
    /// The server's time of the last change; null while the row is unknown to the server.
    UpdatedAt,
    /// The server's soft delete mark.
    Deleted,
}

const fn system(
    name: &'static str,
    field: &'static str,
    ty: ColumnType,
    nullable: bool,
    role: ColumnRole,
) -> ColumnSchema {
    ColumnSchema { field, nullable, role, ..ColumnSchema::new(name, ty) }
}

/// The id column of every synced table.
pub static ID: ColumnSchema = system("id", "id", ColumnType::Text, false, ColumnRole::Id);
/// The version column of every synced table.
pub static VERSION: ColumnSchema =
    system("__version", "version", ColumnType::Text, true, ColumnRole::Version);
/// The change time column of every synced table.
pub static UPDATED_AT: ColumnSchema =
    system("__updatedAt", "updated_at", ColumnType::DateTime, true, ColumnRole::UpdatedAt);
/// The soft delete column of every synced table.
pub static DELETED: ColumnSchema =
    system("__deleted", "deleted", ColumnType::Bool, false, ColumnRole::Deleted);

impl ColumnSchema {
    /// A sent column of the app that is never null, with a field of the same name and nothing else.
    ///
    /// ```
    /// use sync_core::entity::ColumnSchema;
    /// use sync_core::value::ColumnType;
    ///
    /// static DUE: ColumnSchema =
    ///     ColumnSchema::new("dueAt", ColumnType::DateTime).with_field("due_at").with_nullable(true);
    /// assert!(DUE.nullable && !DUE.local);
    /// ```
    pub const fn new(name: &'static str, ty: ColumnType) -> Self {
        Self {
            name,
            field: name,
            ty,
            nullable: false,
            local: false,
            default: None,
            belongs_to: None,
            indexed: false,
            merge: None,
            role: ColumnRole::User,
        }
    }

    /// Sets [`field`](Self::field).
    #[must_use]
    pub const fn with_field(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }

    /// Sets [`nullable`](Self::nullable).
    #[must_use]
    pub const fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Sets [`local`](Self::local).
    #[must_use]
    pub const fn with_local(mut self, local: bool) -> Self {
        self.local = local;
        self
    }

    /// Sets [`default`](Self::default).
    #[must_use]
    pub const fn with_default(mut self, default: Option<&'static str>) -> Self {
        self.default = default;
        self
    }

    /// Sets [`belongs_to`](Self::belongs_to).
    #[must_use]
    pub const fn with_belongs_to(mut self, table: Option<&'static str>) -> Self {
        self.belongs_to = table;
        self
    }

    /// Sets [`indexed`](Self::indexed).
    #[must_use]
    pub const fn with_index(mut self, indexed: bool) -> Self {
        self.indexed = indexed;
        self
    }

    /// Sets [`merge`](Self::merge).
    ///
    /// # Panics
    ///
    /// When the rule does not fit the column's type ([`MergeRule::fits`]), or the column is local-only; in a static
    /// the compiler reports it.
    #[must_use]
    pub const fn with_merge(mut self, rule: MergeRule) -> Self {
        assert!(rule.fits(self.ty), "the merge rule does not fit the type of the column");
        assert!(!self.local, "a local-only column is never merged");
        self.merge = Some(rule);
        self
    }
}

impl TableSchema {
    /// Position of the app's column with this name (exact spelling).
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether any column says how it is merged.
    pub fn has_merge_rules(&self) -> bool {
        self.columns.iter().any(|column| column.merge.is_some())
    }

    /// Positions and columns that are sent to the server.
    pub fn sent_columns(&self) -> impl Iterator<Item = (usize, &'static ColumnSchema)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.local)
    }
}

/// A struct whose rows are synced; implemented by `#[derive(SyncEntity)]`.
///
/// The struct holds the app's fields. The table has four more columns, `id`, `__updatedAt`, `__version` and
/// `__deleted`, which a struct may declare (as `id: String`, `updated_at: Option<DateTime<Utc>>`,
/// `version: Option<String>`, `deleted: bool`) or leave out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a synced entity",
    note = "add `#[derive(SyncEntity)]` to the struct"
)]
pub trait SyncEntity: Sized + Send + 'static {
    /// The table of this entity.
    const SCHEMA: &'static TableSchema;

    /// The app's values in the order of [`TableSchema::columns`].
    fn to_values(&self) -> Vec<Value>;

    /// The id this value carries, if the struct declares `id`.
    fn declared_id(&self) -> Option<&str> {
        None
    }

    /// The version this value carries, if the struct declares `version`.
    fn declared_version(&self) -> Option<&str> {
        None
    }

    /// Reads a row of this table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when a value is absent, null where the field is not
    /// an `Option`, or outside the field's range.
    fn from_row(row: &Row) -> Result<Self>;

    /// The filter that is true for every row: `Todo::all()`.
    fn all() -> Expr<Self, bool> {
        Expr::new(Node::ALWAYS)
    }
}
