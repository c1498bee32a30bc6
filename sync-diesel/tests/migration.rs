//! Migrations made from entities, on real folders, and what they do to a database in use.

#[path = "migration/commands.rs"]
mod commands;
#[path = "migration/generating.rs"]
mod generating;
#[path = "migration/model.rs"]
mod model;
#[path = "migration/refusing.rs"]
mod refusing;
#[path = "migration/running.rs"]
mod running;
#[path = "migration/support.rs"]
mod support;
