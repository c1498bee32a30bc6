//! Bodies with rows: what a page holds, decoded row by row from the bytes.
//!
//! The engine scans a page once for a [`PageSummary`] (enough to decide what to ask next) and hands the bytes
//! on; the store then decodes the same bytes with [`for_each_row`] into borrowed [`WireRow`]s. Neither builds a
//! tree of JSON values. Every list shape of every dialect is read: an array, `{"results": [..]}` and
//! `{"items": [..]}`.
//!
//! A value that does not fit its column does not fail the page: the row carries a [`Fault`] and goes to
//! quarantine. So does one that no type of Rust can hold, half a surrogate pair or a number beyond `f64`: a body with
//! such a value is read once more, each value apart. A body that is not such a list fails as a whole, before anything is
//! stored. So does a list of more than 100,000 rows, which no page has that was asked for, and a row of more than 10,000
//! members: what is kept of an empty row is many times its three bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::entity::{ColumnRole, ColumnSchema, TableSchema};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Scalar, ScalarSeed, Text, push_string};
use crate::protocol::SystemNames;
use crate::row::{Row, RowView};
use crate::time;
use crate::value::{ColumnType, Value, ValueRef};

/// Most rows of a list. No profile asks for more on a page.
pub(crate) const MAX_ROWS: u32 = 100_000;
/// Most members of a row.
const MAX_MEMBERS: u32 = 10_000;

/// What a page holds, per row: id, version, change time and deletion mark; and its next link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSummary {
    text: String,
    rows: Vec<Spans>,
    next_link: Option<String>,
    shape: ListShape,
}

/// Where the list stands in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListShape {
    /// The body is the array.
    #[default]
    Array,
    /// The member `results` of an object.
    Results,
    /// The member `items` of an object: only servers of the newest generation answer so.
    Items,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Spans {
    id: Option<Range<usize>>,
    version: Option<Range<usize>>,
    updated_at: Option<DateTime<Utc>>,
    deleted: bool,
}

/// One row of a [`PageSummary`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSummary<'a> {
    /// The id, if the row has one.
    pub id: Option<&'a str>,
    /// The version, if the row has one.
    pub version: Option<&'a str>,
    /// The change time, if the row has one that can be read.
    pub updated_at: Option<DateTime<Utc>>,
    /// The soft delete mark.
    pub deleted: bool,
}

impl PageSummary {
    /// Scans a body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] when the body is not JSON, is cut off, is no list of objects, or has more than
    /// 100,000 rows or 10,000 members of one.
    pub fn scan(body: &[u8], names: &SystemNames) -> Result<Self> {
        Self::scan_values(body, names, Values::Inline)
            .or_else(|_| Self::scan_values(body, names, Values::Apart))
    }

    fn scan_values(body: &[u8], names: &SystemNames, values: Values) -> Result<Self> {
        let mut summary = Self::default();
        let frame = read_list(body, &mut ScanRow { summary: &mut summary, names, values })?;
        summary.next_link = frame.next_link;
        summary.shape = frame.shape;
        Ok(summary)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the page has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in page order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = RowSummary<'_>> {
        self.rows.iter().map(|spans| RowSummary {
            id: spans.id.clone().map(|range| &self.text[range]),
            version: spans.version.clone().map(|range| &self.text[range]),
            updated_at: spans.updated_at,
            deleted: spans.deleted,
        })
    }

    /// Greatest change time of the page.
    pub fn greatest_updated_at(&self) -> Option<DateTime<Utc>> {
        self.rows.iter().filter_map(|spans| spans.updated_at).max()
    }

    /// The `nextLink` member, if the body has one.
    pub fn next_link(&self) -> Option<&str> {
        self.next_link.as_deref()
    }

    /// Where the list stood in the body.
    pub fn shape(&self) -> ListShape {
        self.shape
    }
}

/// A value as it stands on the wire, converted to its column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// The row does not have the member.
    Absent,
    /// `null`.
    Null,
    /// For a boolean column.
    Bool(bool),
    /// For an integer column, within its range.
    Integer(i64),
    /// For a float column.
    Real(f64),
    /// For a text column.
    Text(Cow<'a, str>),
    /// For a date-time column.
    DateTime(DateTime<Utc>),
    /// For a uuid column.
    Uuid(Uuid),
}

