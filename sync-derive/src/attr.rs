//! `#[sync(..)]` as written: keys with their spans and values of the right shape, nothing looked up yet.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Path, Token};

use crate::errors::Errors;

const CONTAINER: &[&str] = &["table", "module", "rename_all", "no_version", "keep_deleted"];
const FIELD: &[&str] = &["rename", "column", "local", "belongs_to", "index", "default", "merge"];

/// What stands on the struct.
#[derive(Default)]
pub(crate) struct ContainerAttrs {
    pub(crate) table: Option<LitStr>,
    pub(crate) module: Option<Ident>,
    pub(crate) rename_all: Option<LitStr>,
    pub(crate) no_version: bool,
    pub(crate) keep_deleted: bool,
}

/// What stands on a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) rename: Option<LitStr>,
    pub(crate) column: Option<Ident>,
    pub(crate) local: bool,
    pub(crate) belongs_to: Option<Path>,
    pub(crate) index: bool,
    pub(crate) default: Option<Expr>,
    pub(crate) merge: Option<Ident>,
    /// The keys given, for errors about their combination.
    pub(crate) keys: Vec<Ident>,
}

impl ContainerAttrs {
    pub(crate) fn parse(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut out = Self::default();
        for entry in entries(attributes, CONTAINER, (FIELD, "a field"), errors) {
            match entry.name.as_str() {
                "table" => out.table = errors.note(entry.string()),
                "module" => out.module = errors.note(entry.ident()),
                "rename_all" => out.rename_all = errors.note(entry.string()),
                "no_version" => out.no_version = errors.note(entry.flag()).is_some(),
                _ => out.keep_deleted = errors.note(entry.flag()).is_some(),
            }
        }
        out
    }
}

impl FieldAttrs {
    pub(crate) fn parse(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut out = Self::default();
        for entry in entries(attributes, FIELD, (CONTAINER, "the struct"), errors) {
            match entry.name.as_str() {
                "rename" => out.rename = errors.note(entry.string()),
                "column" => out.column = errors.note(entry.ident()),
                "local" => out.local = errors.note(entry.flag()).is_some(),
                "belongs_to" => out.belongs_to = errors.note(entry.path()),
                "index" => out.index = errors.note(entry.flag()).is_some(),
                "merge" => out.merge = errors.note(entry.ident()),
                _ => out.default = errors.note(entry.value("a literal, as in `default = 0`")).cloned(),
            }
            out.keys.push(entry.key);
        }
        out
    }

    /// Span of a key that was given.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.keys.iter().find(|ident| *ident == key).map_or_else(Span::call_site, Ident::span)
    }
}

/// `key` or `key = value`.
struct Entry {
    key: Ident,
    name: String,
    value: Option<Expr>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input.call(Ident::parse_any)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() { Some(input.parse()?) } else { None };
        Ok(Self { name: key.unraw().to_string(), key, value })
    }
}

impl Entry {
    fn flag(&self) -> syn::Result<()> {
        match &self.value {
            None => Ok(()),
            Some(value) => Err(syn::Error::new_spanned(
                value,
                format!("`{0}` takes no value: write `#[sync({0})]`", self.name),
            )),
        }
    }

    fn value(&self, wanted: &str) -> syn::Result<&Expr> {
        self.value
            .as_ref()
            .map(ungroup)
            .ok_or_else(|| syn::Error::new(self.key.span(), format!("`{}` needs {wanted}", self.name)))
    }

    fn string(&self) -> syn::Result<LitStr> {
        let wanted = format!("a string, as in `{} = \"..\"`", self.name);
        match self.value(&wanted)? {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
            other => Err(syn::Error::new_spanned(other, format!("`{}` needs {wanted}", self.name))),
        }
    }

    fn path(&self) -> syn::Result<Path> {
        let wanted = format!("the name of a type, as in `{} = List`", self.name);
        match self.value(&wanted)? {
            Expr::Path(path) if path.qself.is_none() => Ok(path.path.clone()),
            other => Err(syn::Error::new_spanned(other, format!("`{}` needs {wanted}", self.name))),
        }
    }

    fn ident(&self) -> syn::Result<Ident> {
        let wanted = format!("an identifier without quotes, as in `{} = name`", self.name);
        match self.value(&wanted)? {
            Expr::Path(path) if path.qself.is_none() => path.path.get_ident().cloned(),
            _ => None,
        }
        .ok_or_else(|| syn::Error::new_spanned(&self.value, format!("`{}` needs {wanted}", self.name)))
    }
}

/// Values that come through `macro_rules!` arrive in an invisible group.
fn ungroup(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

/// All entries of all `#[sync(..)]` attributes; unknown and repeated keys are reported and left out.
fn entries(
    attributes: &[Attribute],
    valid: &[&str],
    elsewhere: (&[&str], &str),
    errors: &mut Errors,
) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("sync")) {
        let parsed = attribute.parse_args_with(Punctuated::<Entry, Token![,]>::parse_terminated);
        for entry in errors.note(parsed).into_iter().flatten() {
            let name = &entry.name;
            if !valid.contains(&name.as_str()) {
                let hint = if elsewhere.0.contains(&name.as_str()) {
                    format!("`{name}` belongs on {}", elsewhere.1)
                } else {
                    format!("unknown attribute `{name}`")
                };
                errors.push(entry.key.span(), format!("{hint}; valid here: {}", list(valid)));
            } else if found.iter().any(|earlier| earlier.name == *name) {
                errors.push(entry.key.span(), format!("duplicate attribute `{name}`: keep one of them"));
            } else {
                found.push(entry);
            }
        }
    }
    found
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
