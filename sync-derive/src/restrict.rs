//! The visibility of a Diesel module: `table!` writes `pub` everywhere, a private struct needs less.
//!
//! `table!` passes attributes on to the module it writes, so an attribute of ours sees that module and replaces
//! each `pub`. Re-exporting a public module privately would not do: the joins of a private entity name it in
//! associated types of impls for the table, which the compiler refuses while the table itself counts as public.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;
use syn::Visibility;

/// Replaces `pub` by `vis`, which was written one module above `item`.
pub(crate) fn restrict(vis: &Visibility, item: TokenStream) -> TokenStream {
    at_depth(vis, item, 0)
}

fn at_depth(vis: &Visibility, tokens: TokenStream, depth: usize) -> TokenStream {
    let mut out = TokenStream::new();
    let mut in_mod_item = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "pub" => out.extend(seen_from(vis, depth)),
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                let inner_depth = if in_mod_item && is_body { depth + 1 } else { depth };
                let mut inner = Group::new(group.delimiter(), at_depth(vis, group.stream(), inner_depth));
                inner.set_span(group.span());
                out.extend([TokenTree::Group(inner)]);
                in_mod_item &= !is_body;
            }
            token => {
                in_mod_item |= matches!(&token, TokenTree::Ident(ident) if ident == "mod");
                out.extend([token]);
            }
        }
    }
    out
}

/// `vis` as it is written `depth` modules further down.
fn seen_from(vis: &Visibility, depth: usize) -> TokenStream {
    let up = |levels: usize| {
        let supers = std::iter::repeat_n(quote!(super), levels);
        quote!(#(#supers)::*)
    };
    match vis {
        _ if depth == 0 => quote!(#vis),
        Visibility::Public(_) => quote!(pub),
        Visibility::Inherited => {
            let path = up(depth);
            quote!(pub(in #path))
        }
        Visibility::Restricted(restricted) => {
            let path = &restricted.path;
            let first = path.segments.first().map(|segment| segment.ident.to_string());
            let above = up(depth);
            match first.as_deref() {
                Some("super") => quote!(pub(in #above::#path)),
                Some("self") if path.segments.len() == 1 => quote!(pub(in #above)),
                _ => quote!(pub(in #path)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::restrict;

    fn check(vis: &str, expected: &str) {
        let item = "#[doc = \"pub\"] pub mod todo { pub struct table; impl table { pub fn star() {} } \
                    pub mod columns { pub struct id; } pub use columns::id; }";
        let restricted = restrict(&syn::parse_str(vis).unwrap(), item.parse().unwrap());
        let expected: proc_macro2::TokenStream = expected.parse().unwrap();
        assert_eq!(restricted.to_string(), expected.to_string(), "{vis}");
    }

    #[test]
    fn every_pub_is_replaced_as_seen_from_its_module() {
        check(
            "",
            "#[doc = \"pub\"] mod todo { pub(in super) struct table; impl table { pub(in super) fn star() {} } \
             pub(in super) mod columns { pub(in super::super) struct id; } pub(in super) use columns::id; }",
        );
        check(
            "pub(super)",
            "#[doc = \"pub\"] pub(super) mod todo { pub(in super::super) struct table; \
             impl table { pub(in super::super) fn star() {} } \
             pub(in super::super) mod columns { pub(in super::super::super) struct id; } \
             pub(in super::super) use columns::id; }",
        );
        check(
            "pub(crate)",
            "#[doc = \"pub\"] pub(crate) mod todo { pub(in crate) struct table; \
             impl table { pub(in crate) fn star() {} } \
             pub(in crate) mod columns { pub(in crate) struct id; } pub(in crate) use columns::id; }",
        );
        check(
            "pub(in super::a)",
            "#[doc = \"pub\"] pub(in super::a) mod todo { pub(in super::super::a) struct table; \
             impl table { pub(in super::super::a) fn star() {} } \
             pub(in super::super::a) mod columns { pub(in super::super::super::a) struct id; } \
             pub(in super::super::a) use columns::id; }",
        );
    }
}
