//! The program `sync-server`: tables named on the command line, served until Ctrl-C or SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sync_core::entity::TableSchema;
use sync_core::protocol::Dialect;
use sync_server::{Access, Caller, Server, ServerConfig, ServerError, TableRules, Tokens};

use self::token::TokenArgument;

mod definition;
mod log;
mod token;

/// A server of the Azure Mobile Apps tables protocol on one SQLite file.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Database file; made if it does not exist.
    #[arg(long, default_value = "server.db")]
    database: PathBuf,
    /// A table: 'Name(column:type, column:type?, ..)', where ? allows null. Types: text, bool, i8, i16, i32,
    /// i64, u8, u16, u32, float, double, datetime, uuid. Repeat for more tables.
    #[arg(long = "table", required = true, value_parser = definition::parse)]
    tables: Vec<&'static TableSchema>,
    /// Speak only this generation of the protocol (v1, v2 or v3), instead of the one each request asks for.
    #[arg(long, value_parser = parse_dialect)]
    dialect: Option<Dialect>,
    /// Rows of a page when the client does not ask for a number.
    #[arg(long, default_value_t = 50)]
    page_size: usize,
    /// Greatest $top accepted.
    #[arg(long, default_value_t = 1000)]
    max_top: usize,
    /// Most rows in one page, also when $top is larger.
    #[arg(long)]
    page_cap: Option<usize>,
    /// Send no Link headers.
    #[arg(long)]
    no_links: bool,
    /// Remove deleted rows instead of marking them; other clients then never learn of it.
    #[arg(long)]
    hard_delete: bool,
    /// A token that callers must show (X-ZUMO-AUTH, or Authorization: Bearer), as 'NAME:TOKEN' or 'TOKEN'. Repeat
    /// for more, or put them into the variable, separated by commas: arguments can be seen by other users of the
    /// machine. Without any, everyone may do everything.
    #[arg(long = "token", env = "SYNC_SERVER_TOKENS", hide_env_values = true, value_delimiter = ',')]
    tokens: Vec<TokenArgument>,
    /// Let everyone read; only changes need a token.
    #[arg(long, requires = "tokens")]
    anonymous_read: bool,
    /// A text column that holds the name of the caller a row belongs to: callers see their own rows only. As
    /// 'Table.column'; repeat for more tables.
    #[arg(long = "owner", value_parser = parse_owner, requires = "tokens")]
    owners: Vec<(String, String)>,
    /// Send answers as they are, also to clients that accept gzip.
    #[arg(long)]
    no_compression: bool,
    /// Origin of web pages that may call the server; * allows all. Repeat for more.
    #[arg(long = "allow-origin")]
    allowed_origins: Vec<String>,
    /// Scheme and authority for next links, behind a proxy that changes them.
    #[arg(long)]
    public_url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    log::to_stderr();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), ServerError> {
    let config = ServerConfig {
        dialect: arguments.dialect,
        page_size: arguments.page_size,
        max_top: arguments.max_top,
        page_cap: arguments.page_cap,
        links: !arguments.no_links,
        soft_delete: !arguments.hard_delete,
        allowed_origins: arguments.allowed_origins,
        public_url: arguments.public_url,
        compression: !arguments.no_compression,
        ..ServerConfig::default()
    };
    let mut builder = Server::builder(arguments.tables).config(config);
    if !arguments.tokens.is_empty() {
        let mut tokens = Tokens::new();
        for (number, TokenArgument { name, token }) in (1..).zip(arguments.tokens) {
            let name = name.unwrap_or_else(|| format!("caller-{number}"));
            tokens.insert(token, Caller::new(name))?;
        }
        let read = if arguments.anonymous_read { Access::Anonymous } else { Access::Authenticated };
        let rules = TableRules::authenticated().read(read);
        builder = builder.authenticate(tokens).default_rules(rules.clone());
        for (table, column) in arguments.owners {
            builder = builder.rules(table, rules.clone().owner(column));
        }
    }
    let server = builder.open(&arguments.database).await?;
    let running = server.start(arguments.listen.as_str()).await?;
    announce(&running.url());
    if let Err(error) = asked_to_stop().await {
        tracing::error!(%error, "signals cannot be waited for; stopping");
    }
    running.shutdown().await
}

fn parse_dialect(text: &str) -> Result<Dialect, String> {
    match text {
        "v1" => Ok(Dialect::MobileServices),
        "v2" => Ok(Dialect::MobileApps),
        "v3" => Ok(Dialect::Datasync),
        _ => Err("known are v1, v2 and v3".to_owned()),
    }
}

fn parse_owner(text: &str) -> Result<(String, String), String> {
    let (table, column) = text.rsplit_once('.').ok_or("expected 'Table.column'")?;
    Ok((table.trim().to_owned(), column.trim().to_owned()))
}

/// Ctrl-C, or the polite signal of service managers.
async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[expect(clippy::print_stdout, reason = "the address is this program's output; scripts wait for the line")]
fn announce(url: &str) {
    println!("listening on {url}");
}
