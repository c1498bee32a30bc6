//! Projection: values of columns and expressions instead of whole records.
//!
//! A column does not say in its type whether its field is an `Option`, so the type to load into is the caller's, and
//! whether it holds null is checked when the query runs: always, not only when a null turns up. Rows are read by the
//! types SQLite gives and converted by [`ColumnValue`], so that nothing of Diesel's typed loading is instantiated per
//! selection.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::deserialize::{self, QueryableByName};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field, NamedRow, Row};
use diesel::sql_types::Untyped;
use diesel::sqlite::{Sqlite, SqliteConnection, SqliteType};
use sync_core::diesel::TableFilter;
use sync_core::entity::SyncEntity;
use sync_core::error::{Error, ErrorKind, Result};
use sync_core::expression::{Column, Expr};
use sync_core::predicate::Node;
use sync_core::time;
use sync_core::value::{ColumnType, ColumnValue, Value};
use uuid::Uuid;

use super::LocalQuery;

/// What [`LocalQuery::select`] takes: a column or an expression of `E`, or a tuple of up to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be selected from `{E}`",
    note = "select a column or an expression of the entity, or a tuple of up to eight of them"
)]
pub trait Selection<E> {
    /// [`Single<T>`] of one value's type, or the tuple of types.
    type Shape;

    /// The trees of the values.
    #[doc(hidden)]
    fn into_nodes(self) -> Vec<Node>;
}

/// A member of a selection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be selected from `{E}`",
    note = "select a column or an expression of the entity"
)]
pub trait SelectedExpr<E> {
    /// The type of its values.
    type Value;

    /// The tree of the value.
    #[doc(hidden)]
    fn into_node(self) -> Node;
}

/// The shape of a selection that is no tuple.
#[derive(Debug)]
pub struct Single<T>(PhantomData<fn() -> T>);

/// A type that rows of a selection of shape `S` can be loaded into: for each value its own type, or an `Option` of it.
#[diagnostic::on_unimplemented(
    message = "the selected values cannot be loaded into `{Self}`",
    note = "load each value into the type of its field, or into an `Option` of it; several into a tuple"
)]
pub trait FromSelected<S>: Sized + Send + 'static {
    #[doc(hidden)]
    fn check(nodes: &[Node]) -> Option<&Node>;

    #[doc(hidden)]
    fn from_cells(cells: Vec<Cell>) -> std::result::Result<Self, Unfit>;
}

/// A type one selected value of type `T` can be loaded into.
pub trait SelectedValue<T>: Sized + Send + 'static {
    /// Whether it can hold null.
    const OPTIONAL: bool;

    /// The value; `None` for a null that it cannot hold.
    #[doc(hidden)]
    fn from_selected(value: Option<T>) -> Option<Self>;
}

impl<T: ColumnValue + Send + 'static> SelectedValue<T> for T {
    const OPTIONAL: bool = false;

    fn from_selected(value: Option<T>) -> Option<Self> {
        value
    }
}

impl<T: ColumnValue + Send + 'static> SelectedValue<T> for Option<T> {
    const OPTIONAL: bool = true;

    fn from_selected(value: Self) -> Option<Self> {
        Some(value)
    }
}

/// A value as SQLite gives it.
#[doc(hidden)]
#[derive(Debug)]
pub enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob,
}

/// Position of a value that does not fit, and whether because it is null.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unfit {
    place: usize,
    null: bool,
}

/// A [`LocalQuery`] of values; made by [`LocalQuery::select`].
#[must_use = "a query does nothing until it is loaded"]
pub struct SelectQuery<E, S> {
    query: SelectValues<E>,
    shape: PhantomData<fn() -> S>,
}

impl<E: SyncEntity, S> SelectQuery<E, S> {
    pub(super) fn new(query: LocalQuery<E>, selection: impl Selection<E, Shape = S>) -> Self {
        let query = SelectValues { query, nodes: selection.into_nodes(), distinct: false };
        Self { query, shape: PhantomData }
    }

    /// Leaves out rows whose selected values are all equal to those of an earlier row. Then rows are not ordered by id;
    /// order by what is selected, or the order is not defined.
    pub fn distinct(mut self) -> Self {
        self.query.distinct = true;
        self
    }

