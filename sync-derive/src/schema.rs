//! `sync_schema!`: the one list of entities.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Path, Token, Visibility};

use crate::errors::Errors;

/// `#[attributes] pub AppSchema: Todo, List`.
pub(crate) struct Schema {
    attributes: Vec<Attribute>,
    /// Whether the join declarations are made by another list, in the crate of the entities.
    joins: bool,
    vis: Visibility,
    ident: Ident,
    entities: Vec<Path>,
}

impl Parse for Schema {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut attributes = input.call(Attribute::parse_outer)?;
        let mut joins = true;
        attributes.retain(|attribute| {
            let ours = attribute.path().is_ident("sync");
            if ours && let Some(key) = errors.note(attribute.parse_args::<Ident>()) {
                if key == "no_joins" {
                    joins = false;
                } else {
                    errors.push(key.span(), format!("unknown attribute `{key}`; valid here: `no_joins`"));
                }
            }
            !ours
        });
        let vis = input.parse()?;
        let ident: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let list = input.call(Punctuated::<Path, Token![,]>::parse_terminated)?;
        let mut entities: Vec<Path> = Vec::new();
        for entity in list {
            if entities.contains(&entity) {
                errors.push(entity.span(), "this entity is already in the list");
            } else {
                entities.push(entity);
            }
        }
        if entities.is_empty() {
            errors.push(
                ident.span(),
                "a schema needs at least one entity, as in `sync_schema!(pub AppSchema: Todo)`",
            );
        }
        errors.finish()?;
        Ok(Self { attributes, joins, vis, ident, entities })
    }
}

/// The expansion of `sync_schema!`.
pub(crate) fn expand(schema: &Schema) -> TokenStream {
    let Schema { attributes, vis, ident, entities, .. } = schema;
    let entries =
        entities.iter().map(|entity| quote_spanned!(entity.span()=> __sync::TableEntry::of::<#entity>()));
    let distinct = pairs(entities).map(|(left, right)| distinct(left, right));
    let together = pairs(entities).filter(|_| schema.joins).map(|(left, right)| together(left, right));
    let docs = (!attributes.iter().any(|attribute| attribute.path().is_ident("doc")))
        .then(|| quote!(#[doc = "The synced entities."]));
    quote! {
        #docs
        #(#attributes)*
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #ident;

        const _: () = {
            use ::sync_diesel::__private as __sync;

            #[automatically_derived]
            impl __sync::SyncSchema for #ident {
                const TABLES: &'static [__sync::TableEntry] = &[#(#entries),*];
            }

            #(#distinct)*
            #(#together)*
        };
    }
}

/// Every two entities of the list, in its order.
fn pairs(entities: &[Path]) -> impl Iterator<Item = (&Path, &Path)> {
    entities
        .iter()
        .enumerate()
        .flat_map(|(index, left)| entities[index + 1..].iter().map(move |right| (left, right)))
}

/// Two entities of one table would overwrite each other's rows.
fn distinct(left: &Path, right: &Path) -> TokenStream {
    let message = format!(
        "`{}` and `{}` have the same table name (names are compared without case); set another with \
         `#[sync(table = \"..\")]`",
        text(left),
        text(right)
    );
    quote_spanned! {right.span()=>
        const _: () = ::core::assert!(
            !<#left as __sync::SyncEntity>::SCHEMA.name
                .eq_ignore_ascii_case(<#right as __sync::SyncEntity>::SCHEMA.name),
            #message
        );
    }
}

/// What Diesel's `allow_tables_to_appear_in_same_query!` declares, through the types: modules may be renamed.
fn together(left: &Path, right: &Path) -> TokenStream {
    let table = |entity: &Path| quote_spanned!(entity.span()=> <#entity as __sync::DieselEntity>::Table);
    let (left, right) = (table(left), table(right));
    quote! {
        #[automatically_derived]
        impl __sync::diesel::query_source::TableNotEqual<#left> for #right {}
        #[automatically_derived]
        impl __sync::diesel::query_source::TableNotEqual<#right> for #left {}
    }
}

fn text(path: &Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}
