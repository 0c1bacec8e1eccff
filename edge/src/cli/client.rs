//! Talks to the gateway that runs on this machine, with the token that lies in its home.

use crate::exit::{Exit, Failure};
use crate::home;
use crate::settings::Settings;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_mins(1);

/// Calls the admin API; an error answer becomes a failure with its sentence.
pub(super) async fn call(
    settings: &Settings,
    method: Method,
    path: &str,
) -> Result<Value, Failure> {
    let refuse = |message: String| Failure::new(Exit::Configuration, message);
    let Some(token) = home::known_token(settings) else {
        return Err(refuse(format!(
            "no gateway has run in `{}` yet; start one with: moltbot serve",
            settings.home.display()
        )));
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let url = format!("http://{}/api/admin/{path}", settings.here());
    let sent = client
        .request(method, url)
        .bearer_auth(token.reveal())
        .send()
        .await;
    let response = sent.map_err(|_| {
        refuse(format!(
            "no gateway answers on port {}; start one with: moltbot serve",
            settings.listen.port(),
        ))
    })?;
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let error = body["error"].as_str().unwrap_or("the gateway refused");
    let hint = body["hint"]
        .as_str()
        .map(|hint| format!(": {hint}"))
        .unwrap_or_default();
    Err(refuse(format!("{error}{hint}")))
}
