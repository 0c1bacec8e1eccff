//! Groups of variables that are set in part; pure.

use std::fmt;

use super::{Provider, Variables, cloudflare};

/// Variables that choose nothing because others are missing. Its `Display` says so in half a
/// sentence, without any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfSet {
    /// What is set.
    pub set: Vec<&'static str>,
    /// What would have to be set too.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for HalfSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let be = |names: &[&str]| if names.len() == 1 { "is" } else { "are" };
        write!(
            f,
            "{} {} set but {} {} not",
            self.set.join(" and "),
            be(&self.set),
            self.missing.join(" and "),
            be(&self.missing)
        )
    }
}

/// All of them.
pub(super) fn all(vars: &Variables<'_>, chosen: Provider) -> Vec<HalfSet> {
    let is_cloudflare = matches!(chosen, Provider::CloudflareGateway | Provider::WorkersAi);
    let cloudflare = (!is_cloudflare).then(|| of_cloudflare(vars)).flatten();
    let others = [
        group(vars, Provider::Gateway.variables(), &[]),
        group(
            vars,
            Provider::Anthropic.variables(),
            &["ANTHROPIC_BASE_URL"],
        ),
        group(vars, Provider::OpenAi.variables(), &["OPENAI_BASE_URL"]),
    ];
    cloudflare
        .into_iter()
        .chain(others.into_iter().flatten())
        .collect()
}

fn of_cloudflare(vars: &Variables<'_>) -> Option<HalfSet> {
    if cloudflare::is_workers_ai(vars) {
        return group(
            vars,
            &[cloudflare::KEY, cloudflare::ACCOUNT],
            &[cloudflare::MODEL],
        );
    }
    let only_hint = [cloudflare::MODEL, cloudflare::GATEWAY_BASE];
    group(vars, &cloudflare::GATEWAY, &only_hint)
}

/// `needed` belong together; `hints` say that they are meant to be used.
fn group(vars: &Variables<'_>, needed: &[&'static str], hints: &[&'static str]) -> Option<HalfSet> {
    let all = needed.iter().chain(hints).copied();
    let set: Vec<&'static str> = all.filter(|name| vars.is_set(name)).collect();
    let missing: Vec<&'static str> = needed
        .iter()
        .copied()
        .filter(|name| !vars.is_set(name))
        .collect();
    let is_half = !set.is_empty() && !missing.is_empty();
    is_half.then_some(HalfSet { set, missing })
}
