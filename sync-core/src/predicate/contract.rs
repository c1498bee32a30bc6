//! The published meaning of predicates as cases with their answers: what every engine must agree on.
//!
//! Each case is one condition, one row and whether the condition holds for it, under a topic of the guide
//! `docs/predicates.md`. An engine is tested by storing the row in a table like [`TABLE`] and asking for the rows for
//! which the condition holds.
//!
//! ```
//! use sync_core::evaluate::matches;
//! use sync_core::predicate::contract::{TABLE, cases};
//! use sync_core::row::TableRow;
//!
//! for case in cases() {
//!     let row = TableRow { table: &TABLE, row: &case.row };
//!     assert_eq!(matches(&case.condition, &row), case.holds, "{}: {}", case.topic, case.condition);
//! }
//! ```

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::entity::{ColumnSchema, TableSchema};
use crate::expression::{Column, Expr};
use crate::predicate::{Comparison, Node};
use crate::row::Row;
use crate::time;
use crate::value::{ColumnType, ColumnValue, IntegerWidth, Value};

/// One condition over one row.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Case {
    /// The row of the guide's table this belongs to.
    pub topic: &'static str,
    /// The condition, over [`TABLE`].
    pub condition: Node,
    /// The row; columns a case does not name are null.
    pub row: Row,
    /// Whether the condition holds for the row.
    pub holds: bool,
}

const fn column(name: &'static str, ty: ColumnType) -> ColumnSchema {
    ColumnSchema::new(name, ty).with_nullable(true)
}

/// The table of the cases; every column allows null.
pub static TABLE: TableSchema = TableSchema {
    name: "Semantics",
    columns: &[
        column("text", ColumnType::Text),
        column("other", ColumnType::Text),
        column("flag", ColumnType::Bool),
        column("small", ColumnType::Integer(IntegerWidth::I32)),
        column("number", ColumnType::Integer(IntegerWidth::I64)),
        column("divisor", ColumnType::Integer(IntegerWidth::I64)),
        column("real", ColumnType::Double),
        column("at", ColumnType::DateTime),
        column("until", ColumnType::DateTime),
    ],
    versioned: true,
    keep_deleted: false,
};

/// An entity of [`TABLE`].
struct Semantics;

const TEXT: Column<Semantics, String> = Column::__new(&TABLE.columns[0]);
const OTHER: Column<Semantics, String> = Column::__new(&TABLE.columns[1]);
const FLAG: Column<Semantics, bool> = Column::__new(&TABLE.columns[2]);
const SMALL: Column<Semantics, i32> = Column::__new(&TABLE.columns[3]);
const NUMBER: Column<Semantics, i64> = Column::__new(&TABLE.columns[4]);
const DIVISOR: Column<Semantics, i64> = Column::__new(&TABLE.columns[5]);
const REAL: Column<Semantics, f64> = Column::__new(&TABLE.columns[6]);
const AT: Column<Semantics, DateTime<Utc>> = Column::__new(&TABLE.columns[7]);
const UNTIL: Column<Semantics, DateTime<Utc>> = Column::__new(&TABLE.columns[8]);

/// The cases of all topics.
pub fn cases() -> Vec<Case> {
    let mut cases = Cases { topic: "", list: Vec::new() };
    text_and_null(&mut cases);
    numbers(&mut cases);
    instants(&mut cases);
    cases.list
}

struct Cases {
    topic: &'static str,
    list: Vec<Case>,
}

impl Cases {
    fn topic(&mut self, topic: &'static str) {
        self.topic = topic;
    }

    /// The condition is true for the row, its complement false.
    fn holds(&mut self, row: &Row, condition: Expr<Semantics, bool>) {
        self.push(row, condition.into_node(), true);
    }

    /// The condition is false for the row, its complement true.
    fn fails(&mut self, row: &Row, condition: Expr<Semantics, bool>) {
        self.push(row, condition.into_node(), false);
    }

