//! Text.

use crate::expression::{Expr, IntoExpr, Joined, JoinedTwice, call, methods};
use crate::predicate::Function;

methods! { [] String {
    /// True where the text contains `needle`, by code point and case-sensitively; false for null.
    pub fn contains<R: IntoExpr<E, String>>(self, needle: R) -> Joined<E, bool, S, String, R> {
        call(Function::Contains, vec![self.into_node(), needle.into_expr().node])
    }

    /// True where the text starts with `prefix`, case-sensitively; false for null.
    pub fn starts_with<R: IntoExpr<E, String>>(self, prefix: R) -> Joined<E, bool, S, String, R> {
        call(Function::StartsWith, vec![self.into_node(), prefix.into_expr().node])
    }

    /// True where the text ends with `suffix`, case-sensitively; false for null.
    pub fn ends_with<R: IntoExpr<E, String>>(self, suffix: R) -> Joined<E, bool, S, String, R> {
        call(Function::EndsWith, vec![self.into_node(), suffix.into_expr().node])
    }

    /// The number of characters (code points), those from the first U+0000 on not counted.
    pub fn length(self) -> Expr<E, i32, S> {
        call(Function::Length, vec![self.into_node()])
    }

    /// The number of characters before the first `needle`; -1 where there is none.
    pub fn index_of<R: IntoExpr<E, String>>(self, needle: R) -> Joined<E, i32, S, String, R> {
        call(Function::IndexOf, vec![self.into_node(), needle.into_expr().node])
    }

    /// The characters from `start`, counted from 0; empty beyond the end. A start below 0 counts as 0.
    pub fn substring<R: IntoExpr<E, i32>>(self, start: R) -> Joined<E, String, S, i32, R> {
        call(Function::SubstringFrom, vec![self.into_node(), start.into_expr().node])
    }

    /// At most `length` characters from `start`, counted from 0. A start or length below 0 counts as 0.
    pub fn substring_len<R: IntoExpr<E, i32>, L: IntoExpr<E, i32>>(
        self,
        start: R,
        length: L,
    ) -> JoinedTwice<E, String, S, i32, R, i32, L> {
        let arguments = vec![self.into_node(), start.into_expr().node, length.into_expr().node];
        call(Function::Substring, arguments)
    }

    /// The text with `with` for every `find`; unchanged where `find` is empty.
    pub fn replace<R: IntoExpr<E, String>, W: IntoExpr<E, String>>(
        self,
        find: R,
        with: W,
    ) -> JoinedTwice<E, String, S, String, R, String, W> {
        let arguments = vec![self.into_node(), find.into_expr().node, with.into_expr().node];
        call(Function::Replace, arguments)
    }

    /// The text with a to z for A to Z; other letters stay as they are.
    pub fn to_lower(self) -> Expr<E, String, S> {
        call(Function::ToLower, vec![self.into_node()])
    }

    /// The text with A to Z for a to z; other letters stay as they are.
    pub fn to_upper(self) -> Expr<E, String, S> {
        call(Function::ToUpper, vec![self.into_node()])
    }

    /// The text without blanks (U+0020) at both ends; other white space stays.
    pub fn trim(self) -> Expr<E, String, S> {
        call(Function::Trim, vec![self.into_node()])
    }

    /// This text, then `other`; null where one of them is.
    pub fn concat<R: IntoExpr<E, String>>(self, other: R) -> Joined<E, String, S, String, R> {
        call(Function::Concat, vec![self.into_node(), other.into_expr().node])
    }
}}
