//! Time travel: any moment of the log, seen, compared, exported.
//!
//! [`moment`] says which record a person means, [`source`] where records are read from, [`fold`]
//! rebuilds the model as it was, [`readable`] shows it, [`bounded`] as much as fits, [`compare`] and [`diff`] say what
//! differs between two of it, [`export`] and
//! [`import`] carry the log through a file, with [`key_file`] beside it.
//!
//! Invariant: everything here only reads the log; what it shows of a moment depends on the records
//! up to that moment alone, whatever was recorded since.

pub mod bounded;
pub mod compare;
pub mod diff;
pub mod error;
pub mod export;
pub mod fold;
pub mod import;
pub mod key_file;
pub mod moment;
pub mod readable;
pub mod source;