/// A row of a page, borrowed from the body.
#[derive(Debug)]
pub struct WireRow<'a> {
    /// The id; a number is read as its text.
    pub id: Option<Cow<'a, str>>,
    /// The version.
    pub version: Option<Cow<'a, str>>,
    /// The change time; one that cannot be read counts as absent (L-32).
    pub updated_at: Option<DateTime<Utc>>,
    /// The soft delete mark; absent and null read as false (L-12).
    pub deleted: bool,
    /// Values in the order of [`TableSchema::columns`]. Members for local-only columns are left out.
    pub cells: Vec<Cell<'a>>,
    /// Members that are neither columns nor system properties, with their JSON text (L-18).
    pub extra: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The first value that does not fit its column.
    pub fault: Option<Fault>,
}

/// A value that does not fit its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// The column.
    pub column: &'static ColumnSchema,
}

impl WireRow<'_> {
    /// Whether every synced column has a value, none is faulty, and no unknown member came: the row can be
    /// stored by a prepared statement over all columns.
    pub fn is_regular(&self, table: &TableSchema) -> bool {
        self.fault.is_none()
            && self.extra.is_empty()
            && self.id.is_some()
            && table
                .columns
                .iter()
                .zip(&self.cells)
                .all(|(column, cell)| column.local || !matches!(cell, Cell::Absent))
    }

    /// Copies the row; `None` without an id.
    pub fn to_row(&self) -> Option<Row> {
        self.id.is_some().then(|| self.copy())
    }

    fn copy(&self) -> Row {
        Row {
            id: self.id.as_deref().unwrap_or_default().to_owned(),
            version: self.version.as_deref().map(str::to_owned),
            updated_at: self.updated_at,
            deleted: self.deleted,
            values: self.cells.iter().map(Cell::to_value).collect(),
            extra: self.extra_json(),
        }
    }

    /// The unknown members as the text of one JSON object; `None` if there are none.
    pub fn extra_json(&self) -> Option<String> {
        if self.extra.is_empty() {
            return None;
        }
        let mut out = String::from("{");
        for (index, (name, value)) in self.extra.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_string(&mut out, name);
            out.push(':');
            out.push_str(value.get());
        }
        out.push('}');
        Some(out)
    }
}

impl Cell<'_> {
    /// Copies the value; `None` if absent.
    pub fn to_value(&self) -> Option<Value> {
        self.as_value_ref().map(ValueRef::to_value)
    }

    fn as_value_ref(&self) -> Option<ValueRef<'_>> {
        Some(match self {
            Self::Absent => return None,
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value),
            Self::DateTime(value) => ValueRef::DateTime(*value),
            Self::Uuid(value) => ValueRef::Uuid(*value),
        })
    }
}

/// A [`WireRow`] with its table, as a [`RowView`].
#[derive(Clone, Copy, Debug)]
pub struct WireTableRow<'r, 'a> {
    /// The row's table.
    pub table: &'static TableSchema,
    /// The row.
    pub row: &'r WireRow<'a>,
}

