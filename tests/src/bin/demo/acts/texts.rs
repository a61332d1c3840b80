//! The objects of the demo, as they are shown on the screen.

/// The pool of all tenants.
pub(super) const POOL: &str = "\
apiVersion: cloud-provider-ovn.io/v1alpha1
kind: AddressPool
metadata: {name: public}
spec:
  ovnSubnet: external      # Kube-OVN's Subnet of the provider network
  quarantineSeconds: 8     # short, for the demo
";

/// Tenant a; b is the same with another letter.
pub(super) const TENANT: &str = "\
apiVersion: cloud-provider-ovn.io/v1alpha1
kind: TenantCluster
metadata: {name: a}
spec:
  kubeconfig: {secretRef: {namespace: tenant-a, name: a-kubeconfig}}
  overlay: {vpc: vpc-a}
  backends: {namespace: tenant-a}    # where its VirtualMachines are
";

/// What a user of tenant a writes.
pub(super) const SERVICE_A: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
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

/// A wish that overlay mode cannot fulfil.
pub(super) const SERVICE_REFUSED: &str = "\
apiVersion: v1
kind: Service
metadata: {name: guarded}
spec:
  type: LoadBalancer
  loadBalancerSourceRanges: [198.51.100.200/32]
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";
