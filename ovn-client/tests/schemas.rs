//! The typed rows against the schemas of two OVN releases (`fixtures/README.md`).
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use ovn_client::{DatabaseSchema, DatabaseSpec, TypedRow, nb, sb};

/// The oldest release that is served, and the newest that is known.
const RELEASES: [&str; 2] = ["24.03", "25.03"];

/// What one typed row is beside the schema's table.
#[derive(Default)]
struct Findings {
    tables: BTreeSet<&'static str>,
    /// Columns that the schema lacks.
    invented: Vec<String>,
    /// Columns of the schema that the row lacks.
    untyped: Vec<String>,
    /// Columns that the row cannot read.
    mistyped: Vec<String>,
    /// Columns whose default is another than the server's.
    other_defaults: Vec<String>,
    /// Columns that a row of defaults names when it is inserted, though the schema lacks them.
    named_in_vain: Vec<String>,
}

impl Findings {
    fn row<T: TypedRow + Default>(&mut self, schema: &DatabaseSchema) {
        let table = schema.table(T::TABLE).unwrap();
        let name = |column: &str| format!("{}.{column}", T::TABLE);
        self.tables.insert(T::TABLE);
        self.mistyped.extend(T::mistyped(table).into_iter().map(name));
        let filled = T::default().filled();
        let named = filled.into_iter().filter(|(column, _)| table.column(column).is_none());
        self.named_in_vain.extend(named.map(|(column, _)| name(column)));
        for (column, default) in T::default().columns() {
            match table.column(column) {
                None => self.invented.push(name(column)),
                Some(ty) if ty.default_datum() != default => {
                    self.other_defaults.push(name(column));
                }
                Some(_) => {}
            }
        }
        let untyped = table.columns().filter(|(column, _)| !T::COLUMNS.contains(column));
        self.untyped.extend(untyped.map(|(column, _)| name(column)));
    }

    fn assert_complete(&self, spec: &DatabaseSpec) {
        let tables: BTreeSet<_> = spec.tables.iter().map(|table| table.name.as_ref()).collect();
        assert_eq!(self.tables, tables);
    }
}

fn schema(database: &str, release: &str) -> DatabaseSchema {
    let name = format!("tests/fixtures/ovn-{database}-{release}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    DatabaseSchema::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

macro_rules! findings {
    ($schema:expr, $($row:ty),* $(,)?) => {{
        let (schema, mut findings) = ($schema, Findings::default());
        $( findings.row::<$row>(&schema); )*
        findings
    }};
}

fn northbound(release: &str) -> Findings {
    let findings = findings!(
        schema("nb", release),
        nb::Acl,
        nb::AddressSet,
        nb::GatewayChassis,
        nb::HaChassisGroup,
        nb::LoadBalancer,
        nb::LoadBalancerGroup,
        nb::LoadBalancerHealthCheck,
        nb::LogicalRouter,
        nb::LogicalRouterPolicy,
        nb::LogicalRouterPort,
        nb::LogicalRouterStaticRoute,
        nb::LogicalSwitch,
        nb::LogicalSwitchPort,
        nb::Nat,
        nb::NbGlobal,
    );
    findings.assert_complete(&nb::database(nb::tables()));
    findings
}

fn southbound(release: &str) -> Findings {
    let findings = findings!(
        schema("sb", release),
        sb::Chassis,
        sb::PortBinding,
        sb::SbGlobal,
        sb::ServiceMonitor,
    );
    findings.assert_complete(&sb::database(sb::tables()));
    findings
}

#[test]
fn every_column_is_read() {
    for findings in RELEASES.into_iter().flat_map(|each| [northbound(each), southbound(each)]) {
        assert!(findings.mistyped.is_empty(), "{:?}", findings.mistyped);
    }
}

#[test]
fn a_row_of_defaults_is_what_the_server_fills_in() {
    // An absent protocol is TCP, and so it is read; the others must have an element.
    let older = ["Load_Balancer.protocol", "Logical_Router_Port.networks"];
    assert_eq!(northbound("24.03").other_defaults, older);
    assert_eq!(northbound("25.03").other_defaults, ["Load_Balancer.protocol"]);
    for release in RELEASES {
        assert_eq!(southbound(release).other_defaults, ["Chassis.encaps"]);
    }
}

#[test]
fn no_column_is_left_out() {
    for findings in RELEASES.into_iter().flat_map(|each| [northbound(each), southbound(each)]) {
        assert!(findings.untyped.is_empty(), "{:?}", findings.untyped);
    }
}

#[test]
fn what_the_older_release_lacks_is_known() {
    assert!(northbound("25.03").invented.is_empty());
    let lacking = [
        "ACL.sample_new",
        "ACL.sample_est",
        "Logical_Router_Policy.chain",
        "Logical_Router_Policy.jump_chain",
        "Logical_Router_Port.dhcp_relay",
        "Logical_Router_Static_Route.selection_fields",
        "Logical_Switch_Port.peer",
        "NAT.match",
        "NAT.priority",
    ];
    assert_eq!(northbound("24.03").invented, lacking);
    for release in RELEASES {
        assert!(southbound(release).invented.is_empty());
    }
}

/// An insert of these would be refused with the columns named above.
#[test]
fn a_row_of_defaults_names_nothing_that_the_older_release_lacks() {
    for findings in RELEASES.into_iter().flat_map(|each| [northbound(each), southbound(each)]) {
        assert!(findings.named_in_vain.is_empty(), "{:?}", findings.named_in_vain);
    }
}
