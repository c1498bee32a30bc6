//! Random tables, rows and predicates, made from one seed.
//!
//! Values come from small pools of troublemakers, so that equal ones meet often. Predicates are what the typed
//! surface can write: kinds fit everywhere.

use chrono::{DateTime, Utc};
use fastrand::Rng;
use sync_core::entity::{self, ColumnSchema, TableSchema};
use sync_core::predicate::{Comparison, Function, Kind, Node};
use sync_core::row::Row;
use sync_core::value::{ColumnType, IntegerWidth, Value};
use sync_core::{evaluate, time};
use uuid::Uuid;

use super::Sample;

/// Deepest nesting of a condition, and of an expression within it.
const DEPTH: u32 = 3;

const NAMES: [&str; 20] = [
    "text",
    "complete",
    "n",
    "price",
    "dueAt",
    "batch",
    "contains",
    "length",
    "eq",
    "and",
    "or",
    "in",
    "mod",
    "order",
    "group",
    "year",
    "substringof",
    "datetimeoffset",
    "X",
    "_x9",
];

const TYPES: [ColumnType; 13] = [
    ColumnType::Text,
    ColumnType::Bool,
    ColumnType::Integer(IntegerWidth::I8),
    ColumnType::Integer(IntegerWidth::I16),
    ColumnType::Integer(IntegerWidth::I32),
    ColumnType::Integer(IntegerWidth::I64),
    ColumnType::Integer(IntegerWidth::U8),
    ColumnType::Integer(IntegerWidth::U16),
    ColumnType::Integer(IntegerWidth::U32),
    ColumnType::Float,
    ColumnType::Double,
    ColumnType::DateTime,
    ColumnType::Uuid,
];

const COMPARISONS: [Comparison; 6] =
    [Comparison::Eq, Comparison::Ne, Comparison::Gt, Comparison::Ge, Comparison::Lt, Comparison::Le];

const TEXTS: [&str; 39] = [
    "",
    " ",
    "a",
    "A",
    "b",
    "ab",
    "AB",
    "milk",
    "Pick up milk",
    "MILK",
    "it's",
    "''",
    "'",
    "%",
    "_",
    "100%",
    "\\",
    "\"",
    "?",
    "ä",
    "a\u{308}",
    "ÄÖ",
    "ß",
    "İ",
    "é",
    "\u{1f600}",
    "\u{ffff}",
    "\u{10ffff}",
    " a ",
    "\u{a0}a\t",
    "%27",
    "&$top=1",
    "\0",
    "a\0b",
    "\0\\u0000",
    "\n",
    "null",
    "1",
    "') or (1 eq 1",
];

const INTEGERS: [i64; 18] = [
    0,
    1,
    -1,
    2,
    3,
    -3,
    7,
    42,
    127,
    255,
    -128,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
];

const REALS: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -1.5,
    -2.5,
    0.1,
    1e-7,
    1e20,
    1e300,
    5e-324,
    42.0,
    0.499_999_999_999_999_94,
    9_007_199_254_740_993.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    f64::MAX,
];

const INSTANTS: [&str; 14] = [
    "0001-01-01T00:00:00Z",
    "0999-12-31T23:59:59.999Z",
    "1900-02-28T23:59:59.9999999Z",
    "1969-12-31T23:59:59.9999999Z",
    "1970-01-01T00:00:00Z",
    "2000-02-29T00:00:00.001Z",
    "2024-02-29T12:00:00Z",
    "2024-02-29T12:00:00.1Z",
    "2024-02-29T12:00:00.1000001Z",
    "2024-02-29T12:00:00.100001Z",
    "2024-02-29T12:00:00.101Z",
    "2024-02-29T23:59:59.9999999Z",
    "2100-03-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
];

const UUIDS: [u128; 5] = [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, 0x9f << 120];

/// Draws everything from one stream of numbers.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
}

