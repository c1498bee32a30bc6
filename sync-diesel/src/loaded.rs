//! Reading columns whose type Diesel does not read from SQLite, or reads by cutting bits off.
//!
//! Diesel casts the 64-bit integer of SQLite to `i16` and `i32`; a number outside the field's range would
//! become another number. Here it is an error that Diesel reports with the column's name.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::sql_types::{BigInt, Integer, SmallInt, Text};
use diesel::sqlite::Sqlite;
use uuid::Uuid;

/// A value of a field, read and checked.
#[derive(Debug, FromSqlRow)]
pub struct Loaded<T>(pub T);

macro_rules! checked_integers {
    ($($rust:ty => $sql:ty),* $(,)?) => {$(
        impl FromSql<$sql, Sqlite> for Loaded<$rust> {
            fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                let wide = <i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?;
                let narrow = <$rust>::try_from(wide);
                Ok(Self(narrow.map_err(|_| concat!("the stored integer is outside the range of ", stringify!($rust)))?))
            }
        }
    )*};
}

checked_integers! {
    i8 => SmallInt, i16 => SmallInt, u8 => SmallInt,
    i32 => Integer, u16 => Integer,
    u32 => BigInt,
}

impl FromSql<Text, Sqlite> for Loaded<Uuid> {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(Uuid::parse_str(&text).map_err(|_| "the stored text is not a uuid")?))
    }
}
