//! Runs a history: drives the devices and the world, and looks after every step whether something is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use serde_json::{Map, Value as Json};
use sync_core::engine::{Cancellation, PullRequest, PushOptions};
use sync_core::entity::TableSchema;
use sync_core::error::ErrorKind;
use sync_core::operation::OperationState;
use sync_core::predicate::Predicate;
use sync_core::row::Row;
use sync_core::store::{LocalChange, LocalChangeKind, OtherAccount, Purge};
use sync_core::value::Value;
use tempfile::TempDir;

use super::device::{Call, Device, Done, Expected};
use super::history::{Action, EditKind, History, OldChanges, Step};
use super::ledger::{Ledger, json};
use super::model::{LIST, NOTE, Query, TABLES, TODO};
use super::server::{Edit, Key, Server};
use super::world::{Fault, Weather, World};

mod check;

/// Entries of the queue after which a call that has not ended counts as endless.
const ENDLESS: u32 = 50_000;
/// Rounds of push and pull on every device after which all is quiet once the network is well (I-10). In the first
/// everything is sent, decided and sent; in the second everybody learns what the others sent after their turn; the
/// third finds nothing to do.
pub const ROUNDS: u32 = 3;

/// The longest chain of rows that wait for each other: each push decides about one more of them.
const CHAIN: u32 = 2;

/// What a history did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Everything that happened.
    pub trace: Vec<String>,
    /// Requests sent.
    pub requests: u64,
    /// Changes that the server took.
    pub commits: u64,
    /// Faults met, by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Devices killed and started again.
    pub kills: u64,
    /// Conflicts decided.
    pub decisions: u64,
    /// What the app wrote.
    pub writes: u64,
    /// Most rounds it took to become quiet.
    pub rounds: u32,
    /// What is wrong, if anything is.
    pub violation: Option<String>,
}

struct Run<'h> {
    history: &'h History,
    world: Arc<World>,
    devices: Vec<Device>,
    ledger: Arc<Mutex<Ledger>>,
    /// The greatest version of a row that a device had.
    versions: BTreeMap<(usize, Key), u64>,
    outcome: Outcome,
    // Removed after the devices have closed their files.
    _directory: Option<TempDir>,
}

type Checked<T = ()> = Result<T, String>;

/// Runs a history to its end, or to the first thing that is wrong.
pub fn run(history: &History) -> Outcome {
    // Reads of SQLite run on the blocking threads of a runtime; nothing else of it is used.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut run = Run::new(history);
    run.outcome.violation = run.all().err();
    let mut outcome = run.outcome;
    outcome.trace = run.world.trace();
    outcome.requests = run.world.requests();
    outcome.faults = run.world.faults();
    outcome.commits = run.world.server(|server| server.commits);
    outcome.decisions = run.ledger.lock().expect("no panic").decisions;
    outcome
}

impl<'h> Run<'h> {
    fn new(history: &'h History) -> Self {
        let setting = &history.setting;
        let server = Server::new(setting.dialect, setting.clock, setting.cap, setting.is_dated);
        let world = World::new(server, setting.devices.len(), setting.weather);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let directory = setting.on_file.then(|| TempDir::new().expect("a temporary folder can be made"));
        let file = |number: usize| {
            directory.as_ref().map(|directory| directory.path().join(format!("d{number}.db")))
        };
        let devices = setting
            .devices
            .iter()
            .enumerate()
            .map(|(number, setting)| Device::new(number, setting, file(number), &world, &ledger));
        let devices = devices.collect();
        let (versions, outcome) = (BTreeMap::new(), Outcome::default());
        Self { history, world, devices, ledger, versions, outcome, _directory: directory }
    }

    fn all(&mut self) -> Checked {
        let history = self.history;
        for (table, rows) in history.setting.rows.into_iter().enumerate() {
            let random = &mut Rng::with_seed(table as u64);
            let edits = (0..rows).map(|row| {
                let id = format!("s{row}");
                let members = server_members(TABLES[table], random, &format!("s.{table}.{row}"), u8::MAX);
                Edit::Insert(table, id, members)
            });
            self.world.edit_in(0, edits.collect());
        }
        while self.world.step(None) {}
        for device in &mut self.devices {
            device.start(&history.setting, true);
        }
        for step in &history.steps {
            self.pass(step.gap)?;
            self.world.note(|| format!("--- step {}: d{} {:?}", step.number, step.device, step.action));
            self.step(step)?;
            self.settle()?;
            self.check()?;
        }
        self.heal()?;
        self.quiet()?;
        self.check()?;
        self.compare()
    }

