::diesel::table! {
    #[doc = "Diesel's table `TodoItem` with the rows of `Todo`; works locally only."]
    #[sql_name = "TodoItem"] todo(id) { #[doc = r" The row's id."] #[sql_name = "id"] id
    -> diesel::sql_types::Text, #[doc =
    r" The server's version of the row; set by sync."] #[sql_name = "__version"] version
    -> diesel::sql_types::Nullable < diesel::sql_types::Text >, #[doc =
    r" The server's time of the last change; set by sync."] #[sql_name = "__updatedAt"]
    updated_at -> diesel::sql_types::Nullable < diesel::sql_types::TimestamptzSqlite >,
    #[doc = r" The server's soft delete mark; set by sync."] #[sql_name = "__deleted"]
    deleted -> diesel::sql_types::Bool, #[doc = r" What is to be done."] #[sql_name =
    "text"] text -> diesel::sql_types::Text, #[doc = "Column `complete`."] #[sql_name =
    "complete"] complete -> diesel::sql_types::Bool, #[doc = "Column `dueAt`."]
    #[sql_name = "dueAt"] due_at -> diesel::sql_types::Nullable <
    diesel::sql_types::TimestamptzSqlite >, #[doc = "Column `rank`."] #[sql_name =
    "rank"] table_ -> diesel::sql_types::SmallInt, #[doc = "Column `listId`."] #[sql_name
    = "listId"] list_id -> diesel::sql_types::Nullable < diesel::sql_types::Text >, }
}
const _: () = {
    use ::sync_diesel::__private as __sync;
    static __SYNC_COLUMNS: [__sync::ColumnSchema; 5usize] = [
        __sync::ColumnSchema::new("text", <String as __sync::ColumnValue>::TYPE),
        __sync::ColumnSchema::new("complete", <bool as __sync::ColumnValue>::TYPE)
            .with_default(::core::option::Option::Some("0")),
        __sync::ColumnSchema::new("dueAt", <DateTime<Utc> as __sync::ColumnValue>::TYPE)
            .with_field("due_at")
            .with_nullable(true),
        __sync::ColumnSchema::new("rank", <i16 as __sync::ColumnValue>::TYPE)
            .with_field("table")
            .with_local(true)
            .with_default(::core::option::Option::Some("-1")),
        __sync::ColumnSchema::new("listId", <Uuid as __sync::ColumnValue>::TYPE)
            .with_field("list_id")
            .with_nullable(true)
            .with_belongs_to(
                ::core::option::Option::Some(
                    <crate::list::List as __sync::SyncEntity>::SCHEMA.name,
                ),
            ),
    ];
    static __SYNC_TABLE: __sync::TableSchema = __sync::TableSchema {
        name: "TodoItem",
        columns: &__SYNC_COLUMNS,
        versioned: true,
        keep_deleted: true,
    };
    #[allow(non_upper_case_globals, dead_code, unreachable_pub)]
    impl Todo {
        ///The row's id.
        pub const id: __sync::Column<Todo, ::std::string::String> = __sync::Column::__new(
            &__sync::ID,
        );
        ///The server's version of the row.
        pub const version: __sync::Column<Todo, ::std::string::String> = __sync::Column::__new(
            &__sync::VERSION,
        );
        ///The server's time of the last change.
        pub const updated_at: __sync::Column<Todo, __sync::DateTime<__sync::Utc>> = __sync::Column::__new(
            &__sync::UPDATED_AT,
        );
        ///The server's soft delete mark.
        pub const deleted: __sync::Column<Todo, bool> = __sync::Column::__new(
            &__sync::DELETED,
        );
        /// What is to be done.
        pub const text: __sync::Column<Todo, String> = __sync::Column::__new(
            &__SYNC_COLUMNS[0usize],
        );
        ///Column `complete`, for filters that mean the same locally and remotely.
        pub const complete: __sync::Column<Todo, bool> = __sync::Column::__new(
            &__SYNC_COLUMNS[1usize],
        );
        ///Column `dueAt`, for filters that mean the same locally and remotely.
        pub const due_at: __sync::Column<Todo, DateTime<Utc>> = __sync::Column::__new(
            &__SYNC_COLUMNS[2usize],
        );
        ///Column `rank`, which exists only on this device.
        pub const table: __sync::Column<Todo, i16, __sync::LocalOnly> = __sync::Column::__new(
            &__SYNC_COLUMNS[3usize],
        );
        ///Column `listId`, for filters that mean the same locally and remotely.
        pub(crate) const list_column: __sync::Column<Todo, Uuid> = __sync::Column::__new(
            &__SYNC_COLUMNS[4usize],
        );
    }
    #[automatically_derived]
    impl __sync::SyncEntity for Todo {
        const SCHEMA: &'static __sync::TableSchema = &__SYNC_TABLE;
        fn to_values(&self) -> ::std::vec::Vec<__sync::Value> {
            ::std::vec![
                < String as __sync::ColumnValue > ::to_value(& self.text), < bool as
                __sync::ColumnValue > ::to_value(& self.complete),
                __sync::optional_value:: < DateTime < Utc > > (& self.due_at), < i16 as
                __sync::ColumnValue > ::to_value(& self.table), __sync::optional_value::
                < Uuid > (& self.list_id)
            ]
        }
        fn from_row(__row: &__sync::Row) -> __sync::Result<Self> {
            ::core::result::Result::Ok(Self {
                text: __sync::Row::required::<String>(__row, &__SYNC_TABLE, 0usize)?,
                complete: __sync::Row::required::<bool>(__row, &__SYNC_TABLE, 1usize)?,
                due_at: __sync::Row::optional::<
                    DateTime<Utc>,
                >(__row, &__SYNC_TABLE, 2usize)?,
                table: __sync::Row::required::<i16>(__row, &__SYNC_TABLE, 3usize)?,
                list_id: __sync::Row::optional::<Uuid>(__row, &__SYNC_TABLE, 4usize)?,
            })
        }
    }
    #[automatically_derived]
    impl __sync::DieselEntity for Todo {
        type Table = todo::table;
        type Id = todo::id;
        type System = (todo::id, todo::version, todo::updated_at, todo::deleted);
        fn table() -> Self::Table {
            todo::table
        }
    }
    #[automatically_derived]
    impl __sync::diesel::expression::Selectable<__sync::diesel::sqlite::Sqlite>
    for Todo {
        type SelectExpression = (
            todo::columns::text,
            todo::columns::complete,
            todo::columns::due_at,
            todo::columns::table_,
            todo::columns::list_id,
        );
        fn construct_selection() -> Self::SelectExpression {
            (
                todo::columns::text,
                todo::columns::complete,
                todo::columns::due_at,
                todo::columns::table_,
                todo::columns::list_id,
            )
        }
    }
    const _: () = {
        use __sync::diesel;
        #[automatically_derived]
        impl diesel::deserialize::Queryable<
            (
                diesel::sql_types::Text,
                diesel::sql_types::Bool,
                diesel::sql_types::Nullable<diesel::sql_types::TimestamptzSqlite>,
                diesel::sql_types::SmallInt,
                diesel::sql_types::Nullable<diesel::sql_types::Text>,
            ),
            diesel::sqlite::Sqlite,
        > for Todo {
            type Row = (
                String,
                bool,
                ::core::option::Option<DateTime<Utc>>,
                __sync::Loaded<i16>,
                ::core::option::Option<__sync::Loaded<Uuid>>,
            );
            fn build(
                (__value_0, __value_1, __value_2, __value_3, __value_4): Self::Row,
            ) -> diesel::deserialize::Result<Self> {
                ::core::result::Result::Ok(Self {
                    text: __value_0,
                    complete: __value_1,
                    due_at: __value_2,
                    table: __value_3.0,
                    list_id: ::core::option::Option::map(
                        __value_4,
                        |__loaded| __loaded.0,
                    ),
                })
            }
        }
    };
    #[automatically_derived]
    impl __sync::diesel::JoinTo<<crate::list::List as __sync::DieselEntity>::Table>
    for todo::table {
        type FromClause = <crate::list::List as __sync::DieselEntity>::Table;
        type OnClause = __sync::diesel::dsl::Eq<
            __sync::diesel::dsl::Nullable<todo::columns::list_id>,
            __sync::diesel::dsl::Nullable<
                <crate::list::List as __sync::DieselEntity>::Id,
            >,
        >;
        fn join_target(
            __to: <crate::list::List as __sync::DieselEntity>::Table,
        ) -> (Self::FromClause, Self::OnClause) {
            let __id = <<crate::list::List as __sync::DieselEntity>::Id as ::core::default::Default>::default();
            let __on = __sync::diesel::ExpressionMethods::eq(
                __sync::diesel::NullableExpressionMethods::nullable(
                    todo::columns::list_id,
                ),
                __sync::diesel::NullableExpressionMethods::nullable(__id),
            );
            (__to, __on)
        }
    }
    #[automatically_derived]
    impl __sync::diesel::JoinTo<todo::table>
    for <crate::list::List as __sync::DieselEntity>::Table {
        type FromClause = todo::table;
        type OnClause = __sync::diesel::dsl::Eq<
            __sync::diesel::dsl::Nullable<todo::columns::list_id>,
            __sync::diesel::dsl::Nullable<
                <crate::list::List as __sync::DieselEntity>::Id,
            >,
        >;
        fn join_target(__to: todo::table) -> (Self::FromClause, Self::OnClause) {
            let __id = <<crate::list::List as __sync::DieselEntity>::Id as ::core::default::Default>::default();
            let __on = __sync::diesel::ExpressionMethods::eq(
                __sync::diesel::NullableExpressionMethods::nullable(
                    todo::columns::list_id,
                ),
                __sync::diesel::NullableExpressionMethods::nullable(__id),
            );
            (__to, __on)
        }
    }
};
