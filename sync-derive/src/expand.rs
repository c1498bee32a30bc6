//! Code from the model: one file per generated thing, this one puts them together.
//!
//! Nothing here can fail, and nothing looks at attributes. Only what users name stands in their module: the
//! Diesel module and the associated constants. All else is inside `const _`.

mod diesel;
mod entity;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::model::Entity;

/// The expansion of `#[derive(SyncEntity)]`.
pub(crate) fn entity(entity: &Entity) -> TokenStream {
    let table = table::module(entity);
    let metadata = schema::statics(entity);
    let constants = schema::constants(entity);
    let sync_entity = entity::sync_entity(entity);
    let diesel_entity = diesel::diesel_entity(entity);
    let selectable = diesel::selectable(entity);
    let queryable = diesel::queryable(entity);
    let joins = diesel::joins(entity);
    quote! {
        #table

        const _: () = {
            use ::sync_diesel::__private as __sync;

            #metadata
            #constants
            #sync_entity
            #diesel_entity
            #selectable
            #queryable
            #joins
        };
    }
}

/// The schema of the entity a `belongs_to` names.
fn schema_reference(entity: &Entity, parent: &syn::Path) -> TokenStream {
    if entity.is_self(parent) {
        return quote!(__SYNC_TABLE);
    }
    quote_spanned!(parent.span()=> <#parent as __sync::SyncEntity>::SCHEMA)
}
