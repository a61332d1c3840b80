//! `cpo adopt`: records the addresses that the under cluster's Services have by another load balancer,
//! so that they keep them. Pure but for the calls.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use cpo_api::{
    AddressPool, Eip, EipMode, EipPort, EipService, EipSpec, EipTenant, EipVlan, TenantCluster,
};
use cpo_core::engine::{TenantObject, UnderObject};
use cpo_core::request;
use cpo_core::service::Service;
use cpo_core::tenant::{Mode, TenantSpec};
use k8s_openapi::api::core::v1;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use pools::AddressRange;

use crate::{look, tenant, under};

/// Settings of `cpo adopt`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdoptArgs {
    /// Take over what MetalLB assigned: the addresses in the status of each Service.
    #[arg(long, required = true)]
    from_metallb: bool,
    /// Print the Eips, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Kubeconfig of the under cluster; without it, the Pod's ServiceAccount.
    #[arg(long, env = "CPO_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
}

/// What is to be recorded, and what is not and why.
#[derive(Debug, Default, PartialEq)]
struct Adopted {
    eips: Vec<Eip>,
    notes: Vec<String>,
}

/// Records what the under cluster's Services have.
pub(crate) async fn adopt(args: &AdoptArgs) -> anyhow::Result<()> {
    let config = crate::run::under_config(args.kubeconfig.as_deref()).await?;
    let client = cpo_client::connect(config).context("make a client of the under cluster")?;
    let tenants = look::list::<TenantCluster>(&Api::all(client.clone())).await?;
    let services = look::list::<v1::Service>(&Api::all(client.clone())).await?;
    let pools = look::list::<AddressPool>(&Api::all(client.clone())).await?;
    let api = Api::<Eip>::all(client.clone());
    let known = look::list::<Eip>(&Api::all(client)).await?;
    let tenant = under_cluster(&tenants)?;
    ensure!(
        tenant.suspended || args.dry_run,
        "TenantCluster {} has not spec.suspend true: set it until MetalLB is gone, or both announce",
        tenant.name
    );
    let adopted = adopted(&tenant, services, &pools, &known);
    for note in &adopted.notes {
        eprintln!("cpo: {note}");
    }
    for eip in &adopted.eips {
        let services: Vec<_> = eip.spec.services.iter().map(|s| s.key.as_str()).collect();
        if args.dry_run {
            let mut out = std::io::stdout().lock();
            writeln!(out, "---\n{}", serde_saphyr::to_string(eip)?.trim_end())?;
            continue;
        }
        let what = format!("Eip {} for {}", eip.spec.address, services.join(", "));
        api.create(&PostParams::default(), eip).await.with_context(|| format!("create {what}"))?;
        writeln!(std::io::stdout().lock(), "{what} created")?;
    }
    ensure!(adopted.notes.is_empty(), "{} not adopted: see above", adopted.notes.len());
    Ok(())
}

/// The `TenantCluster` that is the under cluster.
fn under_cluster(tenants: &[TenantCluster]) -> anyhow::Result<TenantSpec> {
    let mut found = tenants.iter().filter(|tenant| tenant.spec.in_cluster);
    let Some(tenant) = found.next() else {
        bail!(
            "no TenantCluster has spec.inCluster true: make one, with spec.suspend true until \
             MetalLB is gone (docs/vlan.md)"
        );
    };
    ensure!(found.next().is_none(), "several TenantClusters have spec.inCluster true: delete one");
    match under::parse::tenant_cluster(tenant) {
        Some(UnderObject::TenantCluster(_, Some(spec))) => Ok(spec),
        _ => bail!("TenantCluster {} cannot be read", tenant.name_any()),
    }
}

