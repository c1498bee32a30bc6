//! Every type and its `Option`, through rows and through Diesel.

use chrono::{DateTime, TimeZone, Utc};
use diesel::prelude::*;
use sync_diesel::core::entity::SyncEntity as _;
use sync_diesel::core::row::Row;
use sync_diesel::{Record, SyncEntity};
use uuid::Uuid;

use super::{create, database};

#[derive(SyncEntity, Clone, Debug, PartialEq)]
struct Every {
    text: String,
    flag: bool,
    i8: i8,
    i16: i16,
    i32: i32,
    i64: i64,
    u8: u8,
    u16: u16,
    u32: u32,
    f32: f32,
    f64: f64,
    at: DateTime<Utc>,
    uuid: Uuid,
}

#[derive(SyncEntity, Clone, Debug, PartialEq)]
#[sync(table = "EveryOption")]
struct Optional {
    text: Option<String>,
    flag: Option<bool>,
    i8: Option<i8>,
    i16: Option<i16>,
    i32: Option<i32>,
    i64: std::option::Option<i64>,
    u8: Option<u8>,
    u16: Option<u16>,
    u32: Option<u32>,
    f32: Option<f32>,
    f64: Option<f64>,
    at: Option<chrono::DateTime<chrono::Utc>>,
    uuid: Option<uuid::Uuid>,
}

const COLUMNS: &str = "text, flag, i8, i16, i32, i64, u8, u16, u32, f32, f64, at, uuid";

fn greatest() -> Every {
    Every {
        text: "Größe 'x'".into(),
        flag: true,
        i8: i8::MIN,
        i16: i16::MIN,
        i32: i32::MIN,
        i64: i64::MIN,
        u8: u8::MAX,
        u16: u16::MAX,
        u32: u32::MAX,
        f32: 0.1,
        f64: f64::MIN_POSITIVE,
        at: Utc.timestamp_opt(1_704_164_645, 678_901_234).unwrap(),
        uuid: Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8),
    }
}

fn some(every: Every) -> Optional {
    Optional {
        text: Some(every.text),
        flag: Some(every.flag),
        i8: Some(every.i8),
        i16: Some(every.i16),
        i32: Some(every.i32),
        i64: Some(every.i64),
        u8: Some(every.u8),
        u16: Some(every.u16),
        u32: Some(every.u32),
        f32: Some(every.f32),
        f64: Some(every.f64),
        at: Some(every.at),
        uuid: Some(every.uuid),
    }
}

const NONE: Optional = Optional {
    text: None,
    flag: None,
    i8: None,
    i16: None,
    i32: None,
    i64: None,
    u8: None,
    u16: None,
    u32: None,
    f32: None,
    f64: None,
    at: None,
    uuid: None,
};

#[test]
fn every_type_survives_a_row() {
    let row = Row::new("1", greatest().to_values());
    assert_eq!(Every::from_row(&row).unwrap(), greatest());
    for optional in [some(greatest()), NONE] {
        let row = Row::new("1", optional.to_values());
        assert_eq!(Optional::from_row(&row).unwrap(), optional);
    }
    assert_eq!(Optional::from_row(&Row::empty(Optional::SCHEMA, "1")).unwrap(), NONE);
}

#[test]
fn every_type_is_read_by_diesel() {
    let mut conn = database(&[&create("Every", COLUMNS), &create("EveryOption", COLUMNS)]);
    let greatest = greatest();
    diesel::insert_into(every::table)
        .values((
            every::id.eq("1"),
            every::text.eq(&greatest.text),
            every::flag.eq(greatest.flag),
            every::i8.eq(i16::from(greatest.i8)),
            every::i16.eq(greatest.i16),
            every::i32.eq(greatest.i32),
            every::i64.eq(greatest.i64),
            every::u8.eq(i16::from(greatest.u8)),
            every::u16.eq(i32::from(greatest.u16)),
            every::u32.eq(i64::from(greatest.u32)),
            every::f32.eq(greatest.f32),
            every::f64.eq(greatest.f64),
            every::at.eq(greatest.at),
            every::uuid.eq(greatest.uuid.to_string()),
        ))
        .execute(&mut conn)
        .unwrap();
    diesel::sql_query(format!("INSERT INTO EveryOption (id, {COLUMNS}) SELECT id, {COLUMNS} FROM Every"))
        .execute(&mut conn)
        .unwrap();
    diesel::insert_into(optional::table).values(optional::id.eq("2")).execute(&mut conn).unwrap();

    let read: Every = every::table.select(Every::as_select()).first(&mut conn).unwrap();
    assert_eq!(read, greatest);
    let read: Vec<Optional> =
        optional::table.order(optional::id).select(Optional::as_select()).load(&mut conn).unwrap();
    assert_eq!(read, [some(greatest.clone()), NONE]);
    let read: Record<Every> = every::table.select(Record::<Every>::as_select()).first(&mut conn).unwrap();
    assert_eq!((read.id(), &*read), ("1", &greatest));
}

#[test]
fn numeric_columns_take_part_in_arithmetic() {
    let mut conn = database(&[&create("EveryOption", COLUMNS)]);
    diesel::insert_into(optional::table)
        .values((optional::id.eq("1"), optional::i64.eq(20)))
        .execute(&mut conn)
        .unwrap();
    let sum: Option<i64> = optional::table.select(optional::i64 + 1).first(&mut conn).unwrap();
    assert_eq!(sum, Some(21));
}

#[test]
fn values_that_do_not_fit_are_errors_of_diesel() {
    let check = |column: &str, value: &str, expected: &str| {
        let mut conn = database(&[&create("EveryOption", COLUMNS)]);
        diesel::sql_query(format!("INSERT INTO EveryOption (id, {column}) VALUES ('1', {value})"))
            .execute(&mut conn)
            .unwrap();
        let error = optional::table.select(Optional::as_select()).load(&mut conn).unwrap_err();
        let diesel::result::Error::DeserializationError(error) = error else { panic!("{error}") };
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {cause}");
        assert!(text.contains(expected) && text.contains(column), "{text}");
        assert!(!text.contains(value.trim_matches('\'')), "the error shows the value: {text}");
    };
    check("i8", "128", "outside the range of i8");
    check("i16", "70000", "outside the range of i16");
    check("i32", "4294967296", "outside the range of i32");
    check("u8", "-1", "outside the range of u8");
    check("u16", "70001", "outside the range of u16");
    check("u32", "-2", "outside the range of u32");
    check("uuid", "'not-one'", "not a uuid");
}

#[test]
fn rows_that_do_not_fit_are_corrupt() {
    use sync_diesel::core::value::Value;

    let mut row = Row::new("1", greatest().to_values());
    row.values[6] = Some(Value::Integer(256));
    let error = Every::from_row(&row).unwrap_err();
    assert!(error.to_string().contains("u8"), "{error}");
    row.values[6] = Some(Value::Null);
    assert!(Every::from_row(&row).is_err());
}
