//! A history: how the world is set up, and what happens in it. All of it comes from a seed.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use sync_core::protocol::Dialect;
use sync_core::store::ConflictPolicy;

use super::model::Query;
use super::server::Clock;
use super::world::Weather;

/// A history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// Where it came from.
    pub seed: u64,
    pub(super) setting: Setting,
    /// What happens, in this order; calls of devices go on while later steps begin.
    pub(super) steps: Vec<Step>,
}

/// How the world is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setting {
    #[serde(with = "named")]
    pub(super) dialect: Dialect,
    pub(super) clock: Clock,
    /// Most rows of a page of the server.
    pub(super) cap: usize,
    /// Whether the server tells its time.
    pub(super) is_dated: bool,
    /// Whether the devices use SQLite.
    pub(super) on_file: bool,
    pub(super) devices: Vec<DeviceSetting>,
    /// Rows on the server at the start, per table.
    pub(super) rows: [usize; 3],
    pub(super) weather: Weather,
    /// How conflicts are decided at the end.
    #[serde(with = "named")]
    pub(super) last_word: ConflictPolicy,
}

/// How a device is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeviceSetting {
    pub(super) queries: Vec<Query>,
    pub(super) tracks_exits: bool,
    pub(super) handler: Handler,
    pub(super) window: usize,
    pub(super) page_size: u32,
    /// The app is of the release before notes had a color; only with SQLite.
    pub(super) is_first_release: bool,
}

/// Who decides conflicts during a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Handler {
    /// Nobody but the columns' rules.
    None,
    /// A policy.
    Policy(#[serde(with = "named")] ConflictPolicy),
    /// Now this way, now that; sometimes it fails, sometimes it ends the push.
    Fickle,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// Names the step; what it chooses follows from it, so that it does the same when others are left out.
    pub(super) number: u64,
    /// Virtual milliseconds before it.
    pub(super) gap: u64,
    pub(super) device: usize,
    pub(super) action: Action,
}

/// What happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Action {
    /// The app inserts a row; with an id that another device may use as well, if so wanted.
    Insert { table: usize, is_shared: bool },
    /// The app changes some columns of one of its rows.
    Update { table: usize, pick: usize, columns: u8 },
    /// The app deletes one of its rows.
    Delete { table: usize, pick: usize },
    /// The app revives one of its deleted notes.
    Undelete { pick: usize },
    /// A push, perhaps of one table, perhaps cancelled after some time.
    Push { table: Option<usize>, retry_failed: bool, cancel: Option<u64> },
    /// A pull of one of the device's queries; with exits tracked if the device does not, and the other way round, if so
    /// wanted.
    Pull {
        query: usize,
        push_first: bool,
        anyway: bool,
        #[serde(default)]
        flip_tracking: bool,
        cancel: Option<u64>,
    },
    /// A full pull of a table.
    Full { table: usize, mirror: bool },
    /// The app decides the open conflicts.
    Resolve(#[serde(with = "named")] ConflictPolicy),
    /// The app forgets the rows of a query.
    Purge { query: usize, force: bool },
    /// The app forgets a token.
    Reset { query: usize },
    /// The device is killed at the given of its next points of rest, or now.
    Kill { after: Option<u32> },
    /// Other clients change rows on the server, in one transaction that takes so long.
    Edit { table: usize, picks: Vec<usize>, kind: EditKind, late: u64 },
    /// The server's clock is moved by so many milliseconds.
    MoveClock(i64),
    /// Another account signs in, after the app was ended.
    SignIn(OldChanges),
    /// The app is ended, and a newer release opens its file.
    Grow,
}

/// What becomes of the changes that wait when another account signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OldChanges {
    Refuse,
    Discard,
    Adopt,
}

/// What other clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EditKind {
    Insert,
    Update,
    Delete,
    Undelete,
}

/// Values of other crates, by the names of their variants.
mod named {
    use std::fmt::Debug;

    use serde::{Deserialize, Deserializer, Serializer, de};
    use sync_core::protocol::Dialect;
    use sync_core::store::ConflictPolicy;

    pub(super) trait Named: Debug + Copy + 'static {
        const ALL: &'static [Self];
    }

    impl Named for Dialect {
        const ALL: &'static [Self] = &Self::ALL;
    }

    impl Named for ConflictPolicy {
        const ALL: &'static [Self] = &super::POLICIES;
    }

    pub(super) fn serialize<T: Named, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:?}"))
    }

    pub(super) fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = T::ALL.iter().find(|value| format!("{value:?}") == name);
        found.copied().ok_or_else(|| de::Error::custom(format!("no such name: {name}")))
    }
}

const POLICIES: [ConflictPolicy; 6] = [
    ConflictPolicy::ClientWins,
    ConflictPolicy::ServerWins,
    ConflictPolicy::Merge,
    ConflictPolicy::MergeElseClient,
    ConflictPolicy::MergeElseServer,
    ConflictPolicy::Park,
];

fn pick<T: Clone>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())].clone()
}

fn percent(random: &mut Rng, percent: u8) -> bool {
    random.u8(0..100) < percent
}

