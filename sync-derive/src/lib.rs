//! The macros of `sync-diesel`, which re-exports them: `#[derive(SyncEntity)]` and `sync_schema!`.
//!
//! Three steps in three places: attributes as written (`attr`), a checked model (`model`), code (`expand`).
//! The generated code calls `sync_diesel::__private`; the two crates are pinned to each other.

mod attr;
mod errors;
mod expand;
mod model;
mod restrict;
mod schema;

use proc_macro::TokenStream;

#[doc = include_str!("sync_entity.md")]
#[proc_macro_derive(SyncEntity, attributes(sync))]
pub fn derive_sync_entity(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let model = model::Entity::parse(&input);
    model.map_or_else(syn::Error::into_compile_error, |entity| expand::entity(&entity)).into()
}

#[doc = include_str!("sync_schema.md")]
#[proc_macro]
pub fn sync_schema(input: TokenStream) -> TokenStream {
    let schema = syn::parse_macro_input!(input as schema::Schema);
    schema::expand(&schema).into()
}

/// Used by generated code on the module that `table!` writes.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn __restrict_visibility(vis: TokenStream, item: TokenStream) -> TokenStream {
    let vis = syn::parse_macro_input!(vis as syn::Visibility);
    restrict::restrict(&vis, item.into()).into()
}
