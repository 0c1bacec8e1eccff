//! Two moments side by side: what changed in the state, and the records that did it.

use crate::time_travel::diff::{Change, diff};
use crate::time_travel::error::TravelError;
use crate::time_travel::fold::{Pulse, fold, model_at};
use crate::time_travel::readable::{self, Detail, Open};
use crate::time_travel::source::Source;
use moltbot_core::chain::Hash;
use moltbot_core::event::{Event, kind_name};
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// What differs between two moments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The moment that is compared with.
    pub from: Place,
    /// The other one.
    pub to: Place,
    /// What changed on the way from one to the other.
    pub changes: Vec<Change>,
    /// The records between them, after the earlier one up to the later one.
    pub records: Between,
}

/// A moment, as the record that was the last one then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its position.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
    /// When, RFC 3339.
    pub at: String,
}

/// Records between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Between {
    /// How many there are.
    pub count: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// The first of them.
    pub shown: Vec<Row>,
    /// How many came after these.
    pub left_out: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its position.
    pub seq: Seq,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What.
    pub kind: String,
}

impl Place {
    /// The moment after this record.
    pub fn of(record: &Record) -> Place {
        Place {
            seq: record.seq,
            hash: record.hash,
            at: record.at.rfc3339(),
        }
    }
}

/// Compares the moments after two records, in whichever order. Folds the log once, however far they
/// are from each other. `bounds` say how much of the indexes counts, and how many records are named.
pub async fn compare(
    source: &Source,
    (from, to): (&Record, &Record),
    (detail, records_max): (Detail, usize),
    open: Option<&Open<'_>>,
    pulse: &mut Pulse<'_>,
) -> Result<Comparison, TravelError> {
    let is_back = from.seq > to.seq;
    let (earlier, later) = if is_back { (to, from) } else { (from, to) };
    let mut model = model_at(source, earlier.cursor(), pulse).await?;
    let mut before = readable::state(&mut model, detail);
    let mut between = Between::default();
    let mut see = |record: &Record, _: &Event| between.note(record, records_max);
    fold(&mut model, source, later.cursor(), pulse, &mut see).await?;
    let mut after = readable::state(&mut model, detail);
    drop(model);
    if let Some(open) = open {
        readable::open(&mut before, open);
        readable::open(&mut after, open);
    }
    Ok(Comparison {
        from: Place::of(from),
        to: Place::of(to),
        changes: if is_back {
            diff(&after, &before)
        } else {
            diff(&before, &after)
        },
        records: between,
    })
}

impl Between {
    fn note(&mut self, record: &Record, records_max: usize) {
        let kind = kind_name(record.kind);
        self.count += 1;
        *self.kinds.entry(kind.clone()).or_default() += 1;
        if self.shown.len() >= records_max {
            self.left_out += 1;
            return;
        }
        self.shown.push(Row {
            seq: record.seq,
            at: record.at.rfc3339(),
            actor: record.actor.clone(),
            kind,
        });
    }
}
