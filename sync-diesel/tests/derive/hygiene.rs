//! Names: the expansion neither needs imports nor collides with what users write.

mod without_imports {
    #[derive(sync_diesel::SyncEntity)]
    pub(super) struct Plain {
        pub(super) name: ::std::string::String,
        pub(super) at: ::core::option::Option<chrono::DateTime<chrono::Utc>>,
    }
}

/// Names that mean something in the expansion, shadowed.
#[allow(dead_code, non_camel_case_types)]
mod shadowed {
    pub(super) struct Option;
    pub(super) struct Vec;
    pub(super) struct Result;
    pub(super) struct Ok;
    pub(super) struct Some;
    pub(super) struct Box;
    pub(super) trait Clone {}
    pub(super) trait Default {}
    #[allow(unused_macros)]
    macro_rules! vec {
        () => {
            compile_error!("the expansion used a macro in scope")
        };
    }

    #[derive(sync_diesel::SyncEntity)]
    pub(super) struct Plain {
        pub(super) id: String,
        pub(super) name: String,
        pub(super) count: std::option::Option<u8>,
    }

    sync_diesel::sync_schema!(pub(super) Schema: Plain);
}

/// Names that `table!` refuses, keywords, and methods named like columns.
mod difficult {
    use diesel::prelude::*;
    use sync_diesel::{Record, SyncEntity};

    #[derive(SyncEntity, Clone, Debug, PartialEq)]
    pub(super) struct Type {
        pub(super) r#type: String,
        pub(super) r#move: i32,
        pub(super) table: String,
        pub(super) table_: String,
        pub(super) star: String,
        pub(super) columns: String,
        pub(super) dsl: String,
        pub(super) all_columns: String,
        pub(super) diesel: String,
        pub(super) str: String,
        pub(super) bool: bool,
        #[sync(column = text_column)]
        pub(super) text: String,
    }

    impl Type {
        pub(super) fn text(&self) -> usize {
            self.text.len()
        }
    }

    /// Same name for module and column.
    #[derive(SyncEntity, Clone, Debug, PartialEq)]
    pub(super) struct Name {
        pub(super) name: String,
    }

    #[test]
    fn every_name_keeps_its_sql_name() {
        let names = "type, move, \"table\", table_, star, columns, dsl, all_columns, diesel, str, bool, text";
        let conn = &mut super::super::database(&[
            &super::super::create("Type", names),
            &super::super::create("Name", "name"),
            &format!(
                "INSERT INTO Type (id, {names}) VALUES ('1', 'a', 2, 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 1, 'xyz')"
            ),
            "INSERT INTO Name (id, name) VALUES ('1', 'n')",
        ]);
        let row: Record<Type> = r#type::table
            .filter(r#type::table__.eq("b").and(r#type::table_.eq("c")).and(r#type::type_.eq("a")))
            .select(Record::<Type>::as_select())
            .first(conn)
            .unwrap();
        assert_eq!((row.r#move, row.diesel.as_str(), row.str.as_str(), row.bool), (2, "h", "i", true));
        assert_eq!((row.text(), Type::text_column.schema().name), (3, "text"));
        assert_eq!(Type::r#type.schema().name, "type");
        let name: Name =
            name::table.filter(name::name_.eq("n")).select(Name::as_select()).first(conn).unwrap();
        assert_eq!(name, Name { name: "n".into() });
    }
}

#[test]
fn non_ascii_names_are_fine_where_sql_names_are_given() {
    use diesel::prelude::*;

    #[derive(sync_diesel::SyncEntity, Debug, PartialEq)]
    #[sync(table = "Uebung")]
    struct Übung {
        #[sync(rename = "groesse")]
        größe: i64,
    }
    let conn = &mut super::database(&[
        &super::create("Uebung", "groesse INTEGER NOT NULL"),
        "INSERT INTO Uebung (id, groesse) VALUES ('1', 7)",
    ]);
    let row: Übung = übung::table.filter(übung::größe.gt(1)).select(Übung::as_select()).first(conn).unwrap();
    assert_eq!(row, Übung { größe: 7 });
    assert_eq!(Übung::größe.schema().name, "groesse");
}

#[test]
fn types_that_come_through_a_macro_are_read() {
    macro_rules! entity {
        ($name:ident, $field:ident: $ty:ty, $table:expr) => {
            #[derive(sync_diesel::SyncEntity)]
            #[sync(table = $table)]
            struct $name {
                $field: $ty,
            }
        };
    }
    entity!(Through, value: Option<i32>, "T2");
    let through = Through { value: Some(1) };
    assert_eq!(through.value, Some(1));
    let schema = <Through as sync_diesel::core::entity::SyncEntity>::SCHEMA;
    assert_eq!((schema.name, schema.columns[0].nullable), ("T2", true));
}

#[test]
fn shadowed_and_private_entities_work() {
    use sync_diesel::core::entity::SyncEntity;

    let plain = shadowed::Plain { id: "1".into(), name: "n".into(), count: None };
    assert_eq!((plain.declared_id(), plain.to_values().len()), (Some("1"), 2));
    assert_eq!((plain.id.as_str(), plain.name.as_str(), plain.count), ("1", "n", None));
    let plain = without_imports::Plain { name: "n".into(), at: None };
    assert_eq!((plain.name.as_str(), plain.at), ("n", None));
    assert_eq!(without_imports::Plain::name.schema().name, "name");
    assert_eq!(<shadowed::Schema as sync_diesel::schema::SyncSchema>::TABLES.len(), 1);
}

/// A child may be less visible than its parent, in every way to say so.
mod visibilities {
    use sync_diesel::{SyncEntity, sync_schema};

    #[derive(SyncEntity)]
    pub(crate) struct Parent {
        pub(super) name: String,
    }

    pub(super) mod inner {
        use super::{Parent, SyncEntity};

        #[derive(SyncEntity)]
        pub(in super::super) struct Middle {
            #[sync(belongs_to = Parent)]
            pub(in crate::hygiene) parent_id: String,
        }

        #[derive(SyncEntity)]
        pub(super) struct Child {
            #[sync(belongs_to = Middle)]
            pub(super) middle_id: Option<String>,
            pub(self) name: String,
        }

        pub(super) fn child() -> Child {
            Child { middle_id: None, name: String::from("c") }
        }

        impl Child {
            pub(super) fn name_is(&self, name: &str) -> bool {
                self.name == name && Child::name.schema().name == "name"
            }
        }
    }

    sync_schema!(pub(super) Schema: Parent, inner::Middle, inner::Child);

    #[test]
    fn children_are_joined_with_more_visible_parents() {
        use diesel::prelude::*;

        let query = parent::table
            .inner_join(inner::middle::table.inner_join(inner::child::table))
            .select((parent::name, inner::child::id));
        let sql = diesel::debug_query::<diesel::sqlite::Sqlite, _>(&query).to_string();
        assert!(sql.contains("`Child`.`middle_id` = `Middle`.`id`"), "{sql}");
        assert!(sql.contains("`Middle`.`parent_id` = `Parent`.`id`"), "{sql}");
        assert!(inner::child().name_is("c") && inner::child().middle_id.is_none());
        let parent = Parent { name: String::from("p") };
        let middle = inner::Middle { parent_id: parent.name };
        assert_eq!((middle.parent_id.as_str(), inner::Child::middle_id.schema().nullable), ("p", true));
    }
}
