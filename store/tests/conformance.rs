//! Every log passes the same suite.

use moltbot_store::memory_log::MemoryLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing::conformance;
use std::cell::Cell;

#[test]
fn the_log_in_memory_conforms() {
    conformance::check(MemoryLog::new, |log| log).unwrap();
}

#[test]
fn the_log_on_sled_conforms() {
    let settings = StoreSettings::default();
    let home = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    let make = || {
        count.set(count.get() + 1);
        let path = home.path().join(format!("log-{}", count.get()));
        SledLog::open(&path, &settings).unwrap()
    };
    let reopen = |log: SledLog| {
        let path = log.path().to_owned();
        drop(log);
        SledLog::open(&path, &settings).unwrap()
    };
    conformance::check(make, reopen).unwrap();
}
