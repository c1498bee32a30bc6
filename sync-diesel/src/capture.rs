//! Change capture: triggers that write the operation queue in the writer's own transaction.
//!
//! Whatever writes a synced table (typed calls, `diesel::update`, raw SQL, another process) fires them. Sync's
//! own writes are excluded by the control row. The texts state the collapse matrix in SQL.
//!
//! The control row's mark is 1 while sync writes, which no trigger looks at. A trigger that puts system columns back adds
//! 2 for as long: only the trigger of those columns looks away then, since triggers of the app may write other rows.
//!
//! A conflict clause of the app's statement (`INSERT OR IGNORE`) also rules the statements inside a trigger, so
//! none of them relies on a conflict: each inserts only where nothing stands.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use sync_core::entity::{ColumnSchema, TableSchema};
use sync_core::error::Result;
use sync_core::value::ColumnType;

use crate::failure::OrStore;
use crate::statement::{literal, query, quote};

/// A trigger with its text as SQLite stores it.
struct Trigger {
    name: String,
    sql: String,
}

/// Makes the triggers of a table, unless exactly these exist; gives whether it did. `others`: columns of the table that
/// only other releases send. Their changes are captured as well (S-16); whether a value could be sent is checked by the
/// triggers of a release that knows the type.
pub(crate) fn install(conn: &mut SqliteConnection, table: &TableSchema, others: &[String]) -> Result<bool> {
    let wanted = triggers(table, others);
    let existing = installed(conn, table)?;
    let is_current = existing.len() == wanted.len()
        && wanted
            .iter()
            .all(|trigger| existing.iter().any(|(name, sql)| *name == trigger.name && *sql == trigger.sql));
    if is_current {
        return Ok(false);
    }
    remove(conn, table)?;
    for trigger in &wanted {
        conn.batch_execute(&trigger.sql).or_store()?;
    }
    Ok(true)
}

/// Removes the triggers of a table.
pub(crate) fn remove(conn: &mut SqliteConnection, table: &TableSchema) -> Result<()> {
    for (name, _) in installed(conn, table)? {
        conn.batch_execute(&format!("DROP TRIGGER {}", quote(&name))).or_store()?;
    }
    Ok(())
}

fn installed(conn: &mut SqliteConnection, table: &TableSchema) -> Result<Vec<(String, String)>> {
    query::<(Text, Text)>(
        "SELECT name, sql FROM sqlite_master
         WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND substr(name, 1, 7) = '__sync_'",
        &[table.name.into()],
    )
    .load(conn)
    .or_store()
}

fn triggers(table: &TableSchema, others: &[String]) -> Vec<Trigger> {
    let texts = Texts { table, others, name: quote(table.name), literal: literal(table.name) };
    let mut triggers = vec![
        texts.trigger("check_insert", "BEFORE INSERT", "", &texts.before_insert()),
        texts.trigger("check_update", "BEFORE UPDATE", "", &texts.before_update()),
        texts.trigger(
            "replace",
            "BEFORE INSERT",
            &texts.is_over_a_row(),
            &texts.before_insert_over_a_row(),
        ),
        texts.trigger("insert", "AFTER INSERT", &texts.is_plain_insert(), &texts.after_plain_insert()),
        texts.trigger("reinsert", "AFTER INSERT", &texts.is_other_insert(), &texts.after_other_insert()),
        texts.trigger("delete", "AFTER DELETE", "", &texts.after_delete()),
        texts.trigger_while(
            "= 0",
            "system",
            "AFTER UPDATE OF \"__version\", \"__updatedAt\", \"__deleted\"",
            " AND (NEW.\"__version\" IS NOT OLD.\"__version\" OR NEW.\"__updatedAt\" IS NOT OLD.\"__updatedAt\" \
             OR NEW.\"__deleted\" IS NOT OLD.\"__deleted\")",
            &texts.after_system_update(),
        ),
    ];
    let mut sent: Vec<String> = table.sent_columns().map(|(_, column)| quote(column.name)).collect();
    let mut differs: Vec<String> = table.sent_columns().map(|(_, column)| differs(column)).collect();
    for name in others.iter().map(|name| quote(name)) {
        differs.push(format!("NEW.{name} IS NOT OLD.{name} COLLATE BINARY"));
        sent.push(name);
    }
    if !sent.is_empty() {
        triggers.push(texts.trigger(
            "update",
            &format!("AFTER UPDATE OF {}", sent.join(", ")),
            &format!(" AND ({})", differs.join(" OR ")),
            &texts.after_update(),
        ));
    }
    triggers
}