impl Generator {
    /// The same seed always makes the same.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    /// A table of one to eight columns.
    ///
    /// It lives as long as the process: schemas are constants everywhere else.
    pub fn table(&mut self) -> &'static TableSchema {
        let mut names = NAMES;
        self.rng.shuffle(&mut names);
        let count = self.rng.usize(1..=8);
        let columns: Vec<ColumnSchema> = names[..count]
            .iter()
            .map(|name| {
                let ty = self.pick(&TYPES);
                ColumnSchema::new(name, ty).with_nullable(self.rng.u8(0..3) > 0)
            })
            .collect();
        Box::leak(Box::new(TableSchema {
            name: "Sample",
            columns: columns.leak(),
            versioned: true,
            keep_deleted: true,
        }))
    }

    /// A row unknown to any server; about one in six is to be deleted there.
    pub fn row(&mut self, table: &'static TableSchema, index: usize) -> Row {
        let ids = ["a", "A", "it's", "ä", "100%", "b c"];
        let id = format!("{}{index}", self.pick(&ids));
        let values = table.columns.iter().map(|column| self.stored(column)).collect();
        Row { deleted: self.rng.u8(0..6) == 0, ..Row::new(id, values) }
    }

    /// A value the column can hold.
    fn stored(&mut self, column: &ColumnSchema) -> Value {
        if column.nullable && self.rng.u8(0..4) == 0 {
            return Value::Null;
        }
        match column.ty {
            ColumnType::Integer(width) => loop {
                let number = self.pick(&INTEGERS);
                if width.contains(number) {
                    return Value::Integer(number);
                }
            },
            ColumnType::Float => loop {
                let number = self.pick(&REALS) as f32;
                if number.is_finite() {
                    return Value::Real(number.into());
                }
            },
            ColumnType::Double => Value::Real(self.pick(&REALS)),
            ty => self.literal(Kind::of(ty)),
        }
    }

    /// A constant of a kind.
    fn literal(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Text => {
                let mut text = self.pick(&TEXTS).to_owned();
                if self.rng.u8(0..4) == 0 {
                    text.push_str(self.pick(&TEXTS));
                }
                Value::Text(text)
            }
            Kind::Bool => Value::Bool(self.rng.bool()),
            Kind::Number if self.rng.bool() => Value::Integer(self.pick(&INTEGERS)),
            Kind::Number => Value::Real(self.pick(&REALS)),
            Kind::DateTime => Value::DateTime(instant(self.pick(&INSTANTS))),
            Kind::Uuid => Value::Uuid(Uuid::from_u128(self.pick(&UUIDS))),
            _ => Value::Null,
        }
    }

    /// A condition over the sample's table; half of the constants compared with a column are values it holds.
    pub fn predicate(&mut self, sample: &Sample) -> Node {
        self.condition(sample, DEPTH)
    }

    fn condition(&mut self, sample: &Sample, depth: u32) -> Node {
        let deeper = if depth == 0 { 0 } else { 4 };
        match self.rng.u8(0..10 + deeper) {
            0..=5 => self.comparison(sample, depth),
            6..=7 => self.call(sample, &[Kind::Bool], depth),
            8 => self.null_test(sample, depth),
            9 => match self.column(sample, Kind::Bool) {
                Some(column) => Node::Column(column),
                None => self.comparison(sample, depth),
            },
            10 => self.condition(sample, depth - 1).negate(),
            11 => self.condition(sample, depth - 1).and(self.condition(sample, depth - 1)),
            12 => self.condition(sample, depth - 1).or(self.condition(sample, depth - 1)),
            _ => self.one_of(sample),
        }
    }

    fn comparison(&mut self, sample: &Sample, depth: u32) -> Node {
        let kinds =
            [Kind::Text, Kind::Text, Kind::Number, Kind::Number, Kind::DateTime, Kind::Uuid, Kind::Bool];
        let kind = self.pick(&kinds);
        let comparison = self.pick(&COMPARISONS);
        let left = self.value(sample, kind, depth);
        let right = match left {
            Node::Column(column) if self.rng.bool() => Node::Literal(self.held(sample, column)),
            Node::Call(..) if self.rng.bool() => match self.computed(sample, &left) {
                Some(value) => Node::Literal(value),
                None => self.value(sample, kind, depth),
            },
            _ => self.value(sample, kind, depth),
        };
        // `null` stands only on the right in a filter's text; and two constants are nothing anybody writes.
        match (left, right) {
            (Node::Literal(_), Node::Literal(right)) => {
                let column = self.any_column(sample);
                let kind = Kind::of(column.ty);
                let right = if Kind::of_value(&right) == kind { right } else { self.literal(kind) };
                Node::compare(column, comparison, right)
            }
            (left, right) => Node::Compare(comparison, Box::new(left), Box::new(right)),
        }
    }

    /// A list as `is_in` makes it.
    fn one_of(&mut self, sample: &Sample) -> Node {
        let column = self.any_column(sample);
        let count = self.rng.usize(0..5);
        let equals = (0..count).map(|_| match self.held(sample, column) {
            Value::Null => Node::compare(column, Comparison::Eq, self.literal(Kind::of(column.ty))),
            value => Node::compare(column, Comparison::Eq, value),
        });
        Node::Or(equals.collect())
    }

    fn null_test(&mut self, sample: &Sample, depth: u32) -> Node {
        let comparison = self.pick(&[Comparison::Eq, Comparison::Ne]);
        let kind = self.pick(&[Kind::Text, Kind::Number, Kind::DateTime, Kind::Uuid]);
        let tested = match self.value(sample, kind, depth) {
            Node::Literal(_) => Node::Column(self.any_column(sample)),
            value => value,
        };
        Node::Compare(comparison, Box::new(tested), Box::new(Node::Literal(Value::Null)))
    }

    fn value(&mut self, sample: &Sample, kind: Kind, depth: u32) -> Node {
        let call =
            depth > 0 && matches!(kind, Kind::Text | Kind::Number | Kind::DateTime) && self.rng.u8(0..3) == 0;
        if call {
            return self.call(sample, &[kind], depth - 1);
        }
        match self.column(sample, kind) {
            Some(column) if self.rng.u8(0..3) > 0 => Node::Column(column),
            _ => Node::Literal(self.literal(kind)),
        }
    }

    fn call(&mut self, sample: &Sample, kinds: &[Kind], depth: u32) -> Node {
        loop {
            let function = self.pick(&Function::ALL);
            if kinds.contains(&function.kind()) {
                let arguments = function.arguments().iter();
                let arguments = arguments.map(|kind| self.value(sample, *kind, depth)).collect();
                return Node::Call(function, arguments);
            }
        }
    }

    /// A value that some row has in the column, or one it could have.
    fn held(&mut self, sample: &Sample, column: &'static ColumnSchema) -> Value {
        let row = self.rng.usize(0..sample.rows.len());
        let row = sync_core::row::TableRow { table: sample.table, row: &sample.rows[row] };
        sync_core::row::RowView::value(&row, column).to_value()
    }

    /// What a node is for some row: only a comparison with it tells nearly right functions from right ones.
    fn computed(&mut self, sample: &Sample, node: &Node) -> Option<Value> {
        let row = &sample.rows[self.rng.usize(0..sample.rows.len())];
        let value = evaluate::evaluate(node, &sync_core::row::TableRow { table: sample.table, row });
        match value {
            Value::Null => None,
            Value::Real(number) if !number.is_finite() => None,
            Value::DateTime(instant) if !time::is_storable(instant) => None,
            value => Some(value),
        }
    }

    fn any_column(&mut self, sample: &Sample) -> &'static ColumnSchema {
        let system = [&entity::ID, &entity::UPDATED_AT, &entity::VERSION, &entity::DELETED];
        if self.rng.u8(0..6) == 0 {
            return self.pick(&system);
        }
        &sample.table.columns[self.rng.usize(0..sample.table.columns.len())]
    }

    fn column(&mut self, sample: &Sample, kind: Kind) -> Option<&'static ColumnSchema> {
        let system = [&entity::ID, &entity::UPDATED_AT, &entity::VERSION, &entity::DELETED];
        let fitting: Vec<&'static ColumnSchema> =
            sample.table.columns.iter().chain(system).filter(|column| Kind::of(column.ty) == kind).collect();
        (!fitting.is_empty()).then(|| self.pick(&fitting))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(0..from.len())]
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    time::parse(text).expect("a valid instant")
}
