//! The Diesel module: `table!` with all columns, system columns first.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Visibility;

use crate::model::{Column, Entity, SystemColumn, SystemRole};

/// `table!`, with the struct's visibility.
pub(crate) fn module(entity: &Entity) -> TokenStream {
    let Entity { vis, module, table, .. } = entity;
    let docs = format!("Diesel's table `{table}` with the rows of `{}`; works locally only.", entity.ident);
    let restrict = (!matches!(vis, Visibility::Public(_)))
        .then(|| quote!(#[::sync_diesel::__private::__restrict_visibility(#vis)]));
    let system = entity.system.iter().map(system_column);
    let columns = entity.columns.iter().map(column);
    quote! {
        ::diesel::table! {
            #restrict
            #[doc = #docs]
            #[sql_name = #table]
            #module (id) {
                #(#system)*
                #(#columns)*
            }
        }
    }
}

fn system_column(column: &SystemColumn) -> TokenStream {
    match column.role {
        SystemRole::Id => quote! {
            /// The row's id.
            #[sql_name = "id"]
            id -> diesel::sql_types::Text,
        },
        SystemRole::Version => quote! {
            /// The server's version of the row; set by sync.
            #[sql_name = "__version"]
            version -> diesel::sql_types::Nullable<diesel::sql_types::Text>,
        },
        SystemRole::UpdatedAt => quote! {
            /// The server's time of the last change; set by sync.
            #[sql_name = "__updatedAt"]
            updated_at -> diesel::sql_types::Nullable<diesel::sql_types::TimestamptzSqlite>,
        },
        SystemRole::Deleted => quote! {
            /// The server's soft delete mark; set by sync.
            #[sql_name = "__deleted"]
            deleted -> diesel::sql_types::Bool,
        },
    }
}

fn column(column: &Column) -> TokenStream {
    let Column { diesel, name, docs, .. } = column;
    let ty = column.ty.diesel_type();
    let docs = if docs.is_empty() {
        let text = format!("Column `{name}`.");
        quote!(#[doc = #text])
    } else {
        quote!(#(#docs)*)
    };
    quote! {
        #docs
        #[sql_name = #name]
        #diesel -> #ty,
    }
}