    fn push(&mut self, row: &Row, condition: Node, holds: bool) {
        for (condition, holds) in [(condition.clone(), holds), (condition.negate(), !holds)] {
            self.list.push(Case { topic: self.topic, condition, row: row.clone(), holds });
        }
    }
}

/// A row of nulls but for these columns.
fn row<const N: usize>(values: [(&'static ColumnSchema, Value); N]) -> Row {
    let mut row = Row::new("1", vec![Value::Null; TABLE.columns.len()]);
    for (column, value) in values {
        if let Some(index) = TABLE.column_index(column.name) {
            row.values[index] = Some(value);
        }
    }
    row
}

fn set<T: ColumnValue>(column: Column<Semantics, T>, value: T) -> (&'static ColumnSchema, Value) {
    (column.schema(), value.to_value())
}

fn text(value: &str) -> Row {
    row([set(TEXT, value.to_owned())])
}

fn texts(value: &str, other: &str) -> Row {
    row([set(TEXT, value.to_owned()), set(OTHER, other.to_owned())])
}

fn number(value: i64) -> Row {
    row([set(NUMBER, value)])
}

fn real(value: f64) -> Row {
    row([set(REAL, value)])
}

fn instant(text: &str) -> DateTime<Utc> {
    time::parse(text).unwrap_or_default()
}

fn at(text: &str) -> Row {
    row([set(AT, instant(text))])
}

fn text_and_null(cases: &mut Cases) {
    let nulls = &row([]);
    cases.topic("null");
    cases.holds(nulls, TEXT.is_null());
    cases.fails(nulls, TEXT.is_not_null());
    cases.holds(nulls, TEXT.eq(OTHER));
    cases.fails(nulls, TEXT.ne(OTHER));
    cases.holds(nulls, TEXT.ne("a"));
    cases.fails(nulls, TEXT.eq("a"));
    cases.fails(nulls, TEXT.eq(""));
    cases.fails(&text("a"), TEXT.eq(OTHER));
    cases.holds(&text("a"), TEXT.ne(OTHER));
    cases.holds(nulls, TEXT.eq(None::<String>));
    cases.fails(nulls, NUMBER.gt(0));
    cases.fails(nulls, NUMBER.le(0));
    cases.holds(nulls, NUMBER.gt(0).not());
    cases.fails(nulls, NUMBER.gt(0).or(NUMBER.le(0)));
    cases.fails(nulls, NUMBER.between(i64::MIN, i64::MAX));
    cases.fails(nulls, TEXT.contains(""));
    cases.holds(nulls, TEXT.contains("").not());
    cases.fails(&text("a"), TEXT.starts_with(OTHER));
    cases.fails(nulls, FLAG.and(true));
    cases.holds(nulls, FLAG.not());
    cases.holds(nulls, FLAG.ne(false));
    cases.holds(nulls, TEXT.length().is_null());
    cases.holds(nulls, (NUMBER + 1).is_null());
    cases.holds(nulls, (1 - NUMBER).is_null());
    cases.holds(&text("a"), TEXT.concat(OTHER).is_null());
    cases.holds(&text("a"), TEXT.replace("x", OTHER).is_null());
    cases.holds(&text("a"), TEXT.replace("", OTHER).is_null());
    cases.holds(&text("a"), TEXT.substring(SMALL).is_null());
    cases.holds(nulls, AT.date().is_null());
    cases.holds(nulls, AT.year().ne(2024));
    cases.holds(nulls, AT.date().eq(UNTIL.date()));

    cases.topic("letter case");
    cases.fails(&text("Milk"), TEXT.eq("milk"));
    cases.fails(&text("Milk"), TEXT.contains("milk"));
    cases.holds(&text("Milk"), TEXT.to_lower().eq("milk"));
    cases.holds(&text("Milk"), TEXT.to_upper().eq("MILK"));
    cases.holds(&text("ÄÖ A"), TEXT.to_lower().eq("ÄÖ a"));
    cases.holds(&text("straße é"), TEXT.to_upper().eq("STRAßE é"));

    cases.topic("Unicode");
    cases.holds(&text("ä😀"), TEXT.length().eq(2));
    cases.holds(&text("a\u{308}"), TEXT.length().eq(2));
    cases.fails(&text("a\u{308}"), TEXT.eq("ä"));
    cases.holds(&text("😀äx"), TEXT.index_of("x").eq(2));
    cases.holds(&text("😀äx"), TEXT.substring(1).eq("äx"));
    cases.holds(&text("😀äx"), TEXT.substring_len(0, 1).eq("😀"));
    cases.holds(&text("\u{10ffff}x"), TEXT.starts_with("\u{10ffff}"));

    cases.topic("collation");
    cases.holds(&text("Z"), TEXT.lt("a"));
    cases.holds(&text("ä"), TEXT.gt("z"));
    cases.holds(&text("\u{ffff}"), TEXT.lt("\u{10000}"));
    cases.holds(&text("10"), TEXT.lt("9"));
    cases.fails(&text("1000"), TEXT.contains("0%"));
    cases.holds(&text("100%"), TEXT.ends_with("0%"));
    cases.fails(&text("ab"), TEXT.starts_with("_b"));
    cases.fails(&text("[a]"), TEXT.eq("a"));
    cases.fails(&text("a "), TEXT.eq("a"));
    cases.holds(&text("a "), TEXT.gt("a"));
    cases.holds(&text("a*b"), TEXT.index_of("*").eq(1));

    cases.topic("substring out of range");
    cases.holds(&text("abc"), TEXT.substring(9).eq(""));
    cases.holds(&text("abc"), TEXT.substring(3).eq(""));
    cases.holds(&text("abc"), TEXT.substring(-1).eq("abc"));
    cases.holds(&text("abc"), TEXT.substring(i32::MAX).eq(""));
    cases.holds(&text("abc"), TEXT.substring(i32::MIN).eq("abc"));
    cases.holds(&text("abc"), TEXT.substring_len(1, 9).eq("bc"));
    cases.holds(&text("abc"), TEXT.substring_len(1, 0).eq(""));
    cases.holds(&text("abc"), TEXT.substring_len(1, -1).eq(""));
    cases.holds(&text("abc"), TEXT.substring_len(-2, 2).eq("ab"));
    cases.holds(&text("abc"), TEXT.index_of("x").eq(-1));
    cases.holds(&text("abc"), TEXT.index_of("").eq(0));
    cases.holds(&text(""), TEXT.index_of("").eq(0));

    cases.topic("blanks");
    cases.holds(&text("  a b  "), TEXT.trim().eq("a b"));
    cases.holds(&text(" \ta\n "), TEXT.trim().eq("\ta\n"));
    cases.holds(&text("\u{a0}a"), TEXT.trim().eq("\u{a0}a"));
    cases.holds(&text("   "), TEXT.trim().eq(""));

    cases.topic("replace");
    cases.holds(&text("a.a"), TEXT.replace("a", "bb").eq("bb.bb"));
    cases.holds(&text("aaa"), TEXT.replace("aa", "b").eq("ba"));
    cases.holds(&text("ab"), TEXT.replace("", "x").eq("ab"));
    cases.holds(&texts("a-b", "-"), TEXT.replace(OTHER, "").eq("ab"));

    cases.topic("U+0000");
    cases.holds(&text("a\0b"), TEXT.eq("a\0b"));
    cases.fails(&text("a\0b"), TEXT.eq("a"));
    cases.holds(&text("a\0b"), TEXT.gt("a"));
    cases.holds(&text("a\0b"), TEXT.contains("\0b"));
    cases.holds(&text("a\0b"), TEXT.ends_with("b"));
    cases.holds(&text("a\0b"), TEXT.starts_with("a\0"));
    cases.holds(&text("a\0b"), TEXT.index_of("b").eq(2));
    cases.holds(&text("a\0b"), TEXT.length().eq(3));
    cases.holds(&text("a\0b"), TEXT.substring(1).eq("\0b"));
    cases.holds(&text("a\0b"), TEXT.substring_len(0, 2).eq("a\0"));
    cases.holds(&text("a\0b"), TEXT.replace("\0", "").eq("ab"));
    cases.holds(&text("a\0b"), TEXT.replace("b", "c").eq("a\0c"));
    cases.holds(&text("a\0b"), TEXT.to_upper().eq("A\0B"));
    cases.holds(&texts("a\0", "b"), TEXT.concat(OTHER).eq("a\0b"));

    cases.topic("lists");
    cases.fails(&text("a"), TEXT.is_in(Vec::<String>::new()));
    cases.fails(nulls, TEXT.is_in(Vec::<String>::new()));
    cases.holds(&text("a"), TEXT.is_in(["b", "a"]));
    cases.fails(nulls, TEXT.is_in(["b", "a"]));
    cases.holds(nulls, NUMBER.is_in([None, Some(1)]));
    cases.holds(&number(2), NUMBER.between(2, 2));
    cases.fails(&number(2), NUMBER.between(3, 1));
}

fn numbers(cases: &mut Cases) {
    let pair = |number, divisor| row([set(NUMBER, number), set(DIVISOR, divisor)]);
    cases.topic("integer overflow");
    cases.holds(&row([set(SMALL, i32::MAX)]), (SMALL + 1).gt(SMALL));
    cases.holds(&row([set(SMALL, i32::MAX)]), (SMALL.to_i64() + 1).eq(2_147_483_648));
    cases.holds(&number(i64::MAX), (NUMBER + 1).gt(NUMBER));
    cases.holds(&number(i64::MIN), (NUMBER - 1).le(NUMBER));
    cases.holds(&number(i64::MAX), (NUMBER * 4).gt(NUMBER * 2));
    cases.holds(&pair(i64::MIN, -1), (NUMBER / DIVISOR).gt(i64::MAX));
    cases.holds(&pair(i64::MIN, -1), (NUMBER % DIVISOR).eq(0));
    cases.holds(&number((1 << 53) + 1), (NUMBER + 1).eq((1 << 53) + 2));

    cases.topic("division by zero");
    cases.holds(&pair(1, 0), (NUMBER / DIVISOR).is_null());
    cases.holds(&pair(1, 0), (NUMBER % DIVISOR).is_null());
    cases.fails(&pair(1, 0), (NUMBER / DIVISOR).gt(0));
    cases.holds(&real(1.0), (REAL / 0.0).is_null());
    cases.holds(&real(1.0), (REAL % 0.0).is_null());
    cases.holds(&real(1.0), (REAL % 0.5).is_null());
    cases.holds(&real(0.0), (1.0 / REAL).is_null());

    cases.topic("integer division");
    cases.holds(&number(7), (NUMBER / 2).eq(3));
    cases.holds(&number(-7), (NUMBER / 2).eq(-3));
    cases.holds(&number(7), (NUMBER.to_f64() / 2.0).eq(3.5));
    cases.holds(&real(7.0), (REAL / 2.0).eq(3.5));

    cases.topic("modulo of negatives");
    cases.holds(&number(-7), (NUMBER % 2).eq(-1));
    cases.holds(&number(7), (NUMBER % -2).eq(1));
    cases.holds(&number(-7), (NUMBER % -2).eq(-1));
    cases.holds(&real(-7.9), (REAL % 2.9).eq(-1.0));

    cases.topic("rounding");
    for (value, rounded, floor, ceiling) in [
        (2.5, 3.0, 2.0, 3.0),
        (-2.5, -3.0, -3.0, -2.0),
        (0.5, 1.0, 0.0, 1.0),
        (-0.5, -1.0, -1.0, 0.0),
        (2.4, 2.0, 2.0, 3.0),
        (-2.4, -2.0, -3.0, -2.0),
        (4_503_599_627_370_497.0, 4_503_599_627_370_497.0, 4_503_599_627_370_497.0, 4_503_599_627_370_497.0),
        (1e300, 1e300, 1e300, 1e300),
    ] {
        let row = &real(value);
        cases.holds(row, REAL.round().eq(rounded));
        cases.holds(row, REAL.floor().eq(floor));
        cases.holds(row, REAL.ceiling().eq(ceiling));
    }
    cases.holds(&number(i64::MAX), NUMBER.round().eq(NUMBER));
    cases.holds(&number(i64::MIN), NUMBER.floor().eq(NUMBER));

    cases.topic("reals");
    let above = Node::Compare(Comparison::Gt, Box::new(NUMBER.into_node()), Box::new(REAL.into_node()));
    let beside = row([set(NUMBER, (1 << 53) + 1), set(REAL, 9_007_199_254_740_992.0)]);
    cases.push(&beside, above, true);
    cases.holds(&beside, REAL.eq(NUMBER.to_f64()));
    cases.holds(&real(-0.0), REAL.eq(0.0));
    cases.holds(&real(5e-324), REAL.gt(0.0));
    cases.fails(&real(1.0), REAL.eq(f64::NAN));
    cases.holds(&real(1.0), REAL.ne(f64::NAN));
    cases.fails(&real(1.0), REAL.lt(f64::NAN));
    cases.holds(&real(f64::MAX), REAL.lt(f64::INFINITY));
    cases.holds(&real(1e300), (REAL * 1e300).gt(f64::MAX));
    cases.holds(&real(1e300), (REAL * 1e300).eq(f64::INFINITY));
    let infinite = REAL * 1e300;
    cases.holds(&real(1e300), infinite.clone().sub(infinite).is_null());
}

fn instants(cases: &mut Cases) {
    let tick = "2024-02-29T12:00:00.1234567Z";
    cases.topic("date precision");
    cases.holds(&at(tick), AT.eq(instant(tick)));
    cases.fails(&at(tick), AT.eq(instant("2024-02-29T12:00:00.1234566Z")));
    cases.holds(&at(tick), AT.gt(instant("2024-02-29T12:00:00.1234566Z")));
    cases.holds(&at(tick), AT.lt(instant("2024-02-29T12:00:00.1234568Z")));
    cases.holds(&at(tick), AT.gt(instant("2024-02-29T12:00:00.123Z")));
    cases.holds(&at("2024-02-29T12:00:59.9999999Z"), AT.second().eq(59));
    cases.holds(&at("1969-12-31T23:59:59.9999999Z"), AT.second().eq(59).and(AT.year().eq(1969)));
    cases.holds(&at("1969-12-31T23:59:59.9999999Z"), AT.lt(DateTime::UNIX_EPOCH));
    cases.holds(
        &at("0001-01-01T00:00:00.0000001Z"),
        AT.year().eq(1).and(AT.gt(instant("0001-01-01T00:00:00Z"))),
    );
    cases.holds(&at("9999-12-31T23:59:59.9999999Z"), AT.year().eq(9999).and(AT.hour().eq(23)));
    cases.holds(&at("2024-02-29T00:00:00Z"), AT.month().eq(2).and(AT.day().eq(29)));
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let time = |text: &str| text.parse::<NaiveTime>().unwrap_or_default();
    cases.holds(&at(tick), AT.date().eq(day(2024, 2, 29)));
    cases.holds(&at(tick), AT.date().ge(day(2024, 2, 29)).and(AT.date().le(day(2024, 2, 29))));
    cases.fails(&at(tick), AT.date().gt(day(2024, 2, 29)));
    cases.fails(&at(tick), AT.date().lt(day(2024, 2, 29)));
    cases.holds(&at(tick), AT.date().between(day(2024, 2, 28), day(2024, 3, 1)));
    cases.holds(&at("1969-12-31T23:59:59.9999999Z"), AT.date().eq(day(1969, 12, 31)));
    cases.holds(&at("0001-01-01T00:00:00.0000001Z"), AT.date().eq(day(1, 1, 1)));
    cases.holds(&at("9999-12-31T23:59:59.9999999Z"), AT.date().eq(day(9999, 12, 31)));
    cases.holds(&at(tick), AT.time().eq(time("12:00:00.1234567")));
    cases.holds(&at(tick), AT.time().gt(time("12:00:00.123")));
    cases.fails(&at(tick), AT.time().gt(time("12:00:00.1234567")));
    cases.holds(&at("1969-12-31T23:59:59.9999999Z"), AT.time().eq(time("23:59:59.9999999")));
    cases.holds(&at("0001-01-01T00:00:00Z"), AT.time().eq(NaiveTime::MIN));
    let two = row([set(AT, instant(tick)), set(UNTIL, instant("2024-02-29T23:00:00Z"))]);
    cases.holds(&two, AT.date().eq(UNTIL.date()));
    cases.holds(&two, AT.time().lt(UNTIL.time()));

    cases.topic("zones");
    cases.holds(&at("2024-01-01T00:30:00+02:00"), AT.eq(instant("2023-12-31T22:30:00Z")));
    cases.holds(&at("2024-01-01T00:30:00+02:00"), AT.year().eq(2023).and(AT.hour().eq(22)));
    cases.holds(&at("2024-01-01T00:30:00+02:00"), AT.date().eq(day(2023, 12, 31)));
    cases.holds(&at("2023-12-31T23:30:00-05:30"), AT.date().eq(day(2024, 1, 1)).and(AT.minute().eq(0)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::matches;
    use crate::row::TableRow;

    fn check(topic: &str) {
        let cases: Vec<Case> = cases().into_iter().filter(|case| case.topic == topic).collect();
        assert!(cases.len() >= 4, "the topic has cases");
        for case in cases {
            let row = TableRow { table: &TABLE, row: &case.row };
            assert_eq!(matches(&case.condition, &row), case.holds, "{} over {:?}", case.condition, case.row);
        }
    }

    macro_rules! topics {
        ($($test:ident $topic:literal;)*) => {
            $(#[test]
            fn $test() {
                check($topic);
            })*

            /// The guide has a row for each topic, which names its test, and no others.
            #[test]
            fn the_guide_names_the_test_of_each_topic() {
                let guide = include_str!("../../../docs/predicates.md");
                let topics = [$(($topic, stringify!($test))),*];
                for (topic, test) in topics {
                    let row = guide.lines().find(|line| line.starts_with(&format!("| {topic} |")));
                    assert!(row.is_some_and(|row| row.ends_with(&format!("| `{test}` |"))), "{topic}");
                }
                assert_eq!(guide.matches("| `semantics_").count(), topics.len());
                for case in cases() {
                    assert!(topics.iter().any(|(topic, _)| *topic == case.topic), "{}", case.topic);
                }
            }
        };
    }

    topics! {
        semantics_null "null";
        semantics_letter_case "letter case";
        semantics_unicode "Unicode";
        semantics_collation "collation";
        semantics_integer_overflow "integer overflow";
        semantics_division_by_zero "division by zero";
        semantics_integer_division "integer division";
        semantics_modulo_of_negatives "modulo of negatives";
        semantics_rounding "rounding";
        semantics_substring_out_of_range "substring out of range";
        semantics_date_precision "date precision";
        semantics_zones "zones";
        semantics_reals "reals";
        semantics_nul "U+0000";
        semantics_blanks "blanks";
        semantics_replace "replace";
        semantics_lists "lists";
    }
}
