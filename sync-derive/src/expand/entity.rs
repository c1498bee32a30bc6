//! `impl SyncEntity`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::model::{Column, Entity, Member, SystemRole};

/// Metadata and the way to and from a row.
pub(crate) fn sync_entity(entity: &Entity) -> TokenStream {
    let ident = &entity.ident;
    let to_values = entity.columns.iter().map(to_value);
    let declared_id = entity.system(SystemRole::Id).field.as_ref().map(|field| {
        quote! {
            fn declared_id(&self) -> ::core::option::Option<&str> {
                ::core::option::Option::Some(::std::string::String::as_str(&self.#field))
            }
        }
    });
    let declared_version = entity.system(SystemRole::Version).field.as_ref().map(|field| {
        quote! {
            fn declared_version(&self) -> ::core::option::Option<&str> {
                ::core::option::Option::as_deref(&self.#field)
            }
        }
    });
    let fields = entity.members.iter().map(|member| from_row(entity, member));
    quote! {
        #[automatically_derived]
        impl __sync::SyncEntity for #ident {
            const SCHEMA: &'static __sync::TableSchema = &__SYNC_TABLE;

            fn to_values(&self) -> ::std::vec::Vec<__sync::Value> {
                ::std::vec![#(#to_values),*]
            }

            #declared_id
            #declared_version

            fn from_row(__row: &__sync::Row) -> __sync::Result<Self> {
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    }
}

fn to_value(column: &Column) -> TokenStream {
    let Column { field, .. } = column;
    let inner = &column.ty.inner;
    // Only the type's own tokens get its span: `self` must stay the derive's to be found.
    let value = quote!(&self.#field);
    if column.ty.nullable {
        quote_spanned!(inner.span()=> __sync::optional_value::<#inner>(#value))
    } else {
        quote_spanned!(inner.span()=> <#inner as __sync::ColumnValue>::to_value(#value))
    }
}

fn from_row(entity: &Entity, member: &Member) -> TokenStream {
    match *member {
        Member::Column(index) => {
            let Column { field, ty, .. } = &entity.columns[index];
            let inner = &ty.inner;
            if ty.nullable {
                quote!(#field: __sync::Row::optional::<#inner>(__row, &__SYNC_TABLE, #index)?)
            } else {
                quote!(#field: __sync::Row::required::<#inner>(__row, &__SYNC_TABLE, #index)?)
            }
        }
        Member::System(role) => {
            let field = entity.system(role).field.as_ref();
            match role {
                SystemRole::Id => quote!(#field: ::core::clone::Clone::clone(&__row.id)),
                SystemRole::Version => quote!(#field: ::core::clone::Clone::clone(&__row.version)),
                SystemRole::UpdatedAt => quote!(#field: __row.updated_at),
                SystemRole::Deleted => quote!(#field: __row.deleted),
            }
        }
    }
}
