use sync_diesel::sync_schema;

struct Todo;

sync_schema!(pub AppSchema: Todo);

fn main() {}
