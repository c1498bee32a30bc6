//! The texts that a local database keeps: predicates, contents of rows, instants.
//!
//! An input is what it is, in a line, and the text.

use sync_core::ErrorKind;
use sync_core::evaluate::matches;
use sync_core::item;
use sync_core::predicate::codec;
use sync_core::protocol::Dialect;
use sync_core::row::TableRow;
use sync_core::{odata, pushdown, time};

use super::filters::{Engines, PROFILES};
use super::model::{WIDE, inputs, split_line};
use super::{Target, Verdict};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Stored {
    engines: Engines,
}

impl Target for Stored {
    fn name(&self) -> &'static str {
        "texts"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        inputs([
            "predicate\n[\"and\",[\"eq\",[\"column\",\"title\"],[\"text\",\"it's\"]],[\"not\",[\"contains\",\
             [\"column\",\"note\"],[\"text\",\"m\"]]],[\"ge\",[\"column\",\"price\"],[\"real\",\"0.1\"]],[\"or\"],\
             [\"ne\",[\"column\",\"n\"],[\"integer\",9223372036854775807]]]",
            "predicate\n[\"or\",[\"lt\",[\"column\",\"dueAt\"],[\"instant\",1704164645,678000000]],\
             [\"eq\",[\"column\",\"key\"],[\"uuid\",\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"]],\
             [\"eq\",[\"column\",\"done\"],[\"bool\",true]],[\"eq\",[\"column\",\"note\"],[\"null\"]]]",
            "predicate\n[\"gt\",[\"add\",[\"length\",[\"concat\",[\"column\",\"title\"],[\"substring\",\
             [\"column\",\"note\"],[\"integer\",1],[\"integer\",2]]]],[\"mul\",[\"column\",\"small\"],\
             [\"mod\",[\"column\",\"count\"],[\"integer\",7]]]],[\"round\",[\"div\",[\"column\",\"ratio\"],\
             [\"real\",\"2.0\"]]]]",
            "predicate\n[\"eq\",[\"year\",[\"date\",[\"column\",\"dueAt\"]]],[\"indexof\",[\"toupper\",\
             [\"trim\",[\"replace\",[\"column\",\"title\"],[\"text\",\"a\"],[\"text\",\"b\"]]]],[\"text\",\"B\"]]]",
            "item\n{\"id\":\"a\",\"title\":\"milk\",\"note\":null,\"done\":1,\"small\":-128,\"count\":4294967295,\
             \"n\":9007199254740993,\"ratio\":0.1,\"price\":1.25,\"dueAt\":\"2024-01-02 03:04:05.678+00:00\",\
             \"key\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\",\"draft\":\"x\"}",
            "instant\n2024-01-02T03:04:05.678Z",
            "instant\n2024-02-29 23:59:59.000001-0130",
        ])
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "column",
            "null",
            "bool",
            "integer",
            "real",
            "text",
            "instant",
            "uuid",
            "and",
            "or",
            "not",
            "eq",
            "ne",
            "gt",
            "ge",
            "lt",
            "le",
            "contains",
            "startswith",
            "endswith",
            "length",
            "indexof",
            "substringfrom",
            "substring",
            "replace",
            "tolower",
            "toupper",
            "trim",
            "concat",
            "add",
            "sub",
            "mul",
            "div",
            "mod",
            "round",
            "floor",
            "ceiling",
            "year",
            "month",
            "day",
            "hour",
            "minute",
            "second",
            "date",
            "time",
            "title",
            "note",
            "done",
            "small",
            "count",
            "n",
            "ratio",
            "price",
            "dueAt",
            "key",
            "draft",
            "id",
            "__version",
            "__updatedAt",
            "__deleted",
            "predicate",
            "item",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let (what, text) = split_line(input);
        // A database gives out text only.
        let text = String::from_utf8_lossy(text);
        match what {
            b"item" => content(&text),
            b"instant" => instant(&text),
            _ => self.predicate(&text),
        }
    }
}

impl Stored {
    fn predicate(&mut self, text: &str) -> Result<Verdict, String> {
        let Some(node) = codec::decode(WIDE, text) else { return Ok(Verdict::Refused) };
        let written = codec::encode(&node);
        let read = codec::decode(WIDE, &written).ok_or("R12: what was read cannot be read again")?;
        if codec::encode(&read) != written {
            return Err("R12: a condition changes each time it is stored".to_owned());
        }
        for dialect in Dialect::ALL {
            for profile in PROFILES {
                let _ = pushdown::split(&node, &profile(), dialect);
            }
            let _ = odata::render(&node, dialect);
        }
        let table = self.engines.sample.table;
        for row in &self.engines.sample.rows {
            let _ = matches(&node, &TableRow { table, row });
        }
        self.engines.judged(&node)?;
        Ok(Verdict::Taken)
    }
}

fn content(text: &str) -> Result<Verdict, String> {
    let row = match item::decode(WIDE, text) {
        Ok(row) => row,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Verdict::Refused),
        Err(error) => return Err(format!("I-6: {error:?}")),
    };
    let written = item::encode(WIDE, &row);
    match item::decode(WIDE, &written) {
        Ok(again) if again == row => Ok(Verdict::Taken),
        again => Err(format!("R7: {row:?}\nreads back as {again:?}")),
    }
}

fn instant(text: &str) -> Result<Verdict, String> {
    let Some(instant) = time::parse(text) else { return Ok(Verdict::Refused) };
    for write in [time::write_sql, time::write_wire] {
        let mut written = String::new();
        write(&mut written, instant);
        if time::parse(&written) != Some(instant) {
            return Err(format!("L-32: {instant:?} is written as {written}"));
        }
    }
    let _ = time::floor_to_millis(instant);
    Ok(Verdict::Taken)
}
