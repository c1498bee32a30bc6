//! Every filter means the same in every engine (G9): random tables and predicates, judged by all of them.
//!
//! One *pair* is a predicate over a table of random columns and rows. The oracle is the evaluator in memory
//! ([`sync_core::evaluate`]), which is held to a table written by hand elsewhere. Compared with it:
//!
//! - the condition as SQL on the local database ([`engines::LocalTable`]);
//! - the condition as text of each dialect, parsed back ([`engines::reread`]);
//! - the same text sent to `sync-server`, which has its own way to SQL ([`engines::ServedTable`]);
//! - the division for each known server ([`engines::divided`]): what is sent, together with what stays.
//!
//! A [`run`] is a function of its seed: one seed is one table with [`PREDICATES`] predicates. A disagreement is
//! shrunk to the smallest part of the predicate that shows it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

use sync_core::entity::TableSchema;
use sync_core::predicate::Node;
use sync_core::protocol::Dialect;
use sync_core::row::Row;

use self::engines::{KnownServer, LocalTable, ServedTable};
use self::generate::Generator;

pub mod engines;
pub mod generate;
mod shrink;

/// Predicates tried on the table of one seed.
pub const PREDICATES: usize = 50;
/// Rows of a table.
const ROWS: usize = 12;

/// Ids of the rows an engine found.
pub type Matches = BTreeSet<String>;

/// A table with its rows, as every engine holds it.
#[derive(Debug)]
pub struct Sample {
    /// The table.
    pub table: &'static TableSchema,
    /// The rows, with the system columns the server gave them.
    pub rows: Vec<Row>,
}

/// What a run did, to see that no engine was left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
    /// Predicates tried.
    pub pairs: u64,
    /// Of these, true for some rows and false for others.
    pub dividing: u64,
    /// Texts sent to the server, by dialect: v1, v2, v3.
    pub sent: [u64; 3],
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.dividing += other.dividing;
        for (sum, sent) in self.sent.iter_mut().zip(other.sent) {
            *sum += sent;
        }
    }
}

/// Two engines that disagree.
#[derive(Debug)]
pub struct Disagreement {
    seed: u64,
    engine: String,
    table: &'static TableSchema,
    node: Node,
    /// Rows that only one of the two found.
    rows: Vec<Row>,
    detail: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} disagrees with the evaluator", self.seed, self.engine)?;
        writeln!(f, "condition: {:?}", self.node)?;
        for dialect in Dialect::ALL {
            if let Ok(text) = sync_core::odata::render(&self.node, dialect) {
                writeln!(f, "  in {dialect:?}: {text}")?;
            }
        }
        writeln!(f, "{}", self.detail)?;
        for row in &self.rows {
            writeln!(f, "row {}:", row.id)?;
            for (column, value) in self.table.columns.iter().zip(&row.values) {
                writeln!(f, "  {} {:?} = {value:?}", column.name, column.ty)?;
            }
        }
        Ok(())
    }
}

/// An engine's answer, or why it has none.
#[derive(Debug)]
pub enum Answer {
    /// The rows it found.
    Found(Matches),
    /// It cannot be asked this: the dialect has no text for it.
    Inexpressible,
    /// It refused what it should take.
    Refused(String),
}