/// The records of what Services have that are the tenant's.
fn adopted(
    tenant: &TenantSpec,
    services: Vec<v1::Service>,
    pools: &[AddressPool],
    known: &[Eip],
) -> Adopted {
    let mut adopted = Adopted::default();
    let mut found: BTreeMap<IpAddr, BTreeMap<String, Service>> = BTreeMap::new();
    for service in services {
        let TenantObject::Service(namespace, name, Some(service)) = tenant::service(service) else {
            continue;
        };
        if !tenant.claims(&service) {
            continue;
        }
        let key = format!("{namespace}/{name}");
        for ingress in &service.status.ingress {
            match ingress.ip.parse::<IpAddr>() {
                Ok(address) => {
                    found.entry(address).or_default().insert(key.clone(), (*service).clone());
                }
                Err(_) => adopted
                    .notes
                    .push(format!("Service {key}: {:?} in its status is no address", ingress.ip)),
            }
        }
    }
    for (address, services) in found {
        match record(tenant, address, &services, pools, known) {
            Ok(eip) => adopted.eips.extend(eip),
            Err(why) => adopted.notes.push(format!("{address}: {why}")),
        }
    }
    adopted
}

/// The record of an address; nothing where there is one already.
fn record(
    tenant: &TenantSpec,
    address: IpAddr,
    services: &BTreeMap<String, Service>,
    pools: &[AddressPool],
    known: &[Eip],
) -> Result<Option<Eip>, String> {
    let all: Vec<_> = services.keys().map(String::as_str).collect();
    let all = all.join(", ");
    if let Some(eip) = known.iter().find(|eip| eip.name_any() == Eip::name_of(address)) {
        let theirs = eip.spec.services.iter().all(|bound| services.contains_key(&bound.key));
        let same = eip.spec.tenant.name == tenant.name.as_str() && theirs;
        return match same && !eip.spec.services.is_empty() {
            true => Ok(None),
            false => Err(format!("there is an Eip of that name, which is not for {all}")),
        };
    }
    let holds = |pool: &&AddressPool| {
        let ranges = pool.spec.addresses.iter().flatten();
        let mut ranges = ranges.filter_map(|text| text.parse::<AddressRange>().ok());
        !pool.spec.delegated && ranges.any(|range| range.contains(address))
    };
    // Of several the oldest counts.
    let age = |pool: &&AddressPool| {
        let created = pool.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, pool.name_any())
    };
    let Some(pool) = pools.iter().filter(holds).min_by_key(age) else {
        let remedy = "make one that holds it (`cpo import metallb`)";
        return Err(format!("is in no AddressPool, and {all} has it: {remedy}"));
    };
    let requests = services.iter().map(|(key, service)| {
        let read = request::read(service, Mode::Vlan);
        read.map(|(request, _)| request.sharing).map_err(|p| format!("{key}: {}", p.message))
    });
    let mut sharing = requests.collect::<Result<Vec<_>, _>>()?;
    sharing.dedup();
    let sharing = match sharing.as_slice() {
        [one] if services.len() == 1 || one.is_some() => one.clone(),
        _ => return Err(format!("{all} share it, by different keys, policies or selectors")),
    };
    let spec = EipSpec {
        address: address.to_string(),
        mode: EipMode::Vlan,
        pool: pool.name_any(),
        tenant: EipTenant { name: tenant.name.to_string(), uid: tenant.uid.to_string() },
        services: services.iter().map(|(key, service)| bound(key, service)).collect(),
        sharing,
        reserved: true,
        keep: false,
        overlay: None,
        vlan: Some(EipVlan::default()),
    };
    Ok(Some(Eip::new(&Eip::name_of(address), spec)))
}

