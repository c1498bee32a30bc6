//! What the compiler says about mistakes: the messages of the derive, of `sync_schema!` and of typed filters.
//!
//! `TRYBUILD=overwrite` writes the `.stderr` files anew; read the difference before you keep it.

#[test]
fn mistakes_are_explained_where_they_were_made() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/derive/*.rs");
    cases.compile_fail("ui/predicates/*.rs");
    cases.compile_fail("ui/schema/*.rs");
}
