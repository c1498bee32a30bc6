//! What must hold: at every moment, after a call, and in the end.

use std::collections::BTreeMap;

use sync_core::engine::PushReport;
use sync_core::evaluate;
use sync_core::operation::{FailureClass, OperationKind, OperationState};
use sync_core::row::{Row, TableRow};

use super::super::device::Expected;
use super::super::model::Query;
use super::super::server::version_number;
use super::{Checked, Run};

impl Run<'_> {
    /// P-24: a push is a success only if everything it was to send is done.
    pub(super) fn check_push(&self, device: usize, result: &sync_core::Result<PushReport>) -> Checked {
        let report = match result {
            Ok(report) => report,
            Err(error) => match error.push_report() {
                Some(report) => report,
                None => return Ok(()),
            },
        };
        let failed = self.devices[device].database.errors();
        for error in &report.errors {
            if !failed.iter().any(|recorded| recorded.key.item_id == error.key.item_id) {
                return Err(format!(
                    "I-9: d{device}'s push reports an error that is not recorded: {error:?}"
                ));
            }
        }
        // An error that is not old was recorded by this push; what is parked may be so by another decision.
        let silent = failed.iter().any(|error| !error.old && !error.parked);
        if result.is_ok() && (silent || !report.errors.is_empty()) {
            return Err(format!("P-24: d{device}'s push succeeded with errors"));
        }
        Ok(())
    }

    /// I-4: rows that matched when the pull began, and that nobody changed since, are here; where the app's own change
    /// of one waits, beside it.
    pub(super) fn check_pulled(&self, device: usize, expected: &Expected) -> Checked {
        let database = &self.devices[device].database;
        let operations = database.operations();
        let quarantine = database.quarantine();
        for ((table, id), stored) in expected {
            let key = (*table, id.clone());
            let is_same = self
                .world
                .server(|server| server.rows.get(&key).is_some_and(|now| now.version == stored.version));
            if !is_same || quarantine.iter().any(|row| row.item_id == *id) {
                continue;
            }
            let schema = database.table(table);
            let is_dirty = operations
                .iter()
                .any(|operation| operation.key.table == *table && operation.key.item_id == *id);
            if is_dirty {
                let newest = database.shadow(schema, id);
                let known = newest.as_ref().and_then(|row| row.version.as_deref()).and_then(version_number);
                if known != Some(stored.version) {
                    return Err(format!(
                        "I-4: d{device}'s pull succeeded, but beside the change of {table} {id} is not what the server \
                         has had since before it: version {} there, here {newest:?}",
                        stored.version
                    ));
                }
                continue;
            }
            let row = database.row(schema, id);
            let is_right = match &row {
                None => stored.deleted,
                Some(row) => {
                    row.version.as_deref().and_then(version_number) == Some(stored.version)
                        && row.deleted == stored.deleted
                        && (schema.keep_deleted || !stored.deleted)
                }
            };
            if !is_right {
                return Err(format!(
                    "I-4: d{device}'s pull succeeded, but {table} {id} is not as on the server since before it: \
                     version {} there (deleted: {}), here {row:?}",
                    stored.version, stored.deleted
                ));
            }
        }
        Ok(())
    }

    /// What must hold at every moment.
    pub(super) fn check(&mut self) -> Checked {
        if let Some(complaint) = self.world.server(|server| server.complaints.pop()) {
            return Err(complaint);
        }
        for device in &mut self.devices {
            let number = device.number;
            device.follow().map_err(|wrong| format!("{wrong} (d{number})"))?;
        }
        for device in &self.devices {
            let number = device.number;
            let operations = device.database.operations();
            let ledger = self.ledger.lock().expect("no panic");
            if let Some(lost) = self.world.server(|server| ledger.lost(number, &operations, server)) {
                return Err(lost);
            }
            drop(ledger);
            let errors = device.database.errors();
            for error in &errors {
                let version = error.remote.as_ref().and_then(|remote| remote.version.as_deref());
                let is_own = version
                    .and_then(version_number)
                    .is_some_and(|version| self.world.server(|server| server.wrote(number, version)));
                if error.class == FailureClass::Conflict && is_own {
                    return Err(format!("F-10: d{number} has a conflict with itself: {error:?}"));
                }
            }
            for operation in &operations {
                let key = &operation.key;
                let schema = device.database.table(key.table);
                let row = device.database.row(schema, &key.item_id).filter(|row| !row.deleted);
                let is_delete = operation.kind == OperationKind::Delete;
                if row.is_some() == is_delete {
                    return Err(format!("I-2: d{number} has {operation:?} and the row {row:?}"));
                }
                let is_recorded = errors.iter().any(|error| error.key.item_id == key.item_id);
                if operation.state == OperationState::Failed && !is_recorded {
                    return Err(format!(
                        "I-9: d{number} has a failed operation without error: {operation:?}"
                    ));
                }
            }
            for table in device.tables {
                for row in device.database.rows(table) {
                    let Some(version) = row.version.as_deref().and_then(version_number) else { continue };
                    let last = self.versions.entry((number, (table.name, row.id.clone()))).or_default();
                    if version < *last {
                        return Err(format!(
                            "G7: d{number} goes back from version {last} to {version} of {} {}",
                            table.name, row.id
                        ));
                    }
                    *last = version;
                }
            }
        }
        let mut ledger = self.ledger.lock().expect("no panic");
        let wrong =
            self.world.server(|server| ledger.with_itself(server).or_else(|| ledger.repeated(server)));
        wrong.map_or(Ok(()), Err)
    }

    /// G2: every device agrees with the server about the rows of its queries.
    pub(super) fn compare(&self) -> Checked {
        for device in &self.devices {
            let number = device.number;
            let setting = &device.setting;
            for table in device.tables {
                let queries: Vec<Query> = setting
                    .queries
                    .iter()
                    .copied()
                    .filter(|query| query.predicate(&device.tables).table.name == table.name)
                    .collect();
                if queries.is_empty() {
                    continue;
                }
                let here: BTreeMap<String, Row> =
                    device.database.rows(table).into_iter().map(|row| (row.id.clone(), row)).collect();
                let wants = |row: &Row| {
                    queries.iter().any(|query| {
                        let node = query.predicate(&device.tables).node;
                        evaluate::matches(&node, &TableRow { table, row })
                    })
                };
                for query in &queries {
                    let predicate = query.predicate(&device.tables);
                    let holds = |row: &Row| evaluate::matches(&predicate.node, &TableRow { table, row });
                    let expected = here.values().filter(|row| holds(row)).map(|row| row.id.clone()).collect();
                    let found = device.database.matching(predicate.clone());
                    if found != expected {
                        return Err(format!("G9: d{number} finds {found:?} by {query:?}, not {expected:?}"));
                    }
                }
                let there: BTreeMap<String, Row> = self.world.server(|server| {
                    let of_table = server.rows.iter().filter(|((name, _), _)| *name == table.name);
                    of_table.map(|((_, id), stored)| (id.clone(), server.row(table, id, stored))).collect()
                });
                for (id, row) in &there {
                    let is_kept = !row.deleted || (table.keep_deleted && here.contains_key(id));
                    if !is_kept || !wants(row) {
                        continue;
                    }
                    let found = here.get(id);
                    if !found.is_some_and(|found| found.values == row.values && found.version == row.version)
                    {
                        return Err(format!(
                            "G2: d{number} should have {} {row:?} and has {found:?}",
                            table.name
                        ));
                    }
                }
                // What left a filter is noticed only where every change is read, as the last pulls of each query do by the
                // device's setting, whatever those before them did.
                let sees_all = queries.iter().any(|query| query.is_all()) || setting.tracks_exits;
                for (id, row) in here.iter().filter(|(_, row)| sees_all && !row.deleted && wants(row)) {
                    let right = there.get(id);
                    if !right.is_some_and(|right| !right.deleted && right.values == row.values) {
                        return Err(format!(
                            "G2: d{number} has {} {row:?}, the server {right:?}",
                            table.name
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
