//! What the derive knows about an entity once everything was checked; expansion of it cannot fail.

mod case;
mod literal;
mod merge;
mod names;
mod types;

use proc_macro2::Span;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Field, Fields, Ident, Path, Visibility};

use crate::attr::{ContainerAttrs, FieldAttrs};
use crate::errors::Errors;
use crate::model::case::Case;
pub(crate) use crate::model::types::FieldType;

/// A synced struct.
pub(crate) struct Entity {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    /// Name of the table, locally and remotely.
    pub(crate) table: String,
    /// Name of the Diesel module.
    pub(crate) module: Ident,
    pub(crate) versioned: bool,
    pub(crate) keep_deleted: bool,
    /// Fields in order of declaration.
    pub(crate) members: Vec<Member>,
    /// The app's columns in order of declaration.
    pub(crate) columns: Vec<Column>,
    /// The four system columns, in the order of [`SystemRole::ALL`].
    pub(crate) system: [SystemColumn; 4],
}

/// What a field of the struct holds.
pub(crate) enum Member {
    /// The value of `columns[index]`.
    Column(usize),
    /// The value of a system column.
    System(SystemRole),
}

/// A column of the app.
pub(crate) struct Column {
    pub(crate) field: Ident,
    pub(crate) vis: Visibility,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) ty: FieldType,
    /// Name in SQL and JSON.
    pub(crate) name: String,
    /// Name of the associated constant.
    pub(crate) constant: Ident,
    /// Name of the Diesel column.
    pub(crate) diesel: Ident,
    pub(crate) local: bool,
    pub(crate) index: bool,
    pub(crate) default: Option<String>,
    pub(crate) belongs_to: Option<Path>,
    /// Variant of `MergeRule`.
    pub(crate) merge: Option<Ident>,
}

/// A system column; its name, type and Diesel column are fixed.
pub(crate) struct SystemColumn {
    pub(crate) role: SystemRole,
    /// The field, if the struct declares one.
    pub(crate) field: Option<Ident>,
    pub(crate) vis: Visibility,
    pub(crate) docs: Vec<Attribute>,
    /// Name of the associated constant.
    pub(crate) constant: Ident,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SystemRole {
    Id,
    Version,
    UpdatedAt,
    Deleted,
}

impl SystemRole {
    pub(crate) const ALL: [Self; 4] = [Self::Id, Self::Version, Self::UpdatedAt, Self::Deleted];

    /// Name of the field, of the associated constant and of the Diesel column.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Version => "version",
            Self::UpdatedAt => "updated_at",
            Self::Deleted => "deleted",
        }
    }

    fn of_field(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.field() == name)
    }

    fn is_type(self, ty: &FieldType) -> bool {
        let (kind, nullable) = match self {
            Self::Id => (types::Kind::Text, false),
            Self::Version => (types::Kind::Text, true),
            Self::UpdatedAt => (types::Kind::DateTime, true),
            Self::Deleted => (types::Kind::Bool, false),
        };
        ty.kind == kind && ty.nullable == nullable
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Id => "String",
            Self::Version => "Option<String>",
            Self::UpdatedAt => "Option<DateTime<Utc>>",
            Self::Deleted => "bool",
        }
    }
}

impl Entity {
    /// Checks a struct; reports everything that is wrong with it at once.
    pub(crate) fn parse(input: &DeriveInput) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let attrs = ContainerAttrs::parse(&input.attrs, &mut errors);
        check_generics(input, &mut errors);
        let fields = named_fields(input, &mut errors);

        let table = table_name(&input.ident, &attrs, &mut errors);
        let module = module_name(&input.ident, &attrs, &mut errors);
        let case = attrs.rename_all.as_ref().and_then(|rule| {
            let parsed = Case::parse(&rule.value()).map_err(|message| syn::Error::new(rule.span(), message));
            errors.note(parsed)
        });

        let mut members = Vec::new();
        let mut columns = Vec::new();
        let mut system = SystemRole::ALL.map(|role| SystemColumn::undeclared(role, input));
        for field in fields {
            let Some(ident) = &field.ident else { continue };
            let attrs = FieldAttrs::parse(&field.attrs, &mut errors);
            match SystemRole::of_field(&ident.unraw().to_string()) {
                Some(role) => {
                    system[role as usize].declare(field, ident, attrs, &mut errors);
                    members.push(Member::System(role));
                }
                None => {
                    let Some(column) = Column::parse(field, ident, attrs, case, &mut errors) else {
                        continue;
                    };
                    members.push(Member::Column(columns.len()));
                    columns.push(column);
                }
            }
        }
        check_names(&columns, &mut errors);
        check_constants(&columns, &system, &mut errors);
        names_for_diesel(&mut columns, module.as_ref());
        errors.finish()?;

