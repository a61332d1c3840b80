//! `cpo eips`: every address with its owner and how it stands.

use std::net::IpAddr;

use cpo_api::Eip;
use jiff::Timestamp;
use serde::Serialize;

use super::table::{age, aligned, condition, holds};

/// One address, as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    address: String,
    tenant: String,
    /// `<namespace>/<name>`; nothing where nobody has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    pool: String,
    ready: bool,
    /// `Ready`, or the reason of the condition.
    state: String,
    /// Since when it is so, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// `<ready>/<total>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    backends: Option<String>,
    message: String,
}

/// Which addresses are wanted.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only those of this TenantCluster.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those of this AddressPool.
    #[arg(long)]
    pool: Option<String>,
    /// Only those that do not serve, and those that serve with a limitation.
    #[arg(long)]
    not_ready: bool,
}

impl Filter {
    fn takes(&self, row: &Row) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == row.tenant)
            && self.pool.as_ref().is_none_or(|pool| *pool == row.pool)
            && !(self.not_ready && row.ready && row.state == "Ready")
    }
}

/// The rows that pass the filter, by address.
pub(super) fn rows(mut eips: Vec<Eip>, filter: &Filter) -> Vec<Row> {
    let address = |eip: &Eip| eip.spec.address.parse::<IpAddr>().ok();
    eips.sort_by_key(address);
    eips.into_iter().map(row).filter(|row| filter.takes(row)).collect()
}

fn row(eip: Eip) -> Row {
    let (spec, status) = (eip.spec, eip.status.unwrap_or_default());
    let ready = condition(&status.conditions, "Ready");
    Row {
        address: spec.address,
        tenant: spec.tenant.name,
        service: spec.services.into_iter().next().map(|service| service.key),
        pool: spec.pool,
        ready: holds(ready),
        state: ready.map_or("Pending", |c| c.reason.as_str()).to_owned(),
        since: ready.map(|c| c.last_transition_time.clone()),
        backends: status.backends.map(|backends| backends.summary),
        message: ready.map(|c| c.message.clone()).unwrap_or_default(),
    }
}

/// The table, and below it what is the matter with addresses that are not simply Ready.
pub(super) fn text(rows: &[Row], now: Timestamp) -> String {
    let head = ["ADDRESS", "TENANT", "SERVICE", "POOL", "STATE", "SINCE", "BACKENDS"];
    let mut lines = vec![head.map(str::to_owned)];
    let or_dash = |text: Option<&str>| match text {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    };
    lines.extend(rows.iter().map(|row| {
        let since = row.since.as_ref().and_then(|since| since.parse().ok());
        [
            row.address.clone(),
            or_dash(Some(&row.tenant)),
            or_dash(row.service.as_deref()),
            or_dash(Some(&row.pool)),
            row.state.clone(),
            or_dash(since.map(|since| age(since, now)).as_deref()),
            or_dash(row.backends.as_deref()),
        ]
    }));
    let mut text = aligned(&lines);
    for row in rows.iter().filter(|row| !row.message.is_empty()) {
        text.push_str(&format!("\n{}: {}: {}\n", row.address, row.state, row.message));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn eip(address: &str, tenant: &str, ready: (&str, &str, &str)) -> Eip {
        let (status, reason, message) = ready;
        let object: Value = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "Eip",
            "metadata": {"name": address},
            "spec": {
                "address": address, "pool": "public", "tenant": {"name": tenant},
                "services": [{"key": "default/web", "uid": "1"}],
            },
            "status": {
                "backends": {"ready": 2, "total": 3, "summary": "2/3"},
                "conditions": [{
                    "type": "Ready", "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn eips() -> Vec<Eip> {
        vec![
            eip("198.51.100.20", "b", ("False", "NoGatewayPort", "the router has no port")),
            eip("198.51.100.9", "a", ("True", "Ready", "")),
            eip("198.51.100.10", "a", ("True", "ReturnPathMissing", "no way back")),
        ]
    }

    fn addresses(filter: &Filter) -> Vec<String> {
        rows(eips(), filter).into_iter().map(|row| row.address).collect()
    }

    #[test]
    fn addresses_stand_in_their_numeric_order_and_tell_what_is_the_matter() {
        let now = "2026-01-01T00:03:05Z".parse().unwrap();
        let text = text(&rows(eips(), &Filter::default()), now);
        let lines: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            ["198.51.100.9", "a", "default/web", "public", "Ready", "3m5s", "2/3"]
        );
        assert_eq!(lines[2][0], "198.51.100.10");
        assert!(
            text.contains("\n198.51.100.20: NoGatewayPort: the router has no port\n"),
            "{text}"
        );
        assert!(!text.contains("198.51.100.9: "), "{text}");
    }

    #[test]
    fn filters_narrow_the_list() {
        let of = |tenant: &str| Filter { tenant: Some(tenant.into()), ..Filter::default() };
        assert_eq!(addresses(&of("b")), ["198.51.100.20"]);
        assert_eq!(addresses(&Filter { pool: Some("x".into()), ..Filter::default() }).len(), 0);
        let not_ready = Filter { not_ready: true, ..Filter::default() };
        assert_eq!(addresses(&not_ready), ["198.51.100.10", "198.51.100.20"]);
    }

    #[test]
    fn an_address_that_nobody_has_shows_dashes() {
        let mut bare = eip("198.51.100.9", "a", ("True", "Ready", ""));
        bare.spec.services.clear();
        bare.spec.pool.clear();
        bare.status = None;
        let text = text(&rows(vec![bare], &Filter::default()), Timestamp::UNIX_EPOCH);
        let cells: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["198.51.100.9", "a", "-", "-", "Pending", "-", "-"]);
    }
}
