//! Durable appends of one record and of a group, beside a plain file with the same frames and one
//! `fdatasync`. The comparison with other engines and the ratios are in `compare.rs`.

use criterion::{BenchmarkId, Criterion, Throughput};
use moltbot_benches::{Ours, Raw, Writer, directory};

const GROUPS: [usize; 2] = [1, 64];

fn main() {
    let mut criterion = Criterion::default().sample_size(50).configure_from_args();
    let mut group = criterion.benchmark_group("append");
    let folder = directory("append");
    let logs = [
        ("sled", Writer::new(Ours::new(&folder))),
        ("plain file", Writer::new(Raw::new(&folder))),
    ];
    for (name, mut writer) in logs {
        for records in GROUPS {
            group.throughput(Throughput::Elements(records as u64));
            group.bench_function(BenchmarkId::new(name, records), |bencher| {
                bencher.iter(|| writer.append(records));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
