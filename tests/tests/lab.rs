//! The lab proves itself: what it starts is whole, answers, and leaves nothing behind.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::Api;
use kube::api::{ListParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, cpo, harness, kube_ovn, tests, traffic, wait};
use tokio::sync::OnceCell;

#[path = "support/leftovers.rs"]
mod leftovers;

use leftovers::a_killed_run_leaves_nothing_behind;

const SOON: Duration = Duration::from_secs(15);

/// A lab that several tests look at; each exposes its own Services.
static SHARED: OnceCell<Lab> = OnceCell::const_new();

fn main() -> ExitCode {
    harness::run(tests![
        northbound_database_alone_answers,
        northbound_database_keeps_its_rows_when_killed,
        tenants_with_the_same_addresses_are_reached_through_their_own_eips,
        local_traffic_keeps_the_clients_address_and_cluster_traffic_does_not,
        pods_of_two_nodes_reach_each_other_and_services,
        a_pod_that_is_not_ready_gets_no_traffic,
        a_vm_can_be_added_and_removed,
        requests_are_found_in_the_audit_log_by_user,
        traffic_flows_without_kube_ovn_controller_and_gateways_survive_its_restart,
        an_api_server_can_be_paused_and_killed_and_started_again,
        the_product_reads_the_kubeconfig_of_a_tenant_and_no_other_secret,
        a_killed_run_leaves_nothing_behind,
    ])
}

async fn shared() -> Result<&'static Lab> {
    SHARED.get_or_try_init(|| Lab::overlay().tenants(2).vms(2).start()).await
}

async fn northbound_database_alone_answers() -> Result<()> {
    let lab = Lab::ovsdb().await?;
    ensure!(lab.ovn().nb(["lb-list"]).await?.is_empty());
    Ok(())
}

async fn northbound_database_keeps_its_rows_when_killed() -> Result<()> {
    let lab = Lab::ovsdb_with_northd().await?;
    lab.ovn().nb(["lb-add", "web", "192.0.2.1:80", "10.0.0.2:80"]).await?;
    let database = lab.ovn().northbound();
    database.process().kill().await?;
    ensure!(!database.process().alive());
    database.process().start_again()?;
    database.ready().await?;
    ensure!(lab.ovn().nb(["lb-list"]).await?.contains("192.0.2.1:80"));
    Ok(())
}

async fn an_api_server_can_be_paused_and_killed_and_started_again() -> Result<()> {
    let cluster = shared().await?.tenant("b")?.cluster();
    cluster.api_server().pause()?;
    let request = tokio::time::timeout(Duration::from_millis(500), cluster.ready());
    ensure!(request.await.is_err(), "a paused API server answered");
    cluster.api_server().resume()?;
    cluster.ready().await?;
    cluster.api_server().kill().await?;
    cluster.api_server().start_again()?;
    cluster.ready().await
}

async fn the_product_reads_the_kubeconfig_of_a_tenant_and_no_other_secret() -> Result<()> {
    let lab = shared().await?;
    let tenant = lab.tenant("a")?;
    cpo::install(lab).await?;
    cpo::grant(lab, tenant).await?;
    let lifetime = Duration::from_secs(3600);
    let kubeconfig =
        lab.under().kubeconfig_for_service_account(cpo::NAME, cpo::NAME, lifetime).await?;
    let client = lab.under().client_from(&kubeconfig).await?;
    let granted: Api<Secret> = Api::namespaced(client.clone(), &tenant.namespace());
    ensure!(granted.list(&ListParams::default()).await?.items.len() == 1);
    let others: Api<Secret> = Api::all(client);
    let refusal = others.list(&ListParams::default()).await.err();
    let refusal = refusal.map(|error| error.to_string()).unwrap_or_default();
    let user = "system:serviceaccount:cloud-provider-ovn:cloud-provider-ovn";
    ensure!(refusal.contains(user), "{refusal}");
    Ok(())
}