        // Both are present: their absence was an error.
        let (Some(table), Some(module)) = (table, module) else {
            return Err(syn::Error::new(input.ident.span(), "the names of table and module cannot be used"));
        };
        Ok(Self {
            ident: input.ident.clone(),
            vis: input.vis.clone(),
            table,
            module,
            versioned: !attrs.no_version,
            keep_deleted: attrs.keep_deleted,
            members,
            columns,
            system,
        })
    }

    pub(crate) fn system(&self, role: SystemRole) -> &SystemColumn {
        &self.system[role as usize]
    }

    /// Whether `path` names this struct, as far as its text tells.
    pub(crate) fn is_self(&self, path: &Path) -> bool {
        path.is_ident("Self") || path.is_ident(&self.ident)
    }
}

impl SystemColumn {
    fn undeclared(role: SystemRole, input: &DeriveInput) -> Self {
        Self {
            role,
            field: None,
            vis: input.vis.clone(),
            docs: Vec::new(),
            constant: Ident::new(role.field(), Span::call_site()),
        }
    }

    fn declare(&mut self, field: &Field, ident: &Ident, attrs: FieldAttrs, errors: &mut Errors) {
        for key in attrs.keys.iter().filter(|key| *key != "column") {
            errors.push(
                key.span(),
                format!("`{key}` does not apply to `{ident}`, a system column; valid here: `column`"),
            );
        }
        if !FieldType::parse(&field.ty).is_ok_and(|ty| self.role.is_type(&ty)) {
            let message = format!(
                "the system column `{ident}` has the type `{right}`: declare `{ident}: {right}`, or name a column \
                 of your own otherwise",
                right = self.role.type_name()
            );
            errors.add(syn::Error::new_spanned(&field.ty, message));
        }
        self.field = Some(ident.clone());
        self.docs = docs(field);
        self.constant = attrs.column.unwrap_or_else(|| ident.clone());
    }
}

impl Column {
    fn parse(
        field: &Field,
        ident: &Ident,
        attrs: FieldAttrs,
        case: Option<Case>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let plain = ident.unraw().to_string();
        let name = match (&attrs.rename, case) {
            (Some(rename), _) => rename.value(),
            (None, Some(case)) => case.apply(&plain),
            (None, None) => plain,
        };
        let name_span = attrs.rename.as_ref().map_or_else(|| ident.span(), |rename| rename.span());
        if let Err(message) = names::check_column(&name) {
            let hint =
                if attrs.rename.is_some() { "" } else { "; set another with `#[sync(rename = \"..\")]`" };
            errors.push(name_span, format!("{message}{hint}"));
        }

        let ty = errors.note(FieldType::parse(&field.ty));
        let default = match (&ty, &attrs.default) {
            (Some(ty), Some(value)) => errors.note(literal::sql_literal(ty.kind, value)),
            _ => None,
        };
        if let (Some(ty), Some(_)) = (&ty, &attrs.belongs_to)
            && !matches!(ty.kind, types::Kind::Text | types::Kind::Uuid)
        {
            errors.push(
                attrs.span_of("belongs_to"),
                "`belongs_to` needs a field that holds an id: String, Uuid, or an Option of one of these",
            );
        }
        let merge = match (&ty, &attrs.merge) {
            (Some(ty), Some(rule)) => errors.note(merge::variant(ty, attrs.local, rule)),
            _ => None,
        };
        let constant = attrs.column.unwrap_or_else(|| ident.clone());
        Some(Self {
            field: ident.clone(),
            vis: field.vis.clone(),
            docs: docs(field),
            ty: ty?,
            name,
            diesel: ident.clone(),
            constant,
            local: attrs.local,
            index: attrs.index,
            default,
            belongs_to: attrs.belongs_to,
            merge,
        })
    }

    /// Where an error about the column's name belongs.
    fn span(&self) -> Span {
        self.field.span()
    }
}

fn docs(field: &Field) -> Vec<Attribute> {
    field.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect()
}

fn check_generics(input: &DeriveInput, errors: &mut Errors) {
    let clause = input.generics.where_clause.as_ref().map(Spanned::span);
    let parameters = (!input.generics.params.is_empty()).then(|| input.generics.span());
    if let Some(span) = parameters.or(clause) {
        errors.push(span, "a synced entity is one table: it cannot be generic");
    }
}

