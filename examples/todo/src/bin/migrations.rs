//! Makes and checks the app's migrations: `cargo xtask migration` calls this.
//!
//! It links the entities and not the migrations, so it works before there are any.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use chrono::Utc;
use sync_diesel::migration;
use todo_entities::AppSchema;

fn main() -> io::Result<ExitCode> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let arguments = std::env::args().skip(1);
    let outcome = migration::cli::<AppSchema>(arguments, &folder, Utc::now(), &mut io::stdout())?;
    Ok(outcome.into())
}
