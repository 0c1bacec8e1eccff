//! The gateway's directory on this machine.
//!
//! ```text
//! data/       the local log: a cache of the remote that may run ahead of it; a wipe removes only this
//! follower/   the copy that `moltbot follow` keeps; may be removed while none runs
//! replica/    the default remote
//! blobs/      contents of files that wait for the remote, and some of those that are there
//! workspace/  the assistant's files, unless they are elsewhere (MOLTBOT_WORKSPACE)
//! workspace.base    what log and workspace last agreed on
//! instance    stable id of this installation
//! token       the gateway token, when none was given from outside (mode 0600)
//! checkpoint.key    the seed of the key that signs checkpoints, likewise
//! ```

use crate::auth::token::Secret;
use crate::exit::{Exit, Failure};
use crate::settings::{Seed, Settings};
use crate::stamp;
use moltbot_core::ids::{InstanceId, hex};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The local log.
pub fn data(settings: &Settings) -> PathBuf {
    settings.home.join("data")
}

/// Blobs on this machine.
pub fn blobs(settings: &Settings) -> PathBuf {
    settings.home.join("blobs")
}

/// What log and workspace last agreed on.
pub fn workspace_base(settings: &Settings) -> PathBuf {
    settings.home.join("workspace.base")
}

/// The copy that a follower keeps.
pub fn follower(settings: &Settings) -> PathBuf {
    settings.home.join("follower")
}

/// Makes the directory if need be.
pub fn create(settings: &Settings) -> Result<(), Failure> {
    std::fs::create_dir_all(&settings.home).map_err(|error| failed(&settings.home, &error))
}

/// The id of this installation; made at the first start.
pub fn instance(settings: &Settings) -> Result<InstanceId, Failure> {
    if let Some(instance) = &settings.instance {
        return Ok(instance.clone());
    }
    let path = settings.home.join("instance");
    let text = read_or_create(&path, 0o644, || format!("gw-{}", &stamp::id()))?;
    Ok(InstanceId(text))
}

/// The gateway token: from outside, or generated at the first start when only this machine can
/// reach the gateway.
pub fn token(settings: &Settings) -> Result<Secret, Failure> {
    if let Some(token) = &settings.token {
        return Ok(token.clone());
    }
    if let Some(message) = settings.missing_token() {
        return Err(Failure::new(Exit::Configuration, message));
    }
    let path = settings.home.join("token");
    read_or_create(&path, 0o600, || hex(&stamp::random::<32>())).map(Secret::new)
}

/// What the key that signs checkpoints is made of: from outside, else derived from the master key,
/// else generated at the first need.
pub fn checkpoint_seed(settings: &Settings) -> Result<Seed, Failure> {
    if let Some(seed) = settings.checkpoints.seed {
        return Ok(seed);
    }
    if let Some(master) = &settings.master_keys.current {
        let derived = blake3::derive_key("moltbot 2026 checkpoint signing key", &master.0);
        return Ok(Seed(derived));
    }
    let path = settings.home.join("checkpoint.key");
    let text = read_or_create(&path, 0o600, || hex(&stamp::random::<32>()))?;
    Seed::parse(&text).ok_or_else(|| {
        let message = format!(
            "`{}` holds no key (64 hex digits); put it back, or delete it to have a new one made",
            path.display()
        );
        Failure::new(Exit::Configuration, message)
    })
}

/// The token of a gateway that runs or ran in this home; makes none.
pub fn known_token(settings: &Settings) -> Option<Secret> {
    let stored = || std::fs::read_to_string(settings.home.join("token")).ok();
    settings
        .token
        .clone()
        .or_else(|| stored().map(|text| Secret::new(text.trim())))
}

fn read_or_create(path: &Path, mode: u32, make: impl Fn() -> String) -> Result<String, Failure> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => {
            let text = make();
            file.write_all(format!("{text}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| failed(path, &error))?;
            Ok(text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path).map_err(|error| failed(path, &error))?;
            let text = text.trim().to_owned();
            if text.is_empty() {
                let message = format!(
                    "`{}` is empty; delete it to have a new one made",
                    path.display()
                );
                return Err(Failure::new(Exit::Configuration, message));
            }
            Ok(text)
        }
        Err(error) => Err(failed(path, &error)),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Disk,
        format!("cannot use `{}`: {error}", path.display()),
    )
}
