//! The generations of the protocol and the names that differ between them.

use crate::entity::{ColumnRole, ColumnSchema};

/// A generation of the tables protocol. It is named by the user, never guessed from an empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Mobile Services (v1): `__updatedAt`, no version header, OData 3 filters.
    MobileServices,
    /// Azure Mobile Apps (v2): `updatedAt`, version header `2.0.0`, OData 3 filters.
    MobileApps,
    /// Datasync and the Community Toolkit (v3): `updatedAt`, version header `3.0.0`, OData 4 filters, whole rows by
    /// PUT.
    Datasync,
}

/// Names of the system properties in the JSON of one dialect.
#[derive(Debug, PartialEq, Eq)]
pub struct SystemNames {
    /// Creation time; known so that it is not taken for a column.
    pub created_at: &'static str,
    /// Change time.
    pub updated_at: &'static str,
    /// Version.
    pub version: &'static str,
    /// Soft delete mark.
    pub deleted: &'static str,
}

/// How a soft-deleted row is revived in [`Dialect::Datasync`], where the two server programs differ
/// (protocol.md 6.6). In the other dialects it is always a POST to the row without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UndeleteForm {
    /// `PATCH` of `{"deleted":false}`: `Microsoft.AspNetCore.Datasync`.
    Patch,
    /// `PUT` of the whole row with `"deleted":false` and `?__includedeleted=true`: the Community Toolkit.
    Put,
}

impl Dialect {
    /// Every dialect, oldest first.
    pub const ALL: [Self; 3] = [Self::MobileServices, Self::MobileApps, Self::Datasync];

    /// Names of the system properties in bodies, filters and orderings.
    pub const fn names(self) -> &'static SystemNames {
        match self {
            Self::MobileServices => &SystemNames {
                created_at: "__createdAt",
                updated_at: "__updatedAt",
                version: "__version",
                deleted: "__deleted",
            },
            Self::MobileApps | Self::Datasync => &SystemNames {
                created_at: "createdAt",
                updated_at: "updatedAt",
                version: "version",
                deleted: "deleted",
            },
        }
    }

    /// Value of the header `ZUMO-API-VERSION` on every request.
    pub const fn api_version(self) -> Option<&'static str> {
        match self {
            Self::MobileServices => None,
            Self::MobileApps => Some("2.0.0"),
            Self::Datasync => Some("3.0.0"),
        }
    }

    /// Name of the parameter that asks for rows marked deleted too. One real server reads it in this spelling
    /// only (protocol.md Q-09).
    pub const fn include_deleted(self) -> &'static str {
        match self {
            Self::MobileServices | Self::MobileApps => "__includeDeleted",
            Self::Datasync => "__includedeleted",
        }
    }

    /// What the dialect is called in messages.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::MobileServices => "Mobile Services (v1)",
            Self::MobileApps => "Azure Mobile Apps (v2)",
            Self::Datasync => "Datasync (v3)",
        }
    }

    /// Wire name of a column.
    pub const fn column_name(self, column: &'static ColumnSchema) -> &'static str {
        match column.role {
            ColumnRole::User | ColumnRole::Id => column.name,
            ColumnRole::Version => self.names().version,
            ColumnRole::UpdatedAt => self.names().updated_at,
            ColumnRole::Deleted => self.names().deleted,
        }
    }
}
