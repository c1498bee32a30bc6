//! The laws of the merge rules, over generated values, and the cases they do not cover.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::time;
use crate::value::IntegerWidth;

const WIDE: ColumnType = ColumnType::Integer(IntegerWidth::I64);
const NARROW: ColumnType = ColumnType::Integer(IntegerWidth::I8);

fn column(ty: ColumnType, rule: Option<MergeRule>) -> ColumnSchema {
    let column = ColumnSchema::new("c", ty).with_nullable(true);
    match rule {
        Some(rule) => column.with_merge(rule),
        None => column,
    }
}

fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
}

/// A value of a type that every rule but Add takes, seldom null, from a small pool so that values meet.
fn value_of(ty: ColumnType) -> BoxedStrategy<Value> {
    let value = match ty {
        ColumnType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ColumnType::DateTime => (-5_i64..5).prop_map(|millis| Value::DateTime(instant(millis))).boxed(),
        ColumnType::Double => (-4_i32..4).prop_map(|number| Value::Real(f64::from(number) / 2.0)).boxed(),
        ColumnType::Text => "[ab]{0,2}".prop_map(Value::Text).boxed(),
        ColumnType::Integer(IntegerWidth::I8) => (-128_i64..128).prop_map(Value::Integer).boxed(),
        _ => prop_oneof![
            8 => (-4_i64..4).prop_map(Value::Integer),
            1 => Just(Value::Integer(i64::MAX)),
            1 => Just(Value::Integer(i64::MIN)),
        ]
        .boxed(),
    };
    prop_oneof![8 => value, 1 => Just(Value::Null)].boxed()
}

fn any_column() -> impl Strategy<Value = (ColumnType, Option<MergeRule>)> {
    let types = [WIDE, NARROW, ColumnType::Double, ColumnType::Bool, ColumnType::DateTime, ColumnType::Text];
    let rules = [
        None,
        Some(MergeRule::Local),
        Some(MergeRule::Remote),
        Some(MergeRule::Max),
        Some(MergeRule::Min),
        Some(MergeRule::Add),
    ];
    (proptest::sample::select(types.to_vec()), proptest::sample::select(rules.to_vec()))
        .prop_filter("the rule fits the type", |(ty, rule)| rule.is_none_or(|rule| rule.fits(*ty)))
}

fn three() -> impl Strategy<Value = (ColumnType, Option<MergeRule>, Value, Value, Value)> {
    any_column().prop_flat_map(|(ty, rule)| (Just(ty), Just(rule), value_of(ty), value_of(ty), value_of(ty)))
}

/// Integers whose sums stay in range, with a rule of its own.
fn small() -> impl Strategy<Value = Value> {
    (-1000_i64..1000).prop_map(Value::Integer)
}

