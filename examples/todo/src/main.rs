//! A to-do list on two devices: the whole of sync-diesel in one run.
//!
//! Two databases, `phone.db` and `laptop.db`, share one server. The run shows offline writes, a push, the pull of
//! everything about milk, a second pull that has nothing to do, a conflict and its resolution, a row that vanishes
//! because it was deleted elsewhere, one that goes because it left the filter, and a purge.
//!
//! `cargo run -p todo` brings its own server. `cargo run -p todo -- --server URL --data FOLDER` uses another one;
//! if that server cannot be reached, nothing is lost: run the same command again. `--dialect` chooses the generation
//! of the protocol to speak.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sync_diesel::prelude::*;
use sync_server::{RunningServer, Server};
use todo_entities::{AppSchema, Todo, todo};

/// The migrations of the devices' databases, made from the entities by `cargo xtask migration generate`.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

#[derive(Parser)]
#[command(about = "A to-do list on two devices")]
struct Arguments {
    /// Address of a tables server that speaks the dialect; default: one of our own, for this run.
    #[arg(long)]
    server: Option<String>,
    /// Folder of the two devices' databases; default: a new one, removed after a complete run.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Generation of the protocol to speak.
    #[arg(long, value_enum, default_value_t = Generation::V2)]
    dialect: Generation,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Generation {
    /// Mobile Services.
    V1,
    /// Azure Mobile Apps.
    V2,
    /// Datasync and the Community Toolkit.
    V3,
}

impl From<Generation> for Dialect {
    fn from(generation: Generation) -> Self {
        match generation {
            Generation::V1 => Self::MobileServices,
            Generation::V2 => Self::MobileApps,
            Generation::V3 => Self::Datasync,
        }
    }
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Outcome {
    let folder = tempfile::Builder::new().prefix("todo-").tempdir()?;
    let data = arguments.data.clone().unwrap_or_else(|| folder.path().to_owned());
    std::fs::create_dir_all(&data)?;
    let (url, embedded) = match arguments.server {
        Some(url) => (url, None),
        None => {
            let server = start_server(&data).await?;
            (server.url().to_owned(), Some(server))
        }
    };

    let dialect = Dialect::from(arguments.dialect);
    say("Two devices, one list", &format!("server {url}, dialect {dialect:?}"));
    let story = tell(&url, dialect, &data).await;
    if let Some(server) = embedded {
        server.shutdown().await?;
    }
    if story.is_err() && arguments.data.is_none() {
        // What was written offline must survive: keep the files and say where they are.
        line(&format!("the databases stay in {}; pass it as --data to go on", folder.keep().display()));
    }
    story
}

async fn tell(url: &str, dialect: Dialect, data: &Path) -> Outcome {
    let phone = open(url, dialect, &data.join("phone.db")).await?;
    let laptop = open(url, dialect, &data.join("laptop.db")).await?;
    let on_phone = phone.table::<Todo>();
    let on_laptop = laptop.table::<Todo>();

    say("Phone, offline", "writes go to the local database; no network is touched");
    let milk = on_phone.insert(Todo::new("Pick up milk")).await?;
    on_phone.insert(Todo::new("Return oat milk bottles")).await?;
    on_phone.insert(Todo::new("Call the dentist")).await?;
    // Any Diesel statement is tracked as well, all or nothing.
    phone
        .write(|conn| {
            diesel::update(todo::table.filter(Todo::text.contains("dentist")))
                .set(todo::complete.eq(true))
                .execute(conn)
        })
        .await?;
    show(&on_phone).await?;
    line(&format!("{} operations wait in the queue", phone.pending().await?));

    say("Phone, online", "push");
    let pushed = phone.push().await?;
    line(&format!("{} operations acknowledged, {} left", pushed.completed, pushed.remaining));

    say("Laptop", "pull(\"milkQuery\", text contains \"milk\")");
    let pulled = laptop.pull("milkQuery", Todo::text.contains("milk")).await?;
    line(&describe(&pulled));
    show(&on_laptop).await?;

    say("Laptop", "the same pull again: incremental, nothing to do");
    line(&describe(&laptop.pull("milkQuery", Todo::text.contains("milk")).await?));

    say("Both devices", "edit the same row offline; the laptop is first to push");
    let mut theirs = on_laptop.get(milk.id()).await?.ok_or("the laptop misses the milk")?;
    theirs.text = "Pick up 2 bottles of milk".into();
    on_laptop.update(&theirs).await?;
    let mut ours = on_phone.get(milk.id()).await?.ok_or("the phone misses the milk")?;
    ours.complete = true;
    on_phone.update(&ours).await?;
    laptop.push().await?;
    let conflict = match phone.push().await {
        Err(error) if error.push_report().is_some_and(|report| !report.errors.is_empty()) => error,
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("the server did not notice the conflict".into()),
    };
    line(&format!("phone: {conflict}"));

    say("Phone", "merge: the server's text, our check mark");
    for error in phone.errors().await? {
        let (local, remote) = (error.local::<Todo>()?, error.remote::<Todo>()?);
        let (Some(local), Some(remote)) = (local, remote) else { continue };
        line(&format!("here:      {}", line_of(&local)));
        line(&format!("on server: {}", line_of(&remote)));
        let merged = Todo { complete: local.complete, ..remote.into_inner() };
        line(&format!("merged:    {}", line_of(&merged)));
        phone.resolve(&error, Resolve::Merge(merged)).await?;
    }
    phone.push().await?;
    line(&describe(&laptop.pull("milkQuery", Todo::text.contains("milk")).await?));
    show(&on_laptop).await?;

    say("Phone", "deletes the row and pushes; the server marks it deleted");
    on_phone.delete(milk.id()).await?;
    phone.push().await?;
    line(&describe(&laptop.pull("milkQuery", Todo::text.contains("milk")).await?));
    show(&on_laptop).await?;

    say("Laptop", "pull(\"open\", not complete): rows come, and go again once they are done elsewhere");
    let bread = on_phone.insert(Todo::new("Buy bread")).await?;
    phone.push().await?;
    line(&describe(&laptop.pull("open", Todo::complete.eq(false)).track_exits(true).await?));
    show(&on_laptop).await?;
    line("the phone ticks the bread off");
    let mut bread = on_phone.get(bread.id()).await?.ok_or("the phone misses the bread")?;
    bread.complete = true;
    on_phone.update(&bread).await?;
    phone.push().await?;
    line(&describe(&laptop.pull("open", Todo::complete.eq(false)).track_exits(true).await?));
    show(&on_laptop).await?;

    say("Phone", "purge of what is done: local only, the server keeps it");
    let purged = phone.purge(Todo::complete.eq(true)).await?;
    line(&format!("{} rows removed from this device", purged.rows));
    show(&on_phone).await?;
    Ok(())
}

async fn open(url: &str, dialect: Dialect, database: &Path) -> Outcome<SyncContext<AppSchema>> {
    let context = SyncContext::<AppSchema>::builder(url)
        .dialect(dialect)
        .database(database)
        .migrations(MIGRATIONS)
        // Each run may find the one service behind another address: changes that wait are sent there.
        .other_account(OtherAccount::Adopt)
        .open()
        .await?;
    Ok(context)
}

async fn start_server(data: &Path) -> Outcome<RunningServer> {
    let server = Server::builder(AppSchema::schemas()).open(data.join("server.db")).await?;
    Ok(server.start("127.0.0.1:0").await?)
}

fn describe(report: &PullReport) -> String {
    let rows = &report.rows;
    format!(
        "{} added, {} changed, {} removed, {} left the filter, {} already known",
        rows.added, rows.changed, rows.removed, rows.evicted, rows.unchanged
    )
}

async fn show(table: &SyncTable<Todo>) -> Outcome {
    let todos = table.all().order_by(Todo::complete.asc()).order_by(Todo::text.asc()).load().await?;
    for todo in &todos {
        line(&line_of(todo));
    }
    if todos.is_empty() {
        line("(no rows)");
    }
    Ok(())
}

fn line_of(todo: &Todo) -> String {
    format!("[{}] {}", if todo.complete { 'x' } else { ' ' }, todo.text)
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(who: &str, what: &str) {
    println!("\n== {who}: {what}");
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn line(text: &str) {
    println!("   {text}");
}

/// What went wrong, with its causes, and what that means for the data.
fn explain(error: &(dyn Error + 'static)) {
    eprintln!("\nerror: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
    if error.downcast_ref::<sync_diesel::Error>().is_some_and(sync_diesel::Error::is_offline) {
        eprintln!("nothing is lost: the changes wait in the local databases for the next run");
    }
}