impl History {
    /// The history of a seed.
    pub fn of(seed: u64) -> Self {
        let random = &mut Rng::with_seed(seed);
        let setting = Setting::of(random);
        let mut steps = Vec::new();
        for number in 1..=random.u64(20..80) {
            let gap = match random.u8(0..20) {
                0..14 => random.u64(0..80),
                14..19 => random.u64(0..2_000),
                _ => 30_000,
            };
            let device = random.usize(0..setting.devices.len());
            steps.push(Step { number, gap, device, action: Action::of(random, &setting) });
        }
        Self { seed, setting, steps }
    }

    /// A history that was kept: the text that a [violation](super::Violation) shows.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The history as text.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a history is plain data")
    }
}

impl Setting {
    fn of(random: &mut Rng) -> Self {
        let clock = match random.u8(0..3) {
            0 => Clock::Coarse(pick(random, &[1, 10, 1_000])),
            _ => Clock::Strict,
        };
        let weather = Weather { percent: pick(random, &[0, 15, 40]), kinds: u32::MAX };
        Self {
            dialect: pick(random, &Dialect::ALL),
            clock,
            cap: pick(random, &[2, 3, 7, 1_000]),
            is_dated: percent(random, 70),
            on_file: percent(random, 20),
            devices: (0..random.usize(2..4)).map(|_| DeviceSetting::of(random)).collect(),
            rows: [random.usize(0..3), random.usize(0..7), random.usize(0..4)],
            weather,
            last_word: pick(
                random,
                &[
                    ConflictPolicy::ClientWins,
                    ConflictPolicy::ServerWins,
                    ConflictPolicy::MergeElseClient,
                    ConflictPolicy::MergeElseServer,
                ],
            ),
        }
    }
}

impl DeviceSetting {
    fn of(random: &mut Rng) -> Self {
        let mut queries = vec![Query::Lists, Query::Notes];
        if percent(random, 40) {
            queries.push(Query::Todos);
        }
        for query in Query::FILTERS {
            if percent(random, 50) {
                queries.push(query);
            }
        }
        if queries.len() == 2 {
            queries.push(Query::Open);
        }
        let handler = match random.u8(0..4) {
            0 => Handler::None,
            1 => Handler::Fickle,
            _ => Handler::Policy(pick(random, &POLICIES)),
        };
        Self {
            queries,
            tracks_exits: random.bool(),
            handler,
            window: pick(random, &[1, 1, 8, 32]),
            page_size: pick(random, &[2, 5, 50, 1_000]),
            is_first_release: random.bool(),
        }
    }
}

impl Action {
    fn of(random: &mut Rng, setting: &Setting) -> Self {
        let table = pick(random, &[0, 1, 1, 1, 2, 2]);
        // Mostly the same few rows, so that devices meet.
        let row = if percent(random, 70) { random.usize(0..3) } else { random.usize(0..50) };
        let query = random.usize(0..6);
        let cancel = percent(random, 8).then(|| random.u64(0..400));
        match random.u8(0..100) {
            0..9 => Self::Insert { table, is_shared: percent(random, 15) },
            9..30 => {
                // Often what is done alone: it may become what it was, and then there is nothing to send.
                let done = pick(random, &[2, 8]);
                let columns = if percent(random, 35) { done } else { random.u8(1..16) };
                Self::Update { table, pick: row, columns }
            }
            30..34 => Self::Delete { table, pick: row },
            34..36 => Self::Undelete { pick: row },
            36..52 => Self::Push {
                table: percent(random, 15).then_some(table),
                retry_failed: percent(random, 85),
                cancel,
            },
            52..70 => Self::Pull {
                query,
                push_first: percent(random, 70),
                anyway: percent(random, 60),
                flip_tracking: percent(random, 30),
                cancel,
            },
            70..72 => Self::Full { table, mirror: random.bool() },
            72..75 => Self::Resolve(pick(random, &POLICIES)),
            75..76 => Self::Purge { query, force: random.bool() },
            76..77 => Self::Reset { query },
            77..82 => Self::Kill { after: percent(random, 80).then(|| random.u32(0..25)) },
            82..83 => {
                Self::SignIn(pick(random, &[OldChanges::Refuse, OldChanges::Discard, OldChanges::Adopt]))
            }
            83..84 => Self::Grow,
            84..98 => {
                let kind = match random.u8(0..10) {
                    0..3 => EditKind::Insert,
                    3..8 => EditKind::Update,
                    8..9 => EditKind::Delete,
                    _ => EditKind::Undelete,
                };
                let picks = (0..pick(random, &[1, 1, 1, 2, 6, 40]))
                    .map(|_| if random.bool() { row } else { random.usize(0..9) })
                    .collect();
                // Only with an overlap may rows become visible after their time.
                let late = if setting.clock == Clock::Strict || percent(random, 60) {
                    0
                } else {
                    random.u64(0..8_000)
                };
                Self::Edit { table, picks, kind, late }
            }
            _ if setting.clock == Clock::Strict => Self::MoveClock(random.i64(0..5_000)),
            _ => Self::MoveClock(random.i64(-4_000..4_000)),
        }
    }
}
