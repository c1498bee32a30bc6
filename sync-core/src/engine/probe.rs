//! Which dialect the server speaks: asked for by the app, or because a first answer proves nothing (R14).
//!
//! An endpoint is proven for a dialect by one page with that dialect's shape and system properties. A first answer
//! without such, `200 []` above all, is what one real server says to a request it does not understand: then the
//! server is probed once before anything is concluded from it. The proof is stored, so later pulls ask no more.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Engine;
use crate::entity::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ListShape, PageSummary};
use crate::protocol::probe::Probe;
use crate::protocol::{Dialect, Endpoint, ProbeReport};
use crate::store::LocalStore;
use crate::transport::Transport;

/// The stored proof: dialect and address of the endpoint that was proven last.
const SETTING: &str = "proven_endpoint";

/// Finds out which dialects the service at `endpoint` speaks, by at most three GETs of one row of `table`.
///
/// # Errors
///
/// [`ErrorKind::UnknownTable`], [`ErrorKind::Unauthorized`], [`ErrorKind::ServerBusy`] and
/// [`ErrorKind::Network`] when nothing can be found out; [`ErrorKind::InvalidResponse`] when this is no tables
/// server.
pub async fn probe(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    table: &'static TableSchema,
) -> Result<ProbeReport> {
    ask(transport, endpoint, table, None).await
}

/// Asks until all is known, or all about the wanted dialect.
async fn ask(
    transport: &dyn Transport,
    endpoint: &Endpoint,
    table: &'static TableSchema,
    wanted: Option<Dialect>,
) -> Result<ProbeReport> {
    let mut probe = Probe::default();
    while let Some(request) = probe.next(endpoint, table, wanted)? {
        let answer = transport.send(request).await.map_err(|failure| failure.error.with_table(table.name))?;
        probe.hear(&answer).map_err(|error| error.with_table(table.name))?;
    }
    let report = probe.into_report().map_err(|error| error.with_table(table.name))?;
    tracing::debug!(table = table.name, dialects = ?report.dialects().collect::<Vec<_>>(), "server probed");
    Ok(report)
}

/// Whether this engine knows the proof already; the store's copy survives the process.
#[derive(Debug, Default)]
pub(super) struct Proof {
    known: AtomicBool,
}

impl Proof {
    async fn is_known<S: LocalStore>(&self, engine: &Engine<S>) -> Result<bool> {
        if self.known.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let stored = engine.store.setting(SETTING).await?;
        let known = stored.is_some_and(|stored| stored == value(engine));
        self.known.store(known, Ordering::Relaxed);
        Ok(known)
    }

    async fn keep<S: LocalStore>(&self, engine: &Engine<S>) -> Result<()> {
        engine.store.set_setting(SETTING, Some(&value(engine))).await?;
        self.known.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn value<S>(engine: &Engine<S>) -> String {
    let dialect = match engine.requests.dialect() {
        Dialect::MobileServices => "v1",
        Dialect::MobileApps => "v2",
        Dialect::Datasync => "v3",
    };
    format!("{dialect} {}", engine.requests.endpoint().as_str())
}

/// Takes in the first answer of a pull: a page, or the error the page ended with.
///
/// # Errors
///
/// [`ErrorKind::WrongDialect`] when the server does not speak this engine's dialect, errors of the probe, errors of
/// the store, and `first` itself if it is one.
pub(super) async fn check_first<S: LocalStore>(
    engine: &Engine<S>,
    table: &'static TableSchema,
    first: Result<&PageSummary, Error>,
) -> Result<()> {
    let dialect = engine.requests.dialect();
    match first {
        Err(error) if !is_doubtful(&error) => Err(error),
        _ if engine.proof.is_known(engine).await? => first.map(|_| ()),
        Ok(page) if proves(dialect, page) => engine.proof.keep(engine).await,
        first => {
            let (transport, endpoint) = (&*engine.transport, engine.requests.endpoint());
            let report = match (ask(transport, endpoint, table, Some(dialect)).await, &first) {
                (Ok(report), _) => report,
                // What the server said to the pull tells more than that it answers the probe no better.
                (Err(error), Err(_)) if error.kind() == ErrorKind::InvalidResponse => {
                    return first.map(|_| ());
                }
                (Err(error), _) => return Err(error),
            };
            match report.speaks(dialect) {
                Some(false) => Err(report.wrong_dialect(dialect)),
                Some(true) => {
                    engine.proof.keep(engine).await?;
                    first.map(|_| ())
                }
                None => first.map(|_| ()),
            }
        }
    }
}

/// Errors that may come from asking in the wrong words.
fn is_doubtful(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidQuery
}

/// Whether a page could only come from a server that speaks the dialect.
fn proves(dialect: Dialect, page: &PageSummary) -> bool {
    match dialect {
        Dialect::Datasync => page.shape() == ListShape::Items,
        Dialect::MobileServices | Dialect::MobileApps => {
            page.shape() != ListShape::Items
                && page.rows().any(|row| row.version.is_some() || row.updated_at.is_some())
        }
    }
}
