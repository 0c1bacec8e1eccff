//! What the gateway is told from outside: command line and environment, read once at start.
//!
//! Invariant: the only place that reads the environment. Secrets are wrapped, so no log line or
//! error can show one. A set variable wins over recorded configuration. Everything that is wrong is
//! said at once.

use crate::ack::AckLevel;
use crate::auth::access::team::AccessSettings;
use crate::auth::origin::Place;
use crate::auth::token::Secret;
use crate::exit::{Exit, Failure};
use crate::variables::{self, Variables};
use moltbot_agent::{Choice, ModelError, Provider};
use moltbot_core::ids::InstanceId;
use moltbot_store::diagnosis::Names;
use moltbot_store::keys::{MasterKey, MasterKeys};
use moltbot_store::replica::{Replica, ReplicaOptions};
use moltbot_store::settings::StoreSettings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

mod channels;
mod checkpoints;
mod storage;

pub use channels::TelegramBot;
pub use checkpoints::{CheckpointSettings, Seed};

/// The default port.
pub const PORT: u16 = 18_789;

/// What the command line says; `None` where it is silent.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--home`.
    pub home: Option<PathBuf>,
    /// `--bind`.
    pub bind: Option<IpAddr>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--takeover`.
    pub takeover: bool,
    /// Whether a gateway is to be started, which needs more than a command that looks at one.
    pub serve: bool,
}

/// Where the log is shipped to.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// URL of the object store.
    pub url: String,
    /// Address and credentials.
    pub options: ReplicaOptions,
    /// Which of the three R2 secrets are missing.
    pub missing: Vec<&'static str>,
}

impl Remote {
    /// Where it is, for people; holds no secret.
    pub fn location(&self) -> String {
        let Ok(url) = Url::parse(&self.url) else {
            return String::new();
        };
        let host = url.host_str().unwrap_or_default();
        format!("{}://{host}{}", url.scheme(), url.path())
    }
}

impl Remote {
    /// Opens it to be read: a directory that is not there is a typing mistake and no empty log, and is
    /// not made. `hint` says what to look at then.
    pub fn open_existing(&self, hint: &str) -> Result<Replica, Failure> {
        let directory = Url::parse(&self.url).ok();
        let directory = directory.and_then(|url| url.to_file_path().ok());
        if let Some(missing) = directory.filter(|path| !path.is_dir()) {
            let text = format!("there is no replica in `{}`; {hint}", missing.display());
            return Err(wrong(&text));
        }
        Ok(Replica::open(&self.url, &self.options)?)
    }
}

/// All values.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything the gateway keeps on this machine.
    pub home: PathBuf,
    /// The assistant's files.
    pub workspace: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Take the log over from another gateway.
    pub takeover: bool,
    /// When answers are given, if the deployment has its own mind about it.
    pub ack: Option<AckLevel>,
    /// The gateway token, when given from outside.
    pub token: Option<Secret>,
    /// Where the log is shipped to.
    pub remote: Remote,
    /// Bounds and rhythm of the log and its replica.
    pub store: StoreSettings,
    /// Wrap data keys, here and in the remote.
    pub master_keys: MasterKeys,
    /// How the log is vouched for.
    pub checkpoints: CheckpointSettings,
    /// This installation, when given from outside.
    pub instance: Option<InstanceId>,
    /// Proxies and public address.
    pub place: Place,
    /// The Telegram bot, if there is one.
    pub telegram: Option<TelegramBot>,
    /// Which model answers. What is wrong with its variables stops only what needs a model: the log
    /// can be read without one.
    pub provider: Result<Choice, ModelError>,
    /// Skips Access and pairing. Never in production.
    pub dev_mode: bool,
    /// Whose tokens of Cloudflare Access count.
    pub access: AccessSettings,
    /// Whether `/debug` answers.
    pub debug_routes: bool,
    /// The commit of the Worker before this gateway, as that says.
    pub worker_version: Option<String>,
    /// Which variables are set.
    pub variables: Variables,
    /// The operator's time zone, east of UTC.
    pub utc_offset_minutes: i32,
    /// When the container is put to sleep after the last request; `None`: never. The Worker does
    /// that; this process only says what it means.
    pub sleep_after: Option<Duration>,
}

impl Settings {
    /// Reads flags and environment; `env` gives the value of a set, non-empty variable. A failure
    /// lists everything that is wrong.
    pub fn read(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Failure> {
        let mut wrong = Wrong::default();
        let home = wrong.or_default(home(flags, env));
        let ip = wrong.or(bind(flags, env), Ipv4Addr::LOCALHOST.into());
        let port = wrong.or(port(flags, env), PORT);
        let remote = wrong.or_default(remote(&home, env));
        let settings = Settings {
            workspace: workspace(&home, env),
            listen: SocketAddr::new(ip, port),
            takeover: flags.takeover,
            ack: wrong.or_default(ack(env)),
            token: env("MOLTBOT_GATEWAY_TOKEN").map(Secret::new),
            checkpoints: wrong.or_default(checkpoints::read(&remote, env)),
            remote,
            store: wrong.or_default(storage::store(env)),
            master_keys: wrong.or_default(master_keys(env)),
            instance: env("MOLTBOT_INSTANCE_ID").map(InstanceId::from),
            place: wrong.or_default(place(env)),
            telegram: wrong.or_default(channels::telegram(env)),
            provider: Provider::choose(env),
            dev_mode: env("DEV_MODE").as_deref() == Some("true"),
            access: AccessSettings::read(env),
            debug_routes: env("DEBUG_ROUTES").as_deref() == Some("true"),
            worker_version: env("WORKER_VERSION"),
            variables: Variables::read(env),
            utc_offset_minutes: wrong.or_default(utc_offset_minutes(env)),
            sleep_after: wrong.or_default(sleep_after(env)),
            home,
        };
        // Where Access is skipped, `/debug/access` says what would be wrong with it.
        if settings.access.skipped_by.is_none() {
            wrong.0.extend(settings.access.problems.iter().cloned());
        }
        if flags.serve {
            wrong.0.extend(settings.missing_token());
        }
        wrong.into_result(settings)
    }

    /// What to do when there is no token and one is needed.
    pub fn missing_token(&self) -> Option<String> {
        let is_missing = self.token.is_none() && !self.bound_to_loopback();
        is_missing.then(|| {
            format!(
                "the gateway would listen on {} without a token; set MOLTBOT_GATEWAY_TOKEN, \
                 for example to the output of: openssl rand -hex 32",
                self.listen
            )
        })
    }

    /// Whether only this machine can reach the gateway.
    pub fn bound_to_loopback(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// The address to show people.
    pub fn url(&self) -> String {
        match &self.place.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.here()),
        }
    }

    /// Where this machine itself reaches the gateway.
    pub fn here(&self) -> SocketAddr {
        if self.listen.ip().is_unspecified() {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.listen.port())
        } else {
            self.listen
        }
    }
}

/// A variable of the process environment; empty counts as unset.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// What is wrong so far, one sentence each.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    /// The value, or a stand-in that nobody will see.
    fn or<T>(&mut self, read: Result<T, Failure>, stand_in: T) -> T {
        read.unwrap_or_else(|failure| {
            self.0.push(failure.message);
            stand_in
        })
    }

    fn or_default<T: Default>(&mut self, read: Result<T, Failure>) -> T {
        self.or(read, T::default())
    }

    fn into_result<T>(self, value: T) -> Result<T, Failure> {
        match self.0.as_slice() {
            [] => Ok(value),
            [one] => Err(wrong(one)),
            several => {
                let count = several.len();
                let list = several.join("\n  - ");
                Err(wrong(&format!("{count} settings are wrong:\n  - {list}")))
            }
        }
    }
}

fn home(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    let home = match (&flags.home, env("MOLTBOT_HOME"), env("HOME")) {
        (Some(home), _, _) => home.clone(),
        (None, Some(home), _) => PathBuf::from(home),
        (None, None, Some(user)) => PathBuf::from(user).join(".moltbot"),
        (None, None, None) => return Err(wrong("set MOLTBOT_HOME or --home")),
    };
    Ok(std::path::absolute(&home).unwrap_or(home))
}

fn workspace(home: &std::path::Path, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let path = env("MOLTBOT_WORKSPACE").map_or_else(|| home.join("workspace"), PathBuf::from);
    std::path::absolute(&path).unwrap_or(path)
}

/// The values of all secret variables of the process environment.
pub fn process_secrets() -> Vec<String> {
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| variables::is_secret(name))
        .map(|(_, value)| value)
        .collect()
}

fn bind(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<IpAddr, Failure> {
    match (flags.bind, env("MOLTBOT_BIND")) {
        (Some(bind), _) => Ok(bind),
        (None, Some(text)) => text
            .parse()
            .map_err(|_| wrong("MOLTBOT_BIND must be an IP address, as 127.0.0.1")),
        (None, None) => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

fn port(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<u16, Failure> {
    match (flags.port, env("MOLTBOT_PORT")) {
        (Some(port), _) => Ok(port),
        (None, Some(text)) => text
            .parse()
            .map_err(|_| wrong("MOLTBOT_PORT must be a number from 0 to 65535")),
        (None, None) => Ok(PORT),
    }
}

/// R2 by its three secrets, else any URL, else a directory beside the data. `R2_ENDPOINT_URL` is
/// for buckets with a jurisdiction, whose address is another one
/// ([R2](https://developers.cloudflare.com/r2/reference/data-location/#jurisdictional-restrictions)).
fn remote(home: &std::path::Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Remote, Failure> {
    let names = ["R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "CF_ACCOUNT_ID"];
    let values = names.map(env);
    let missing: Vec<&'static str> = names
        .iter()
        .zip(&values)
        .filter_map(|(name, value)| value.is_none().then_some(*name))
        .collect();
    if let [Some(access), Some(secret), Some(account)] = values {
        let bucket = env("R2_BUCKET_NAME").unwrap_or_else(|| "moltbot-data".to_owned());
        let endpoint = env("R2_ENDPOINT_URL")
            .unwrap_or_else(|| format!("https://{account}.r2.cloudflarestorage.com"));
        let options = ReplicaOptions {
            endpoint: Some(endpoint),
            region: Some("auto".to_owned()),
            access_key_id: Some(access),
            secret_access_key: Some(secret),
            session_token: None,
            names: Names::R2,
        };
        return Ok(Remote {
            url: format!("s3://{bucket}"),
            options,
            missing: Vec::new(),
        });
    }
    let url = match env("MOLTBOT_REPLICA_URL") {
        Some(url) => Url::parse(&url).map(|_| url).map_err(|_| {
            wrong("MOLTBOT_REPLICA_URL must be a URL, as s3://bucket/prefix or file:///path")
        })?,
        None => Url::from_directory_path(home.join("replica"))
            .map_err(|()| wrong("the home directory must be an absolute path"))?
            .to_string(),
    };
    let options = ReplicaOptions {
        endpoint: env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL")),
        region: env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")),
        access_key_id: env("AWS_ACCESS_KEY_ID"),
        secret_access_key: env("AWS_SECRET_ACCESS_KEY"),
        session_token: env("AWS_SESSION_TOKEN"),
        names: Names::S3,
    };
    Ok(Remote {
        url,
        options,
        missing,
    })
}

fn ack(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<AckLevel>, Failure> {
    let Some(text) = env("MOLTBOT_ACK") else {
        return Ok(None);
    };
    let level = AckLevel::parse(text.trim());
    level
        .map(Some)
        .ok_or_else(|| wrong("MOLTBOT_ACK must be local or replicated, or not be set"))
}

fn place(env: &dyn Fn(&str) -> Option<String>) -> Result<Place, Failure> {
    let public_url = env("MOLTBOT_PUBLIC_URL")
        .map(|text| {
            Url::parse(&text)
                .map_err(|_| wrong("MOLTBOT_PUBLIC_URL must be a URL, as https://bot.example"))
        })
        .transpose()?;
    let trusted_proxies = env("MOLTBOT_TRUSTED_PROXIES")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse().map_err(|_| {
                wrong("MOLTBOT_TRUSTED_PROXIES must be IP addresses separated by commas")
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Place {
        trusted_proxies,
        public_url,
    })
}

/// The previous one is only of use to somebody who has another one now.
fn master_keys(env: &dyn Fn(&str) -> Option<String>) -> Result<MasterKeys, Failure> {
    let key = |name| env(name).map(|text| MasterKey::from_text(&text));
    let (current, previous) = (
        key("MOLTBOT_MASTER_KEY"),
        key("MOLTBOT_MASTER_KEY_PREVIOUS"),
    );
    if current.is_none() && previous.is_some() {
        return Err(wrong(
            "MOLTBOT_MASTER_KEY_PREVIOUS is set and MOLTBOT_MASTER_KEY is not: set the latter to the new master key",
        ));
    }
    Ok(MasterKeys { current, previous })
}

fn utc_offset_minutes(env: &dyn Fn(&str) -> Option<String>) -> Result<i32, Failure> {
    let Some(text) = env("MOLTBOT_UTC_OFFSET_MINUTES") else {
        return Ok(0);
    };
    let minutes: Option<i32> = text
        .parse()
        .ok()
        .filter(|minutes| (-840..=840).contains(minutes));
    minutes.ok_or_else(|| wrong("MOLTBOT_UTC_OFFSET_MINUTES must be a number, as 480 for UTC+8"))
}

fn sleep_after(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Duration>, Failure> {
    duration("SANDBOX_SLEEP_AFTER", env("SANDBOX_SLEEP_AFTER"))
}

/// `never` or nothing, or a number with `s`, `m` or `h`.
fn duration(name: &str, text: Option<String>) -> Result<Option<Duration>, Failure> {
    let text = text.unwrap_or_default();
    let text = text.trim();
    if text.is_empty() || text == "never" {
        return Ok(None);
    }
    let (number, unit_s) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => ("", 0),
    };
    let seconds = number.parse().ok().and_then(|n: u64| n.checked_mul(unit_s));
    match seconds {
        Some(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(wrong(&format!(
            "{name} must be never or a time, as 30s, 10m or 1h"
        ))),
    }
}

fn wrong(message: &str) -> Failure {
    Failure::new(Exit::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, Failure> {
        let env = |name: &str| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let flags = Flags {
            home: Some(PathBuf::from("/h")),
            ..Flags::default()
        };
        Settings::read(&flags, &env)
    }

    #[test]
    fn the_defaults_are_loopback_and_a_directory() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:18789");
        assert_eq!(settings.remote.url, "file:///h/replica/");
        assert_eq!(settings.provider.unwrap().provider, Provider::Demo);
        assert_eq!(settings.remote.missing.len(), 3);
    }

    #[test]
    fn the_three_r2_secrets_win_over_a_replica_url() {
        let r2 = [
            ("R2_ACCESS_KEY_ID", "a"),
            ("R2_SECRET_ACCESS_KEY", "s"),
            ("CF_ACCOUNT_ID", "c"),
        ];
        let settings = read(&[r2[0], r2[1], r2[2], ("MOLTBOT_REPLICA_URL", "file:///x")]).unwrap();
        assert_eq!(settings.remote.url, "s3://moltbot-data");
        let endpoint = settings.remote.options.endpoint.as_deref();
        assert_eq!(endpoint, Some("https://c.r2.cloudflarestorage.com"));
        let partly = read(&[r2[0]]).unwrap();
        assert_eq!(
            partly.remote.missing,
            ["R2_SECRET_ACCESS_KEY", "CF_ACCOUNT_ID"]
        );
    }

    #[test]
    fn the_time_to_sleep_is_never_or_a_number_with_a_unit() {
        let sleep = |text| read(&[("SANDBOX_SLEEP_AFTER", text)]).map(|s| s.sleep_after);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(read(&[]).unwrap().sleep_after, None);
        assert_eq!(sleep("never").unwrap(), None);
        assert_eq!(sleep("30s").unwrap(), seconds(30));
        assert_eq!(sleep("10m").unwrap(), seconds(600));
        assert_eq!(sleep("1h").unwrap(), seconds(3600));
        for bad in [
            "10",
            "m",
            "0m",
            "-1m",
            "1d",
            "10 m",
            "99999999999999999999h",
            "9é",
        ] {
            let failure = sleep(bad).unwrap_err();
            assert!(failure.message.contains("SANDBOX_SLEEP_AFTER"), "{bad}");
        }
    }

    #[test]
    fn the_wait_before_shipping_has_bounds() {
        let store = |text| read(&[("MOLTBOT_SHIP_LINGER_MS", text)]).map(|s| s.store);
        let set = store("100").unwrap();
        assert_eq!((set.linger_ms, set.linger_idle_ms), (100, 100));
        for bad in ["9", "60001", "-1", "0.1", "soon"] {
            let failure = store(bad).unwrap_err();
            assert!(failure.message.contains("MOLTBOT_SHIP_LINGER_MS"), "{bad}");
        }
    }

    #[test]
    fn wrong_values_are_named_without_showing_secrets() {
        let failure = read(&[("MOLTBOT_PORT", "many")]).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.message.contains("MOLTBOT_PORT"));
        let settings = read(&[("MOLTBOT_GATEWAY_TOKEN", "hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let settings = read(&[("OPENAI_API_KEY", "hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let settings = read(&[("OPENAI_API_KEY", "hunter 2")]).unwrap();
        assert!(settings.provider.is_err(), "only the model is wrong");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let vars = [
            ("MOLTBOT_PORT", "many"),
            ("MOLTBOT_REPLICA_URL", "no url"),
            ("MOLTBOT_UTC_OFFSET_MINUTES", "east"),
            ("CF_ACCESS_AUD", "aud"),
        ];
        let message = read(&vars).unwrap_err().message;
        assert!(
            message.starts_with("4 settings are wrong:\n  - "),
            "{message}"
        );
        for name in [
            "MOLTBOT_PORT",
            "MOLTBOT_REPLICA_URL",
            "CF_ACCESS_TEAM_DOMAIN",
        ] {
            assert!(message.contains(name), "{message}");
        }
        let skipped = read(&[("CF_ACCESS_AUD", "aud"), ("DEV_MODE", "true")]).unwrap();
        assert_eq!(skipped.access.problems.len(), 1);
    }

    #[test]
    fn only_a_gateway_that_others_can_reach_needs_a_token_from_outside() {
        let check = |serve: bool, bind: &str, is_wrong: bool| {
            let flags = Flags {
                home: Some(PathBuf::from("/h")),
                bind: bind.parse().ok(),
                serve,
                ..Flags::default()
            };
            let failure = Settings::read(&flags, &|_| None).err();
            let named = failure.is_some_and(|f| f.message.contains("MOLTBOT_GATEWAY_TOKEN"));
            assert_eq!(named, is_wrong, "{serve} {bind}");
        };
        check(true, "0.0.0.0", true);
        check(false, "0.0.0.0", false);
        check(true, "127.0.0.1", false);
    }
}
