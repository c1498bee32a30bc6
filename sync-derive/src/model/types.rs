//! Types of fields, read from their text: a derive sees tokens, not types.
//!
//! The Diesel type must be written into `table!` as text, which is why an alias cannot be followed. That the
//! name is the type it looks like is checked by the compiler: the expansion names the type where it must be a
//! `ColumnValue`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{GenericArgument, PathArguments, PathSegment, Type};

/// A type a column can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Text,
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    F32,
    F64,
    DateTime,
    Uuid,
}

/// The type of a field.
#[derive(Clone, Debug)]
pub(crate) struct FieldType {
    pub(crate) kind: Kind,
    /// Whether the field is an `Option`.
    pub(crate) nullable: bool,
    /// The type itself, without the `Option`.
    pub(crate) inner: Type,
}

const SUPPORTED: &str = "a field of a synced entity is a String, bool, i8, i16, i32, i64, u8, u16, u32, f32, \
                         f64, DateTime<Utc>, Uuid, or an Option of one of these; write the type itself, an alias \
                         cannot be followed";

impl FieldType {
    pub(crate) fn parse(ty: &Type) -> syn::Result<Self> {
        let ty = ungroup(ty);
        match last_segment(ty).filter(|segment| segment.ident == "Option").and_then(only_argument) {
            Some(inner) => {
                let inner = ungroup(inner);
                Ok(Self { kind: Kind::parse(inner)?, nullable: true, inner: inner.clone() })
            }
            None => Ok(Self { kind: Kind::parse(ty)?, nullable: false, inner: ty.clone() }),
        }
    }

    /// The type as Diesel's `table!` wants it; `diesel` is a name inside that macro.
    pub(crate) fn diesel_type(&self) -> TokenStream {
        let bare = self.kind.diesel_type();
        if self.nullable { quote!(diesel::sql_types::Nullable<#bare>) } else { bare }
    }
}

impl Kind {
    fn parse(ty: &Type) -> syn::Result<Self> {
        let refuse = |message: &str| Err(syn::Error::new_spanned(ty, message));
        let Some(segment) = last_segment(ty) else {
            return refuse(match ty {
                Type::Reference(_) => "an entity owns its values: use String instead of a reference",
                _ => SUPPORTED,
            });
        };
        let name = segment.ident.to_string();
        if name == "DateTime" {
            return match only_argument(segment).and_then(last_segment) {
                Some(zone) if zone.ident == "Utc" => Ok(Self::DateTime),
                _ => refuse("an instant is stored in UTC: use DateTime<Utc>"),
            };
        }
        if !segment.arguments.is_none() {
            return refuse(SUPPORTED);
        }
        Ok(match name.as_str() {
            "String" => Self::Text,
            "bool" => Self::Bool,
            "i8" => Self::I8,
            "i16" => Self::I16,
            "i32" => Self::I32,
            "i64" => Self::I64,
            "u8" => Self::U8,
            "u16" => Self::U16,
            "u32" => Self::U32,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "Uuid" => Self::Uuid,
            "u64" | "usize" | "isize" | "u128" | "i128" => {
                return refuse(&format!(
                    "SQLite holds integers of 64 bits with a sign: use i64 instead of {name}"
                ));
            }
            "char" => return refuse("text is stored as a String: use String instead of char"),
            "NaiveDateTime" | "SystemTime" => {
                return refuse(&format!("an instant is stored in UTC: use DateTime<Utc> instead of {name}"));
            }
            _ => return refuse(SUPPORTED),
        })
    }

    fn diesel_type(self) -> TokenStream {
        match self {
            Self::Text | Self::Uuid => quote!(diesel::sql_types::Text),
            Self::Bool => quote!(diesel::sql_types::Bool),
            Self::I8 | Self::I16 | Self::U8 => quote!(diesel::sql_types::SmallInt),
            Self::I32 | Self::U16 => quote!(diesel::sql_types::Integer),
            Self::I64 | Self::U32 => quote!(diesel::sql_types::BigInt),
            Self::F32 => quote!(diesel::sql_types::Float),
            Self::F64 => quote!(diesel::sql_types::Double),
            Self::DateTime => quote!(diesel::sql_types::TimestamptzSqlite),
        }
    }

    /// Whether Diesel cannot read this type from SQLite, or not without cutting bits off.
    pub(crate) fn is_loaded_checked(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::U8 | Self::U16 | Self::U32 | Self::Uuid)
    }

    /// Smallest and greatest value of an integer type.
    pub(crate) fn integer_range(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::I64 => (i64::MIN, i64::MAX),
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            _ => return None,
        })
    }
}

/// Types that come through `macro_rules!` arrive in an invisible group.
fn ungroup(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungroup(ty) {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

fn only_argument(segment: &PathSegment) -> Option<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => match &arguments.args[0] {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}
