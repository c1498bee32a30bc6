//! The process that is killed: opens the database and does what an app does, at random, until it is killed or has had
//! enough.

use std::future::IntoFuture as _;
use std::path::{Path, PathBuf};

use diesel::prelude::*;
use fastrand::Rng;
use sync_core::Result;
use sync_core::entity::SyncEntity;
use sync_diesel::prelude::*;

use super::app::{App, QUERY, Release, first, open, second, values};
use super::report::{Change, Changes, Phase, Report};

/// Calls that one process makes.
const CALLS: usize = 60;

/// Rows beyond which more are deleted than inserted.
const MANY: usize = 120;

/// What a process is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The server.
    pub url: String,
    /// The database; made if it is missing.
    pub database: PathBuf,
    /// The release of the app.
    pub release: Release,
    /// The dialect it speaks.
    pub dialect: Dialect,
    /// Decides what it does.
    pub seed: u64,
    /// Its values are made of numbers from here on.
    pub first_number: u64,
    /// What it does most of the time, so that a kill can hit it.
    pub mostly: Phase,
}

impl Orders {
    /// As arguments of a command, in the order of [`parse`](Self::parse).
    pub(super) fn to_arguments(&self) -> Vec<String> {
        let release = if self.release == Release::First { "first" } else { "second" };
        let dialect = match self.dialect {
            Dialect::MobileServices => "v1",
            Dialect::Datasync => "v3",
            _ => "v2",
        };
        vec![
            self.url.clone(),
            self.database.to_string_lossy().into_owned(),
            release.to_owned(),
            dialect.to_owned(),
            self.seed.to_string(),
            self.first_number.to_string(),
            self.mostly.to_string(),
        ]
    }

    /// Reads the arguments of a command.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let [url, database, release, dialect, seed, first_number, mostly] = arguments else { return None };
        let release = match &**release {
            "first" => Release::First,
            "second" => Release::Second,
            _ => return None,
        };
        let dialect = match &**dialect {
            "v1" => Dialect::MobileServices,
            "v2" => Dialect::MobileApps,
            "v3" => Dialect::Datasync,
            _ => return None,
        };
        Some(Self {
            url: url.clone(),
            database: Path::new(database).to_owned(),
            release,
            dialect,
            seed: seed.parse().ok()?,
            first_number: first_number.parse().ok()?,
            mostly: Phase::parse(mostly)?,
        })
    }
}

/// Does as told; `tell` must have written a line before it returns.
///
/// # Errors
///
/// Whatever fails: on a network without faults nothing may.
pub async fn live(orders: &Orders, tell: &(dyn Fn(&Report) + Sync)) -> Result<()> {
    match orders.release {
        Release::First => Life::<first::App>::run(orders, tell).await,
        Release::Second => Life::<second::App>::run(orders, tell).await,
    }
}

struct Life<'l, A> {
    context: SyncContext<A>,
    tell: &'l (dyn Fn(&Report) + Sync),
    mostly: Phase,
}

/// Where decisions and new values come from.
struct Source {
    rng: Rng,
    number: u64,
}

impl Source {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Takes up to so many of these, at random.
    fn some<T>(&mut self, from: &mut Vec<T>, most: usize) -> Vec<T> {
        let count = self.rng.usize(0..=most.min(from.len()));
        (0..count).map(|_| from.swap_remove(self.rng.usize(0..from.len()))).collect()
    }
}

