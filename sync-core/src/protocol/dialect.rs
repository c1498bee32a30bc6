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
