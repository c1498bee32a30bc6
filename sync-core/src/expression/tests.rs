//! What typed code becomes, and what its types are.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use super::*;
use crate::entity::TableSchema;
use crate::error::Result;
use crate::row::Row;
use crate::value::{ColumnType, IntegerWidth};

struct Todo;

static TODO: TableSchema = TableSchema {
    name: "TodoItem",
    columns: &[
        ColumnSchema::new("text", ColumnType::Text),
        ColumnSchema::new("complete", ColumnType::Bool),
        ColumnSchema::new("count", ColumnType::Integer(IntegerWidth::I32)),
        ColumnSchema::new("bytes", ColumnType::Integer(IntegerWidth::I64)),
        ColumnSchema::new("price", ColumnType::Double),
        ColumnSchema::new("ratio", ColumnType::Float),
        ColumnSchema::new("dueAt", ColumnType::DateTime),
        ColumnSchema::new("owner", ColumnType::Uuid),
        ColumnSchema::new("draft", ColumnType::Text).with_local(true),
        ColumnSchema::new("pinned", ColumnType::Bool).with_local(true),
    ],
    versioned: true,
    keep_deleted: false,
};

impl SyncEntity for Todo {
    const SCHEMA: &'static TableSchema = &TODO;
    fn to_values(&self) -> Vec<Value> {
        Vec::new()
    }
    fn from_row(_: &Row) -> Result<Self> {
        Ok(Self)
    }
}

#[expect(non_upper_case_globals, reason = "columns are named like fields")]
impl Todo {
    const text: Column<Self, String> = Column::__new(&TODO.columns[0]);
    const complete: Column<Self, bool> = Column::__new(&TODO.columns[1]);
    const count: Column<Self, i32> = Column::__new(&TODO.columns[2]);
    const bytes: Column<Self, i64> = Column::__new(&TODO.columns[3]);
    const price: Column<Self, f64> = Column::__new(&TODO.columns[4]);
    const ratio: Column<Self, f32> = Column::__new(&TODO.columns[5]);
    const due_at: Column<Self, DateTime<Utc>> = Column::__new(&TODO.columns[6]);
    const owner: Column<Self, Uuid> = Column::__new(&TODO.columns[7]);
    const draft: Column<Self, String, LocalOnly> = Column::__new(&TODO.columns[8]);
    const pinned: Column<Self, bool, LocalOnly> = Column::__new(&TODO.columns[9]);
}

fn check<S>(expr: Expr<Todo, bool, S>, expected: &str) {
    assert_eq!(expr.node().to_string(), expected);
}

#[test]
fn conditions_of_columns_and_expressions_read_alike() {
    check(Todo::text.eq("it's"), "text eq 'it''s'");
    check(Todo::text.to_lower().eq("a"), "tolower(text) eq 'a'");
    check(Todo::text.eq(Todo::text.trim()), "text eq trim(text)");
    check(Todo::text.ne(None::<String>), "text ne null");
    check(Todo::text.length().gt(3), "length(text) gt 3");
    check(Todo::text.index_of("a").eq(-1), "indexof(text, 'a') eq -1");
    check(Todo::text.substring(1).contains("x"), "contains(substring(text, 1), 'x')");
    check(Todo::text.substring_len(0, Todo::count).is_null(), "substring(text, 0, count) eq null");
    check(Todo::text.replace("a", &String::from("b")).ne("c"), "replace(text, 'a', 'b') ne 'c'");
    check(
        Todo::text.concat(Todo::text.to_upper()).ends_with("X"),
        "endswith(concat(text, toupper(text)), 'X')",
    );
    check(Todo::due_at.year().between(2020, 2024), "year(dueAt) ge 2020 and year(dueAt) le 2024");
    check(Todo::owner.is_in([Uuid::nil()]), "owner eq 00000000-0000-0000-0000-000000000000");
    check(Todo::count.is_in([1, 2]), "count eq 1 or count eq 2");
    check(Todo::count.is_in(vec![Some(1), None]), "count eq 1 or count eq null");
    check(Todo::count.is_in(Vec::<i32>::new()), "false");
    check(Todo::complete & Todo::text.eq("a") & !Todo::complete, "complete and text eq 'a' and not complete");
    check(Todo::complete | !(Todo::count.lt(1) | Todo::complete), "complete or not (count lt 1 or complete)");
    check(Todo::complete.not().and(true), "not complete and true");
    check(Todo::complete.eq(Todo::count.gt(1)), "complete eq (count gt 1)");
}