fn bound(key: &str, service: &Service) -> EipService {
    let ports = service.ports.iter();
    let mut ports: Vec<_> = ports
        .map(|port| EipPort { protocol: port.protocol.upper().to_owned(), port: port.port })
        .collect();
    ports.sort();
    EipService { key: key.to_owned(), uid: service.uid.to_string(), ports }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenant() -> TenantSpec {
        let object = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "TenantCluster",
            "metadata": {"name": "under", "uid": "u-under"},
            "spec": {"inCluster": true, "mode": "Vlan", "vlan": {
                "cidrs": ["10.205.0.0/24"], "interfaces": [{"name": "eth0"}],
            }},
        });
        under_cluster(&[serde_json::from_value(object).unwrap()]).unwrap()
    }

    fn service(name: &str, port: u16, change: Value) -> v1::Service {
        let mut service = json!({
            "metadata": {"name": name, "namespace": "default", "uid": format!("u-{name}")},
            "spec": {"type": "LoadBalancer", "ports": [{"port": port, "protocol": "TCP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.205.0.50"}]}},
        });
        for (part, more) in change.as_object().cloned().unwrap_or_default() {
            service[part].as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        }
        serde_json::from_value(service).unwrap()
    }

    fn pool() -> AddressPool {
        let pool = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": "lan"}, "spec": {"addresses": ["10.205.0.50-10.205.0.59"]},
        });
        serde_json::from_value(pool).unwrap()
    }

    #[test]
    fn what_a_service_has_is_reserved_for_it_in_its_pool() {
        let api = service("api", 6443, json!({}));
        let adopted = adopted(&tenant(), vec![api.clone()], &[pool()], &[]);
        assert_eq!(adopted.notes, Vec::<String>::new());
        let [eip] = adopted.eips.as_slice() else { panic!("{adopted:?}") };
        assert_eq!(eip.name_any(), "10.205.0.50");
        assert!(eip.spec.reserved && eip.spec.mode == EipMode::Vlan);
        assert_eq!((&*eip.spec.pool, &*eip.spec.tenant.uid), ("lan", "u-under"));
        let bound = &eip.spec.services[0];
        assert_eq!((&*bound.key, &*bound.uid, bound.ports[0].port), ("default/api", "u-api", 6443));
        // Once more changes nothing.
        let again = super::adopted(&tenant(), vec![api], &[pool()], &adopted.eips);
        assert_eq!(again, Adopted::default());
    }

    #[test]
    fn what_is_not_ours_or_has_no_address_is_left_alone() {
        let other = service("other", 80, json!({"spec": {"loadBalancerClass": "metallb"}}));
        let plain = service("plain", 80, json!({"spec": {"type": "ClusterIP"}}));
        let pending = service("pending", 80, json!({"status": {"loadBalancer": {}}}));
        let adopted = adopted(&tenant(), vec![other, plain, pending], &[pool()], &[]);
        assert_eq!(adopted, Adopted::default());
    }

    #[test]
    fn an_address_in_no_pool_or_of_another_is_told() {
        let api = service("api", 6443, json!({}));
        let notes = |pools: &[AddressPool], known: &[Eip]| {
            adopted(&tenant(), vec![api.clone()], pools, known).notes
        };
        assert!(notes(&[], &[])[0].contains("is in no AddressPool, and default/api has it"));
        let mut theirs = adopted(&tenant(), vec![api.clone()], &[pool()], &[]).eips;
        theirs[0].spec.services[0].key = "default/other".to_owned();
        assert!(notes(&[pool()], &theirs)[0].contains("not for default/api"));
    }

    #[test]
    fn services_that_share_an_address_share_its_record() {
        let keyed = json!({"metadata": {"annotations": {"metallb.io/allow-shared-ip": "edge"}}});
        let (dns, web) = (service("dns", 53, keyed.clone()), service("web", 80, keyed));
        let adopted = adopted(&tenant(), vec![web, dns.clone()], &[pool()], &[]);
        let [eip] = adopted.eips.as_slice() else { panic!("{adopted:?}") };
        let keys: Vec<_> = eip.spec.services.iter().map(|s| s.key.as_str()).collect();
        assert_eq!(keys, ["default/dns", "default/web"]);
        assert_eq!(eip.spec.sharing.as_ref().unwrap().key, "edge");
        let alone = service("web", 80, json!({}));
        let notes = super::adopted(&tenant(), vec![dns, alone], &[pool()], &[]).notes;
        assert!(notes[0].contains("share it, by different keys"), "{notes:?}");
    }

    #[test]
    fn without_the_under_cluster_as_a_tenant_nothing_is_adopted() {
        let error = under_cluster(&[]).unwrap_err().to_string();
        assert!(error.contains("spec.inCluster"), "{error}");
    }
}