impl RowView for WireTableRow<'_, '_> {
    fn value(&self, column: &'static ColumnSchema) -> ValueRef<'_> {
        match column.role {
            ColumnRole::Id => self.row.id.as_deref().map_or(ValueRef::Null, ValueRef::Text),
            ColumnRole::Version => self.row.version.as_deref().map_or(ValueRef::Null, ValueRef::Text),
            ColumnRole::UpdatedAt => self.row.updated_at.map_or(ValueRef::Null, ValueRef::DateTime),
            ColumnRole::Deleted => ValueRef::Bool(self.row.deleted),
            ColumnRole::User => self
                .table
                .column_index(column.name)
                .and_then(|index| self.row.cells.get(index)?.as_value_ref())
                .unwrap_or(ValueRef::Null),
        }
    }
}

/// Decodes the rows of a list body in page order.
///
/// # Errors
///
/// [`ErrorKind::InvalidResponse`] when the body is no list of objects; the first error of `each`, after which
/// no further row is decoded.
pub fn for_each_row<'a>(
    body: &'a [u8],
    table: &'static TableSchema,
    names: &SystemNames,
    each: impl FnMut(WireRow<'a>) -> Result<()>,
) -> Result<()> {
    let mut rows =
        DecodeRows { table, names, values: Values::Inline, hints: Vec::new(), each, done: 0, failure: None };
    let mut outcome = read_list(body, &mut rows);
    if outcome.is_err() && rows.failure.is_none() {
        rows.values = Values::Apart;
        outcome = read_list(body, &mut rows);
    }
    match rows.failure {
        Some(failure) => Err(failure),
        None => outcome.map(|_| ()),
    }
    .map_err(|error| error.with_table(table.name))
}

/// Decodes a body that is one row. A value that does not fit its column reads as absent: the write that the
/// answer is about has happened all the same. Without an id the row's id is empty.
///
/// # Errors
///
/// [`ErrorKind::InvalidResponse`] when the body is no JSON object.
pub fn decode_row(body: &[u8], table: &'static TableSchema, names: &SystemNames) -> Result<Row> {
    let read = |values| {
        let mut deserializer = serde_json::Deserializer::from_str(text(body)?);
        let row = RowSeed { table, names, values, hints: &mut Vec::new() }
            .deserialize(&mut deserializer)
            .and_then(|row| deserializer.end().map(|()| row))
            .map_err(not_json)?;
        Ok(row.copy())
    };
    read(Values::Inline).or_else(|_: Error| read(Values::Apart)).map_err(|error| error.with_table(table.name))
}

/// The JSON texts of the rows of a list body, for keeping a row that could not be stored.
///
/// # Errors
///
/// [`ErrorKind::InvalidResponse`] when the body is no list.
pub fn raw_rows(body: &[u8]) -> Result<Vec<&str>> {
    raw_list(body).map(|(_, rows)| rows)
}

/// Whether the JSON text of a row, as it was kept, is of this version. One without a version is of none.
pub fn is_of_version(
    raw: &str,
    table: &'static TableSchema,
    names: &SystemNames,
    version: Option<&str>,
) -> bool {
    let mut is_same = false;
    let read = for_each_row(format!("[{raw}]").as_bytes(), table, names, |row| {
        is_same = row.version.is_some() && row.version.as_deref() == version;
        Ok(())
    });
    read.is_ok() && is_same
}

/// Where the list stands, and the names of the members of each row. No value is looked at; what is no row is left out.
///
/// # Errors
///
/// [`ErrorKind::InvalidResponse`] when the body is no list.
pub(crate) fn member_names(body: &[u8]) -> Result<(ListShape, Vec<Vec<String>>)> {
    let (shape, rows) = raw_list(body)?;
    let names = |row: &&str| {
        let members: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_str(row).ok()?;
        Some(members.into_keys().map(Cow::into_owned).collect())
    };
    Ok((shape, rows.iter().filter_map(names).collect()))
}

fn raw_list(body: &[u8]) -> Result<(ListShape, Vec<&str>)> {
    struct Raw<'a>(Vec<&'a str>);
    impl<'a> ListReader<'a> for Raw<'a> {
        fn read_rows<A: SeqAccess<'a>>(&mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(raw) = seq.next_element::<&'a RawValue>()? {
                check_number(self.0.len(), MAX_ROWS, "rows")?;
                self.0.push(raw.get());
            }
            Ok(())
        }
    }
    let mut raw = Raw(Vec::new());
    let frame = read_list(body, &mut raw)?;
    Ok((frame.shape, raw.0))
}

/// Refuses one more than so many.
fn check_number<E: serde::de::Error>(known: usize, most: u32, of_what: &str) -> Result<(), E> {
    if known < most as usize { Ok(()) } else { Err(E::custom(format_args!("more than {most} {of_what}"))) }
}

const CUT_OFF: &str = "the answer is cut off";
const NOT_JSON: &str = "the answer is not the expected JSON";

fn not_json(source: serde_json::Error) -> Error {
    let what = if source.is_eof() { CUT_OFF } else { NOT_JSON };
    Error::new(ErrorKind::InvalidResponse, what).with_source(source)
}

/// The body as text. All of it is checked first: else a member that is skipped could hold what one that is kept cannot.
fn text(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|source| {
        let what = if source.error_len().is_none() { CUT_OFF } else { NOT_JSON };
        Error::new(ErrorKind::InvalidResponse, what).with_source(source)
    })
}

/// How the values of rows are read.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// As parts of the whole text: one that no type can hold ends the reading.
    Inline,
    /// Each as a text of its own: one that no type can hold reads as [`Scalar::Nested`], which fits no column.
    Apart,
}

impl Values {
    fn next<'de, A: MapAccess<'de>>(self, map: &mut A) -> Result<Scalar<'de>, A::Error> {
        match self {
            Self::Inline => map.next_value_seed(ScalarSeed),
            Self::Apart => {
                let raw = map.next_value::<&'de RawValue>()?;
                let mut value = serde_json::Deserializer::from_str(raw.get());
                Ok(ScalarSeed.deserialize(&mut value).unwrap_or(Scalar::Nested))
            }
        }
    }
}

/// Reads the rows of a list, wherever the list stands in the body.
trait ListReader<'de> {
    fn read_rows<A: SeqAccess<'de>>(&mut self, seq: A) -> Result<(), A::Error>;
}

