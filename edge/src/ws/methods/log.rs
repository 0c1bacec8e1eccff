//! `log.state`, `log.diff`, `log.records`, `log.verify`: any moment of the log, for an
//! administrator's page.
//!
//! Invariant: reads on a thread of its own, one such reading at a time, within a bound of time and
//! bytes: whoever looks at the past never holds up the present.

use crate::gateway::Running;
use crate::limits::{
    DIFF_CHANGES_MAX, DIFF_RECORDS_MAX, RECORDS_LOOKED_AT_MAX, RECORDS_PAGE_MAX,
    SUBSCRIPTION_READ_BYTES, TRAVEL_BYTES_MAX, TRAVEL_MS_MAX, TRAVEL_REQUEST_MS_MAX,
    VERIFY_EVENT_INTERVAL_MS, VERIFY_MS_MAX,
};
use crate::present;
use crate::stamp;
use crate::time_travel::bounded;
use crate::time_travel::compare::compare;
use crate::time_travel::error::TravelError;
use crate::time_travel::fold::model_at;
use crate::time_travel::moment::{Clock, Moment};
use crate::time_travel::readable::{self, Detail};
use crate::time_travel::source::Source;
use crate::ws::frame::{Failure, Params};
use crate::ws::methods::Caller;
use moltbot_core::chain::Cursor;
use moltbot_core::content::Content;
use moltbot_core::event::kind_name;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// One reading of the past at a time.
static TRAVELLING: Semaphore = Semaphore::const_new(1);
/// One verification at a time.
static VERIFYING: Semaphore = Semaphore::const_new(1);
/// Segments that a verification reads at the same time; a restore has the machine to itself.
const VERIFY_CONCURRENCY: usize = 2;

pub(super) async fn state(
    caller: &Caller,
    running: &Arc<Running>,
    params: &Params,
) -> Result<Value, Failure> {
    let at = moment(caller, params, "at")?.unwrap_or(Moment::Head);
    let path = path(params)?;
    let after = params.text_opt("after")?.map(str::to_owned);
    travel(running, move |running, source, deadline| async move {
        let record = at.record(&source).await?;
        let mut pulse = |_, _| Instant::now() < deadline;
        let mut model = model_at(&source, record.cursor(), &mut pulse).await?;
        let whole = readable::state(&mut model, Detail::Counts);
        drop(model);
        let Some(mut state) = bounded::at(&whole, &path, after.as_deref()) else {
            let place = path.join(" / ");
            return Err(TravelError::NoSuchMoment(format!(
                "the state has no `{place}`"
            )));
        };
        readable::open(&mut state, &|content| Some(text(&running, content)));
        let omitted = if path.is_empty() {
            bounded::fit_parts(&mut state, TRAVEL_BYTES_MAX)
        } else {
            bounded::fit(&mut state, TRAVEL_BYTES_MAX)
        };
        Ok(json!({
            "seq": record.seq,
            "hash": record.hash,
            "at": record.at.0,
            "path": path,
            "state": state,
            "omitted": omitted,
        }))
    })
    .await
}