    /// Loads the values.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when a column that may be null is not loaded into an `Option`, or an expression
    /// turned out to be null; [`ErrorKind::Corrupt`] for a stored value that does not fit; errors of the local database.
    pub async fn load<U: FromSelected<S>>(self) -> Result<Vec<U>> {
        let Self { query, .. } = self;
        if let Some(node) = U::check(&query.nodes) {
            return Err(not_optional::<E>(node));
        }
        let store = Arc::clone(&query.query.store);
        store
            .read(move |conn| {
                let nodes = query.nodes.clone();
                let mut values = Vec::new();
                for cells in query.load_iter::<Cells, _>(conn)? {
                    values.push(U::from_cells(cells?.0).map_err(|unfit| unfit.error::<E>(&nodes))?);
                }
                Ok::<_, crate::BoxedError>(values)
            })
            .await
    }

    /// Loads the values of the first row, or `None`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn first<U: FromSelected<S>>(mut self) -> Result<Option<U>> {
        self.query.query = self.query.query.at_most_one();
        Ok(self.load().await?.pop())
    }
}

fn not_optional<E: SyncEntity>(node: &Node) -> Error {
    let what = match node {
        Node::Column(column) => format!("column {}", column.name),
        _ => "an expression".to_owned(),
    };
    let message = format!("{what} may be null: load it into an Option");
    Error::new(ErrorKind::InvalidArgument, message).with_table(E::SCHEMA.name)
}

impl Unfit {
    fn error<E: SyncEntity>(&self, nodes: &[Node]) -> Error {
        match nodes.get(self.place) {
            Some(node @ Node::Call(..)) if self.null => not_optional::<E>(node),
            Some(Node::Column(column)) => {
                let message = format!("the stored value of column {} does not fit its field", column.name);
                Error::new(ErrorKind::Corrupt, message).with_table(E::SCHEMA.name)
            }
            _ => Error::new(ErrorKind::Corrupt, "a selected value does not fit its type")
                .with_table(E::SCHEMA.name),
        }
    }
}

/// The value of a cell in place `place`.
fn value<T: ColumnValue, U: SelectedValue<T>>(place: usize, cell: Cell) -> std::result::Result<U, Unfit> {
    let null = matches!(cell, Cell::Null);
    let value =
        if null { Some(None) } else { cell.value(T::TYPE).and_then(|value| T::from_value(&value)).map(Some) };
    value.and_then(U::from_selected).ok_or(Unfit { place, null })
}

/// The node, if it may be null and `U` cannot hold that.
fn check<T, U: SelectedValue<T>>(node: Option<&Node>) -> Option<&Node> {
    node.filter(|node| !U::OPTIONAL && matches!(node, Node::Column(column) if column.nullable))
}

impl Cell {
    fn value(self, ty: ColumnType) -> Option<Value> {
        Some(match (ty, self) {
            (ColumnType::Text, Self::Text(text)) => Value::Text(text),
            (ColumnType::Bool, Self::Integer(value @ (0 | 1))) => Value::Bool(value == 1),
            (ColumnType::Integer(_), Self::Integer(value)) => Value::Integer(value),
            (ColumnType::Float | ColumnType::Double, Self::Real(value)) => Value::Real(value),
            // A whole number as the result of an expression.
            (ColumnType::Float | ColumnType::Double, Self::Integer(value)) => Value::Real(value as f64),
            (ColumnType::DateTime, Self::Text(text)) => Value::DateTime(time::parse(&text)?),
            (ColumnType::Uuid, Self::Text(text)) => Value::Uuid(Uuid::parse_str(&text).ok()?),
            _ => return None,
        })
    }
}

impl<T, U> FromSelected<Single<T>> for U
where
    T: ColumnValue,
    U: SelectedValue<T>,
{
    fn check(nodes: &[Node]) -> Option<&Node> {
        check::<T, U>(nodes.first())
    }

    fn from_cells(cells: Vec<Cell>) -> std::result::Result<Self, Unfit> {
        value(0, cells.into_iter().next().unwrap_or(Cell::Null))
    }
}

impl<E, T> SelectedExpr<E> for Column<E, T> {
    type Value = T;

    fn into_node(self) -> Node {
        Node::Column(self.schema())
    }
}