    /// Lets so many virtual milliseconds pass.
    fn pass(&mut self, gap: u64) -> Checked {
        let until = self.world.now() + gap;
        while self.world.step(Some(until)) {
            self.settle()?;
        }
        Ok(())
    }

    /// Lets every device do what it can without time passing.
    fn settle(&mut self) -> Checked {
        for index in 0..self.devices.len() {
            let ended = self.devices[index].advance();
            if self.world.is_killed(index) {
                self.restart(index);
            } else if let Some((done, expected)) = ended {
                self.ended(index, &done, &expected)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, device: usize) {
        self.restart_with(device, |_| ());
    }

    /// Kills a device, does something to what it left behind, and starts it again.
    fn restart_with<T>(&mut self, device: usize, meanwhile: impl FnOnce(&mut Device) -> T) -> T {
        self.world.light_fuse(device, None);
        self.world.note(|| format!("d{device} is started again"));
        self.outcome.kills += 1;
        self.devices[device].kill();
        let done = meanwhile(&mut self.devices[device]);
        self.devices[device].start(&self.history.setting, true);
        done
    }

    /// C-12: another account waits, or drops or takes over what is queued.
    fn sign_in(&mut self, device: usize, old_changes: OldChanges) -> Checked {
        let before = self.devices[device].database.operations();
        let answer = match old_changes {
            OldChanges::Refuse => OtherAccount::Refuse,
            OldChanges::Discard => OtherAccount::Discard,
            OldChanges::Adopt => OtherAccount::Adopt,
        };
        let claimed = self.restart_with(device, |device| device.claim(answer));
        self.world.note(|| format!("d{device} is another account's: {claimed:?}"));
        let after = self.devices[device].database.operations();
        let is_refused = old_changes == OldChanges::Refuse && !before.is_empty();
        let is_discarded = old_changes == OldChanges::Discard;
        let is_right = match &claimed {
            Err(error) => is_refused && error.kind() == ErrorKind::OtherAccount && after == before,
            Ok(_) if is_discarded => after.is_empty(),
            Ok(_) => !is_refused && after == before,
        };
        if !is_right {
            return Err(format!(
                "C-12: d{device} has {after:?} after {old_changes:?} of {before:?}: {claimed:?}"
            ));
        }
        if is_discarded {
            self.ledger.lock().expect("no panic").discarded(device, &before);
            self.world.server(|server| server.forget(device));
        }
        Ok(())
    }

    /// Waits for the call of a device.
    fn finish(&mut self, device: usize) -> Checked {
        for _ in 0..ENDLESS {
            if !self.devices[device].is_busy() {
                return Ok(());
            }
            if !self.world.step(None) {
                return Err(format!("G8: a call of d{device} waits for nothing"));
            }
            self.settle()?;
        }
        Err(format!("G8: a call of d{device} does not end"))
    }

    /// Looks at the end of a call.
    fn ended(&mut self, device: usize, done: &Done, expected: &Expected) -> Checked {
        self.world.note(|| format!("d{device} {done}"));
        if let Some(bug) = done.bug() {
            return Err(format!("d{device}: {bug}"));
        }
        if let Done::Push(result) = done {
            self.check_push(device, result)?;
        }
        if matches!(done, Done::Purge(Ok(purged)) if purged.rows > 0) {
            self.world.server(|server| server.forget(device));
        }
        if matches!(done, Done::Pull(Ok(_))) {
            self.check_pulled(device, expected)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Checked {
        let random = &mut Rng::with_seed(self.history.seed ^ step.number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let device = step.device;
        let tables = self.devices[device].tables;
        let token = format!("d{device}.{}", step.number);
        match &step.action {
            Action::Insert { table, is_shared } => {
                let schema = tables[*table];
                let id = if *is_shared {
                    format!("x{}", random.u8(0..3))
                } else {
                    format!("d{device}-{}", step.number)
                };
                let mut row = Row::empty(schema, id);
                self.fill(device, &mut row, schema, random, &token, u8::MAX);
                self.write(device, schema, LocalChangeKind::Insert(row));
            }
            Action::Update { table, pick, columns } => {
                let schema = tables[*table];
                let Some(found) = self.pick(device, schema, *pick, false) else { return Ok(()) };
                let mut row = Row::empty(schema, found.id);
                self.fill(device, &mut row, schema, random, &token, *columns);
                self.write(device, schema, LocalChangeKind::Update(row));
            }
            Action::Delete { table, pick } => {
                let schema = tables[*table];
                let Some(found) = self.pick(device, schema, *pick, false) else { return Ok(()) };
                let children = || self.devices[device].database.rows(tables[TODO]);
                // An app does not delete what its own rows refer to.
                let refers = |row: &Row| row.values[3] == Some(Value::Text(found.id.clone()));
                if *table == 0 && children().iter().any(refers) {
                    return Ok(());
                }
                self.write(device, schema, LocalChangeKind::Delete(found.id));
            }
            Action::Undelete { pick } => {
                let schema = tables[NOTE];
                let Some(found) = self.pick(device, schema, *pick, true) else { return Ok(()) };
                self.write(device, schema, LocalChangeKind::Undelete(found.id));
            }
            Action::Push { table, retry_failed, cancel } => {
                let options = PushOptions {
                    tables: table.iter().map(|table| tables[*table].name.to_owned()).collect(),
                    retry_failed: *retry_failed,
                    ..self.push_options(device, *cancel)
                };
                self.call(step, Call::Push(options), Vec::new())?;
            }
            Action::Pull { query, push_first, anyway, flip_tracking, cancel } => {
                let query = self.query(device, *query);
                let tracks_exits = self.devices[device].setting.tracks_exits;
                let request = PullRequest {
                    push_first: *push_first,
                    pull_anyway: *anyway,
                    track_exits: Some(tracks_exits != *flip_tracking),
                    push: self.push_options(device, *cancel),
                    ..self.pull_request(device, query)
                };
                self.pull(step, query.predicate(&tables), request)?;
            }
            Action::Full { table, mirror } => {
                let predicate = Predicate::all(tables[*table]);
                let mut request = PullRequest::new(None, predicate.clone());
                request.page_size = self.devices[device].setting.page_size;
                request.mirror = *mirror;
                request.push_first = false;
                self.pull(step, predicate, request)?;
            }
            Action::Resolve(policy) => self.call(step, Call::Resolve(*policy), Vec::new())?,
            Action::Purge { query, force } => {
                let predicate = self.query(device, *query).predicate(&tables);
                // Lists go by force only if nothing here refers to them.
                let force = *force && predicate.table.name != tables[LIST].name;
                let purge = Purge { force, ..Purge::new(predicate) };
                self.call(step, Call::Purge(purge), Vec::new())?;
            }
            Action::Reset { query } => {
                let query = self.query(device, *query);
                let table = query.predicate(&tables).table;
                let index = tables.iter().position(|known| known.name == table.name).expect("a table");
                self.call(step, Call::Reset(index, query.id()), Vec::new())?;
            }
            Action::Kill { after: Some(length) } => self.world.light_fuse(device, Some(*length)),
            Action::Kill { after: None } => self.restart(device),
            Action::Edit { table, picks, kind, late } => {
                let edits = self.edits(*table, picks, *kind, step.number, random);
                self.world.edit_in(*late, edits);
            }
            Action::SignIn(old_changes) => self.sign_in(device, *old_changes)?,
            Action::Grow => {
                self.restart_with(device, Device::grow);
            }
            Action::MoveClock(offset) => self.world.server(|server| server.offset = *offset),
        }
        Ok(())
    }

    fn push_options(&self, device: usize, cancel: Option<u64>) -> PushOptions {
        let cancellation = Cancellation::new();
        if let Some(delay) = cancel {
            self.world.cancel_in(delay, cancellation.clone());
        }
        PushOptions { window: self.devices[device].setting.window, cancellation, ..PushOptions::default() }
    }

    fn query(&self, device: usize, pick: usize) -> Query {
        let queries = &self.devices[device].setting.queries;
        queries[pick % queries.len()]
    }

    fn pull_request(&self, device: usize, query: Query) -> PullRequest {
        let setting = &self.devices[device].setting;
        let mut request =
            PullRequest::new(Some(query.id().to_owned()), query.predicate(&self.devices[device].tables));
        request.page_size = setting.page_size;
        request.track_exits = Some(setting.tracks_exits);
        request.push.window = setting.window;
        request
    }

    fn pull(&mut self, step: &Step, predicate: Predicate, request: PullRequest) -> Checked {
        self.finish(step.device)?;
        let expected = self.world.server(|server| server.matching(&predicate));
        self.call(step, Call::Pull(request), expected)
    }

    /// Begins a call once the one before has ended.
    fn call(&mut self, step: &Step, call: Call, expected: Expected) -> Checked {
        self.finish(step.device)?;
        self.world.reseed(step.device, self.history.seed.rotate_left(17) ^ step.number);
        self.devices[step.device].begin(call, expected);
        Ok(())
    }

    /// One of the app's rows.
    fn pick(&self, device: usize, table: &'static TableSchema, pick: usize, deleted: bool) -> Option<Row> {
        let mut rows = self.devices[device].database.rows(table);
        rows.retain(|row| row.deleted == deleted);
        (!rows.is_empty()).then(|| rows.swap_remove(pick % rows.len()))
    }

    /// Gives the columns of the mask new values.
    fn fill(
        &self,
        device: usize,
        row: &mut Row,
        table: &'static TableSchema,
        random: &mut Rng,
        token: &str,
        mask: u8,
    ) {
        let lists = || {
            let rows = self.devices[device].database.rows(TABLES[LIST]);
            rows.into_iter().filter(|row| !row.deleted).map(|row| row.id).collect::<Vec<_>>()
        };
        let members = local_members(table, random, token, mask, lists);
        for (column, value) in members {
            let index = table.column_index(column).expect("a column of the table");
            row.values[index] = Some(value);
        }
    }

    /// A write of the app, which never waits (I-8).
    fn write(&mut self, device: usize, table: &'static TableSchema, kind: LocalChangeKind) {
        let database = &self.devices[device].database;
        let before = match &kind {
            LocalChangeKind::Delete(id) => database.row(table, id),
            _ => None,
        };
        let done = database.write(LocalChange { table, kind: kind.clone() });
        self.world.note(|| format!("d{device} writes {} {kind:?}: {done:?}", table.name));
        if done.is_err() {
            return;
        }
        self.outcome.writes += 1;
        let mut ledger = self.ledger.lock().expect("no panic");
        match kind {
            LocalChangeKind::Insert(row) | LocalChangeKind::Update(row) => ledger.wrote(device, table, &row),
            LocalChangeKind::Delete(_) => {
                if let Some(row) = before {
                    ledger.deleted(device, table, &row);
                }
            }
            LocalChangeKind::Undelete(id) => ledger.undeleted(device, table, &id),
        }
    }

    fn edits(
        &self,
        table: usize,
        picks: &[usize],
        kind: EditKind,
        number: u64,
        random: &mut Rng,
    ) -> Vec<Edit> {
        let schema = TABLES[table];
        let ids: Vec<String> = self.world.server(|server| server.ids(schema.name)).into_iter().collect();
        let mut edits = Vec::new();
        for (index, pick) in picks.iter().enumerate() {
            let token = format!("s.{number}.{index}");
            if kind == EditKind::Insert {
                let members = server_members(schema, random, &token, u8::MAX);
                edits.push(Edit::Insert(table, format!("s{number}-{index}"), members));
                continue;
            }
            if ids.is_empty() {
                continue;
            }
            let key = (schema.name, ids[pick % ids.len()].clone());
            edits.push(match kind {
                EditKind::Insert | EditKind::Update => {
                    Edit::Update(key, server_members(schema, random, &token, random_mask(*pick)))
                }
                EditKind::Delete => Edit::Mark(key, true),
                EditKind::Undelete => Edit::Mark(key, false),
            });
        }
        edits
    }

    /// Everything on its way arrives; from here on the network is well.
    fn heal(&mut self) -> Checked {
        self.world.note(|| "--- the network is well".to_owned());
        self.world.set_weather(Weather { percent: 0, kinds: 0 });
        for device in 0..self.devices.len() {
            self.world.light_fuse(device, None);
            self.finish(device)?;
        }
        while self.world.step(None) {
            self.settle()?;
        }
        for device in &mut self.devices {
            device.kill();
            device.start(&self.history.setting, false);
        }
        Ok(())
    }

    /// Pushes and pulls everywhere until nothing is left to do.
    fn quiet(&mut self) -> Checked {
        for round in 1..=ROUNDS {
            self.outcome.rounds = round;
            let before = self.world.server(|server| server.commits);
            for device in 0..self.devices.len() {
                self.turn(device)?;
            }
            let is_drained = self.devices.iter().all(|device| device.database.operations().is_empty());
            if is_drained && self.world.server(|server| server.commits) == before {
                return Ok(());
            }
        }
        let left: Vec<_> = self.devices.iter().map(|device| device.database.operations()).collect();
        Err(format!("I-10, G3: not quiet after {ROUNDS} rounds; queued: {left:?}"))
    }

    /// One device's turn of a round: push, decide what is open, push, and pull every query.
    fn turn(&mut self, device: usize) -> Checked {
        self.now(device, Call::Unpark, Vec::new(), &[])?;
        for pushed in 0..=CHAIN {
            // P-22: a row that waits for one with a conflict meets its own only in the next push.
            let may_fail: &[_] = if pushed < CHAIN { &[ErrorKind::PushFailed] } else { &[] };
            let done = self.now(device, Call::Push(self.push_options(device, None)), Vec::new(), may_fail)?;
            let operations = self.devices[device].database.operations();
            if operations.is_empty() {
                break;
            }
            let report = done.error().and_then(|error| error.push_report());
            let held = report.map(|report| report.held.as_slice()).unwrap_or_default();
            for operation in operations {
                let is_held = held.iter().any(|held| held.row == operation.key.row());
                if operation.state != OperationState::Failed && !is_held {
                    return Err(format!("G3: d{device} could send {operation:?} and did not"));
                }
            }
            self.now(device, Call::Resolve(self.history.setting.last_word), Vec::new(), &[])?;
        }
        for query in self.devices[device].setting.queries.clone() {
            let predicate = query.predicate(&self.devices[device].tables);
            let expected = self.world.server(|server| server.matching(&predicate));
            self.now(device, Call::Pull(self.pull_request(device, query)), expected, &[])?;
        }
        Ok(())
    }

    /// A call that must succeed, or fail with one of these kinds.
    fn now(
        &mut self,
        device: usize,
        call: Call,
        expected: Expected,
        may_fail: &[ErrorKind],
    ) -> Checked<Done> {
        self.world.note(|| format!("d{device} {call}"));
        self.devices[device].begin(call, expected);
        for _ in 0..ENDLESS {
            if let Some((done, expected)) = self.devices[device].advance() {
                self.ended(device, &done, &expected)?;
                if done.error().is_some_and(|error| !may_fail.contains(&error.kind())) {
                    return Err(format!("G3: the network is well, but d{device}: {done}"));
                }
                self.check()?;
                return Ok(done);
            }
            if !self.world.step(None) {
                return Err(format!("G8: a call of d{device} waits for nothing"));
            }
        }
        Err(format!("G8: a call of d{device} does not end"))
    }
}

/// Which columns an edit changes: at least one.
fn random_mask(pick: usize) -> u8 {
    (pick as u8 % 15) + 1
}

/// New values for the columns of the mask; the unique ones hold the token.
fn local_members(
    table: &'static TableSchema,
    random: &mut Rng,
    token: &str,
    mask: u8,
    lists: impl FnOnce() -> Vec<String>,
) -> Vec<(&'static str, Value)> {
    let mut lists = Some(lists);
    let mut members = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let value = match column.name {
            "done" => Value::Bool(random.bool()),
            "count" => Value::Integer(random.i64(0..100)),
            // The last part of a token is the step: ranks of other writers may be equal.
            "rank" => {
                Value::Integer(token.rsplit('.').next().and_then(|text| text.parse().ok()).unwrap_or(0))
            }
            "list" => {
                let ids = lists.take().map(|lists| lists()).unwrap_or_default();
                let id =
                    (!ids.is_empty() && random.u8(0..4) > 0).then(|| ids[random.usize(0..ids.len())].clone());
                id.map_or(Value::Null, Value::Text)
            }
            _ => Value::Text(token.to_owned()),
        };
        let index = index.min(7);
        if mask >> index & 1 == 1 {
            members.push((column.name, value));
        }
    }
    if members.is_empty() {
        members.push((table.columns[0].name, Value::Text(token.to_owned())));
    }
    members
}

/// The same as JSON, for other clients.
fn server_members(table: &'static TableSchema, random: &mut Rng, token: &str, mask: u8) -> Map<String, Json> {
    let members = local_members(table, random, token, mask, Vec::new);
    members.into_iter().map(|(name, value)| (name.to_owned(), json(&value))).collect()
}