pub(super) async fn diff(
    caller: &Caller,
    running: &Arc<Running>,
    params: &Params,
) -> Result<Value, Failure> {
    let Some(from) = moment(caller, params, "from")? else {
        return Err(params.invalid("must have required property 'from'"));
    };
    let to = moment(caller, params, "to")?.unwrap_or(Moment::Head);
    travel(running, move |running, source, deadline| async move {
        let (from, to) = (from.record(&source).await?, to.record(&source).await?);
        let mut pulse = |_, _| Instant::now() < deadline;
        let open = |content: &Content| Some(text(&running, content));
        let bounds = (Detail::Counts, DIFF_RECORDS_MAX);
        let found = compare(&source, (&from, &to), bounds, Some(&open), &mut pulse).await?;
        let mut comparison = serde_json::to_value(&found).unwrap_or_default();
        let mut room = TRAVEL_BYTES_MAX;
        let mut fits = |change: &Value| {
            let size = change.to_string().len() + 1;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let mut left_out = 0;
        if let Value::Array(changes) = comparison["changes"].take() {
            let count = changes.len();
            let shown = changes.into_iter().take(DIFF_CHANGES_MAX);
            let shown: Vec<Value> = shown.take_while(|change| fits(change)).collect();
            left_out = count - shown.len();
            comparison["changes"] = Value::Array(shown);
        }
        comparison["changesLeftOut"] = json!(left_out);
        Ok(comparison)
    })
    .await
}

pub(super) async fn records(
    caller: &Caller,
    running: &Arc<Running>,
    params: &Params,
) -> Result<Value, Failure> {
    let kinds: Option<Vec<String>> = match params.value("kinds") {
        None => None,
        Some(kinds) => Some(
            serde_json::from_value(kinds.clone())
                .map_err(|_| params.invalid("property 'kinds' must be array of string"))?,
        ),
    };
    let limit = params.number_opt("limit")?.unwrap_or(u64::MAX);
    let wanted = Wanted {
        from: Seq(params.number_opt("from")?.unwrap_or(1).max(1)),
        limit: usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .clamp(1, RECORDS_PAGE_MAX),
        kinds,
        actor: params.text_opt("actor")?.map(str::to_owned),
    };
    let (caller, running) = (caller.clone(), Arc::clone(running));
    let page = tokio::task::spawn_blocking(move || page(&caller, &running, &wanted));
    page.await
        .map_err(|_| Failure::unavailable("reading the log ended early", 1_000))?
        .map_err(|error| failure(error.into()))
}

pub(super) async fn verify(
    caller: &Caller,
    running: &Arc<Running>,
    params: &Params,
) -> Result<Value, Failure> {
    let is_local = match params.text_opt("source")? {
        None | Some("remote") => false,
        Some("local") => true,
        Some(_) => return Err(params.invalid("property 'source' must be \"remote\" or \"local\"")),
    };
    let Ok(one) = VERIFYING.try_acquire() else {
        let text = "a verification is already under way";
        return Err(Failure::unavailable(text, 5_000));
    };
    let mut progress = progress(caller.clone());
    let limit = Duration::from_millis(VERIFY_MS_MAX);
    let verified = if is_local {
        let (source, deadline) = (local(running), Instant::now() + limit);
        let read = move || {
            let verified = verify_local(&source, deadline, &mut progress);
            drop(one);
            verified
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or(Err(TravelError::TooLong))
    } else {
        let bounds = StoreSettings {
            restore_concurrency: VERIFY_CONCURRENCY,
            ..StoreSettings::default()
        };
        let read = restore::verify(&running.replica, &bounds, &mut progress);
        match tokio::time::timeout(limit, read).await {
            Ok(verified) => verified.map_err(TravelError::from),
            Err(_) => Err(TravelError::TooLong),
        }
        .map(|whole| {
            json!({
                "records": whole.records,
                "head": whole.head,
                "segments": whole.segments,
                "bytes": whole.bytes,
                "epoch": whole.epoch,
            })
        })
    };
    let mut answer = match verified {
        Ok(whole) => whole,
        // That the log is damaged is an answer, not a failure to give one.
        Err(TravelError::Store(error)) if error.kind() == ErrorKind::Corrupt => {
            json!({ "message": error.to_string() })
        }
        Err(error) => return Err(failure(error)),
    };
    answer["ok"] = json!(answer.get("message").is_none());
    answer["source"] = json!(if is_local { "local" } else { "remote" });
    Ok(answer)
}

/// Reads the past on a thread of its own, when nobody else does.
async fn travel<F>(
    running: &Arc<Running>,
    work: impl FnOnce(Arc<Running>, Source, Instant) -> F + Send + 'static,
) -> Result<Value, Failure>
where
    F: Future<Output = Result<Value, TravelError>>,
{
    let limit = Duration::from_millis(TRAVEL_MS_MAX);
    let Ok(Ok(one)) = tokio::time::timeout(limit, TRAVELLING.acquire()).await else {
        let text = "somebody else looks at the past; try again shortly";
        return Err(Failure::unavailable(text, 1_000));
    };
    let (source, running, runtime) = (local(running), Arc::clone(running), Handle::current());
    let read = move || {
        let deadline = Instant::now() + limit;
        let read = runtime.block_on(work(running, source, deadline));
        drop(one);
        read
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Failure::unavailable("reading the log ended early", 1_000))?
        .map_err(failure)
}

/// The log of this process, as far as everyone sees it.
fn local(running: &Running) -> Source {
    let limit = Duration::from_millis(TRAVEL_REQUEST_MS_MAX);
    Source::Local {
        log: Arc::clone(&running.reader.log),
        head: *running.view.head().borrow(),
        replica: Box::new(running.replica.clone().with_timeout(limit)),
    }
}

fn text(running: &Running, content: &Content) -> String {
    running.reader.text(content)
}

fn failure(error: TravelError) -> Failure {
    match error {
        TravelError::NoSuchMoment(why) => Failure::invalid(why),
        TravelError::TooLong => Failure::unavailable(error.to_string(), 60_000),
        TravelError::Store(error) => Failure::unavailable(error.to_string(), 5_000),
    }
}

/// A seq as a number, or any moment as a text.
fn moment(caller: &Caller, params: &Params, name: &str) -> Result<Option<Moment>, Failure> {
    let clock = Clock {
        now: stamp::now(),
        utc_offset_minutes: caller.gateway.settings.utc_offset_minutes,
    };
    match params.value(name) {
        None => Ok(None),
        Some(Value::String(text)) => Moment::parse(text, clock).map(Some).map_err(failure),
        Some(number) => match number.as_u64() {
            Some(seq) => Ok(Some(Moment::Seq(Seq(seq)))),
            None => Err(params.invalid(&format!("property '{name}' must be integer or string"))),
        },
    }
}

fn path(params: &Params) -> Result<Vec<String>, Failure> {
    match params.value("path") {
        None => Ok(Vec::new()),
        Some(path) => serde_json::from_value(path.clone())
            .map_err(|_| params.invalid("property 'path' must be array of string")),
    }
}

struct Wanted {
    from: Seq,
    limit: usize,
    kinds: Option<Vec<String>>,
    actor: Option<String>,
}

impl Wanted {
    fn admits(&self, record: &Record) -> bool {
        let is_kind = |kinds: &Vec<String>| kinds.contains(&kind_name(record.kind));
        self.kinds.as_ref().is_none_or(is_kind)
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| *actor == record.actor)
    }
}

/// Reads on until the page is full, enough was looked at, or the log ends.
fn page(caller: &Caller, running: &Running, wanted: &Wanted) -> Result<Value, StoreError> {
    let head = *running.view.head().borrow();
    let (mut rows, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    let mut next = wanted.from;
    'reading: while next <= head.seq {
        let records = running.reader.log.read(next, SUBSCRIPTION_READ_BYTES)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let is_full = rows.len() >= wanted.limit || bytes >= TRAVEL_BYTES_MAX;
            if record.seq > head.seq || is_full || looked_at >= RECORDS_LOOKED_AT_MAX {
                break 'reading;
            }
            looked_at += 1;
            next = record.seq.next();
            if wanted.admits(&record) {
                let row = present::record(running, &record, &caller.welcome.scopes);
                bytes += row.to_string().len();
                rows.push(row);
            }
        }
    }
    let next = (next <= head.seq).then_some(next);
    Ok(json!({ "records": rows, "next": next, "head": head }))
}

