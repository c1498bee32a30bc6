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
    impl __sync::diesel::query_source::TableNotEqual<todo::table>
    for crate::list::table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<crate::list::table>
    for todo::table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<todo::table> for person::table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<person::table> for todo::table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<crate::list::table>
    for person::table {}
    #[automatically_derived]
    impl __sync::diesel::query_source::TableNotEqual<person::table>
    for crate::list::table {}
    const _: fn(<Todo as __sync::DieselEntity>::Table) -> todo::table = |table| table;
    const _: fn(<crate::List as __sync::DieselEntity>::Table) -> crate::list::table = |
        table|
    table;
    const _: fn(<Person as __sync::DieselEntity>::Table) -> person::table = |table| {
        table
    };
};
