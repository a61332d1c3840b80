//! What operators count.

use std::sync::Arc;

use cpo_core::engine::{Counters, Engine};
use cpo_core::ovn::OvnLink;
use cpo_core::tenant::Link;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::leadership::Leadership;

/// The figures of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Everything is read, and decisions are being made.
    pub(crate) ready: bool,
    /// The Northbound database answers.
    pub(crate) ovn_up: bool,
    tenants: i64,
    tenants_connected: i64,
    eips: i64,
    balancers: i64,
    /// Jobs given out that have not ended.
    pub(crate) under_way: usize,
    counters: Counters,
}

impl Snapshot {
    /// The figures now.
    pub(crate) fn of(engine: &Engine) -> Self {
        let world = engine.world();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let connected = world.tenants.values().filter(|t| matches!(t.link, Link::Up { .. }));
        Self {
            ready: engine.ready(),
            ovn_up: world.ovn.link == OvnLink::Up,
            tenants: count(world.tenants.len()),
            tenants_connected: count(connected.count()),
            eips: count(world.under.eips.len()),
            balancers: count(world.ovn.of_service.len()),
            under_way: engine.under_way(),
            counters: engine.counters(),
        }
    }
}

/// Writes the figures in the OpenMetrics text format.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

#[derive(Debug)]
struct Figures(watch::Receiver<Arc<Snapshot>>);

/// How the connection to the Northbound database is doing.
#[derive(Debug)]
struct Northbound(ovn_client::Client);

/// Whether this replica leads.
#[derive(Debug)]
struct Leads(Leadership);

impl Metrics {
    /// Figures of whatever snapshot is the latest, and of connection and leadership as they are.
    pub(crate) fn new(
        snapshot: watch::Receiver<Arc<Snapshot>>,
        northbound: ovn_client::Client,
        leadership: Leadership,
    ) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures(snapshot)));
        registry.register_collector(Box::new(Northbound(northbound)));
        registry.register_collector(Box::new(Leads(leadership)));
        Self(registry)
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.0);
        text
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = self.0.borrow().clone();
        let gauges = [
            (
                "cpo_ready",
                "1 when everything is read and decisions are being made",
                now.ready.into(),
            ),
            ("cpo_ovn_connected", "1 when the Northbound database answers", now.ovn_up.into()),
            ("cpo_tenants", "TenantClusters served", now.tenants),
            ("cpo_tenants_connected", "Tenants whose API server answers", now.tenants_connected),
            ("cpo_eips", "Addresses recorded, quarantined ones included", now.eips),
            ("cpo_services_with_rows", "Services with load balancer rows", now.balancers),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge.encode(metric)?;
        }
        let Counters { foreign_deletes, plans, failures } = now.counters;
        let counters = [
            ("cpo_ovn_foreign_deletes", "Live rows of ours deleted by others", foreign_deletes),
            ("cpo_plans", "Plans made", plans),
            ("cpo_failures", "Effects that failed and were planned anew", failures),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

impl Collector for Leads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let leads = i64::from(self.0.term().is_some());
        let help = "1 when this replica leads: it alone writes";
        let gauge = encoder.encode_descriptor("cpo_leader", help, None, MetricType::Gauge)?;
        ConstGauge::new(leads).encode(gauge)?;
        let help = "How often this replica began or ceased to lead";
        let name = "cpo_leader_transitions";
        let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(self.0.standing().transitions).encode(counter)?;
        // Who never wrote the Lease has no age to tell.
        if let Some(age) = self.0.since_renewal() {
            let help = "Seconds since this replica wrote the Lease last";
            let name = "cpo_lease_renewal_age_seconds";
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(age.as_secs_f64()).encode(gauge)?;
        }
        Ok(())
    }
}

impl Collector for Northbound {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let health = self.0.health();
        let help = "How far the log of the clustered Northbound database was seen; 0 if it is none";
        let index =
            encoder.encode_descriptor("cpo_ovn_log_index", help, None, MetricType::Gauge)?;
        ConstGauge::new(health.progress.index).encode(index)?;
        let counters = [
            (
                "cpo_ovn_connections",
                "Connections to the Northbound database that came in sync",
                health.connections,
            ),
            (
                "cpo_ovn_connection_failures",
                "Connections to it that failed, ended, or led to a server that will not do",
                health.failures,
            ),
        ];
        for (name, help, value) in counters {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let ovn_client::Outcomes {
            committed,
            mismatched,
            retry,
            fenced,
            hard,
            unknown,
            not_connected,
        } = health.outcomes;
        let outcomes = [
            ("committed", committed),
            ("mismatched", mismatched),
            ("retry", retry),
            ("fenced", fenced),
            ("refused", hard),
            ("unknown", unknown),
            ("not_connected", not_connected),
        ];
        let help = "Transactions on the Northbound database by what became of them";
        let name = "cpo_ovn_transactions";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (outcome, value) in outcomes {
            let labels = [("outcome", outcome)];
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(value).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_is_told_beside_the_figures() {
        let database = crate::ovn::database();
        let endpoints = "tcp:127.0.0.1:1".parse().unwrap();
        let config = ovn_client::ClientConfig::new(endpoints, database);
        let (client, _driver) = ovn_client::Client::new(config);
        let (_sender, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        let (_published, leadership) = crate::leadership::testing::leadership(Some(1));
        let text = Metrics::new(snapshot, client, leadership).text();
        for line in [
            "cpo_ready 0",
            "cpo_leader 1",
            "cpo_leader_transitions_total 0",
            "cpo_ovn_connections_total 0",
            "cpo_ovn_connection_failures_total 0",
            "cpo_ovn_transactions_total{outcome=\"fenced\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