impl<E, T> SelectedExpr<E> for Expr<E, T> {
    type Value = T;

    fn into_node(self) -> Node {
        Self::into_node(self)
    }
}

impl<E, T> Selection<E> for Column<E, T> {
    type Shape = Single<T>;

    fn into_nodes(self) -> Vec<Node> {
        vec![SelectedExpr::<E>::into_node(self)]
    }
}

impl<E, T> Selection<E> for Expr<E, T> {
    type Shape = Single<T>;

    fn into_nodes(self) -> Vec<Node> {
        vec![self.into_node()]
    }
}

macro_rules! tuples {
    ($(($($member:ident $value:ident $output:ident $place:tt),+);)+) => {$(
        impl<E, $($member: SelectedExpr<E>),+> Selection<E> for ($($member,)+) {
            type Shape = ($($member::Value,)+);

            fn into_nodes(self) -> Vec<Node> {
                vec![$(self.$place.into_node()),+]
            }
        }

        impl<$($value: ColumnValue, $output: SelectedValue<$value>),+> FromSelected<($($value,)+)>
            for ($($output,)+)
        {
            fn check(nodes: &[Node]) -> Option<&Node> {
                None$(.or_else(|| check::<$value, $output>(nodes.get($place))))+
            }

            fn from_cells(cells: Vec<Cell>) -> std::result::Result<Self, Unfit> {
                let mut cells = cells.into_iter();
                Ok(($(value::<$value, $output>($place, cells.next().unwrap_or(Cell::Null))?,)+))
            }
        }
    )+};
}

tuples! {
    (A TA UA 0);
    (A TA UA 0, B TB UB 1);
    (A TA UA 0, B TB UB 1, C TC UC 2);
    (A TA UA 0, B TB UB 1, C TC UC 2, D TD UD 3);
    (A TA UA 0, B TB UB 1, C TC UC 2, D TD UD 3, F TF UF 4);
    (A TA UA 0, B TB UB 1, C TC UC 2, D TD UD 3, F TF UF 4, G TG UG 5);
    (A TA UA 0, B TB UB 1, C TC UC 2, D TD UD 3, F TF UF 4, G TG UG 5, H TH UH 6);
    (A TA UA 0, B TB UB 1, C TC UC 2, D TD UD 3, F TF UF 4, G TG UG 5, H TH UH 6, I TI UI 7);
}

/// A [`LocalQuery`] as a Diesel query of values.
struct SelectValues<E> {
    query: LocalQuery<E>,
    nodes: Vec<Node>,
    distinct: bool,
}

impl<E> Query for SelectValues<E> {
    type SqlType = Untyped;
}

impl<E> RunQueryDsl<SqliteConnection> for SelectValues<E> {}

/// The text depends on filter and selection; Diesel finds the prepared statement by its text.
impl<E> QueryId for SelectValues<E> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<E: SyncEntity> QueryFragment<Sqlite> for SelectValues<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut separator = if self.distinct { "SELECT DISTINCT " } else { "SELECT " };
        for node in &self.nodes {
            out.push_sql(std::mem::replace(&mut separator, ", "));
            TableFilter { table: E::SCHEMA, node }.walk_value_into(&mut out)?;
        }
        self.query.push_from(&mut out)?;
        self.query.push_order(!self.distinct, &mut out)
    }
}

/// A row of unknown width.
struct Cells(Vec<Cell>);

impl QueryableByName<Sqlite> for Cells {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let cell = |place| {
            let field = Row::get(row, place)?;
            let mut value = field.value()?;
            Some(match value.value_type()? {
                SqliteType::Text => Cell::Text(value.read_text().to_owned()),
                SqliteType::Float | SqliteType::Double => Cell::Real(value.read_double()),
                SqliteType::Integer | SqliteType::SmallInt | SqliteType::Long => {
                    Cell::Integer(value.read_long())
                }
                SqliteType::Binary => Cell::Blob,
            })
        };
        Ok(Self((0..row.field_count()).map(|place| cell(place).unwrap_or(Cell::Null)).collect()))
    }
}

impl<E, S> fmt::Debug for SelectQuery<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectQuery").field("query", &self.query.query).finish_non_exhaustive()
    }
}
