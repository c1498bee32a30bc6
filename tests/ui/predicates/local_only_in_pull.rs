use sync_diesel::prelude::*;

#[derive(SyncEntity)]
struct Todo {
    text: String,
    #[sync(local)]
    pinned: bool,
    #[sync(local)]
    draft: Option<String>,
}

sync_schema!(AppSchema: Todo);

async fn pull(sync: SyncContext<AppSchema>) -> sync_diesel::Result<()> {
    sync.pull("pinned", Todo::pinned).await?;
    sync.pull_all(Todo::text.contains("milk") & Todo::draft.is_null()).await?;
    sync.remote::<Todo>().query(Todo::text.eq(Todo::draft)).load().await?;

    // What is meant to be judged here is said so; local queries need nothing.
    sync.pull("draft", (Todo::text.contains("milk") & Todo::draft.is_null()).local_rest()).await?;
    sync.table::<Todo>().filter(Todo::pinned).count().await?;
    sync.purge(Todo::pinned).await?;
    Ok(())
}

fn main() {}