/// Condition: the column changes, by its bytes whatever collation it has.
pub(crate) fn differs(column: &ColumnSchema) -> String {
    let name = quote(column.name);
    match column.ty {
        ColumnType::Text => format!("NEW.{name} IS NOT OLD.{name} COLLATE BINARY"),
        _ => format!("NEW.{name} IS NOT OLD.{name}"),
    }
}

/// SQL expression: the row's storage form (see `sync_core::item`). `prefix`: `NEW.`, `OLD.` or empty.
pub(crate) fn item_sql(table: &TableSchema, prefix: &str) -> String {
    object_sql(item_members(table, prefix))
}

/// SQL expression: the storage form with the system columns and the unknown members beside, for rows kept
/// away from their table. Readers of the plain form skip them.
pub(crate) fn whole_item_sql(table: &TableSchema, prefix: &str) -> String {
    object_sql(whole_item_members(table, prefix))
}

fn whole_item_members(table: &TableSchema, prefix: &str) -> Vec<String> {
    let mut members = item_members(table, prefix);
    for name in ["__version", "__updatedAt", "__deleted"] {
        members.push(format!("'{name}', {prefix}\"{name}\""));
    }
    members.push(format!("'__extra', {}", extra_sql(table, &format!("{prefix}\"id\""))));
    members
}

/// SQL expression: the value in the storage form of a column whose type is not known here.
pub(crate) fn untyped_sql(prefix: &str, name: &str) -> String {
    let name = quote(name);
    format!("CASE typeof({prefix}{name}) WHEN 'blob' THEN hex({prefix}{name}) ELSE {prefix}{name} END")
}

/// SQL expression: the unknown members of the row with this id.
pub(crate) fn extra_sql(table: &TableSchema, id: &str) -> String {
    format!(
        "(SELECT extra.json FROM \"__extra\" AS extra WHERE extra.table_name = {} AND extra.item_id = {id})",
        literal(table.name)
    )
}

fn item_members(table: &TableSchema, prefix: &str) -> Vec<String> {
    let mut members = vec![format!("'id', {prefix}\"id\"")];
    members.extend(
        table
            .columns
            .iter()
            .map(|column| format!("{}, {prefix}{}", literal(column.name), quote(column.name))),
    );
    members
}

fn object_sql(members: Vec<String>) -> String {
    // SQLite functions take at most 127 arguments: longer objects are joined from parts, whose braces are the
    // only ones at their ends.
    const PART: usize = 50;
    let parts: Vec<String> =
        members.chunks(PART).map(|part| format!("json_object({})", part.join(", "))).collect();
    let last = parts.len() - 1;
    let joined: Vec<String> = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let opened = if index > 0 { format!("ltrim({part}, '{{')") } else { part };
            if index < last { format!("rtrim({opened}, '}}')") } else { opened }
        })
        .collect();
    joined.join(" || ',' || ")
}

/// The pieces all triggers of one table are made of.
struct Texts<'t> {
    table: &'t TableSchema,
    others: &'t [String],
    name: String,
    literal: String,
}

const NEXT_SEQ: &str = "UPDATE \"__control\" SET last_seq = last_seq + 1 WHERE id = 1;\n";
const SEQ: &str = "(SELECT last_seq FROM \"__control\" WHERE id = 1)";

/// What a trigger writes next to system columns is no business of the trigger for these. Counted, since a trigger of the
/// app may lead to another of ours meanwhile.
const LOOK_AWAY: &str = "UPDATE \"__control\" SET applying = applying + 2 WHERE id = 1;\n";
const LOOK_AGAIN: &str = "UPDATE \"__control\" SET applying = applying - 2 WHERE id = 1;\n";

