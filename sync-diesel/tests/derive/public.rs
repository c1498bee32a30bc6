//! Public entities, in a crate that denies undocumented items: two in one module, and a private field.

/// A row.
#[derive(sync_diesel::SyncEntity, Debug)]
pub struct First {
    /// Its name.
    pub name: String,
    count: i64,
}

/// Another row in the same module.
#[derive(sync_diesel::SyncEntity, Debug)]
#[sync(module = second_table)]
pub struct Second {
    /// Its name.
    pub name: String,
    /// Keeps the field in use.
    pub sum: i64,
}

impl First {
    /// Keeps the private field in use.
    pub fn get(&self) -> i64 {
        self.count
    }
}

sync_diesel::sync_schema!(pub Schema: First, Second in second_table);

#[test]
fn public_entities_of_one_module_meet_in_one_schema() {
    let tables = <Schema as sync_diesel::schema::SyncSchema>::TABLES;
    let names: Vec<_> = tables.iter().map(|entry| entry.schema().name).collect();
    assert_eq!(names, ["First", "Second"]);
    assert_eq!(First { name: String::new(), count: 3 }.get(), 3);
}