async fn tenants_with_the_same_addresses_are_reached_through_their_own_eips() -> Result<()> {
    let lab = shared().await?;
    for tenant in lab.tenants() {
        let pod = format!("web-{}", tenant.name());
        tenant.add_pod(&pod, "vm1", &[("app", "web")]).await?;
        let eip = expose(lab, tenant, "web", false, 30080).await?;
        for client in [lab.near(), lab.far()] {
            let url = format!("http://{eip}/");
            let what = format!("{pod} to answer {} through {eip}", client.address());
            let answer = wait::until(&what, SOON, || traffic::get(client, &url)).await?;
            ensure!(answer.pod == pod, "{answer:?}");
            let answer = wait::until(&what, SOON, || traffic::udp(client, eip, 53)).await?;
            ensure!(answer.pod == pod, "{answer:?}");
        }
    }
    Ok(())
}

async fn local_traffic_keeps_the_clients_address_and_cluster_traffic_does_not() -> Result<()> {
    let lab = shared().await?;
    let tenant = lab.tenant("a")?;
    tenant.add_pod("local-1", "vm1", &[("app", "local")]).await?;
    tenant.add_pod("cluster-1", "vm1", &[("app", "cluster")]).await?;
    let far = lab.far();
    let vm = tenant.vm("vm1").await?;
    vm.forget_hits().await?;

    let local = expose_on(lab, tenant, "local", true, 30082, &[vm.address()]).await?;
    let answer = answer(lab, local).await?;
    ensure!(answer.client_address.ip() == far.address(), "{answer:?}");
    let hits = vm.hits().await?;
    ensure!(hits.iter().any(|hit| hit.source == far.address() && hit.port == 30082), "{hits:?}");

    let cluster = expose(lab, tenant, "cluster", false, 30084).await?;
    let answer = self::answer(lab, cluster).await?;
    ensure!(answer.client_address.ip() != far.address(), "{answer:?}");
    Ok(())
}

async fn pods_of_two_nodes_reach_each_other_and_services() -> Result<()> {
    let tenant = shared().await?.tenant("a")?;
    let one = tenant.add_pod("talk-1", "vm1", &[("app", "talk-client")]).await?;
    let two = tenant.add_pod("talk-2", "vm2", &[("app", "talk")]).await?;
    let answer =
        traffic::get(one.host(), &format!("http://{}:8080/", two.host().address())).await?;
    ensure!(answer.client_address.ip() == one.host().address(), "{answer:?}");

    let services: Api<Service> = Api::namespaced(tenant.cluster().client(), "default");
    let talk = service("talk").kind("ClusterIP").port(80).build();
    let talk = services.create(&PostParams::default(), &talk).await?;
    let address = talk.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    let url = format!("http://{address}/");
    let answer = wait::until("the cluster IP", SOON, || traffic::get(one.host(), &url)).await?;
    ensure!(answer.pod == "talk-2", "{answer:?}");
    Ok(())
}