fn named_fields<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Vec<&'a Field> {
    const HINT: &str = "a synced entity is a struct with named fields";
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                if fields.named.is_empty() {
                    errors.push(input.ident.span(), format!("{HINT}: it needs at least one"));
                }
                return fields.named.iter().collect();
            }
            Fields::Unnamed(fields) => errors.push(fields.span(), format!("{HINT}: name these fields")),
            Fields::Unit => errors.push(input.ident.span(), format!("{HINT}: it needs at least one")),
        },
        Data::Enum(data) => errors.push(data.enum_token.span(), format!("{HINT}, not an enum")),
        Data::Union(data) => errors.push(data.union_token.span(), format!("{HINT}, not a union")),
    }
    Vec::new()
}

fn table_name(ident: &Ident, attrs: &ContainerAttrs, errors: &mut Errors) -> Option<String> {
    let (name, span, hint) = match &attrs.table {
        Some(table) => (table.value(), table.span(), ""),
        None => (ident.unraw().to_string(), ident.span(), "; set another with `#[sync(table = \"..\")]`"),
    };
    let checked =
        names::check_table(&name).map_err(|message| syn::Error::new(span, format!("{message}{hint}")));
    errors.note(checked).map(|()| name)
}

/// The name of the Diesel module of a struct that sets none, if it can name one.
pub(crate) fn default_module(ident: &Ident) -> Option<Ident> {
    names::identifier(&case::snake(&ident.unraw().to_string()), ident.span())
}

/// The module's name; a snake-case struct name may be a keyword, which is written as a raw identifier.
fn module_name(ident: &Ident, attrs: &ContainerAttrs, errors: &mut Errors) -> Option<Ident> {
    let module = match &attrs.module {
        Some(module) => module.clone(),
        None => match default_module(ident) {
            Some(module) => module,
            None => {
                let name = case::snake(&ident.unraw().to_string());
                let message = format!("`{name}` cannot name a module; set `#[sync(module = ..)]`");
                errors.push(ident.span(), message);
                return None;
            }
        },
    };
    let plain = module.unraw().to_string();
    if SystemRole::of_field(&plain).is_some() || names::is_taken_by_table_macro(&plain) {
        let message =
            format!("a Diesel module cannot be named `{plain}`; set another with `#[sync(module = ..)]`");
        errors.push(module.span(), message);
        return None;
    }
    Some(module)
}

/// Names of columns differ in more than ASCII case.
fn check_names(columns: &[Column], errors: &mut Errors) {
    for (index, column) in columns.iter().enumerate() {
        if let Some(earlier) =
            columns[..index].iter().find(|other| other.name.eq_ignore_ascii_case(&column.name))
        {
            let message = format!(
                "the column name \"{}\" is already that of field `{}` (names are compared without case); set \
                 another with `#[sync(rename = \"..\")]`",
                column.name, earlier.field
            );
            errors.push(column.span(), message);
        }
    }
}

/// Associated constants do not collide with each other or hide `Todo::all()`.
fn check_constants(columns: &[Column], system: &[SystemColumn; 4], errors: &mut Errors) {
    const HINT: &str = "set another with `#[sync(column = ..)]`";
    let constants =
        system.iter().map(|column| &column.constant).chain(columns.iter().map(|column| &column.constant));
    let mut seen: Vec<String> = Vec::new();
    for constant in constants {
        let name = constant.unraw().to_string();
        if name == "all" {
            let message =
                format!("a constant named `all` would hide the function `all()` of the entity; {HINT}");
            errors.push(constant.span(), message);
        } else if seen.contains(&name) {
            errors.push(constant.span(), format!("two columns would be the constant `{name}`; {HINT}"));
        }
        seen.push(name);
    }
}

/// Gives another Diesel name to columns whose own name means something else inside `table!`.
fn names_for_diesel(columns: &mut [Column], module: Option<&Ident>) {
    let module = module.map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let mut taken: Vec<String> = columns.iter().map(|column| column.field.unraw().to_string()).collect();
    for column in columns {
        let mut name = column.field.unraw().to_string();
        if name != module && !names::is_taken_by_table_macro(&name) {
            continue;
        }
        while taken.contains(&name) || name == module || names::is_taken_by_table_macro(&name) {
            name.push('_');
        }
        column.diesel = format_ident!("{name}", span = column.field.span());
        taken.push(name);
    }
}