/// What stands around the rows.
struct Frame {
    shape: ListShape,
    next_link: Option<String>,
}

fn read_list<'de>(body: &'de [u8], reader: &mut impl ListReader<'de>) -> Result<Frame> {
    let mut deserializer = serde_json::Deserializer::from_str(text(body)?);
    let frame = deserializer.deserialize_any(ListVisitor { reader }).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    Ok(frame)
}

struct ListVisitor<'r, R> {
    reader: &'r mut R,
}

impl<'de, R: ListReader<'de>> Visitor<'de> for ListVisitor<'_, R> {
    type Value = Frame;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Frame, A::Error> {
        self.reader.read_rows(seq).map(|()| Frame { shape: ListShape::Array, next_link: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame, A::Error> {
        let (mut next_link, mut found) = (None, None);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match &*name {
                "results" | "items" if found.is_none() => {
                    found = Some(if name == "items" { ListShape::Items } else { ListShape::Results });
                    map.next_value_seed(RowsSeed { reader: &mut *self.reader })?;
                }
                "nextLink" => next_link = map.next_value::<Option<String>>()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match found {
            Some(shape) => Ok(Frame { shape, next_link }),
            None => Err(serde::de::Error::custom("an object without a list of rows")),
        }
    }
}

struct RowsSeed<'r, R> {
    reader: &'r mut R,
}

impl<'de, R: ListReader<'de>> DeserializeSeed<'de> for RowsSeed<'_, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, R: ListReader<'de>> Visitor<'de> for RowsSeed<'_, R> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.reader.read_rows(seq)
    }
}

// --- the summary scan ---

struct ScanRow<'s> {
    summary: &'s mut PageSummary,
    names: &'s SystemNames,
    values: Values,
}

impl<'de> ListReader<'de> for ScanRow<'_> {
    fn read_rows<A: SeqAccess<'de>>(&mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut ScanRow<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut ScanRow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        enum Member {
            Id,
            Version,
            UpdatedAt,
            Deleted,
            Other,
        }
        struct Name<'n>(&'n SystemNames);
        impl<'de> DeserializeSeed<'de> for Name<'_> {
            type Value = Member;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
                deserializer.deserialize_identifier(self)
            }
        }
        impl Visitor<'_> for Name<'_> {
            type Value = Member;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Member, E> {
                Ok(match name {
                    "id" => Member::Id,
                    name if name == self.0.version => Member::Version,
                    name if name == self.0.updated_at => Member::UpdatedAt,
                    name if name == self.0.deleted => Member::Deleted,
                    _ => Member::Other,
                })
            }
        }

        check_number(self.summary.rows.len(), MAX_ROWS, "rows")?;
        let (mut spans, mut members) = (Spans::default(), 0);
        while let Some(member) = map.next_key_seed(Name(self.names))? {
            check_number(members, MAX_MEMBERS, "members")?;
            members += 1;
            match member {
                Member::Id => spans.id = keep(&mut self.summary.text, self.values.next(&mut map)?),
                Member::Version => {
                    spans.version = keep(&mut self.summary.text, self.values.next(&mut map)?);
                }
                Member::UpdatedAt => {
                    spans.updated_at = match self.values.next(&mut map)? {
                        Scalar::Text(text) => time::parse(&text),
                        _ => None,
                    }
                }
                Member::Deleted => {
                    spans.deleted = matches!(self.values.next(&mut map)?, Scalar::Bool(true));
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.summary.rows.push(spans);
        Ok(())
    }
}

fn keep(text: &mut String, scalar: Scalar<'_>) -> Option<Range<usize>> {
    let value = scalar.into_text()?;
    let start = text.len();
    text.push_str(&value);
    Some(start..text.len())
}

// --- full rows ---

struct DecodeRows<'n, F> {
    table: &'static TableSchema,
    names: &'n SystemNames,
    values: Values,
    hints: Vec<Target>,
    each: F,
    /// Rows given to `each`.
    done: usize,
    failure: Option<Error>,
}

impl<'de, F: FnMut(WireRow<'de>) -> Result<()>> ListReader<'de> for DecodeRows<'_, F> {
    fn read_rows<A: SeqAccess<'de>>(&mut self, mut seq: A) -> Result<(), A::Error> {
        let mut position = 0;
        loop {
            let Self { table, names, values, hints, .. } = &mut *self;
            let seed = RowSeed { table, names, values: *values, hints };
            let Some(row) = seq.next_element_seed(seed)? else { return Ok(()) };
            position += 1;
            // Read once more, and given already.
            if position <= self.done {
                continue;
            }
            self.done = position;
            if let Err(failure) = (self.each)(row) {
                self.failure = Some(failure);
                return Err(serde::de::Error::custom("stopped by the reader"));
            }
        }
    }
}

