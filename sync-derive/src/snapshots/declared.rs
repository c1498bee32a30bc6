::diesel::table! {
    #[::sync_diesel::__private::__restrict_visibility()] #[doc =
    "Diesel's table `Declared` with the rows of `Declared`; works locally only."]
    #[sql_name = "Declared"] r#type(id) { #[doc = r" The row's id."] #[sql_name = "id"]
    id -> diesel::sql_types::Text, #[doc =
    r" The server's version of the row; set by sync."] #[sql_name = "__version"] version
    -> diesel::sql_types::Nullable < diesel::sql_types::Text >, #[doc =
    r" The server's time of the last change; set by sync."] #[sql_name = "__updatedAt"]
    updated_at -> diesel::sql_types::Nullable < diesel::sql_types::TimestamptzSqlite >,
    #[doc = r" The server's soft delete mark; set by sync."] #[sql_name = "__deleted"]
    deleted -> diesel::sql_types::Bool, #[doc = "Column `name`."] #[sql_name = "name"]
    name -> diesel::sql_types::Text, #[doc = "Column `parent`."] #[sql_name = "parent"]
    parent -> diesel::sql_types::Nullable < diesel::sql_types::Text >, }
}
const _: () = {
    use ::sync_diesel::__private as __sync;
    static __SYNC_COLUMNS: [__sync::ColumnSchema; 2usize] = [
        __sync::ColumnSchema::new("name", <String as __sync::ColumnValue>::TYPE)
            .with_merge(__sync::MergeRule::Remote),
        __sync::ColumnSchema::new("parent", <String as __sync::ColumnValue>::TYPE)
            .with_nullable(true)
            .with_belongs_to(::core::option::Option::Some(__SYNC_TABLE.name)),
    ];
    static __SYNC_TABLE: __sync::TableSchema = __sync::TableSchema {
        name: "Declared",
        columns: &__SYNC_COLUMNS,
        versioned: false,
        keep_deleted: false,
    };
    #[allow(non_upper_case_globals, dead_code, unreachable_pub)]
    impl Declared {
        ///The row's id.
        const key: __sync::Column<Declared, ::std::string::String> = __sync::Column::__new(
            &__sync::ID,
        );
        ///The server's version of the row.
        const version: __sync::Column<Declared, ::std::string::String> = __sync::Column::__new(
            &__sync::VERSION,
        );
        ///The server's time of the last change.
        const updated_at: __sync::Column<Declared, __sync::DateTime<__sync::Utc>> = __sync::Column::__new(
            &__sync::UPDATED_AT,
        );
        ///The server's soft delete mark.
        const deleted: __sync::Column<Declared, bool> = __sync::Column::__new(
            &__sync::DELETED,
        );
        ///Column `name`, for filters that mean the same locally and remotely.
        const name: __sync::Column<Declared, String> = __sync::Column::__new(
            &__SYNC_COLUMNS[0usize],
        );
        ///Column `parent`, for filters that mean the same locally and remotely.
        const parent: __sync::Column<Declared, String> = __sync::Column::__new(
            &__SYNC_COLUMNS[1usize],
        );
    }
    #[automatically_derived]
    impl __sync::SyncEntity for Declared {
        const SCHEMA: &'static __sync::TableSchema = &__SYNC_TABLE;
        fn to_values(&self) -> ::std::vec::Vec<__sync::Value> {
            ::std::vec![
                < String as __sync::ColumnValue > ::to_value(& self.name),
                __sync::optional_value:: < String > (& self.parent)
            ]
        }
        fn declared_id(&self) -> ::core::option::Option<&str> {
            ::core::option::Option::Some(::std::string::String::as_str(&self.id))
        }
        fn declared_version(&self) -> ::core::option::Option<&str> {
            ::core::option::Option::as_deref(&self.version)
        }
        fn from_row(__row: &__sync::Row) -> __sync::Result<Self> {
            ::core::result::Result::Ok(Self {
                name: __sync::Row::required::<String>(__row, &__SYNC_TABLE, 0usize)?,
                id: ::core::clone::Clone::clone(&__row.id),
                version: ::core::clone::Clone::clone(&__row.version),
                updated_at: __row.updated_at,
                deleted: __row.deleted,
                parent: __sync::Row::optional::<String>(__row, &__SYNC_TABLE, 1usize)?,
            })
        }
    }
    #[automatically_derived]
    impl __sync::DieselEntity for Declared {
        type Table = r#type::table;
        type Id = r#type::id;
        type System = (r#type::id, r#type::version, r#type::updated_at, r#type::deleted);
        fn table() -> Self::Table {
            r#type::table
        }
    }
    #[automatically_derived]
    impl __sync::diesel::expression::Selectable<__sync::diesel::sqlite::Sqlite>
    for Declared {
        type SelectExpression = (
            r#type::columns::name,
            r#type::columns::id,
            r#type::columns::version,
            r#type::columns::updated_at,
            r#type::columns::deleted,
            r#type::columns::parent,
        );
        fn construct_selection() -> Self::SelectExpression {
            (
                r#type::columns::name,
                r#type::columns::id,
                r#type::columns::version,
                r#type::columns::updated_at,
                r#type::columns::deleted,
                r#type::columns::parent,
            )
        }
    }
    const _: () = {
        use __sync::diesel;
        #[automatically_derived]
        impl diesel::deserialize::Queryable<
            (
                diesel::sql_types::Text,
                diesel::sql_types::Text,
                diesel::sql_types::Nullable<diesel::sql_types::Text>,
                diesel::sql_types::Nullable<diesel::sql_types::TimestamptzSqlite>,
                diesel::sql_types::Bool,
                diesel::sql_types::Nullable<diesel::sql_types::Text>,
            ),
            diesel::sqlite::Sqlite,
        > for Declared {
            type Row = (
                String,
                ::std::string::String,
                ::core::option::Option<::std::string::String>,
                ::core::option::Option<__sync::DateTime<__sync::Utc>>,
                bool,
                ::core::option::Option<String>,
            );
            fn build(
                (
                    __value_0,
                    __value_1,
                    __value_2,
                    __value_3,
                    __value_4,
                    __value_5,
                ): Self::Row,
            ) -> diesel::deserialize::Result<Self> {
                ::core::result::Result::Ok(Self {
                    name: __value_0,
                    id: __value_1,
                    version: __value_2,
                    updated_at: __value_3,
                    deleted: __value_4,
                    parent: __value_5,
                })
            }
        }
    };
};