impl Texts<'_> {
    /// As [`item_sql`], with what other releases send.
    fn item(&self, prefix: &str) -> String {
        self.object(item_members(self.table, prefix), prefix)
    }

    /// As [`whole_item_sql`], with what other releases send.
    fn whole_item(&self, prefix: &str) -> String {
        self.object(whole_item_members(self.table, prefix), prefix)
    }

    fn object(&self, mut members: Vec<String>, prefix: &str) -> String {
        let others = self.others.iter();
        members.extend(others.map(|name| format!("{}, {}", literal(name), untyped_sql(prefix, name))));
        object_sql(members)
    }

    fn trigger(&self, role: &str, event: &str, condition: &str, body: &str) -> Trigger {
        self.trigger_while("<> 1", role, event, condition, body)
    }

    /// A trigger that looks only while the mark of the control row is so.
    fn trigger_while(&self, mark: &str, role: &str, event: &str, condition: &str, body: &str) -> Trigger {
        let name = format!("__sync_{role}_{}", self.table.name);
        let sql = format!(
            "CREATE TRIGGER {} {event} ON {} WHEN (SELECT applying FROM \"__control\" WHERE id = 1) {mark}{condition} \
             BEGIN\n{body}END",
            quote(&name),
            self.name,
        );
        Trigger { name, sql }
    }

    /// Condition: a row of a system table belongs to this row. `row`: NEW or OLD.
    fn of(&self, row: &str) -> String {
        format!("table_name = {} AND item_id = {row}.\"id\"", self.literal)
    }

    fn has(&self, system_table: &str, row: &str) -> String {
        format!("EXISTS (SELECT 1 FROM \"{system_table}\" WHERE {})", self.of(row))
    }

    fn before_insert(&self) -> String {
        let mut cases = vec![format!(
            "WHEN {} THEN RAISE(ABORT, 'sync:InvalidId: the id is empty, too long, or has characters an id must \
             not have')",
            invalid_id()
        )];
        for column in self.table.columns {
            cases.push(refuse(column, &invalid_value(column)));
        }
        format!("SELECT CASE {} END;\n", cases.join(" "))
    }

    /// Condition: the insert meets a row, or what an earlier one that was ignored noted.
    fn is_over_a_row(&self) -> String {
        format!(
            " AND (EXISTS (SELECT 1 FROM {} WHERE \"id\" = NEW.\"id\") OR {})",
            self.name,
            self.has("__replaced", "NEW")
        )
    }

    /// Notes the row that the insert may replace.
    fn before_insert_over_a_row(&self) -> String {
        let (of, has_operation) = (self.of("NEW"), self.has("__operations", "NEW"));
        format!(
            "DELETE FROM \"__replaced\" WHERE {of};\n\
             INSERT INTO \"__replaced\" (table_name, item_id, version, updated_at, deleted, item, extra) \
             SELECT {literal}, \"id\", \"__version\", \"__updatedAt\", \"__deleted\", {item}, {extra} FROM {name} \
             WHERE \"id\" = NEW.\"id\" AND NOT {has_operation};\n",
            literal = self.literal,
            item = self.item(""),
            extra = extra_sql(self.table, "NEW.\"id\""),
            name = self.name,
        )
    }

    fn before_update(&self) -> String {
        let mut cases = vec![
            "WHEN NEW.\"id\" IS NOT OLD.\"id\" COLLATE BINARY THEN RAISE(ABORT, 'sync:InvalidId: the id of a \
             synced row cannot be changed')"
                .to_owned(),
        ];
        for column in self.table.columns {
            let invalid = format!("{} AND ({})", differs(column), invalid_value(column));
            cases.push(refuse(column, &invalid));
        }
        format!("SELECT CASE {} END;\n", cases.join(" "))
    }

    /// Condition: a new row of the app, of whose id nothing is known here.
    fn is_plain_insert(&self) -> String {
        format!(
            " AND NEW.\"__version\" IS NULL AND NEW.\"__updatedAt\" IS NULL AND NEW.\"__deleted\" IS 0 \
             AND NOT {} AND NOT {}",
            self.has("__operations", "NEW"),
            self.has("__replaced", "NEW")
        )
    }

    /// The common case, kept apart because the statements of the other cost several times as much.
    fn after_plain_insert(&self) -> String {
        let literal = &self.literal;
        format!(
            "{NEXT_SEQ}\
             INSERT INTO \"__operations\" (seq, table_name, item_id, kind) \
             VALUES ({SEQ}, {literal}, NEW.\"id\", 0);\n"
        )
    }

    /// Condition: any other insert. The order of two triggers on one event is not defined, so it must not hold
    /// either once the plain insert is queued; a pending insert that never changed needs nothing when it is
    /// replaced.
    fn is_other_insert(&self) -> String {
        format!(
            " AND (NEW.\"__version\" IS NOT NULL OR NEW.\"__updatedAt\" IS NOT NULL \
             OR NEW.\"__deleted\" IS NOT 0 OR {} \
             OR EXISTS (SELECT 1 FROM \"__operations\" WHERE {} \
             AND NOT (kind = 0 AND state = 0 AND revision = 1)))",
            self.has("__replaced", "NEW"),
            self.of("NEW")
        )
    }

    /// and their neighbours for a queued delete; a row replaced behind the delete trigger's back
    /// counts as updated; else a new insert.
    fn after_other_insert(&self) -> String {
        let of = self.of("NEW");
        let has_operation = self.has("__operations", "NEW");
        let has_replaced = self.has("__replaced", "NEW");
        let has_shadow = self.has("__shadow", "NEW");
        let (literal, name) = (&self.literal, &self.name);
        format!(
            "SELECT RAISE(ABORT, 'sync:InvalidValue: __updatedAt and __deleted are set by the server alone') \
             WHERE NEW.\"__deleted\" IS NOT 0 OR (NEW.\"__updatedAt\" IS NOT NULL \
             AND NEW.\"__updatedAt\" IS NOT (SELECT updated_at FROM \"__shadow\" WHERE {of}) \
             AND NEW.\"__updatedAt\" IS NOT (SELECT updated_at FROM \"__replaced\" WHERE {of}));\n\
             {NEXT_SEQ}\
             DELETE FROM \"__errors\" WHERE {of};\n\
             UPDATE \"__operations\" SET \
             kind = CASE WHEN kind <> 2 THEN kind \
             WHEN sent_kind = 2 OR server_may_hold <> 0 THEN 0 \
             ELSE 1 END, \
             item = NULL, {revised} WHERE {of};\n\
             INSERT INTO \"__shadow\" (table_name, item_id, version, updated_at, deleted, item, extra) \
             SELECT table_name, item_id, version, updated_at, deleted, item, extra FROM \"__replaced\" \
             WHERE {of} AND NOT {has_operation} AND NOT {has_shadow};\n\
             INSERT INTO \"__operations\" (seq, table_name, item_id, kind, base_version) \
             SELECT {SEQ}, {literal}, NEW.\"id\", {has_replaced}, \
             (SELECT version FROM \"__replaced\" WHERE {of}) WHERE NOT {has_operation};\n\
             DELETE FROM \"__replaced\" WHERE {of};\n\
             INSERT OR REPLACE INTO \"__extra\" (table_name, item_id, json) \
             SELECT table_name, item_id, extra FROM \"__shadow\" WHERE {of} AND extra IS NOT NULL;\n\
             {LOOK_AWAY}\
             UPDATE {name} SET \"__version\" = (SELECT version FROM \"__shadow\" WHERE {of}), \
             \"__updatedAt\" = (SELECT updated_at FROM \"__shadow\" WHERE {of}) \
             WHERE \"id\" = NEW.\"id\" \
             AND (NEW.\"__version\" IS NOT NULL OR NEW.\"__updatedAt\" IS NOT NULL OR {has_shadow});\n\
             {LOOK_AGAIN}",
            revised = revised(),
        )
    }

    /// Condition: between the version that the object carries and the row's, only pushes of this device changed the
    /// row (K-17).
    fn carries_own_version(&self) -> String {
        format!(
            "NEW.\"__version\" IS NOT OLD.\"__version\" AND EXISTS (SELECT 1 FROM \"__acknowledged\" AS own, \
             json_each(own.earlier) AS earlier WHERE {} AND own.version = OLD.\"__version\" \
             AND earlier.value = NEW.\"__version\")",
            self.of("NEW")
        )
    }

    /// An object of an older version, saved over a change that was made on the row's, has not seen what that
    /// change stands on (K-17); what is under way has its base.
    fn after_update(&self) -> String {
        let of = self.of("NEW");
        let has_operation = self.has("__operations", "NEW");
        let literal = &self.literal;
        format!(
            "{NEXT_SEQ}\
             DELETE FROM \"__errors\" WHERE {of};\n\
             UPDATE \"__operations\" SET base_version = CASE WHEN NEW.\"__version\" IS NOT OLD.\"__version\" \
             AND NEW.\"__version\" IS NOT NULL AND kind = 1 AND state <> 1 AND base_version IS OLD.\"__version\" \
             AND NOT ({is_own}) THEN NEW.\"__version\" ELSE base_version END, {revised} WHERE {of};\n\
             INSERT OR REPLACE INTO \"__shadow\" (table_name, item_id, version, updated_at, deleted, item, extra) \
             SELECT {literal}, OLD.\"id\", OLD.\"__version\", OLD.\"__updatedAt\", OLD.\"__deleted\", {item}, {extra} \
             WHERE NOT {has_operation};\n\
             INSERT INTO \"__operations\" (seq, table_name, item_id, kind, base_version) \
             SELECT {SEQ}, {literal}, NEW.\"id\", 1, \
             CASE WHEN {is_own} THEN OLD.\"__version\" \
             ELSE coalesce(NEW.\"__version\", OLD.\"__version\") END WHERE NOT {has_operation};\n",
            is_own = self.carries_own_version(),
            revised = revised(),
            item = self.item("OLD."),
            extra = extra_sql(self.table, "OLD.\"id\""),
        )
    }

    /// K-17, K-18, R5: a version carried by a whole object is the change's base (read by the update trigger);
    /// the columns keep the server's values.
    fn after_system_update(&self) -> String {
        format!(
            "SELECT RAISE(ABORT, 'sync:InvalidValue: __updatedAt and __deleted are set by the server alone') \
             WHERE (NEW.\"__updatedAt\" IS NOT OLD.\"__updatedAt\" OR NEW.\"__deleted\" IS NOT OLD.\"__deleted\") \
             AND (NEW.\"__version\" IS NULL OR NEW.\"__version\" IS OLD.\"__version\");\n\
             {LOOK_AWAY}\
             UPDATE {} SET \"__version\" = OLD.\"__version\", \"__updatedAt\" = OLD.\"__updatedAt\", \
             \"__deleted\" = OLD.\"__deleted\" WHERE \"id\" = NEW.\"id\";\n\
             {LOOK_AGAIN}",
            self.name
        )
    }

    fn after_delete(&self) -> String {
        let of = self.of("OLD");
        let has_operation = self.has("__operations", "OLD");
        let has_refetch = self.has("__refetch", "OLD");
        // The newest server copy known is a live row, or one that is kept although it is deleted.
        let shown = if self.table.keep_deleted { "NOT NULL" } else { "0" };
        let is_shown = format!(
            "coalesce((SELECT deleted FROM \"__newer\" WHERE {of}), \
             (SELECT deleted FROM \"__shadow\" WHERE {of})) IS {shown}"
        );
        let literal = &self.literal;
        let item = self.item("OLD.");
        let kept = self.whole_item("OLD.");
        let extra = extra_sql(self.table, "OLD.\"id\"");
        format!(
            "DELETE FROM \"__replaced\" WHERE {of};\n\
             DELETE FROM \"__errors\" WHERE {of};\n\
             {NEXT_SEQ}\
             UPDATE \"__operations\" SET kind = 2, item = {kept}, revision = revision + 1, \
             tail_seq = CASE WHEN state = 1 THEN {SEQ} END, \
             seq = CASE WHEN state = 1 THEN seq ELSE {SEQ} END, \
             state = CASE state WHEN 1 THEN 1 ELSE 0 END \
             WHERE {of} AND (kind = 1 OR (kind = 0 AND (server_may_hold = 1 OR sent_kind = 2)));\n\
             INSERT OR REPLACE INTO \"__shadow\" (table_name, item_id, version, updated_at, deleted, item, extra) \
             SELECT {literal}, OLD.\"id\", OLD.\"__version\", OLD.\"__updatedAt\", OLD.\"__deleted\", {item}, {extra} \
             WHERE NOT {has_operation};\n\
             INSERT INTO \"__operations\" (seq, table_name, item_id, kind, base_version, item) \
             SELECT {SEQ}, {literal}, OLD.\"id\", 2, OLD.\"__version\", {kept} WHERE NOT {has_operation};\n\
             INSERT INTO \"__refetch\" (table_name, item_id) SELECT {literal}, OLD.\"id\" \
             WHERE EXISTS (SELECT 1 FROM \"__operations\" WHERE {of} AND kind = 0 \
             AND (server_may_hold = 2 OR {is_shown})) AND NOT {has_refetch};\n\
             DELETE FROM \"__shadow\" WHERE {of} \
             AND EXISTS (SELECT 1 FROM \"__operations\" WHERE {of} AND kind = 0);\n\
             DELETE FROM \"__newer\" WHERE {of} \
             AND EXISTS (SELECT 1 FROM \"__operations\" WHERE {of} AND kind = 0);\n\
             DELETE FROM \"__extra\" WHERE {of} \
             AND EXISTS (SELECT 1 FROM \"__operations\" WHERE {of} AND kind = 0);\n\
             DELETE FROM \"__operations\" WHERE {of} AND kind = 0;\n",
        )
    }
}

