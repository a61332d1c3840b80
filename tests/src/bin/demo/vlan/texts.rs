//! The objects of the demo, as they are shown on the screen.

/// The pool of tenant a; b's is the same on its VLAN.
pub(super) const POOL: &str = "\
apiVersion: cloud-provider-ovn.io/v1alpha1
kind: AddressPool
metadata: {name: pool-a}
spec:
  addresses: [10.205.0.50-10.205.0.99]
  quarantineSeconds: 8     # short, for the demo
";

/// Announces the addresses of all pools.
pub(super) const ADVERTISEMENT: &str = "\
apiVersion: cloud-provider-ovn.io/v1alpha1
kind: L2Advertisement
metadata: {name: all}
spec: {}                   # all pools, from all nodes
";

/// Tenant a; b is the same with another letter and VLAN.
pub(super) const TENANT: &str = "\
apiVersion: cloud-provider-ovn.io/v1alpha1
kind: TenantCluster
metadata: {name: a}
spec:
  kubeconfig: {secretRef: {namespace: tenant-a, name: a-kubeconfig}}
  mode: Vlan
  vlan:
    id: 205
    cidrs: [10.205.0.0/24]
    gateway: 10.205.0.1
    subnets: [tenant-a]              # Kube-OVN's Subnet of its machines
    interfaces: [{name: vlan205}]    # on every node
  backends: {namespace: tenant-a}    # where its VirtualMachines are
";

/// What a user of tenant a writes.
pub(super) const SERVICE_A: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  allocateLoadBalancerNodePorts: false
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";

/// What a user of tenant b writes.
pub(super) const SERVICE_B: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local       # the pod is to see the client's address
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";