fn verify_local(
    source: &Source,
    deadline: Instant,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Value, TravelError> {
    let (mut reached, head) = (Cursor::START, source.head());
    while reached != head {
        if Instant::now() >= deadline {
            return Err(TravelError::TooLong);
        }
        let page = Handle::current().block_on(source.page(reached, head.seq))?;
        let broken = |seq: Seq| StoreError::Corrupt {
            place: "the local log".to_owned(),
            reason: format!("record #{seq} does not follow the one before it"),
        };
        if page.is_empty() {
            return Err(broken(reached.seq.next()).into());
        }
        for record in &page {
            if record.prev_hash != reached.hash || record.seq != reached.seq.next() {
                return Err(broken(record.seq).into());
            }
            reached = record.cursor();
        }
        progress(reached.seq.0, head.seq.0);
    }
    Ok(json!({ "records": head.seq, "head": head }))
}

/// Tells the caller now and then how far it is.
fn progress(caller: Caller) -> impl FnMut(u64, u64) + Send {
    let interval = Duration::from_millis(VERIFY_EVENT_INTERVAL_MS);
    let mut told: Option<Instant> = None;
    move |done, total| {
        if told.is_some_and(|told| told.elapsed() < interval) {
            return;
        }
        told = Some(Instant::now());
        let payload = json!({ "done": done, "total": total }).to_string();
        let name = "log.verify.progress";
        caller.outbound.offer(name, payload.into(), true);
    }
}