/// Assignments for a further change of a queued operation (X-14, R1): an attempted one stays attempted.
fn revised() -> String {
    format!(
        "revision = revision + 1, state = CASE state WHEN 1 THEN 1 ELSE 0 END, \
         tail_seq = CASE WHEN state = 1 THEN coalesce(tail_seq, {SEQ}) END"
    )
}

fn refuse(column: &ColumnSchema, invalid: &str) -> String {
    let form = match column.ty {
        ColumnType::DateTime => {
            ": an instant has the form 2024-01-02 03:04:05.678+00:00, with 0, 3, 6 or 9 digits"
        }
        ColumnType::Uuid => ": a uuid has lower case letters and hyphens",
        _ => "",
    };
    let message = format!(
        "sync:InvalidValue: the value of column {} does not fit its type or cannot be sent{form}",
        column.name
    );
    format!("WHEN {invalid} THEN RAISE(ABORT, {})", literal(&message))
}

/// Condition on NEW: an id that could never be sent (D-03, D-05).
fn invalid_id() -> String {
    // The length counts UTF-16 units; only long ids with characters of four bytes need the slow count.
    let id = "NEW.\"id\"";
    format!(
        "typeof({id}) <> 'text' OR {id} IN ('', '.', '..') \
         OR {id} GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || '\"+?\\/`]*' \
         OR instr({id}, char(0)) > 0 OR length({id}) > 255 \
         OR (length({id}) > 127 AND length(CAST({id} AS BLOB)) > 255 AND \
         (SELECT sum(1 + (unicode(substr({id}, key + 1, 1)) > 65535)) FROM \
         json_each('[0' || replace(hex(zeroblob(length({id}) - 1)), '00', ',0') || ']')) > 255)"
    )
}

