//! From the e-mail address or service name of a token to an actor of the log.
//!
//! Invariant: the id is random and given at the first visit; the name is recorded sealed. The same
//! name, in whatever case, is the same actor for as long as its data key is there.

use super::jwt::Identity;
use crate::gateway::Running;
use crate::stamp;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::ids::PrincipalId;
use tokio::sync::Mutex;

/// Gives names to ids, one at a time: two first visits at once are one person.
#[derive(Default)]
pub struct Principals {
    naming: Mutex<()>,
}

impl Principals {
    /// The actor of this person or service; recorded at the first visit.
    pub async fn actor(&self, running: &Running, identity: &Identity) -> Result<Actor, Refused> {
        if let Some(id) = find(running, identity) {
            return Ok(Actor::Access(id));
        }
        let _one = self.naming.lock().await;
        if let Some(id) = find(running, identity) {
            return Ok(Actor::Access(id));
        }
        let id = PrincipalId(stamp::id());
        let action = Action::IdentifyPrincipal {
            principal: id.clone(),
            name: identity.name.clone(),
            service: identity.service,
        };
        running.submit(Intent::new(Actor::System, action)).await?;
        Ok(Actor::Access(id))
    }
}

fn find(running: &Running, identity: &Identity) -> Option<PrincipalId> {
    let known = running.view.read(|model| model.state.principals.clone());
    let is_it = |(_, principal): &(&PrincipalId, &moltbot_core::principal::Principal)| {
        let name = running.reader.text(&principal.name);
        principal.service == identity.service && name.eq_ignore_ascii_case(&identity.name)
    };
    known.iter().find(is_it).map(|(id, _)| id.clone())
}

/// The name behind the actor field of a record, if it is one of these.
pub fn name_of(running: &Running, actor: &str) -> Option<String> {
    let id = PrincipalId::from(actor.strip_prefix("access:")?);
    let name = running
        .view
        .read(|model| Some(model.state.principals.get(&id)?.name.clone()))?;
    Some(running.reader.text(&name)).filter(|name| !name.is_empty())
}
