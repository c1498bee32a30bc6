//! `sync_schema!`: the one list of entities.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Path, Token, Visibility};

use crate::errors::Errors;
use crate::model::default_module;

/// `#[attributes] pub AppSchema: Todo, List`.
pub(crate) struct Schema {
    attributes: Vec<Attribute>,
    /// Whether the join declarations are made by another list, in the crate of the entities.
    joins: bool,
    vis: Visibility,
    ident: Ident,
    entities: Vec<Listed>,
}

/// `Todo`, or `Todo in tasks` for an entity whose Diesel module is not beside it under its own name.
struct Listed {
    entity: Path,
    module: Option<Path>,
}

impl Parse for Listed {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let entity = input.parse()?;
        let module = if input.parse::<Option<Token![in]>>()?.is_some() { Some(input.parse()?) } else { None };
        Ok(Self { entity, module })
    }
}

impl Listed {
    /// The Diesel table, by its path.
    ///
    /// Not `<Todo as DieselEntity>::Table`: a later crate cannot tell such a type from its own tables, and no table
    /// could be declared there any more.
    fn table(&self) -> TokenStream {
        let module = self.module.clone().unwrap_or_else(|| {
            let mut module = self.entity.clone();
            if let Some(last) = module.segments.last_mut() {
                last.ident = default_module(&last.ident).unwrap_or_else(|| last.ident.clone());
            }
            module
        });
        quote_spanned!(module.span()=> #module::table)
    }
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
        let list = input.call(Punctuated::<Listed, Token![,]>::parse_terminated)?;
        let mut entities: Vec<Listed> = Vec::new();
        for listed in list {
            if entities.iter().any(|other| other.entity == listed.entity) {
                errors.push(listed.entity.span(), "this entity is already in the list");
            } else {
                entities.push(listed);
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
    let entries = entities
        .iter()
        .map(|Listed { entity, .. }| quote_spanned!(entity.span()=> __sync::TableEntry::of::<#entity>()));
    let distinct = pairs(entities).map(|(left, right)| distinct(&left.entity, &right.entity));
    let together = pairs(entities).filter(|_| schema.joins).map(|(left, right)| together(left, right));
    let modules = entities.iter().filter(|_| schema.joins && entities.len() > 1).map(its_table);
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
            #(#modules)*
        };
    }
}

/// Every two entities of the list, in its order.
fn pairs(entities: &[Listed]) -> impl Iterator<Item = (&Listed, &Listed)> {
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

/// What Diesel's `allow_tables_to_appear_in_same_query!` declares.
fn together(left: &Listed, right: &Listed) -> TokenStream {
    let (left, right) = (left.table(), right.table());
    quote! {
        #[automatically_derived]
        impl __sync::diesel::query_source::TableNotEqual<#left> for #right {}
        #[automatically_derived]
        impl __sync::diesel::query_source::TableNotEqual<#right> for #left {}
    }
}

/// A module that holds another entity's table is told at the module.
fn its_table(listed: &Listed) -> TokenStream {
    let (entity, table) = (&listed.entity, listed.table());
    quote_spanned!(table.span()=> const _: fn(<#entity as __sync::DieselEntity>::Table) -> #table = |table| table;)
}

fn text(path: &Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}
