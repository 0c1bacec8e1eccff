//! Bounds of the domain. Beyond a bound a command is rejected with a sentence; nothing is cut.

/// Bytes of one message of a person.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one answer of the assistant that fit a record.
pub const ANSWER_BYTES_MAX: usize = 96 * 1024;
/// Characters of a name that a device or a person gives itself.
pub const NAME_CHARS_MAX: usize = 80;
/// Bytes of any short identifier that comes from outside.
pub const ID_BYTES_MAX: usize = 200;
/// Bytes of any other text that is recorded inline: names of models, reasons, codes.
pub const INLINE_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Messages of a platform that one reply may become.
pub const RECEIPTS_MAX: usize = 1_000;
/// Bytes of one configuration value.
pub const CONFIG_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Pairing requests of devices that may wait at a time.
pub const DEVICE_REQUESTS_MAX: usize = 32;
/// Pairing requests that may wait at a time on one account of a channel.
pub const PEER_REQUESTS_MAX: usize = 3;
/// People and services that Cloudflare Access let through.
pub const PRINCIPALS_MAX: usize = 1_000;
/// Bytes of the e-mail address of a person or the name of a service.
pub const PRINCIPAL_NAME_BYTES_MAX: usize = 254;
/// Data keys that one record forgets; with more there are more records.
pub const FORGOTTEN_KEYS_MAX: usize = 1_000;
/// Paired devices.
pub const DEVICES_MAX: usize = 1_000;
/// Conversations.
pub const SESSIONS_MAX: usize = 100_000;
/// Model turns that are due or under way in one conversation.
pub const OPEN_RUNS_PER_SESSION_MAX: usize = 8;
/// How long a device's pairing request waits, in milliseconds.
pub const DEVICE_REQUEST_TTL_MS: i64 = 5 * 60 * 1000;
/// How long a person's pairing request waits, in milliseconds.
pub const PEER_REQUEST_TTL_MS: i64 = 60 * 60 * 1000;
/// How long an idempotency key is remembered, in milliseconds.
pub const IDEMPOTENCY_TTL_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Idempotency keys that are remembered; beyond it the oldest go first.
pub const IDEMPOTENCY_KEYS_MAX: usize = 200_000;
/// Letters of the code that a device shows.
pub const DEVICE_CODE_CHARS: usize = 6;
/// Letters of the code that a person on a channel gets.
pub const PEER_CODE_CHARS: usize = 8;

/// Bytes of a path in the workspace.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Bytes of one name in it; what Linux and macOS allow.
pub const PATH_NAME_BYTES_MAX: usize = 255;
/// Names in a path.
pub const PATH_DEPTH_MAX: usize = 64;
/// Changes of files that one command records; with the longest paths they stay below a segment.
pub const FILE_CHANGES_MAX: usize = 128;
/// Bytes of one file of the workspace.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Files, directories and links of the workspace.
pub const WORKSPACE_ENTRIES_MAX: usize = 50_000;
/// Bytes of all files of the workspace.
pub const WORKSPACE_BYTES_MAX: u64 = 16 << 30;
/// Sealed bytes of a text that a list of conversations shows; longer ones stay in the log alone.
pub const WORDS_BYTES_MAX: usize = 4 * 1024;
/// Conversations whose first and last words are in memory and in snapshots.
pub const WORDS_SESSIONS_MAX: usize = 2_000;
