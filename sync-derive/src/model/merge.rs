//! `merge = ..`: which rule fits which type. What the rules decide is the runtime's.

use syn::Ident;
use syn::ext::IdentExt;

use super::types::{FieldType, Kind};

/// The variant of `MergeRule` that a rule as written means.
pub(crate) fn variant(ty: &FieldType, is_local: bool, rule: &Ident) -> syn::Result<Ident> {
    let refuse = |message: &str| Err(syn::Error::new(rule.span(), message));
    if is_local {
        return refuse(
            "a local column is never sent, so there is nothing to merge: remove `merge` or `local`",
        );
    }
    let is_number = !matches!(ty.kind, Kind::Text | Kind::Bool | Kind::DateTime | Kind::Uuid);
    let is_ordered = is_number || matches!(ty.kind, Kind::Bool | Kind::DateTime);
    let name = match rule.unraw().to_string().as_str() {
        "local" => "Local",
        "remote" => "Remote",
        "max" | "min" if !is_ordered => {
            return refuse(
                "`max` and `min` need a number, a bool or a DateTime<Utc>; texts and ids are `local` or `remote`",
            );
        }
        "max" => "Max",
        "min" => "Min",
        "add" if !is_number => {
            return refuse("`add` counts what each side added: it needs a number");
        }
        "add" => "Add",
        _ => return refuse("a column is merged by `local`, `remote`, `max`, `min` or `add`"),
    };
    Ok(Ident::new(name, rule.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &str, is_local: bool, rule: &str) -> Result<String, String> {
        let ty = FieldType::parse(&syn::parse_str(ty).unwrap()).unwrap();
        let rule = syn::parse_str(rule).unwrap();
        variant(&ty, is_local, &rule).map(|ident| ident.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_rule_stands_on_types_it_means_something_for() {
        const ALL: [&str; 13] = [
            "String",
            "bool",
            "i8",
            "i16",
            "i32",
            "i64",
            "u8",
            "u16",
            "u32",
            "f32",
            "f64",
            "DateTime<Utc>",
            "Uuid",
        ];
        for ty in ALL {
            for optional in [false, true] {
                let written = if optional { format!("Option<{ty}>") } else { ty.to_owned() };
                let number = ty.starts_with(['i', 'u', 'f']);
                let ordered = number || ty == "bool" || ty == "DateTime<Utc>";
                assert_eq!(check(&written, false, "local").unwrap(), "Local");
                assert_eq!(check(&written, false, "remote").unwrap(), "Remote");
                assert_eq!(check(&written, false, "max").is_ok(), ordered, "{written}");
                assert_eq!(check(&written, false, "min").is_ok(), ordered, "{written}");
                assert_eq!(check(&written, false, "add").is_ok(), number, "{written}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(check("String", false, "add").unwrap_err().contains("needs a number"));
        assert!(check("String", false, "unite").unwrap_err().contains("`max`, `min` or `add`"));
        assert!(check("i64", true, "max").unwrap_err().contains("never sent"));
    }
}
