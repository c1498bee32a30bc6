//! The tables of the suite.

use crate::entity::{ColumnSchema, MergeRule, TableSchema};
use crate::value::{ColumnType, IntegerWidth};

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty)
}

const fn nullable(name: &'static str, ty: ColumnType) -> ColumnSchema {
    column(name, ty).with_nullable(true)
}

const fn with_default(name: &'static str, ty: ColumnType, default: &'static str) -> ColumnSchema {
    column(name, ty).with_default(Some(default))
}

/// A table with a column of every kind. In SQL:
///
/// ```sql
/// CREATE TABLE "ContractTodo" (
///     "id" TEXT PRIMARY KEY NOT NULL,
///     "text" TEXT NOT NULL,
///     "complete" INTEGER NOT NULL DEFAULT 0,
///     "rank" INTEGER NOT NULL DEFAULT 3,
///     "n" INTEGER,
///     "when" TEXT,
///     "ratio" REAL,
///     "weight" REAL,
///     "owner" TEXT,
///     "note" TEXT, -- local only
///     "__version" TEXT, "__updatedAt" TEXT, "__deleted" INTEGER NOT NULL DEFAULT 0
/// );
/// ```
pub static TODO: TableSchema = TableSchema {
    name: "ContractTodo",
    columns: &[
        column("text", ColumnType::Text),
        with_default("complete", ColumnType::Bool, "0"),
        with_default("rank", ColumnType::Integer(IntegerWidth::I8), "3"),
        nullable("n", ColumnType::Integer(IntegerWidth::I64)),
        nullable("when", ColumnType::DateTime),
        nullable("ratio", ColumnType::Float),
        nullable("weight", ColumnType::Double),
        nullable("owner", ColumnType::Uuid),
        nullable("note", ColumnType::Text).with_local(true),
    ],
    versioned: true,
    keep_deleted: false,
};

/// A second table, which keeps the rows deleted on the server and adds up one column (`"title" TEXT NOT NULL`,
/// `"n" INTEGER`).
pub static LIST: TableSchema = TableSchema {
    name: "ContractList",
    columns: &[
        column("title", ColumnType::Text),
        nullable("n", ColumnType::Integer(IntegerWidth::I32)).with_merge(MergeRule::Add),
    ],
    versioned: true,
    keep_deleted: true,
};

/// A table without conflict detection (`"line" TEXT NOT NULL`, `"n" INTEGER`).
pub static ENTRY: TableSchema = TableSchema {
    name: "ContractEntry",
    columns: &[column("line", ColumnType::Text), nullable("n", ColumnType::Integer(IntegerWidth::I32))],
    versioned: false,
    keep_deleted: false,
};

/// A table whose rows belong to rows of [`LIST`] and to each other (`"name" TEXT NOT NULL`, `"parent" TEXT`,
/// `"list" TEXT`).
pub static PART: TableSchema = TableSchema {
    name: "ContractPart",
    columns: &[
        column("name", ColumnType::Text),
        nullable("parent", ColumnType::Text).with_belongs_to(Some("ContractPart")),
        nullable("list", ColumnType::Text).with_belongs_to(Some("ContractList")),
    ],
    versioned: true,
    keep_deleted: false,
};

/// All tables of the suite.
pub const TABLES: [&TableSchema; 4] = [&TODO, &LIST, &ENTRY, &PART];
