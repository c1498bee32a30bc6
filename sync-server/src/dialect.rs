//! The generations of the protocol: each maps calls to operations of the store, and results to answers.
//!
//! Which one a request speaks is decided here, by the version it carries; see [`ServerConfig::dialect`].

use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode, header};
use sync_core::protocol::Dialect;

use crate::access;
use crate::config::ServerConfig;
use crate::error::{Refusal, ServerError};
use crate::http::{Call, set};
use crate::query::Parameters;
use crate::server::Shared;
use crate::table::Table;

use self::request::Request;

mod conditional;
mod datasync;
mod mobile_apps;
mod mobile_services;
mod request;

const VERSION_HEADER: &str = "zumo-api-version";
const SERVER_HEADER: HeaderName = HeaderName::from_static("x-zumo-server-version");
const SERVER_MARK: &str = concat!("sync-server-", env!("CARGO_PKG_VERSION"));

/// The shape of answers to requests that are in no dialect: JSON with a message, which every client reads.
pub(crate) const UNKNOWN: Dialect = Dialect::MobileApps;

/// Whether a table can be served in the dialect, or in all of them.
///
/// # Errors
///
/// A column is named like a system property.
pub(crate) fn check(table: &Table, only: Option<Dialect>) -> Result<(), ServerError> {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| only.is_none_or(|only| only == *dialect)) {
        let names = dialect.names();
        let system = [names.created_at, names.updated_at, names.version, names.deleted];
        let is_system = |name: &str| system.iter().any(|system| system.eq_ignore_ascii_case(name));
        if let Some(column) = table.columns.iter().find(|column| is_system(column.name)) {
            return Err(ServerError::configuration(format!(
                "column {} of table {} is named like a system property",
                column.name, table.schema.name
            )));
        }
    }
    Ok(())
}

/// Answers one request.
pub(crate) async fn answer(shared: &Shared, call: Call) -> Response {
    let fallback = shared.config.dialect.unwrap_or(UNKNOWN);
    let chosen = Parameters::parse(call.uri.query()).and_then(|parameters| {
        let dialect = choose(&shared.config, version(&call.headers, &parameters))?;
        Ok((dialect, parameters))
    });
    let mut response = match chosen {
        Ok((dialect, parameters)) => match shared.table(&call.table) {
            Some(table) => {
                let admitted = access::admit(shared.authentication.as_deref(), table, dialect, &call).await;
                let answered = match admitted {
                    Err(refusal) => Err(refusal),
                    Ok(scope) => {
                        let (parameters, call) = (&parameters, &call);
                        let request = Request { shared, table, parameters, call, dialect, scope };
                        match dialect {
                            Dialect::MobileServices => mobile_services::run(&request).await,
                            Dialect::Datasync => datasync::run(&request).await,
                            _ => mobile_apps::run(&request).await,
                        }
                    }
                };
                answered.unwrap_or_else(|refusal| refused(dialect, &refusal))
            }
            None => refused(dialect, &Refusal::NoTable(call.table.clone())),
        },
        Err(refusal) => refused(fallback, &refusal),
    };
    set(&mut response, SERVER_HEADER, SERVER_MARK);
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

/// The version a request carries, in the header or else in the query string; text that is none counts as empty.
fn version<'r>(headers: &'r HeaderMap, parameters: &'r Parameters<'_>) -> Option<&'r str> {
    match headers.get(VERSION_HEADER) {
        Some(version) => Some(version.to_str().unwrap_or_default()),
        None => parameters.get_ignoring_case(VERSION_HEADER),
    }
}