/// Tries the predicates of one seed on all engines.
///
/// # Errors
///
/// The first disagreement, shrunk.
///
/// # Panics
///
/// When an engine cannot be set up at all.
pub async fn run(seed: u64) -> Result<Coverage, Box<Disagreement>> {
    let mut generator = Generator::new(seed);
    let table = generator.table();
    let rows: Vec<Row> = (0..ROWS).map(|index| generator.row(table, index)).collect();
    let served = ServedTable::open(table).await;
    let sample = Sample { table, rows: served.insert(rows).await };
    let mut bench = Bench { local: LocalTable::create(&sample), served, sample };

    let mut coverage = Coverage::default();
    for _ in 0..PREDICATES {
        let node = generator.predicate(&bench.sample);
        let found = bench.sample.evaluated(&node).len();
        coverage.pairs += 1;
        coverage.dividing += u64::from(found > 0 && found < ROWS);
        for engine in Engine::all() {
            let answer = bench.ask(engine, &node).await;
            if let (Engine::Served(dialect), false) = (engine, matches!(answer, Answer::Inexpressible)) {
                coverage.sent[dialect as usize] += 1;
            }
            if bench.sample.agrees(&node, &answer) {
                continue;
            }
            let node = bench.shrunk(engine, node).await;
            return Err(bench.disagreement(seed, engine, node).await);
        }
    }
    Ok(coverage)
}

/// The ways to answer that are compared with the evaluator.
#[derive(Clone, Copy)]
enum Engine {
    Local,
    Reread(Dialect),
    Served(Dialect),
    Divided(&'static KnownServer),
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the local database"),
            Self::Reread(dialect) => write!(f, "the text of {dialect:?}, parsed back,"),
            Self::Served(dialect) => write!(f, "sync-server asked in {dialect:?}"),
            Self::Divided(server) => write!(f, "the division for {}", server.name),
        }
    }
}

impl Engine {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Local]
            .into_iter()
            .chain(Dialect::ALL.map(Self::Reread))
            .chain(Dialect::ALL.map(Self::Served))
            .chain(engines::SERVERS.iter().map(Self::Divided))
    }
}

/// The engines with one table in each.
struct Bench {
    sample: Sample,
    local: LocalTable,
    served: ServedTable,
}

impl Bench {
    async fn ask(&mut self, engine: Engine, node: &Node) -> Answer {
        match engine {
            Engine::Local => self.local.select(node),
            Engine::Reread(dialect) => engines::reread(&self.sample, node, dialect),
            Engine::Served(dialect) => self.served.select(node, dialect).await,
            Engine::Divided(server) => engines::divided(&self.sample, node, server),
        }
    }

    /// The smallest part of the condition on which the engine still disagrees.
    async fn shrunk(&mut self, engine: Engine, node: Node) -> Node {
        let mut smallest = node;
        'smaller: loop {
            for candidate in shrink::candidates(&smallest) {
                let answer = self.ask(engine, &candidate).await;
                if !self.sample.agrees(&candidate, &answer) {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            return smallest;
        }
    }

    async fn disagreement(&mut self, seed: u64, engine: Engine, node: Node) -> Box<Disagreement> {
        let expected = self.sample.evaluated(&node);
        let (found, detail) = match self.ask(engine, &node).await {
            Answer::Found(found) => {
                let detail = format!("evaluator: {expected:?}\n{engine}: {found:?}");
                (found, detail)
            }
            Answer::Inexpressible => (expected.clone(), "it cannot be asked".to_owned()),
            Answer::Refused(why) => (expected.clone(), format!("it refused: {why}")),
        };
        let rows =
            self.sample.rows.iter().filter(|row| expected.contains(&row.id) != found.contains(&row.id));
        let rows = rows.cloned().collect();
        Box::new(Disagreement {
            seed,
            engine: engine.to_string(),
            table: self.sample.table,
            node,
            rows,
            detail,
        })
    }
}

impl Sample {
    /// The rows for which the evaluator holds the condition for true.
    pub fn evaluated(&self, node: &Node) -> Matches {
        let table = self.table;
        let holds = |row: &&Row| sync_core::evaluate::matches(node, &sync_core::row::TableRow { table, row });
        self.rows.iter().filter(holds).map(|row| row.id.clone()).collect()
    }

    fn agrees(&self, node: &Node, answer: &Answer) -> bool {
        match answer {
            Answer::Found(found) => *found == self.evaluated(node),
            Answer::Inexpressible => true,
            Answer::Refused(_) => false,
        }
    }
}
