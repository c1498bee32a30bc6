//! Letter case of names, character by character: nothing here assumes ASCII.

/// A rule of `rename_all`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Case {
    Lower,
    Upper,
    Camel,
    Pascal,
    Snake,
    ScreamingSnake,
}

const RULES: &[(&str, Case)] = &[
    ("lowercase", Case::Lower),
    ("UPPERCASE", Case::Upper),
    ("camelCase", Case::Camel),
    ("PascalCase", Case::Pascal),
    ("snake_case", Case::Snake),
    ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
];

impl Case {
    /// Finds a rule by its name; the error says which names exist.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        RULES.iter().find(|(rule, _)| *rule == name).map(|(_, case)| *case).ok_or_else(|| {
            let names: Vec<String> = RULES.iter().map(|(rule, _)| format!("\"{rule}\"")).collect();
            format!("unknown case \"{name}\"; valid: {}", names.join(", "))
        })
    }

    /// Applies the rule to a field name in snake case.
    pub(crate) fn apply(self, field: &str) -> String {
        let words = field.split('_').filter(|word| !word.is_empty());
        match self {
            Self::Lower => field.to_lowercase(),
            Self::Upper | Self::ScreamingSnake => field.to_uppercase(),
            Self::Snake => field.to_owned(),
            Self::Pascal => words.map(capitalize).collect(),
            Self::Camel => words
                .enumerate()
                .map(|(i, word)| if i == 0 { word.into() } else { capitalize(word) })
                .collect(),
        }
    }
}

fn capitalize(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// `TodoItem` to `todo_item`, `HTTPServer` to `http_server`.
pub(crate) fn snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (index, &character) in characters.iter().enumerate() {
        if character.is_uppercase() && index > 0 {
            let before = characters[index - 1];
            let after_is_lower = characters.get(index + 1).is_some_and(|next| next.is_lowercase());
            if before != '_' && (!before.is_uppercase() || after_is_lower) {
                out.push('_');
            }
        }
        out.extend(character.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Case, snake};

    #[test]
    fn struct_names_become_module_names() {
        let check = |name, expected| assert_eq!(snake(name), expected);
        check("Todo", "todo");
        check("TodoItem", "todo_item");
        check("HTTPServer", "http_server");
        check("Item2B", "item2_b");
        check("Already_Snake", "already_snake");
        check("ÜbungÄrger", "übung_ärger");
        check("語", "語");
        check("", "");
    }

    #[test]
    fn rules_apply_to_field_names() {
        let check = |rule, field, expected| {
            assert_eq!(Case::parse(rule).map(|case| case.apply(field)), Ok(String::from(expected)));
        };
        check("camelCase", "due_at", "dueAt");
        check("camelCase", "_due__at_", "dueAt");
        check("PascalCase", "due_at", "DueAt");
        check("PascalCase", "über_uns", "ÜberUns");
        check("snake_case", "due_at", "due_at");
        check("SCREAMING_SNAKE_CASE", "due_at", "DUE_AT");
        check("lowercase", "due_at", "due_at");
        check("UPPERCASE", "due_at", "DUE_AT");
        let error = Case::parse("kebab-case").unwrap_err();
        assert!(error.contains("\"camelCase\""), "{error}");
    }
}
