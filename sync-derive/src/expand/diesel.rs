//! Impls of Diesel's traits: the table behind the entity, `Selectable`, `Queryable` and joins.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use crate::model::{Column, Entity, Member, SystemRole};

/// `impl DieselEntity`.
pub(crate) fn diesel_entity(entity: &Entity) -> TokenStream {
    let Entity { ident, module, .. } = entity;
    quote! {
        #[automatically_derived]
        impl __sync::DieselEntity for #ident {
            type Table = #module::table;
            type Id = #module::id;
            type System = (#module::id, #module::version, #module::updated_at, #module::deleted);

            fn table() -> Self::Table {
                #module::table
            }
        }
    }
}

/// The select clause of the struct's own fields.
pub(crate) fn selectable(entity: &Entity) -> TokenStream {
    let Entity { ident, module, .. } = entity;
    let columns: Vec<Ident> = entity.members.iter().map(|member| diesel_column(entity, member)).collect();
    quote! {
        #[automatically_derived]
        impl __sync::diesel::expression::Selectable<__sync::diesel::sqlite::Sqlite> for #ident {
            type SelectExpression = (#(#module::columns::#columns,)*);

            fn construct_selection() -> Self::SelectExpression {
                (#(#module::columns::#columns,)*)
            }
        }
    }
}

/// Reads the struct's own fields; a value that does not fit its field is Diesel's deserialization error.
pub(crate) fn queryable(entity: &Entity) -> TokenStream {
    let ident = &entity.ident;
    let sql_types = entity.members.iter().map(|member| match *member {
        Member::Column(index) => entity.columns[index].ty.diesel_type(),
        Member::System(SystemRole::Id) => quote!(diesel::sql_types::Text),
        Member::System(SystemRole::Version) => quote!(diesel::sql_types::Nullable<diesel::sql_types::Text>),
        Member::System(SystemRole::UpdatedAt) => {
            quote!(diesel::sql_types::Nullable<diesel::sql_types::TimestamptzSqlite>)
        }
        Member::System(SystemRole::Deleted) => quote!(diesel::sql_types::Bool),
    });
    let row_types = entity.members.iter().map(|member| row_type(entity, member));
    let values: Vec<Ident> =
        (0..entity.members.len()).map(|index| format_ident!("__value_{index}")).collect();
    let fields = entity.members.iter().zip(&values).map(|(member, value)| match *member {
        Member::Column(index) => {
            let Column { field, ty, .. } = &entity.columns[index];
            match (ty.kind.is_loaded_checked(), ty.nullable) {
                (false, _) => quote!(#field: #value),
                (true, false) => quote!(#field: #value.0),
                (true, true) => quote!(#field: ::core::option::Option::map(#value, |__loaded| __loaded.0)),
            }
        }
        Member::System(role) => {
            let field = entity.system(role).field.as_ref();
            quote!(#field: #value)
        }
    });
    quote! {
        const _: () = {
            use __sync::diesel;

            #[automatically_derived]
            impl diesel::deserialize::Queryable<(#(#sql_types,)*), diesel::sqlite::Sqlite> for #ident {
                type Row = (#(#row_types,)*);

                fn build((#(#values,)*): Self::Row) -> diesel::deserialize::Result<Self> {
                    ::core::result::Result::Ok(Self { #(#fields),* })
                }
            }
        };
    }
}

/// Joins between the child's table and its parents' tables, both ways.
///
/// Two fields that refer to one parent give no join: which one is meant must be said with `.on(..)`. Neither
/// does a reference to the entity itself: Diesel joins a table with itself only through an alias.
pub(crate) fn joins(entity: &Entity) -> TokenStream {
    let module = &entity.module;
    let references: Vec<_> = entity
        .columns
        .iter()
        .filter_map(|column| column.belongs_to.as_ref().map(|parent| (column, parent)))
        .filter(|(_, parent)| !entity.is_self(parent))
        .collect();
    let joins = references
        .iter()
        .filter(|(_, parent)| references.iter().filter(|(_, other)| other == parent).count() == 1);
    let joins = joins.map(|(column, parent)| {
        let child = quote!(#module::table);
        let parent = quote_spanned!(parent.span()=> <#parent as __sync::DieselEntity>);
        let foreign_key = &column.diesel;
        let foreign_key = quote!(#module::columns::#foreign_key);
        let parent_table = quote!(#parent::Table);
        let to_parent = join(&child, &parent_table, &foreign_key, &parent);
        let to_child = join(&parent_table, &child, &foreign_key, &parent);
        quote!(#to_parent #to_child)
    });
    quote!(#(#joins)*)
}

fn join(
    from: &TokenStream,
    to: &TokenStream,
    foreign_key: &TokenStream,
    parent: &TokenStream,
) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl __sync::diesel::JoinTo<#to> for #from {
            type FromClause = #to;
            type OnClause = __sync::diesel::dsl::Eq<
                __sync::diesel::dsl::Nullable<#foreign_key>,
                __sync::diesel::dsl::Nullable<#parent::Id>,
            >;

            fn join_target(__to: #to) -> (Self::FromClause, Self::OnClause) {
                let __id = <#parent::Id as ::core::default::Default>::default();
                let __on = __sync::diesel::ExpressionMethods::eq(
                    __sync::diesel::NullableExpressionMethods::nullable(#foreign_key),
                    __sync::diesel::NullableExpressionMethods::nullable(__id),
                );
                (__to, __on)
            }
        }
    }
}

fn diesel_column(entity: &Entity, member: &Member) -> Ident {
    match *member {
        Member::Column(index) => entity.columns[index].diesel.clone(),
        Member::System(role) => format_ident!("{}", role.field()),
    }
}

fn row_type(entity: &Entity, member: &Member) -> TokenStream {
    match *member {
        Member::Column(index) => {
            let ty = &entity.columns[index].ty;
            let inner = &ty.inner;
            let bare =
                if ty.kind.is_loaded_checked() { quote!(__sync::Loaded<#inner>) } else { quote!(#inner) };
            if ty.nullable { quote!(::core::option::Option<#bare>) } else { bare }
        }
        Member::System(SystemRole::Id) => quote!(::std::string::String),
        Member::System(SystemRole::Version) => quote!(::core::option::Option<::std::string::String>),
        Member::System(SystemRole::UpdatedAt) => {
            quote!(::core::option::Option<__sync::DateTime<__sync::Utc>>)
        }
        Member::System(SystemRole::Deleted) => quote!(bool),
    }
}