async fn a_pod_that_is_not_ready_gets_no_traffic() -> Result<()> {
    let lab = shared().await?;
    let tenant = lab.tenant("b")?;
    tenant.add_pod("turn-1", "vm1", &[("app", "turn")]).await?;
    tenant.add_pod("turn-2", "vm2", &[("app", "turn")]).await?;
    let eip = expose(lab, tenant, "turn", false, 30086).await?;
    for (out, left) in [("turn-1", "turn-2"), ("turn-2", "turn-1")] {
        tenant.pod(left).await?.set_ready(true).await?;
        tenant.pod(out).await?.set_ready(false).await?;
        let what = format!("20 answers in a row of {left}");
        wait::until(&what, SOON, || async {
            for _ in 0..20 {
                let answer = traffic::get(lab.near(), &format!("http://{eip}/")).await?;
                ensure!(answer.pod == left, "{answer:?}");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn a_vm_can_be_added_and_removed() -> Result<()> {
    let lab = shared().await?;
    let tenant = lab.tenant("b")?;
    let vm = tenant.add_vm().await?;
    tenant.add_pod("new", vm.name(), &[("app", "new")]).await?;
    let eip = expose_on(lab, tenant, "new", false, 30088, &[vm.address()]).await?;
    ensure!(answer(lab, eip).await?.node == vm.name());
    tenant.remove_vm(vm.name()).await?;
    let ips = lab.under().api("kubeovn.io/v1", "IP", "").await?;
    wait::for_absence(&ips, &format!("{}.{}", vm.name(), tenant.namespace()), SOON).await
}

async fn requests_are_found_in_the_audit_log_by_user() -> Result<()> {
    let cluster = shared().await?.tenant("a")?.cluster();
    let kubeconfig = cluster.kubeconfig_for_user("alice", Some("system:masters"))?;
    let client = cluster.client_from(&kubeconfig).await?;
    let mark = cluster.audit_mark()?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map = serde_json::from_value(serde_json::json!({"metadata": {"name": "note"}}))?;
    maps.create(&PostParams::default(), &map).await?;
    wait::until("the audit entry", SOON, || async {
        let entries = cluster.audit_since(mark)?;
        let found = entries
            .iter()
            .any(|entry| entry.user == "alice" && entry.is_write() && entry.code == 201);
        ensure!(found, "{entries:?}");
        Ok(())
    })
    .await
}

async fn traffic_flows_without_kube_ovn_controller_and_gateways_survive_its_restart() -> Result<()>
{
    let lab = shared().await?;
    let tenant = lab.tenant("a")?;
    tenant.add_pod("steady", "vm1", &[("app", "steady")]).await?;
    let eip = expose(lab, tenant, "steady", false, 30090).await?;
    answer(lab, eip).await?;
    tenant.every_machine_answers(30090).await?;
    let stream = traffic::Stream::start(lab.far(), &format!("http://{eip}/"), 50, 60);
    lab.kube_ovn().process().stop().await?;
    let report = stream.stop().await?;
    ensure!(report.asked > 0 && report.answered == report.asked, "{report:?}");
    lab.kube_ovn().process().start_again()?;
    lab.kube_ovn().wait_ready(lab.under()).await?;
    for tenant in lab.tenants() {
        let port = format!("{}-external", tenant.vpc());
        let chassis = lab.nb(["lrp-get-gateway-chassis", port.as_str()]).await?;
        ensure!(chassis.contains("gw1"), "{port}: {chassis}");
    }
    Ok(())
}

/// Waits for the first answer to the client behind the router.
async fn answer(lab: &Lab, eip: Ipv4Addr) -> Result<traffic::Answer> {
    let url = format!("http://{eip}/");
    wait::until(&format!("an answer from {url}"), SOON, || traffic::get(lab.far(), &url)).await
}

async fn expose(lab: &Lab, tenant: &Tenant, app: &str, local: bool, port: u16) -> Result<Ipv4Addr> {
    let vms = tenant.vms().await;
    let addresses: Vec<Ipv4Addr> = vms.iter().map(|vm| vm.address()).collect();
    expose_on(lab, tenant, app, local, port, &addresses).await
}

/// A NodePort Service for the pods of `app`, and load balancers of OVN to it, written by hand: TCP
/// port 80 to the nodePort `port`, UDP port 53 to the next.
async fn expose_on(
    lab: &Lab,
    tenant: &Tenant,
    app: &str,
    local: bool,
    port: u16,
    vms: &[Ipv4Addr],
) -> Result<Ipv4Addr> {
    let services: Api<Service> = Api::namespaced(tenant.cluster().client(), "default");
    let mut wanted = service(app).kind("NodePort").node_port(80, port).udp_node_port(53, port + 1);
    if local {
        wanted = wanted.local();
    }
    services.create(&PostParams::default(), &wanted.build()).await?;
    let eip = kube_ovn::create_ovn_eip(lab.under(), &format!("{app}-{}", tenant.name())).await?;
    for (protocol, from, to) in [("tcp", 80, port), ("udp", 53, port + 1)] {
        let name = format!("{app}-{}-{protocol}", tenant.name());
        let backends: Vec<String> = vms.iter().map(|vm| format!("{vm}:{to}")).collect();
        let vip = format!("{eip}:{from}");
        lab.nb(["lb-add", &name, &vip, &backends.join(","), protocol]).await?;
        lab.nb(["lr-lb-add", &tenant.vpc(), &name]).await?;
    }
    Ok(eip)
}