proptest! {
    #[test]
    fn k_06_a_side_that_did_not_change_takes_the_other((ty, rule, base, other, _) in three()) {
        let column = column(ty, rule);
        prop_assert_eq!(merge_value(&column, Some(&base), &base, &other), Some(other.clone()));
        prop_assert_eq!(merge_value(&column, Some(&base), &other, &base), Some(other));
    }

    #[test]
    fn k_06_the_same_change_on_both_sides_is_taken((ty, rule, base, both, _) in three()) {
        let column = column(ty, rule);
        let merged = merge_value(&column, Some(&base), &both, &both);
        if rule == Some(MergeRule::Add) && both != base {
            // Each side counted for itself.
            if let (Value::Integer(before), Value::Integer(after)) = (&base, &both) {
                let sum = i64::try_from(2 * i128::from(*after) - i128::from(*before)).ok();
                let ColumnType::Integer(width) = ty else { unreachable!("an integer") };
                let expected = sum.filter(|sum| width.contains(*sum)).map(Value::Integer);
                prop_assert_eq!(merged, expected);
            }
        } else {
            prop_assert_eq!(merged, Some(both));
        }
    }

    #[test]
    fn k_06_local_and_remote_take_their_side((ty, _, base, local, remote) in three()) {
        prop_assume!(local != base && remote != base && local != remote);
        let of = |rule| merge_value(&column(ty, Some(rule)), Some(&base), &local, &remote);
        prop_assert_eq!(of(MergeRule::Local), Some(local.clone()));
        prop_assert_eq!(of(MergeRule::Remote), Some(remote.clone()));
        prop_assert_eq!(merge_value(&column(ty, None), Some(&base), &local, &remote), None);
    }

    #[test]
    fn k_06_max_min_and_add_are_commutative((ty, rule, base, local, remote) in three()) {
        prop_assume!(matches!(rule, Some(MergeRule::Max | MergeRule::Min | MergeRule::Add)));
        let column = column(ty, rule);
        prop_assert_eq!(
            merge_value(&column, Some(&base), &local, &remote),
            merge_value(&column, Some(&base), &remote, &local)
        );
    }

    /// Three devices that started from one base end at the same value, whichever comes first.
    #[test]
    fn k_06_max_min_and_add_are_associative(
        rule in proptest::sample::select(vec![MergeRule::Max, MergeRule::Min, MergeRule::Add]),
        (base, a, b, c) in (small(), small(), small(), small()),
    ) {
        let column = column(WIDE, Some(rule));
        // The merged value of two is the server's row for the third; the base of all is the same.
        let merge = |left: &Value, right: &Value| {
            merge_value(&column, Some(&base), left, right).expect("in range")
        };
        // A side that did not change is no choice of Max or Min, so changes only.
        prop_assume!(a != base && b != base && c != base);
        let (left, right) = (merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
        if merge(&a, &b) != base && merge(&b, &c) != base {
            prop_assert_eq!(left, right);
        }
    }

    #[test]
    fn k_06_merging_again_what_was_merged_changes_nothing((ty, rule, base, local, remote) in three()) {
        let column = column(ty, rule);
        if let Some(merged) = merge_value(&column, Some(&base), &local, &remote) {
            // After the merge the server's row is the base, and the merged value stands here.
            prop_assert_eq!(merge_value(&column, Some(&remote), &merged, &remote), Some(merged));
        }
    }

    #[test]
    fn k_06_null_gives_way_to_a_value(
        rule in proptest::sample::select(vec![MergeRule::Max, MergeRule::Min]),
        (base, value) in (small(), small()),
    ) {
        prop_assume!(base != value);
        let column = column(WIDE, Some(rule));
        prop_assert_eq!(merge_value(&column, Some(&base), &Value::Null, &value), Some(value.clone()));
        prop_assert_eq!(merge_value(&column, Some(&base), &value, &Value::Null), Some(value));
    }

    #[test]
    fn k_06_a_sum_is_in_range_or_undecided(
        (base, local, remote) in (value_of(NARROW), value_of(NARROW), value_of(NARROW)),
    ) {
        if let Some(Value::Integer(sum)) = merge_value(&column(NARROW, Some(MergeRule::Add)), Some(&base), &local, &remote) {
            prop_assert!(IntegerWidth::I8.contains(sum));
        }
    }

    #[test]
    fn k_06_a_merged_real_is_finite(numbers in any::<[i32; 3]>(), scale in 0_i32..308) {
        let [base, local, remote] = numbers.map(|number| Value::Real(f64::from(number) * 10_f64.powi(scale)));
        let finite = [&base, &local, &remote].iter().all(|value| real(value).is_some_and(f64::is_finite));
        prop_assume!(finite);
        for ty in [ColumnType::Double, ColumnType::Float] {
            let column = column(ty, Some(MergeRule::Add));
            if let (false, Some(Value::Real(sum))) = (local == base || remote == base, merge_value(&column, Some(&base), &local, &remote)) {
                prop_assert!(sum.is_finite());
            }
        }
    }
}

#[test]
fn k_06_a_counter_counts_both_sides() {
    let check = |ty, base: Value, local: Value, remote: Value, expected: Option<Value>| {
        let column = column(ty, Some(MergeRule::Add));
        assert_eq!(
            merge_value(&column, Some(&base), &local, &remote),
            expected,
            "{base:?} {local:?} {remote:?}"
        );
    };
    use Value::{Integer, Null, Real};
    check(WIDE, Integer(10), Integer(11), Integer(13), Some(Integer(14)));
    check(WIDE, Integer(10), Integer(7), Integer(13), Some(Integer(10)));
    check(WIDE, Null, Integer(2), Integer(3), Some(Integer(5)));
    check(WIDE, Integer(10), Null, Integer(11), None);
    check(NARROW, Integer(100), Integer(120), Integer(110), None);
    check(WIDE, Integer(0), Integer(i64::MAX), Integer(1), None);
    // The sum is taken exactly: only the result must fit.
    check(WIDE, Integer(i64::MAX), Integer(i64::MAX - 5), Integer(7), Some(Integer(2)));
    check(WIDE, Integer(-5), Integer(i64::MIN), Integer(0), Some(Integer(i64::MIN + 5)));
    check(ColumnType::Double, Real(1.0), Real(1.5), Real(0.25), Some(Real(0.75)));
    check(ColumnType::Double, Real(0.0), Real(f64::MAX), Real(f64::MAX), None);
    check(ColumnType::Float, Real(0.0), Real(f64::from(f32::MAX)), Real(f64::from(f32::MAX)), None);
}

#[test]
fn k_06_nothing_counts_from_nowhere() {
    let column = column(WIDE, Some(MergeRule::Add));
    assert_eq!(merge_value(&column, None, &Value::Integer(2), &Value::Integer(3)), None, "no base");
    assert_eq!(merge_value(&column, None, &Value::Null, &Value::Integer(3)), Some(Value::Integer(3)));
}

#[test]
fn rules_stand_on_the_types_they_fit() {
    use ColumnType::{Bool, DateTime, Double, Float, Text, Uuid};
    for ty in [WIDE, NARROW, Float, Double, Bool, DateTime, Text, Uuid] {
        let number = matches!(ty, ColumnType::Integer(_) | Float | Double);
        assert!(MergeRule::Local.fits(ty) && MergeRule::Remote.fits(ty));
        assert_eq!(MergeRule::Add.fits(ty), number, "{ty:?}");
        for rule in [MergeRule::Max, MergeRule::Min] {
            assert_eq!(rule.fits(ty), number || matches!(ty, Bool | DateTime), "{rule:?} on {ty:?}");
        }
    }
}

static TABLE: TableSchema = TableSchema {
    name: "Merged",
    columns: &[
        ColumnSchema::new("text", ColumnType::Text),
        ColumnSchema::new("likes", WIDE).with_merge(MergeRule::Add),
        ColumnSchema::new("at", ColumnType::DateTime).with_nullable(true),
        ColumnSchema::new("mine", ColumnType::Text).with_nullable(true).with_local(true),
    ],
    versioned: true,
    keep_deleted: false,
};

fn row(content: &str, likes: i64, at: &str, mine: &str) -> Row {
    let text = |text: &str| Value::Text(text.to_owned());
    let at = time::parse(at).map_or(Value::Null, Value::DateTime);
    Row::new("a", vec![text(content), Value::Integer(likes), at, text(mine)])
}

const NOON: &str = "2024-01-01T12:00:00.123Z";
const ONE: &str = "2024-01-01T13:00:00Z";

fn names(columns: &[&'static ColumnSchema]) -> Vec<&'static str> {
    columns.iter().map(|column| column.name).collect()
}

#[test]
fn k_06_rows_merge_column_by_column() {
    let (base, local) = (row("start", 1, NOON, "x"), row("start", 3, ONE, "kept"));
    let remote = Row { version: Some("v2".into()), ..row("theirs", 2, NOON, "ignored") };
    let ways =
        ThreeWay { table: &TABLE, base: Some(&base), local: &local, remote: &remote, uncertain: false };
    let merged = ways.merge(|both| panic!("nothing is open: {both:?}"));
    assert!(merged.is_complete());
    assert_eq!(merged.row, Row { version: Some("v2".into()), ..row("theirs", 4, ONE, "kept") });
    assert_eq!(names(&changed_here(&TABLE, Some(&base), &local)), ["likes", "at"]);
    assert_eq!(names(&changed_there(&TABLE, Some(&base), &remote)), ["text", "likes"]);

    // What the server's row leaves out did not change.
    let mut partial = remote.clone();
    partial.values[1] = None;
    let ways = ThreeWay { remote: &partial, ..ways };
    assert_eq!(ways.merge(|_| None).row.values[1], Some(Value::Integer(3)));
}

#[test]
fn k_06_what_both_changed_is_asked_about_or_stays_open() {
    let (base, local, remote) =
        (row("start", 1, NOON, ""), row("mine", 1, NOON, ""), row("theirs", 1, NOON, ""));
    let ways =
        ThreeWay { table: &TABLE, base: Some(&base), local: &local, remote: &remote, uncertain: false };
    let open = ways.merge(|_| None);
    assert_eq!((names(&open.open), open.is_complete()), (vec!["text"], false));
    assert_eq!(open.row.values[0], local.values[0]);
    let merged = ways.merge(|both| {
        assert_eq!((both.column.name, both.base), ("text", base.values[0].as_ref()));
        Some(Value::Text("both".into()))
    });
    assert_eq!(merged.row.values[0], Some(Value::Text("both".into())));
    assert!(merged.is_complete());
}

#[test]
fn k_06_a_counter_does_not_count_twice_what_may_have_arrived() {
    let (base, local, remote) = (row("a", 5, NOON, ""), row("a", 6, NOON, ""), row("a", 7, NOON, ""));
    let ways = ThreeWay { table: &TABLE, base: Some(&base), local: &local, remote: &remote, uncertain: true };
    assert_eq!(names(&ways.merge(|_| None).open), ["likes"]);
    // One side alone is no question.
    assert!(ThreeWay { local: &base, ..ways }.merge(|_| None).is_complete());
    assert!(ThreeWay { remote: &base, ..ways }.merge(|_| None).is_complete());
}

#[test]
fn a_time_that_the_server_cut_did_not_change_there() {
    let base = row("a", 1, "2024-01-01T12:00:00.123456Z", "");
    let remote = row("a", 1, NOON, "");
    assert!(changed_there(&TABLE, Some(&base), &remote).is_empty());
    // Here the app changed it, be it by a microsecond.
    assert_eq!(names(&changed_here(&TABLE, Some(&base), &remote)), ["at"]);
}

#[test]
fn without_a_base_every_value_changed() {
    let (local, remote) = (row("mine", 1, NOON, ""), row("theirs", 1, NOON, ""));
    assert_eq!(names(&changed_here(&TABLE, None, &local)), ["text", "likes", "at"]);
    let ways = ThreeWay { table: &TABLE, base: None, local: &local, remote: &remote, uncertain: false };
    assert_eq!(
        names(&ways.merge(|_| None).open),
        ["text", "likes"],
        "counts are not compared without a base"
    );
}
