//! The engines we are compared with, each as its documentation says for durable commits: key `seq`,
//! value the frame, one transaction or batch a group.

#![expect(clippy::expect_used, reason = "a bench whose disk fails has no result")]

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use moltbot_benches::{Durable, frames};
use moltbot_core::record::Record;
use redb::TableDefinition;
use rusqlite::{Connection, params};
use std::path::Path;

/// <https://www.sqlite.org/pragma.html#pragma_synchronous>: with WAL, `FULL` syncs every commit.
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn new(folder: &Path) -> Sqlite {
        let connection = Connection::open(folder.join("sqlite")).expect("an empty folder");
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
                 CREATE TABLE log (seq INTEGER PRIMARY KEY, frame BLOB NOT NULL) STRICT;",
            )
            .expect("an empty database");
        Sqlite(connection)
    }
}

impl Durable for Sqlite {
    fn store(&mut self, records: &[Record]) {
        let transaction = self.0.transaction().expect("no other is open");
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO log VALUES (?1, ?2)")
                .expect("the table is there");
            for record in records {
                let frame = frames(std::slice::from_ref(record));
                insert
                    .execute(params![record.seq.0.cast_signed(), frame])
                    .expect("the seq is new");
            }
        }
        transaction.commit().expect("the disk works");
    }
}

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// <https://docs.rs/redb/latest/redb/enum.Durability.html>: `Immediate` is the default.
pub(crate) struct Redb(redb::Database);

impl Redb {
    pub(crate) fn new(folder: &Path) -> Redb {
        Redb(redb::Database::create(folder.join("redb")).expect("an empty folder"))
    }
}

impl Durable for Redb {
    fn store(&mut self, records: &[Record]) {
        let transaction = self.0.begin_write().expect("no other is open");
        {
            let mut log = transaction.open_table(LOG).expect("it has this type");
            for record in records {
                let frame = frames(std::slice::from_ref(record));
                log.insert(record.seq.0, frame.as_slice())
                    .expect("the disk works");
            }
        }
        transaction.commit().expect("the disk works");
    }
}

/// <https://docs.rs/fjall/latest/fjall/enum.PersistMode.html>
pub(crate) struct Fjall {
    database: Database,
    log: Keyspace,
    mode: PersistMode,
}

impl Fjall {
    pub(crate) fn new(folder: &Path, mode: PersistMode) -> Fjall {
        let database = Database::builder(folder.join("fjall"))
            .open()
            .expect("an empty folder");
        let log = database
            .keyspace("log", KeyspaceCreateOptions::default)
            .expect("an empty database");
        Fjall {
            database,
            log,
            mode,
        }
    }
}

impl Durable for Fjall {
    fn store(&mut self, records: &[Record]) {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for record in records {
            let frame = frames(std::slice::from_ref(record));
            batch.insert(&self.log, record.seq.0.to_be_bytes(), frame);
        }
        batch.commit().expect("the disk works");
    }
}
