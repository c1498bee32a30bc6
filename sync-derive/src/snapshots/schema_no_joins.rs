/// The tables of the small app.
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub(crate) struct SmallSchema;
const _: () = {
    use ::sync_diesel::__private as __sync;
    #[automatically_derived]
    impl __sync::SyncSchema for SmallSchema {
        const TABLES: &'static [__sync::TableEntry] = &[
            __sync::TableEntry::of::<Todo>(),
            __sync::TableEntry::of::<List>(),
        ];
    }
    const _: () = ::core::assert!(
        ! < Todo as __sync::SyncEntity > ::SCHEMA.name.eq_ignore_ascii_case(< List as
        __sync::SyncEntity > ::SCHEMA.name),
        "`Todo` and `List` have the same table name (names are compared without case); set another with `#[sync(table = \"..\")]`"
    );
};