impl<A: App> Life<'_, A> {
    async fn run(orders: &Orders, tell: &(dyn Fn(&Report) + Sync)) -> Result<()> {
        tell(&Report::Begin(Phase::Open));
        let context = open::<A>(&orders.url, orders.dialect, &orders.database).await?;
        tell(&Report::End(Phase::Open));
        let life = Life { context, tell, mostly: orders.mostly };
        let mut source = Source { rng: Rng::with_seed(orders.seed), number: orders.first_number };
        for _ in 0..CALLS {
            life.call(&mut source).await?;
        }
        life.context.close().await;
        Ok(())
    }

    async fn call(&self, source: &mut Source) -> Result<()> {
        let phase = if source.rng.u8(0..3) == 0 {
            self.mostly
        } else {
            [Phase::Write, Phase::Write, Phase::Write, Phase::Push, Phase::Pull][source.rng.usize(0..5)]
        };
        match phase {
            Phase::Open | Phase::Migrate | Phase::Write => self.write(source).await,
            Phase::Push => self.push(source).await,
            Phase::Pull => self.pull(source).await,
            Phase::Purge => self.purge(source).await,
        }
    }

    /// Makes a local write and tells of it before and after.
    async fn told(&self, changes: Vec<Change>, write: impl Future<Output = Result<()>>) -> Result<()> {
        (self.tell)(&Report::BeginWrite(Changes(changes)));
        write.await?;
        (self.tell)(&Report::End(Phase::Write));
        Ok(())
    }

    async fn write(&self, source: &mut Source) -> Result<()> {
        let items = self.context.table::<A::Item>();
        let mut rows = A::items(&self.context).await?;
        rows.retain(is_ours);
        let has_many = rows.len() > MANY;
        match source.rng.u8(0..6) {
            0 if !has_many => {
                let number = source.next();
                let (id, item) = (format!("item {number}"), A::item(number));
                let changes = vec![Change::row(&id, &item)];
                self.told(changes, async { items.insert_with_id(id, item).await.map(drop) }).await
            }
            1 => {
                let Some(row) = source.some(&mut rows, 1).pop() else { return Ok(()) };
                self.told(vec![Change::delete(A::Item::SCHEMA.name, row.id())], items.delete(row.id())).await
            }
            2 => {
                let Some(row) = source.some(&mut rows, 1).pop() else { return Ok(()) };
                let row = changed::<A>(row, source);
                self.told(vec![Change::row(row.id(), &*row)], items.update(&row)).await
            }
            3 | 0 => self.write_batch(rows, source).await,
            _ => self.write_statements(rows, has_many, source).await,
        }
    }

    /// Typed writes of several kinds in one transaction.
    async fn write_batch(&self, mut rows: Vec<Record<A::Item>>, source: &mut Source) -> Result<()> {
        let (mut batch, mut changes) = (self.context.batch(), Vec::new());
        for row in source.some(&mut rows, 10) {
            let row = changed::<A>(row, source);
            batch.update(&row);
            changes.push(Change::row(row.id(), &*row));
        }
        for row in source.some(&mut rows, 5) {
            batch.delete::<A::Item>(row.id());
            changes.push(Change::delete(A::Item::SCHEMA.name, row.id()));
        }
        for _ in 0..source.rng.usize(1..5) {
            let item = A::item(source.next());
            let id = batch.insert(item.clone());
            changes.push(Change::row(&id, &item));
        }
        self.told(changes, batch.commit()).await
    }

    /// Plain statements of Diesel in one transaction.
    async fn write_statements(
        &self,
        mut rows: Vec<Record<A::Item>>,
        has_many: bool,
        source: &mut Source,
    ) -> Result<()> {
        use first::item::dsl;

        let ids = |rows: Vec<Record<A::Item>>| rows.iter().map(|row| row.id().to_owned()).collect::<Vec<_>>();
        let updated = ids(source.some(&mut rows, 30));
        let deleted = ids(source.some(&mut rows, if has_many { 60 } else { 4 }));
        let (_, rank, _) = values(source.next());
        let inserted: Vec<(String, String, i64)> = (0..source.rng.usize(0..20))
            .map(|_| {
                let number = source.next();
                let (text, rank, _) = values(number);
                (format!("item {number}"), text, rank)
            })
            .collect();
        let (tag, tag_text) = (format!("tag {}", source.rng.u8(0..20)), values(source.next()).0);
        let mut changes: Vec<Change> =
            updated.iter().map(|id| Change::column("Item", id, "rank", rank)).collect();
        changes.extend(deleted.iter().map(|id| Change::delete("Item", id)));
        changes.extend(inserted.iter().map(|(id, text, rank)| {
            let item = first::Item { text: text.clone(), rank: *rank };
            Change::row(id, &item)
        }));
        if A::HAS_TAGS {
            changes.push(Change::row(&tag, &second::Tag { text: tag_text.clone() }));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let write = self.context.write(move |conn| {
            diesel::update(dsl::item.filter(dsl::id.eq_any(&updated)))
                .set(dsl::rank.eq(rank))
                .execute(conn)?;
            diesel::delete(dsl::item.filter(dsl::id.eq_any(&deleted))).execute(conn)?;
            for (id, text, rank) in &inserted {
                let row = (dsl::id.eq(id), dsl::text.eq(text), dsl::rank.eq(rank));
                diesel::insert_into(dsl::item).values(row).execute(conn)?;
            }
            if A::HAS_TAGS {
                use second::tag::dsl;
                let row = (dsl::id.eq(&tag), dsl::text.eq(&tag_text));
                let insert = diesel::insert_into(dsl::tag).values(row).on_conflict(dsl::id);
                insert.do_update().set(dsl::text.eq(&tag_text)).execute(conn)?;
            }
            Ok(())
        });
        self.told(changes, write).await
    }

    /// Pushes; at times the app writes meanwhile.
    async fn push(&self, source: &mut Source) -> Result<()> {
        let window = [1, 8, 32][source.rng.usize(0..3)];
        (self.tell)(&Report::Begin(Phase::Push));
        let push = self.context.push().window(window).into_future();
        let writes = async {
            for _ in 0..source.rng.usize(0..4) {
                self.write(source).await?;
            }
            Ok(())
        };
        let (pushed, written) = tokio::join!(push, writes);
        pushed?;
        (self.tell)(&Report::End(Phase::Push));
        written
    }

    async fn pull(&self, source: &mut Source) -> Result<()> {
        let page_size = [5, 20, 1000][source.rng.usize(0..3)];
        (self.tell)(&Report::Begin(Phase::Pull));
        let query = (source.rng.u8(0..3) > 0).then_some(QUERY);
        let mut pull = A::pull(&self.context, query).page_size(page_size);
        if query.is_none() && source.rng.bool() {
            pull = pull.mirror();
        }
        if source.rng.bool() {
            pull = pull.without_push();
        }
        pull.await?;
        if A::HAS_TAGS {
            self.context.pull(QUERY, second::Tag::all()).page_size(page_size).await?;
        }
        (self.tell)(&Report::End(Phase::Pull));
        Ok(())
    }

    async fn purge(&self, source: &mut Source) -> Result<()> {
        if source.rng.u8(0..4) > 0 {
            // Else it would be refused most of the time.
            self.push(source).await?;
        }
        let rank =
            source.rng.bool().then(|| source.rng.i64(0..i64::try_from(source.number).unwrap_or(i64::MAX)));
        (self.tell)(&Report::Begin(Phase::Purge));
        match A::purge(&self.context, rank).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PendingOperations => {}
            Err(error) => return Err(error),
        }
        (self.tell)(&Report::End(Phase::Purge));
        Ok(())
    }
}

/// Whether this device may change the row: those of others have a text that says so.
fn is_ours<E: SyncEntity>(row: &Record<E>) -> bool {
    !matches!(&row.to_values()[0], sync_core::value::Value::Text(text) if text.starts_with("theirs"))
}

/// The row with new values in all columns.
fn changed<A: App>(row: Record<A::Item>, source: &mut Source) -> Record<A::Item> {
    let mut row = row;
    *row = A::item(source.next());
    row
}
