//! Metadata: the table's statics and the portable columns (`Todo::text`).

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::expand::schema_reference;
use crate::model::{Column, Entity, SystemColumn, SystemRole};

/// The statics behind `SCHEMA`.
///
/// Both are statics, not constants: a reference to a static needs no value, so an entity may refer to itself
/// by `belongs_to`.
pub(crate) fn statics(entity: &Entity) -> TokenStream {
    let Entity { table, versioned, keep_deleted, .. } = entity;
    let count = entity.columns.len();
    let columns = entity.columns.iter().map(|column| column_schema(entity, column));
    quote! {
        static __SYNC_COLUMNS: [__sync::ColumnSchema; #count] = [#(#columns),*];
        static __SYNC_TABLE: __sync::TableSchema = __sync::TableSchema {
            name: #table,
            columns: &__SYNC_COLUMNS,
            versioned: #versioned,
            keep_deleted: #keep_deleted,
        };
    }
}

fn column_schema(entity: &Entity, column: &Column) -> TokenStream {
    let Column { name, field, .. } = column;
    let field = syn::ext::IdentExt::unraw(field).to_string();
    let inner = &column.ty.inner;
    let ty = quote_spanned!(inner.span()=> <#inner as __sync::ColumnValue>::TYPE);
    let mut setters = TokenStream::new();
    if field != *name {
        setters.extend(quote!(.with_field(#field)));
    }
    for (set, flag) in
        [(column.ty.nullable, "with_nullable"), (column.local, "with_local"), (column.index, "with_index")]
    {
        if set {
            let setter = Ident::new(flag, Span::call_site());
            setters.extend(quote!(.#setter(true)));
        }
    }
    if let Some(literal) = &column.default {
        setters.extend(quote!(.with_default(::core::option::Option::Some(#literal))));
    }
    if let Some(parent) = &column.belongs_to {
        let schema = schema_reference(entity, parent);
        setters.extend(quote!(.with_belongs_to(::core::option::Option::Some(#schema.name))));
    }
    if let Some(rule) = &column.merge {
        setters.extend(quote!(.with_merge(__sync::MergeRule::#rule)));
    }
    quote!(__sync::ColumnSchema::new(#name, #ty)#setters)
}

/// One associated constant per column.
pub(crate) fn constants(entity: &Entity) -> TokenStream {
    let ident = &entity.ident;
    let system = entity.system.iter().map(|column| system_constant(entity, column));
    let columns = entity.columns.iter().enumerate().map(|(index, column)| {
        let Column { vis, constant, name, docs, .. } = column;
        let inner = &column.ty.inner;
        let text = if column.local {
            format!("Column `{name}`, which exists only on this device.")
        } else {
            format!("Column `{name}`, for filters that mean the same locally and remotely.")
        };
        let docs = if docs.is_empty() { quote!(#[doc = #text]) } else { quote!(#(#docs)*) };
        let scope = column.local.then(|| quote!(, __sync::LocalOnly));
        quote! {
            #docs
            #vis const #constant: __sync::Column<#ident, #inner #scope> =
                __sync::Column::__new(&__SYNC_COLUMNS[#index]);
        }
    });
    quote! {
        #[allow(non_upper_case_globals, dead_code, unreachable_pub)]
        impl #ident {
            #(#system)*
            #(#columns)*
        }
    }
}

fn system_constant(entity: &Entity, column: &SystemColumn) -> TokenStream {
    let ident = &entity.ident;
    let SystemColumn { vis, constant, docs, .. } = column;
    let (text, ty, schema) = match column.role {
        SystemRole::Id => ("The row's id.", quote!(::std::string::String), quote!(ID)),
        SystemRole::Version => {
            ("The server's version of the row.", quote!(::std::string::String), quote!(VERSION))
        }
        SystemRole::UpdatedAt => (
            "The server's time of the last change.",
            quote!(__sync::DateTime<__sync::Utc>),
            quote!(UPDATED_AT),
        ),
        SystemRole::Deleted => ("The server's soft delete mark.", quote!(bool), quote!(DELETED)),
    };
    let docs = if docs.is_empty() { quote!(#[doc = #text]) } else { quote!(#(#docs)*) };
    quote! {
        #docs
        #vis const #constant: __sync::Column<#ident, #ty> = __sync::Column::__new(&__sync::#schema);
    }
}