/// Condition on NEW: a value that does not fit its column or could never be sent (V-04).
fn invalid_value(column: &ColumnSchema) -> String {
    let value = format!("NEW.{}", quote(column.name));
    let invalid = match column.ty {
        ColumnType::Text => format!("typeof({value}) <> 'text'"),
        ColumnType::Bool => format!("typeof({value}) <> 'integer' OR {value} NOT IN (0, 1)"),
        ColumnType::Integer(width) => {
            let (min, max) = width.range();
            if (min, max) == (i64::MIN, i64::MAX) {
                format!("typeof({value}) <> 'integer'")
            } else {
                format!("typeof({value}) <> 'integer' OR {value} NOT BETWEEN {min} AND {max}")
            }
        }
        ColumnType::Float => format!(
            "typeof({value}) NOT IN ('real', 'integer') \
             OR {value} NOT BETWEEN -3.4028234663852886e38 AND 3.4028234663852886e38"
        ),
        ColumnType::Double => {
            format!("typeof({value}) NOT IN ('real', 'integer') OR {value} IN (9e999, -9e999)")
        }
        // R20, V-09: one form alone, or filters would compare texts that mean the same and differ.
        ColumnType::DateTime => format!(
            "typeof({value}) <> 'text' OR date(substr({value}, 1, 10)) IS NOT substr({value}, 1, 10) \
             OR time(substr({value}, 12, 8)) IS NOT substr({value}, 12, 8) \
             OR {value} NOT GLOB '????-??-?? [012]?:??:??*+00:00' OR substr({value}, 12, 2) > '23' \
             OR {value} < '0001' OR length({value}) NOT IN (25, 29, 32, 35) \
             OR (length({value}) > 25 AND ({value} NOT GLOB '???????????????????.???*' \
             OR substr({value}, 21, length({value}) - 26) GLOB '*[^0-9]*' OR substr({value}, -9, 3) = '000'))"
        ),
        ColumnType::Uuid => format!(
            "typeof({value}) <> 'text' OR {value} GLOB '*[^-0-9a-f]*' \
             OR {value} NOT GLOB '????????-????-????-????-????????????' OR length(replace({value}, '-', '')) <> 32"
        ),
        _ => "0".to_owned(),
    };
    if column.nullable {
        format!("{value} IS NOT NULL AND ({invalid})")
    } else {
        format!("{value} IS NULL OR {invalid}")
    }
}

