//! What is to be merged with what: pure arithmetic over a catalog.
//!
//! Invariant: a group is contiguous as far as the catalog knows, at most as large as one object may
//! get, and worth the requests.

use super::Range;
use crate::catalog::{Catalog, Object};
use crate::settings::StoreSettings;
use moltbot_core::ids::Seq;
use std::collections::BTreeSet;

/// Sizes of merged segments, in eighths of eighths of the largest.
const TIERS: u32 = 3;

/// Segments in `log/` that end at or before this record, in groups that become one object each.
pub(super) fn shipped(catalog: &Catalog, upto: Seq, settings: &StoreSettings) -> Vec<Vec<Seq>> {
    let known: Vec<(Seq, u64)> = catalog.shipped().collect();
    let run: Vec<(Seq, u64)> = known
        .windows(2)
        // A segment ends where the next one begins.
        .take_while(|pair| matches!(pair, [_, (next, _)] if next.0 <= upto.0.saturating_add(1)))
        .filter_map(|pair| pair.first().copied())
        .collect();
    if run.len() < settings.compact_segments_min {
        return Vec::new();
    }
    let mut groups = groups(&run, settings.compact_bytes_max);
    groups.truncate(settings.compact_objects_max);
    groups
}

/// Merged segments at or below the floor that lie side by side and are of similar size, in groups
/// that become one object each. The smallest sizes come first.
pub(super) fn again(
    catalog: &Catalog,
    full: &BTreeSet<Range>,
    settings: &StoreSettings,
) -> Vec<Vec<Range>> {
    let floor = catalog.floor().seq;
    let sizes: std::collections::BTreeMap<Range, u64> = catalog.merged().collect();
    let chain: Vec<(Range, u64)> = catalog
        .chain(Seq(1))
        .into_iter()
        .filter_map(|object| match object {
            Object::Merged { first, last } if last <= floor => Some((first, last)),
            _ => None,
        })
        .map(|range| (range, sizes.get(&range).copied().unwrap_or(0)))
        .collect();
    (0..TIERS)
        .map(|tier| {
            let limit = settings.compact_bytes_max / 2 / 8_u64.pow(TIERS - 1 - tier);
            let is_small = |(range, bytes): &(Range, u64)| *bytes <= limit && !full.contains(range);
            runs(&chain, is_small)
                .into_iter()
                .filter(|run| run.len() >= settings.compact_fan_in.max(2))
                .flat_map(|run| groups(&run, settings.compact_bytes_max))
                .filter(|group| group.len() > 1)
                .collect::<Vec<_>>()
        })
        .find(|groups| !groups.is_empty())
        .unwrap_or_default()
}

/// Neighbours that are small.
fn runs(
    chain: &[(Range, u64)],
    is_small: impl Fn(&(Range, u64)) -> bool,
) -> Vec<Vec<(Range, u64)>> {
    let mut runs: Vec<Vec<(Range, u64)>> = Vec::new();
    let mut last = None;
    for object in chain {
        let ((first, end), _) = *object;
        if is_small(object) {
            match runs.last_mut() {
                Some(run) if last == Some(first) => run.push(*object),
                _ => runs.push(vec![*object]),
            }
            last = Some(end.next());
        } else {
            last = None;
        }
    }
    runs
}

/// Cuts a run into groups of at most so many bytes, each of at least one object.
fn groups<T: Copy>(run: &[(T, u64)], bytes_max: u64) -> Vec<Vec<T>> {
    let (mut groups, mut sum): (Vec<Vec<T>>, u64) = (Vec::new(), 0);
    for (object, bytes) in run {
        match groups.last_mut() {
            Some(group) if sum + bytes <= bytes_max => {
                group.push(*object);
                sum += bytes;
            }
            _ => {
                groups.push(vec![*object]);
                sum = *bytes;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::Floor;
    use moltbot_core::chain::Hash;
    use moltbot_core::ids::Epoch;

    fn catalog(sizes: &[u64]) -> Catalog {
        let mut catalog = Catalog::default();
        for (at, bytes) in (0_u64..).zip(sizes) {
            catalog.made((Seq(at * 10 + 1), Seq(at * 10 + 10)), *bytes);
        }
        let floor = Seq(sizes.len() as u64 * 10);
        let floor = Floor {
            epoch: Epoch(1),
            writer: "w".into(),
            seq: floor,
            hash: Hash::ZERO,
            merged: Vec::new(),
        };
        catalog.floored(1, floor);
        catalog
    }

    /// How many neighbours become one, group by group.
    fn planned(sizes: &[u64]) -> Vec<usize> {
        let settings = StoreSettings {
            compact_bytes_max: 1280,
            compact_fan_in: 4,
            ..StoreSettings::default()
        };
        let groups = again(&catalog(sizes), &BTreeSet::new(), &settings);
        groups.iter().map(Vec::len).collect()
    }

    #[test]
    fn enough_small_neighbours_are_merged_again() {
        assert_eq!(planned(&[10, 10, 10]), [0; 0]);
        assert_eq!(planned(&[10, 10, 10, 10]), [4]);
        assert_eq!(
            planned(&[10, 10, 700, 10, 10]),
            [0; 0],
            "a full one parts them"
        );
    }

    #[test]
    fn the_smallest_are_merged_first_and_larger_ones_only_among_themselves() {
        assert_eq!(planned(&[80, 80, 80, 80, 10, 10, 10, 10]), [4]);
        assert_eq!(planned(&[80, 80, 80, 80, 10]), [5]);
    }

    #[test]
    fn no_group_becomes_larger_than_one_object() {
        assert_eq!(planned(&[600; 5]), [2, 2]);
        assert_eq!(planned(&[700; 9]), [0; 0]);
    }
}
