//! `cpo explain`: why a Service is served or not, and what to do.

use clap::Args;
use cpo_core::engine::Engine;
use cpo_core::explain::{self, Explanation, Facts};
use cpo_core::ids::ServiceKey;
use serde::Serialize;

use super::{LookArgs, gather};
use crate::cli::{OvnAccess, ReservedArgs};
use crate::clock::Clock;

/// Settings of `cpo explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The Service: `<tenant>/<namespace>/<name>`.
    service: ServiceKey,
    #[command(flatten)]
    look: LookArgs,
    /// Endpoints of the OVN Northbound database; with them the rows and the router are looked at
    /// too.
    #[arg(long, env = "CPO_OVN_NB")]
    ovn_nb: Option<String>,
    #[command(flatten)]
    access: OvnAccess,
    #[command(flatten)]
    reserved: ReservedArgs,
}

impl ExplainArgs {
    /// An engine that is configured as that of `cpo run`, and knows nothing yet.
    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.access.install.clone()).reserving(self.reserved.ranges())
    }
}

/// Prints the chain; tells whether the Service is served.
pub(crate) async fn explain(args: &ExplainArgs) -> anyhow::Result<bool> {
    let config = args.look.config().await?;
    let database = args.ovn_nb.as_ref().map(|ovn_nb| args.access.client_config(ovn_nb));
    let found = gather::gather(config, database.transpose()?, args.engine(), &args.service).await?;
    let told = explain::explain(&Facts {
        key: &args.service,
        unmanaged: found.unmanaged,
        unread: found.unread,
        world: &found.world,
        now: Clock::start().now(),
    });
    args.look.print(&Answer::new(&args.service, &told), || text(&args.service, &told))?;
    Ok(told.served)
}

/// The answer for a program.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    service: String,
    served: bool,
    steps: Vec<AnswerStep<'a>>,
    cause: &'a str,
    #[serde(rename = "do")]
    remedy: &'a str,
}

#[derive(Debug, Serialize)]
struct AnswerStep<'a> {
    step: &'static str,
    mark: &'static str,
    text: &'a str,
    #[serde(rename = "do", skip_serializing_if = "str::is_empty")]
    remedy: &'a str,
}

impl<'a> Answer<'a> {
    fn new(key: &ServiceKey, told: &'a Explanation) -> Self {
        let steps = told.findings.iter().map(|finding| AnswerStep {
            step: finding.step.as_str(),
            mark: finding.mark.as_str(),
            text: &finding.text,
            remedy: &finding.remedy,
        });
        Self {
            service: key.to_string(),
            served: told.served,
            steps: steps.collect(),
            cause: &told.cause,
            remedy: &told.remedy,
        }
    }
}

/// The chain for a person.
fn text(key: &ServiceKey, told: &Explanation) -> String {
    let mut lines = vec![key.to_string()];
    let steps = &told.findings;
    lines.extend(
        steps.iter().map(|f| format!("{}: {}: {}", f.mark.as_str(), f.step.as_str(), f.text)),
    );
    lines.push(format!("cause: {}", told.cause));
    lines.push(format!("do: {}", told.remedy));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use cpo_core::explain::{Finding, Mark, Step};

    use super::*;

    fn told() -> Explanation {
        let finding = |step, mark, text: &str, remedy: &str| Finding {
            step,
            mark,
            text: text.to_owned(),
            remedy: remedy.to_owned(),
        };
        Explanation {
            served: false,
            findings: vec![
                finding(Step::Tenant, Mark::Ok, "TenantCluster a", ""),
                finding(Step::Pool, Mark::No, "PoolExhausted", "add addresses"),
            ],
            cause: "PoolExhausted".into(),
            remedy: "add addresses".into(),
        }
    }

    #[test]
    fn a_person_reads_the_chain_and_ends_with_cause_and_remedy() {
        let text = text(&"a/default/web".parse().unwrap(), &told());
        assert_eq!(
            text,
            "a/default/web\nok: tenant: TenantCluster a\nno: pool: PoolExhausted\n\
             cause: PoolExhausted\ndo: add addresses\n"
        );
    }

    #[test]
    fn a_program_reads_the_same() {
        let told = told();
        let answer = Answer::new(&"a/default/web".parse().unwrap(), &told);
        let expected = serde_json::json!({
            "service": "a/default/web", "served": false,
            "steps": [
                {"step": "tenant", "mark": "ok", "text": "TenantCluster a"},
                {"step": "pool", "mark": "no", "text": "PoolExhausted", "do": "add addresses"},
            ],
            "cause": "PoolExhausted", "do": "add addresses",
        });
        assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
    }
}
