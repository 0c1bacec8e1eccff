//! Data keys as a file, beside an exported log.
//!
//! JSON lines with a check, as in [`export`]: a first line with `format`
//! (`moltbot-data-keys`), `version` and whether the keys are wrapped by a master key, one line per key
//! with its id and its object (the bytes of `keys/<id>`, base64), and a last line that counts them.
//!
//! Invariant: whoever has an unwrapped one reads all content, so a file is created anew with mode
//! 0600 and never written over; no error and no log line holds a key.

use crate::time_travel::export;
use crate::time_travel::import::{ImportError, read_line};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moltbot_core::ids::KeyId;
use moltbot_store::error::StoreError;
use moltbot_store::keys::{Keyring, MasterKeys};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FORMAT: &str = "moltbot-data-keys";
const VERSION: u32 = 1;

/// Writes these keys, wrapped by the master key if there is one; how many were there to write. One
/// that was forgotten is left out.
pub fn write(
    path: &Path,
    ids: &[KeyId],
    keyring: &Keyring,
    masters: &MasterKeys,
) -> Result<usize, ImportError> {
    let known: Vec<_> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), keyring.get(id)?)))
        .collect();
    // As stored they may be plain although there is a master key by now.
    let wrapping = Keyring::in_memory(masters.clone());
    wrapping.create(&known).map_err(|error| unusable(&error))?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut file = BufWriter::new(file);
    let header =
        json!({ "format": FORMAT, "version": VERSION, "wrapped": masters.current.is_some() });
    writeln!(file, "{}", export::text(&header))?;
    for (id, _) in &known {
        let object = wrapping.object(id).unwrap_or_default();
        let line = json!({ "key": id, "object": STANDARD.encode(object) });
        writeln!(file, "{}", export::text(&line))?;
    }
    let footer = json!({ "end": { "keys": known.len() } });
    writeln!(file, "{}", export::text(&footer))?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(known.len())
}

/// The keys of a file, as objects for a remote log: wrapped by the master key if there is one.
pub fn read(path: &Path, masters: &MasterKeys) -> Result<Vec<(KeyId, Bytes)>, ImportError> {
    let mut file = BufReader::new(File::open(path)?);
    let header = line(&mut file, 1)?;
    if header["format"] != FORMAT || header["version"] != VERSION {
        return Err(ImportError::Foreign(format!(
            "`{}` holds no data keys that this version knows",
            path.display()
        )));
    }
    let (as_stored, wrapping) = (
        Keyring::in_memory(masters.clone()),
        Keyring::in_memory(masters.clone()),
    );
    let mut ids = Vec::new();
    for number in 2.. {
        let line = line(&mut file, number)?;
        let damaged = |reason: &str| damaged(number, reason.to_owned());
        if let Some(end) = line.get("end") {
            if end["keys"] == ids.len() && read_line(&mut file)?.is_none() {
                break;
            }
            return Err(damaged("it counts other keys than there are"));
        }
        let (Some(id), Some(object)) = (line["key"].as_str(), line["object"].as_str()) else {
            return Err(damaged("it is no key"));
        };
        let object = STANDARD
            .decode(object)
            .map_err(|_| damaged("it is no key"))?;
        let id = KeyId::from(id);
        as_stored
            .insert_object(&id, object.into())
            .map_err(|error| unusable(&error))?;
        ids.push(id);
    }
    let known: Vec<_> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), as_stored.get(id)?)))
        .collect();
    wrapping.create(&known).map_err(|error| unusable(&error))?;
    let object = |id: KeyId| wrapping.object(&id).map(|object| (id, object));
    Ok(ids.into_iter().filter_map(object).collect())
}

fn line(file: &mut impl BufRead, number: u64) -> Result<Value, ImportError> {
    let cut = || damaged(number, "the file ends here: it was cut".to_owned());
    let text = read_line(file)?.ok_or_else(cut)?;
    export::parse(&text).map_err(|reason| damaged(number, reason))
}

fn damaged(number: u64, reason: String) -> ImportError {
    ImportError::Damaged {
        place: format!("line {number} of the key file"),
        reason,
    }
}

fn unusable(error: &StoreError) -> ImportError {
    ImportError::Foreign(error.to_string())
}
