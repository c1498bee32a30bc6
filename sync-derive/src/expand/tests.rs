//! The whole expansion, pretty-printed and compared with files under `src/snapshots`.
//!
//! `UPDATE_SNAPSHOTS=1` writes the files anew; read the difference before you keep it.

use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::Entity;

fn check(name: &str, expansion: TokenStream) {
    let file = syn::parse2(expansion).unwrap();
    let actual = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots").join(name).with_extension("rs");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(actual == expected, "the expansion differs from {}; it is now:\n{actual}", path.display());
}

fn check_entity(name: &str, input: TokenStream) {
    let entity = Entity::parse(&syn::parse2(input).unwrap()).unwrap();
    check(name, super::entity(&entity));
}

#[test]
fn an_entity_of_app_fields_only() {
    check_entity(
        "short",
        quote! {
            #[derive(SyncEntity)]
            #[sync(table = "TodoItem", rename_all = "camelCase", keep_deleted)]
            pub struct Todo {
                /// What is to be done.
                pub text: String,
                #[sync(default = false)]
                pub complete: bool,
                pub due_at: Option<DateTime<Utc>>,
                #[sync(rename = "rank", local, default = -1)]
                pub table: i16,
                #[sync(belongs_to = crate::list::List, column = list_column)]
                pub(crate) list_id: Option<Uuid>,
            }
        },
    );
}

#[test]
fn a_private_entity_that_declares_the_system_columns() {
    check_entity(
        "declared",
        quote! {
            #[sync(no_version, module = r#type)]
            struct Declared {
                #[sync(merge = remote)]
                name: String,
                #[sync(column = key)]
                id: String,
                version: Option<String>,
                updated_at: Option<DateTime<Utc>>,
                deleted: bool,
                #[sync(belongs_to = Self)]
                parent: Option<String>,
            }
        },
    );
}

#[test]
fn a_schema_with_and_without_joins() {
    let with = syn::parse_quote!(pub AppSchema: Todo, crate::List, Person);
    check("schema", crate::schema::expand(&with));
    let without = syn::parse_quote! {
        /// The tables of the small app.
        #[sync(no_joins)] pub(crate) SmallSchema: Todo, List
    };
    check("schema_no_joins", crate::schema::expand(&without));
}