/// The dialect of a request with this version.
fn choose(config: &ServerConfig, version: Option<&str>) -> Result<Dialect, Refusal> {
    match (config.dialect, version) {
        (Some(Dialect::MobileServices), Some(_)) if config.refuse_versions => Err(Refusal::VersionSent),
        (Some(Dialect::MobileApps), Some(version)) if is_build_of(version, "2.0.") => Ok(Dialect::MobileApps),
        (Some(Dialect::MobileApps), _) => {
            Err(Refusal::bad("An invalid API version was specified: ZUMO-API-VERSION must be 2.0.0"))
        }
        (Some(only), _) => Ok(only),
        (None, None) => Ok(Dialect::MobileServices),
        (None, Some(version)) if is_build_of(version, "2.0.") => Ok(Dialect::MobileApps),
        (None, Some(version)) if version == "3.0" || is_build_of(version, "3.0.") => Ok(Dialect::Datasync),
        (None, Some(_)) => Err(Refusal::bad(
            "An invalid API version was specified: ZUMO-API-VERSION must be 2.0.0 or 3.0.0, or absent",
        )),
    }
}

/// Whether the version is `series` and digits.
fn is_build_of(version: &str, series: &str) -> bool {
    let build = version.strip_prefix(series).unwrap_or_default();
    !build.is_empty() && build.bytes().all(|byte| byte.is_ascii_digit())
}

/// The answer to a request that was not done, in the dialect's shape.
pub(crate) fn refused(dialect: Dialect, refusal: &Refusal) -> Response {
    let (status, message) = match refusal {
        Refusal::Bad(message) => (StatusCode::BAD_REQUEST, message.clone()),
        Refusal::NoRoute => (StatusCode::NOT_FOUND, "There is nothing at this address".to_owned()),
        Refusal::NoTable(name) => (StatusCode::NOT_FOUND, format!("Table '{name}' does not exist.")),
        Refusal::NoRow => (StatusCode::NOT_FOUND, "The item does not exist".to_owned()),
        Refusal::Gone => (StatusCode::GONE, "The item is deleted".to_owned()),
        Refusal::Unauthorized(message) => (StatusCode::UNAUTHORIZED, (*message).to_owned()),
        Refusal::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "The credentials cannot be checked now".to_owned())
        }
        Refusal::Forbidden => (StatusCode::FORBIDDEN, "This is not allowed for the caller".to_owned()),
        Refusal::Disabled(_) if dialect == Dialect::MobileApps => {
            (StatusCode::METHOD_NOT_ALLOWED, "The operation is not allowed".to_owned())
        }
        Refusal::Disabled(_) => (StatusCode::FORBIDDEN, "The operation is not allowed".to_owned()),
        Refusal::VersionSent => {
            (StatusCode::BAD_REQUEST, "The version header is not supported by this server".to_owned())
        }
        Refusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here".to_owned()),
        Refusal::MediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json".to_owned())
        }
        Refusal::Encoded => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed or encoded".to_owned())
        }
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large".to_owned()),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned()),
    };
    let mut response = match dialect {
        Dialect::MobileServices => mobile_services::refused(refusal, status, &message),
        Dialect::Datasync => datasync::refused(status, &message),
        _ => mobile_apps::refused(status, &message),
    };
    match refusal {
        Refusal::Method(allowed) => set(&mut response, header::ALLOW, allowed),
        Refusal::Disabled(allowed) if status == StatusCode::METHOD_NOT_ALLOWED => {
            set(&mut response, header::ALLOW, allowed);
        }
        Refusal::Unauthorized(_) => set(&mut response, header::WWW_AUTHENTICATE, "Bearer"),
        Refusal::Encoded => set(&mut response, header::ACCEPT_ENCODING, "identity"),
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_001_to_007_the_version_chooses_the_dialect() {
        let all = ServerConfig::default();
        let chosen = |version| choose(&all, version).ok();
        assert_eq!(chosen(None), Some(Dialect::MobileServices));
        for version in ["2.0.0", "2.0.17"] {
            assert_eq!(chosen(Some(version)), Some(Dialect::MobileApps), "{version}");
        }
        for version in ["3.0", "3.0.0", "3.0.4"] {
            assert_eq!(chosen(Some(version)), Some(Dialect::Datasync), "{version}");
        }
        for version in ["", "1.0.0", "2.0", "2.0.", "2.0.x", "2.1.0", "3", "3.1.0", "30.0.0", "2.0.0, 3.0.0"]
        {
            assert_eq!(chosen(Some(version)), None, "{version}");
        }
    }
}