/// Where a member's value goes.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Column(usize),
    Id,
    Version,
    UpdatedAt,
    Deleted,
    Ignored,
    Unknown,
}

struct RowSeed<'s> {
    table: &'static TableSchema,
    names: &'s SystemNames,
    values: Values,
    /// The target of the n-th member of the row before: servers send members in one order, so the guess is
    /// nearly always right and costs one comparison.
    hints: &'s mut Vec<Target>,
}

impl RowSeed<'_> {
    fn target(&self, name: &str) -> Target {
        if name == "id" {
            Target::Id
        } else if name == self.names.version {
            Target::Version
        } else if name == self.names.updated_at {
            Target::UpdatedAt
        } else if name == self.names.deleted {
            Target::Deleted
        } else if name == self.names.created_at {
            Target::Ignored
        } else {
            let columns = self.table.columns;
            columns
                .iter()
                .position(|column| column.name == name)
                .or_else(|| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
                .map_or(Target::Unknown, |index| {
                    if columns[index].local { Target::Ignored } else { Target::Column(index) }
                })
        }
    }

    fn is_named(&self, target: Target, name: &str) -> bool {
        match target {
            Target::Column(index) => self.table.columns[index].name == name,
            Target::Id => name == "id",
            Target::Version => name == self.names.version,
            Target::UpdatedAt => name == self.names.updated_at,
            Target::Deleted => name == self.names.deleted,
            Target::Ignored | Target::Unknown => false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = WireRow<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<WireRow<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = WireRow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireRow<'de>, A::Error> {
        let mut row = WireRow {
            id: None,
            version: None,
            updated_at: None,
            deleted: false,
            cells: vec![Cell::Absent; self.table.columns.len()],
            extra: Vec::new(),
            fault: None,
        };
        let mut position = 0;
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            check_number(position, MAX_MEMBERS, "members")?;
            let target = match self.hints.get(position) {
                Some(&hint) if self.is_named(hint, &name) => hint,
                hint => {
                    let target = self.target(&name);
                    match hint {
                        Some(_) => self.hints[position] = target,
                        None => self.hints.push(target),
                    }
                    target
                }
            };
            position += 1;
            match target {
                Target::Column(index) => {
                    let column = &self.table.columns[index];
                    let scalar = self.values.next(&mut map)?;
                    match convert(column, scalar) {
                        Some(cell) => row.cells[index] = cell,
                        None => {
                            row.fault.get_or_insert(Fault { column });
                        }
                    }
                }
                Target::Id => row.id = self.values.next(&mut map)?.into_text(),
                Target::Version => row.version = self.values.next(&mut map)?.into_text(),
                Target::UpdatedAt => {
                    row.updated_at = match self.values.next(&mut map)? {
                        Scalar::Text(text) => time::parse(&text),
                        _ => None,
                    };
                }
                Target::Deleted => {
                    row.deleted = matches!(self.values.next(&mut map)?, Scalar::Bool(true));
                }
                Target::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
                Target::Unknown => row.extra.push((name, map.next_value::<&'de RawValue>()?)),
            }
        }
        Ok(row)
    }
}

/// A value converted to its column's type: exact or not at all (V-13).
fn convert<'a>(column: &ColumnSchema, scalar: Scalar<'a>) -> Option<Cell<'a>> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    Some(match (column.ty, scalar) {
        (_, Scalar::Null) => {
            if !column.nullable {
                return None;
            }
            Cell::Null
        }
        (ColumnType::Text, Scalar::Text(text)) => Cell::Text(text),
        (ColumnType::Text, Scalar::Integer(number)) => Cell::Text(number.to_string().into()),
        (ColumnType::Text, Scalar::Unsigned(number)) => Cell::Text(number.to_string().into()),
        (ColumnType::Bool, Scalar::Bool(value)) => Cell::Bool(value),
        (ColumnType::Bool, Scalar::Integer(number @ (0 | 1))) => Cell::Bool(number == 1),
        (ColumnType::Integer(width), scalar) => {
            let number = match scalar {
                Scalar::Integer(number) => number,
                Scalar::Real(number) if number.fract() == 0.0 && number.abs() <= EXACT => number as i64,
                Scalar::Text(text) => text.parse().ok()?,
                _ => return None,
            };
            if !width.contains(number) {
                return None;
            }
            Cell::Integer(number)
        }
        (ColumnType::Float | ColumnType::Double, scalar) => {
            let number = match scalar {
                Scalar::Integer(number) => number as f64,
                Scalar::Unsigned(number) => number as f64,
                Scalar::Real(number) => number,
                Scalar::Text(text) => text.parse().ok()?,
                _ => return None,
            };
            let number = if column.ty == ColumnType::Float { f64::from(number as f32) } else { number };
            if !number.is_finite() {
                return None;
            }
            Cell::Real(number)
        }
        (ColumnType::DateTime, Scalar::Text(text)) => Cell::DateTime(time::parse(&text)?),
        (ColumnType::Uuid, Scalar::Text(text)) => Cell::Uuid(Uuid::parse_str(&text).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Dialect;
    use crate::value::IntegerWidth;

    const fn column(name: &'static str, ty: ColumnType, nullable: bool, local: bool) -> ColumnSchema {
        ColumnSchema::new(name, ty).with_nullable(nullable).with_local(local)
    }

    static TABLE: TableSchema = TableSchema {
        name: "T",
        columns: &[
            column("text", ColumnType::Text, false, false),
            column("small", ColumnType::Integer(IntegerWidth::I8), true, false),
            column("n", ColumnType::Integer(IntegerWidth::I64), true, false),
            column("f", ColumnType::Float, true, false),
            column("done", ColumnType::Bool, true, false),
            column("when", ColumnType::DateTime, true, false),
            column("key", ColumnType::Uuid, true, false),
            column("note", ColumnType::Text, true, true),
        ],
        versioned: true,
        keep_deleted: false,
    };

    fn names() -> &'static SystemNames {
        Dialect::MobileApps.names()
    }

    fn decode(body: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for_each_row(body.as_bytes(), &TABLE, names(), |row| {
            rows.push(row.copy());
            Ok(())
        })?;
        Ok(rows)
    }

    /// The one value of column `n` after decoding `{"id":"a","<name>":<json>}`.
    fn cell(name: &str, json: &str) -> Option<Option<Value>> {
        let body = format!("[{{\"id\":\"a\",\"{name}\":{json}}}]");
        let mut found = None;
        for_each_row(body.as_bytes(), &TABLE, names(), |row| {
            let index = TABLE.column_index(name).expect("a column");
            found = row.fault.is_none().then(|| row.cells[index].to_value());
            Ok(())
        })
        .expect("a list");
        found
    }

    #[test]
    fn every_list_shape_is_read() {
        for body in [
            "[{\"id\":\"a\"},{\"id\":\"b\"}]",
            "{\"results\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"count\":7}",
            "{\"count\":null,\"items\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"nextLink\":null}",
        ] {
            let summary = PageSummary::scan(body.as_bytes(), names()).expect(body);
            assert_eq!(summary.rows().filter_map(|row| row.id).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(decode(body).expect(body).len(), 2);
            assert_eq!(raw_rows(body.as_bytes()).expect(body), ["{\"id\":\"a\"}", "{\"id\":\"b\"}"]);
        }
        let linked = "{\"items\":[],\"nextLink\":\"$skip=100\"}";
        let summary = PageSummary::scan(linked.as_bytes(), names()).expect("a list");
        assert_eq!((summary.is_empty(), summary.next_link()), (true, Some("$skip=100")));
    }

    #[test]
    fn l_35_what_is_no_list_fails_as_a_whole() {
        for body in [
            "",
            "<html>",
            "null",
            "\"rows\"",
            "{}",
            "{\"id\":\"a\"}",
            "[1]",
            "[{\"id\":\"a\"}",
            "[{\"id\":\"a\"},{\"id\":",
            "[] []",
            "{\"items\":{}}",
        ] {
            let error = PageSummary::scan(body.as_bytes(), names()).expect_err(body);
            assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}");
        }
        let cut = PageSummary::scan(b"[{\"id\":\"a", names()).expect_err("cut");
        assert_eq!(cut.to_string(), "the answer is cut off");
    }

    #[test]
    fn l_35_a_list_of_more_rows_than_any_page_has_is_none() {
        let list = |rows: usize| format!("[{}{{}}]", "{},".repeat(rows - 1));
        assert_eq!(PageSummary::scan(list(100_000).as_bytes(), names()).expect("a list").len(), 100_000);
        let wide = |members: usize| format!("[{{\"id\":\"a\"{}}}]", ",\"\":0".repeat(members - 1));
        PageSummary::scan(wide(10_000).as_bytes(), names()).expect("a list");
        assert_eq!(decode(&wide(10_000)).expect("a list").len(), 1);
        for body in [list(100_001), list(3_000_000), format!("{{\"items\":{}}}", list(100_001)), wide(10_001)]
        {
            let kind = PageSummary::scan(body.as_bytes(), names()).err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::InvalidResponse));
        }
        let row = wide(10_001);
        for error in [
            raw_rows(list(100_001).as_bytes()).err(),
            decode(&row).err(),
            decode_row(&row.as_bytes()[1..row.len() - 1], &TABLE, names()).err(),
        ] {
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidResponse));
        }
    }

    #[test]
    fn the_names_of_members_are_read_whatever_their_values_are() {
        let body = "{\"items\":[{\"text\":\"\\ud800\",\"n\":1e999},7,{}]}";
        let (shape, names) = member_names(body.as_bytes()).expect("a list");
        assert_eq!(shape, ListShape::Items);
        assert_eq!(names, [vec!["n", "text"], vec![]]);
        assert_eq!(
            member_names(b"{\"title\":\"x\"}").expect_err("no list").kind(),
            ErrorKind::InvalidResponse
        );
    }

    #[test]
    fn the_summary_holds_system_members_only() {
        let body = "[{\"text\":\"x\",\"id\":\"a\\u0041\",\"updatedAt\":\"2024-01-02T03:04:05.678Z\",\
                    \"version\":\"MQ==\",\"deleted\":true},{\"id\":7,\"deleted\":null,\"updatedAt\":\"soon\"},{}]";
        let summary = PageSummary::scan(body.as_bytes(), names()).expect("a list");
        let rows: Vec<_> = summary.rows().collect();
        assert_eq!((rows[0].id, rows[0].version, rows[0].deleted), (Some("aA"), Some("MQ=="), true));
        assert_eq!(rows[0].updated_at, time::parse("2024-01-02T03:04:05.678Z"));
        assert_eq!((rows[1].id, rows[1].deleted, rows[1].updated_at), (Some("7"), false, None));
        assert_eq!(rows[2].id, None);
        assert_eq!(summary.greatest_updated_at(), rows[0].updated_at);
    }

    #[test]
    fn l_18_l_19_absent_null_and_unknown_members_stay_apart() {
        let rows = decode(
            "[{\"id\":\"a\",\"text\":\"x\",\"n\":null,\"createdAt\":\"2024-01-02T03:04:05Z\",\"note\":\"mine\",\
              \"color\":{\"r\":1},\"tags\":[\"a\"]},{\"n\":1,\"id\":\"b\",\"TEXT\":\"any case\"}]",
        )
        .expect("a list");
        assert_eq!(rows[0].values[0], Some(Value::Text("x".into())));
        assert_eq!(rows[0].values[1], None, "absent");
        assert_eq!(rows[0].values[2], Some(Value::Null));
        assert_eq!(rows[0].values[7], None, "a local-only column is never taken from the server");
        assert_eq!(rows[0].extra.as_deref(), Some("{\"color\":{\"r\":1},\"tags\":[\"a\"]}"));
        assert_eq!(rows[1].values[0], Some(Value::Text("any case".into())), "S-09");
        assert_eq!(rows[1].values[2], Some(Value::Integer(1)));
        assert_eq!(rows[1].extra, None);
    }

    #[test]
    fn v_13_values_are_converted_exactly_or_not_at_all() {
        assert_eq!(cell("n", "9223372036854775807"), Some(Some(Value::Integer(i64::MAX))));
        assert_eq!(cell("n", "9007199254740993"), Some(Some(Value::Integer(9_007_199_254_740_993))));
        assert_eq!(cell("n", "\"42\""), Some(Some(Value::Integer(42))));
        assert_eq!(cell("n", "42.0"), Some(Some(Value::Integer(42))));
        assert_eq!(cell("n", "42.5"), None);
        assert_eq!(cell("n", "9223372036854775808"), None);
        assert_eq!(cell("n", "[1]"), None);
        assert_eq!(cell("n", "{\"a\":[1,{}]}"), None);
        assert_eq!(cell("small", "127"), Some(Some(Value::Integer(127))));
        assert_eq!(cell("small", "128"), None);
        assert_eq!(cell("text", "12"), Some(Some(Value::Text("12".into()))));
        assert_eq!(cell("text", "true"), None);
        assert_eq!(cell("text", "null"), None, "the column allows no null");
        assert_eq!(cell("text", "\"a\\nb\\u00e9\""), Some(Some(Value::Text("a\nbé".into()))));
        assert_eq!(cell("f", "0.1"), Some(Some(Value::Real(f64::from(0.1_f32)))));
        assert_eq!(cell("f", "1e300"), None, "no f32");
        assert_eq!(cell("done", "1"), Some(Some(Value::Bool(true))));
        assert_eq!(cell("done", "2"), None);
        assert_eq!(
            cell("when", "\"2024-01-02T03:04:05+01:00\""),
            Some(time::parse("2024-01-02T02:04:05Z").map(Value::DateTime))
        );
        assert_eq!(cell("when", "\"yesterday\""), None);
        assert_eq!(
            cell("key", "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"")
                .flatten()
                .map(|value| value != Value::Null),
            Some(true)
        );
        assert_eq!(cell("key", "\"no uuid\""), None);
    }

    #[test]
    fn l_24_a_value_that_no_type_can_hold_is_a_fault_of_its_row() {
        for value in ["\"\\ud83d\"", "\"\\udc00\\ud800\"", "1e999"] {
            for name in ["text", "n", "f", "when"] {
                let body = format!(
                    "[{{\"id\":\"a\"}},{{\"{name}\":{value},\"id\":\"b\"}},{{\"id\":\"c\",\"text\":\"x\"}}]"
                );
                let mut seen = Vec::new();
                for_each_row(body.as_bytes(), &TABLE, names(), |row| {
                    seen.push((row.id.clone(), row.fault.map(|fault| fault.column.name)));
                    Ok(())
                })
                .expect(&body);
                let ids = [("a", None), ("b", Some(name)), ("c", None)];
                assert_eq!(seen, ids.map(|(id, fault)| (Some(id.into()), fault)), "{body}");
                assert_eq!(PageSummary::scan(body.as_bytes(), names()).expect(&body).len(), 3);

                let row = format!("{{\"id\":\"b\",\"{name}\":{value}}}");
                let row = decode_row(row.as_bytes(), &TABLE, names()).expect(&row);
                assert_eq!((row.id.as_str(), row.values), ("b", vec![None; TABLE.columns.len()]));
            }
            // As if it were not there.
            let body =
                format!("[{{\"id\":\"a\",\"version\":{value}}},{{\"id\":{value},\"updatedAt\":{value}}}]");
            let summary = PageSummary::scan(body.as_bytes(), names()).expect(&body);
            let seen: Vec<_> = summary.rows().map(|row| (row.id, row.version)).collect();
            assert_eq!(seen, [(Some("a"), None), (None, None)]);
            assert_eq!(decode(&body).expect(&body)[0].version, None);
        }
    }

    #[test]
    fn l_35_a_body_that_is_no_text_fails_as_a_whole() {
        for member in ["text", "color"] {
            let body = [b"[{\"id\":\"a\",\"", member.as_bytes(), b"\":\"\xff\"}]"].concat();
            let kinds = [
                PageSummary::scan(&body, names()).expect_err("no text").kind(),
                for_each_row(&body, &TABLE, names(), |_| Ok(())).expect_err("no text").kind(),
                raw_rows(&body).expect_err("no text").kind(),
                decode_row(&body[1..body.len() - 1], &TABLE, names()).expect_err("no text").kind(),
            ];
            assert_eq!(kinds, [ErrorKind::InvalidResponse; 4], "{member}");
        }
        let cut = PageSummary::scan(b"[{\"id\":\"\xc3", names()).expect_err("cut");
        assert_eq!(cut.to_string(), "the answer is cut off");
    }

    #[test]
    fn a_reader_that_fails_ends_the_page() {
        let mut seen = 0;
        let error = for_each_row(b"[{\"id\":\"a\"},{\"id\":\"b\"}]", &TABLE, names(), |_| {
            seen += 1;
            Err(Error::new(ErrorKind::Store, "disk full"))
        })
        .expect_err("fails");
        assert_eq!((seen, error.kind(), error.table()), (1, ErrorKind::Store, Some("T")));
    }

    #[test]
    fn regular_rows_are_whole() {
        let whole = "{\"id\":\"a\",\"text\":\"x\",\"small\":1,\"n\":1,\"f\":1,\"done\":true,\"when\":null,\"key\":null}";
        let check = |row: &str, expected: bool| {
            let body = format!("[{row}]");
            for_each_row(body.as_bytes(), &TABLE, names(), |row| {
                assert_eq!(row.is_regular(&TABLE), expected, "{body}");
                Ok(())
            })
            .expect("a list");
        };
        check(whole, true);
        check(&whole.replace("\"n\":1,", ""), false);
        check(&whole.replace("\"id\":\"a\",", ""), false);
        check(&whole.replace("\"n\":1", "\"n\":\"x\""), false);
        check(&whole.replace("\"n\":1", "\"n\":1,\"more\":1"), false);
    }
}