#[cfg(test)]
mod tests {
    use diesel::Connection;
    use sync_core::item;
    use sync_core::value::Value;

    use super::*;

    #[test]
    fn r_7_rows_of_many_columns_are_one_object() {
        let columns: Vec<ColumnSchema> = (0..130)
            .map(|index| {
                let name: &'static str = format!("c{index}").leak();
                ColumnSchema::new(name, ColumnType::Text).with_nullable(true)
            })
            .collect();
        let table: &'static TableSchema = Box::leak(Box::new(TableSchema {
            name: "Wide",
            columns: columns.leak(),
            versioned: true,
            keep_deleted: false,
        }));
        let mut conn = diesel::SqliteConnection::establish(":memory:").expect("a database");
        conn.batch_execute(&crate::schema::create_table_sql(table)).expect("a table");
        // Braces at the ends of the parts are the values' own.
        conn.batch_execute(
            "INSERT INTO \"Wide\" (id, c48, c49, c98, c99) VALUES ('a', '}', '{', '{}', '}}')",
        )
        .expect("a row");
        let text = format!("SELECT {} FROM \"Wide\"", item_sql(table, ""));
        let stored = query::<Text>(&text, &[]).get_result::<String>(&mut conn).expect("an object");
        let row = item::decode(table, &stored).expect("a row");
        for (index, value) in row.values.iter().enumerate() {
            let expected = match index {
                48 => Value::Text("}".to_owned()),
                49 => Value::Text("{".to_owned()),
                98 => Value::Text("{}".to_owned()),
                99 => Value::Text("}}".to_owned()),
                _ => Value::Null,
            };
            assert_eq!(value.as_ref(), Some(&expected), "c{index}");
        }
        install_and_write(&mut conn, table);
    }

    /// The triggers of a wide table run.
    fn install_and_write(conn: &mut SqliteConnection, table: &TableSchema) {
        crate::system::prepare(conn).expect("the system tables");
        assert!(install(conn, table, &[]).expect("triggers"));
        assert!(!install(conn, table, &[]).expect("the same triggers"));
        conn.batch_execute("UPDATE \"Wide\" SET c129 = 'x'; DELETE FROM \"Wide\"").expect("writes");
        let kept = query::<Text>("SELECT json_extract(item, '$.c129') FROM \"__operations\"", &[])
            .get_result::<String>(conn)
            .expect("a kept row");
        assert_eq!(kept, "x");
    }
}
