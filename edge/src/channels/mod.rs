//! The chat platforms of this gateway: who may write on each, how it is doing, and the way out.
//!
//! `receive` brings what people write to the writer; the outbox sends through [`outlet`].
//!
//! Invariant: nothing is confirmed to a platform before it is recorded; nothing is sent but by the
//! outbox.

pub mod outlet;
pub mod receive;

use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::stamp;
use moltbot_channels::telegram::Telegram;
use moltbot_channels::{Account, Channel, Chat, SenderId};
use moltbot_core::command::DmPolicy;
use moltbot_core::ids::PeerId;
use moltbot_core::time::Timestamp;
use outlet::Outlet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Who may write to the bot in a direct chat.
#[derive(Debug, Clone)]
pub struct Access {
    /// What happens with people nobody let in.
    pub policy: DmPolicy,
    /// Ids of people who may always write.
    pub allow_from: BTreeSet<String>,
}

impl Access {
    /// The policy for this person.
    pub fn policy_for(&self, sender: &SenderId) -> DmPolicy {
        let is_listed = ["*", sender.as_str()]
            .iter()
            .any(|id| self.allow_from.contains(*id));
        match self.policy {
            DmPolicy::Pairing | DmPolicy::Allowlist if is_listed => DmPolicy::Open,
            policy => policy,
        }
    }
}

/// How a platform is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The platform is being asked who the bot is.
    Connecting,
    /// What people write comes in.
    Receiving,
    /// Something is wrong; it is tried again.
    Failing(String),
    /// The settings are wrong; it is not tried again.
    Stopped(String),
}

/// What is known of a platform.
#[derive(Debug, Clone)]
pub struct Status {
    /// How it is doing.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Who the bot is, once the platform said so.
    pub account: Option<Account>,
}

/// A platform with the bot's account on it.
pub struct Platform {
    /// The adapter.
    pub channel: Arc<dyn Channel>,
    /// The way out, at the platform's pace.
    pub outlet: Outlet,
    /// Who may write.
    pub access: Access,
    /// How it is doing.
    pub status: watch::Sender<Status>,
}

impl Platform {
    fn new(channel: Arc<dyn Channel>, access: Access) -> Platform {
        let status = Status {
            state: State::Connecting,
            since: stamp::now(),
            account: None,
        };
        Platform {
            outlet: Outlet::new(Arc::clone(&channel)),
            channel,
            access,
            status: watch::Sender::new(status),
        }
    }

    /// Notes how it is doing; true when that is new.
    pub fn note(&self, state: State) -> bool {
        self.status.send_if_modified(|status| {
            let is_new = status.state != state;
            if is_new {
                status.state = state;
                status.since = stamp::now();
            }
            is_new
        })
    }

    /// The id under which the domain knows a person.
    pub fn peer(&self, sender: &SenderId) -> PeerId {
        PeerId(format!("{}:{sender}", self.channel.name()))
    }

    /// Where a person reads what the bot writes to him alone.
    pub fn direct_chat(&self, peer: &PeerId) -> Option<Chat> {
        let own = peer.as_str().strip_prefix(self.channel.name())?;
        Chat::parse(own.strip_prefix(':')?)
    }
}

/// All configured platforms by name.
#[derive(Default)]
pub struct Channels {
    all: BTreeMap<&'static str, Arc<Platform>>,
}

impl Channels {
    /// The platforms for these settings.
    pub fn new(settings: &Settings) -> Result<Channels, Failure> {
        let mut all = BTreeMap::new();
        if let Some(telegram) = &settings.telegram {
            let wrong = |error: moltbot_channels::ChannelError| {
                Failure::new(Exit::Configuration, error.to_string())
            };
            let token = telegram.token.reveal();
            let channel = Telegram::new(token, telegram.api_url.clone()).map_err(wrong)?;
            let access = Access {
                // Whoever develops alone lets everyone in.
                policy: if settings.dev_mode {
                    DmPolicy::Open
                } else {
                    telegram.access.policy
                },
                ..telegram.access.clone()
            };
            let platform = Platform::new(Arc::new(channel), access);
            all.insert("telegram", Arc::new(platform));
        }
        Ok(Channels { all })
    }

    /// A platform by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Platform>> {
        self.all.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<Platform>)> {
        self.all.iter().map(|(name, platform)| (*name, platform))
    }
}
