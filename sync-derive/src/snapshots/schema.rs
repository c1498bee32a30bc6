///The synced entities.
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub struct AppSchema;
const _: () = {
    use ::sync_diesel::__private as __sync;
    #[automatically_derived]
    impl __sync::SyncSchema for AppSchema {
        const TABLES: &'static [__sync::TableEntry] = &[
            __sync::TableEntry::of::<Todo>(),
            __sync::TableEntry::of::<crate::List>(),
            __sync::TableEntry::of::<Person>(),
        ];
    }
    const _: () = ::core::assert!(
        ! < Todo as __sync::SyncEntity > ::SCHEMA.name.eq_ignore_ascii_case(< crate
        ::List as __sync::SyncEntity > ::SCHEMA.name),
        "`Todo` and `crate::List` have the same table name (names are compared without case); set another with `#[sync(table = \"..\")]`"
    );
    const _: () = ::core::assert!(
        ! < Todo as __sync::SyncEntity > ::SCHEMA.name.eq_ignore_ascii_case(< Person as
        __sync::SyncEntity > ::SCHEMA.name),
        "`Todo` and `Person` have the same table name (names are compared without case); set another with `#[sync(table = \"..\")]`"
    );
    const _: () = ::core::assert!(
        ! < crate ::List as __sync::SyncEntity > ::SCHEMA.name.eq_ignore_ascii_case(<
        Person as __sync::SyncEntity > ::SCHEMA.name),
        "`crate::List` and `Person` have the same table name (names are compared without case); set another with `#[sync(table = \"..\")]`"
    );
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <Todo as __sync::DieselEntity>::Table,
    > for <crate::List as __sync::DieselEntity>::Table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <crate::List as __sync::DieselEntity>::Table,
    > for <Todo as __sync::DieselEntity>::Table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <Todo as __sync::DieselEntity>::Table,
    > for <Person as __sync::DieselEntity>::Table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <Person as __sync::DieselEntity>::Table,
    > for <Todo as __sync::DieselEntity>::Table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <crate::List as __sync::DieselEntity>::Table,
    > for <Person as __sync::DieselEntity>::Table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<
        <Person as __sync::DieselEntity>::Table,
    > for <crate::List as __sync::DieselEntity>::Table {}
};