#[test]
fn numbers_are_calculated_with_operators_and_methods() {
    check((Todo::count + 1).gt(2), "(count add 1) gt 2");
    check((1 + Todo::count * 2).gt(Todo::count), "(1 add (count mul 2)) gt count");
    check((Todo::count - Todo::count / 2 % 3).le(0), "(count sub ((count div 2) mod 3)) le 0");
    check(
        Todo::count.add(1).sub(2).mul(3).div(4).rem(5).eq(6),
        "(((((count add 1) sub 2) mul 3) div 4) mod 5) eq 6",
    );
    check((2.5 / Todo::price).round().eq(1.0), "round(2.5 div price) eq 1.0");
    check((1 - (Todo::bytes + 1)).eq(5_000_000_000), "(1 sub (bytes add 1)) eq 5000000000");
    check(Todo::price.floor().lt(Todo::price.ceiling()), "floor(price) lt ceiling(price)");
    // Narrower columns and expressions stand where wide ones are wanted.
    check(Todo::bytes.gt(Todo::count), "bytes gt count");
    check((Todo::bytes + Todo::text.length()).gt(1), "(bytes add length(text)) gt 1");
    check(Todo::price.gt(Todo::ratio), "price gt ratio");
    check(Todo::count.to_i64().gt(Todo::bytes), "count gt bytes");
    check((Todo::count.to_f64() / 2.0).gt(Todo::ratio.to_f64()), "((count mul 1.0) div 2.0) gt ratio");
}

#[test]
fn days_and_times_of_day_compare_with_those_of_chrono() {
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).expect("a day");
    let time = NaiveTime::from_hms_milli_opt(7, 14, 0, 5).expect("a time");
    check(Todo::due_at.date().eq(day), "date(dueAt) eq 2024-02-29T00:00:00.000Z");
    check(Todo::due_at.time().lt(time), "time(dueAt) lt 1970-01-01T07:14:00.005Z");
    check(Todo::due_at.date().ne(Todo::due_at.date()), "date(dueAt) ne date(dueAt)");
}

#[test]
fn one_local_column_makes_a_filter_local_until_the_app_says_otherwise() {
    fn local(expr: Expr<Todo, bool, LocalOnly>) -> Expr<Todo, bool, LocalOnly> {
        expr
    }
    fn portable(expr: impl IntoExpr<Todo, bool, Scope: Sendable>) -> Node {
        expr.into_expr().into_node()
    }
    let mixed = [
        local(Todo::draft.eq("a")),
        local(Todo::text.eq(Todo::draft)),
        local(Todo::text.contains(Todo::draft.trim())),
        local(Todo::text.eq("a") & Todo::pinned),
        local(Todo::pinned | Todo::text.eq("a")),
        local(!Todo::pinned),
        local((Todo::count + Todo::draft.length()).gt(1)),
        local(Todo::text.length().between(0, Todo::draft.length())),
        local(Todo::text.is_in([Todo::draft])),
        local(Todo::text.substring_len(0, Todo::draft.length()).is_null()),
    ];
    for filter in mixed {
        assert_eq!(&portable(filter.clone().local_rest()), filter.node());
    }
    assert_eq!(portable(Todo::pinned.local_rest()), Todo::pinned.into_node());
    assert_eq!(portable(Todo::complete), Todo::complete.into_node());
    assert_eq!(portable(Todo::all()), Node::ALWAYS);
    assert_eq!(portable(Todo::complete.local_rest()), Todo::complete.into_node());
    let predicate = Predicate::from(Todo::draft.eq("a"));
    assert_eq!(predicate.table, &TODO);
}

#[test]
fn orders_have_a_column_or_an_expression() {
    assert_eq!(Todo::draft.desc().parts(), (&TODO.columns[8], true));
    let by_length = Todo::text.length().asc();
    assert_eq!((by_length.parts().0.to_string(), by_length.parts().1), ("length(text)".to_owned(), false));
    let by_column = OrderByExpr::from(Todo::count.desc());
    assert_eq!(by_column.parts(), (&Todo::count.into_node(), true));
}
