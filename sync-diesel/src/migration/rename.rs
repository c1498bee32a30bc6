//! The SQL of migrations that rename or drop what changes may wait for (R7).

use crate::statement::{literal, quote};
use crate::system;

/// SQL that renames a column, and with it what is kept of changes that wait to be sent. It stands in a migration in place
/// of `ALTER TABLE .. RENAME COLUMN`, which alone would leave such changes under the old name: opening refuses that.
///
/// The renamed column counts as new: the next pull reads all rows of the table, since what a server has under the new
/// name was no column here.
///
/// The SQL names tables of sync's own, so it runs where a store is opened and in the tools of this module, not with the
/// diesel command line on a database of its own.
///
/// ```
/// let up = sync_diesel::migration::rename_column("TodoItem", "text", "title");
/// assert!(up.starts_with("ALTER TABLE \"TodoItem\" RENAME COLUMN \"text\" TO \"title\";"));
/// let down = sync_diesel::migration::rename_column("TodoItem", "title", "text");
/// # let _ = down;
/// ```
pub fn rename_column(table: &str, from: &str, to: &str) -> String {
    let mut sql = format!("ALTER TABLE {} RENAME COLUMN {} TO {};\n", quote(table), quote(from), quote(to));
    let (old, new) = (path(from), path(to));
    for (kept, json) in system::ROWS {
        sql.push_str(&format!(
            "UPDATE \"{kept}\" SET \"{json}\" = json_remove(json_set(\"{json}\", {new}, \"{json}\" -> {old}), {old})\n    \
             WHERE table_name = {} AND CASE WHEN json_valid(\"{json}\") THEN json_type(\"{json}\", {old}) IS NOT NULL END;\n",
            literal(table)
        ));
    }
    sql.push_str(&format!(
        "UPDATE \"__operations\" SET sent_columns = (SELECT json_group_array(\
         CASE value WHEN {} THEN {} ELSE value END) FROM json_each(sent_columns))\n    \
         WHERE table_name = {} AND json_valid(sent_columns);\n",
        literal(from),
        literal(to),
        literal(table)
    ));
    sql
}

/// SQL that renames a table, and with it all that is kept of its rows: changes that wait to be sent, where its pulls
/// stand. It stands in a migration in place of `ALTER TABLE .. RENAME TO`. The same holds as for [`rename_column`].
///
/// ```
/// let up = sync_diesel::migration::rename_table("TodoItem", "Task");
/// assert!(up.starts_with("ALTER TABLE \"TodoItem\" RENAME TO \"Task\";"));
/// ```
pub fn rename_table(from: &str, to: &str) -> String {
    let mut sql = format!("ALTER TABLE {} RENAME TO {};\n", quote(from), quote(to));
    for kept in system::OF_TABLES {
        sql.push_str(&format!(
            "UPDATE \"{kept}\" SET table_name = {} WHERE table_name = {};\n",
            literal(to),
            literal(from)
        ));
    }
    sql
}

/// SQL that gives up the changes of a column that wait to be sent, for a migration that drops the column: other columns
/// that changed with it are still sent. The migration begins with it. The same holds as for [`rename_column`].
///
/// ```
/// let sql = sync_diesel::migration::give_up_column("TodoItem", "place");
/// let up = format!("{sql}ALTER TABLE \"TodoItem\" DROP COLUMN \"place\";");
/// # let _ = up;
/// ```
pub fn give_up_column(table: &str, column: &str) -> String {
    let path = path(column);
    format!(
        "UPDATE \"__shadow\" SET item = json_remove(item, {path})\n    \
         WHERE table_name = {} AND CASE WHEN json_valid(item) THEN json_type(item, {path}) IS NOT NULL END;\n",
        literal(table)
    )
}

/// SQL text: the path of a member.
fn path(name: &str) -> String {
    literal(&format!("$.\"{name}\""))
}
