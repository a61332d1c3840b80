//! Effects on a tenant's API server: `services/status`, nothing else.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cpo_core::effect::{Effect, TenantEffect};
use cpo_core::engine::Input;
use cpo_core::ids::{ServiceKey, TenantName};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::timeout;

use super::parse;
use crate::outbox::{ExecuteError, Executed, Executor};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Executes effects in one tenant, through whichever client is current.
#[derive(Clone)]
pub(super) struct TenantExecutor {
    pub(super) tenant: TenantName,
    pub(super) client: Arc<ArcSwapOption<Client>>,
}

impl Executor for TenantExecutor {
    async fn execute(&self, effect: Effect) -> Executed {
        match effect {
            Effect::Tenant(TenantEffect::PatchService { key, patch }) => {
                self.patch(&key, patch).await
            }
            Effect::Tenant(TenantEffect::Event(_)) | Effect::Under(_) | Effect::Ovn(_) => {
                Ok(Vec::new())
            }
        }
    }
}

impl TenantExecutor {
    async fn patch(&self, key: &ServiceKey, patch: Value) -> Executed {
        let (what, name) = ("patch Service", key.to_string());
        let Some(client) = self.client.load_full() else {
            return Err(ExecuteError::Timeout { what, name });
        };
        let api: Api<Service> = Api::namespaced((*client).clone(), key.namespace());
        let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
        let call = api.patch_status(key.name(), &params, &patch);
        match timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(service)) => {
                Ok(vec![Input::Tenant(self.tenant.clone(), parse::patched(service))])
            }
            // Gone: the watch says so too, and knows whether a namesake has come.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Vec::new()),
            Ok(Err(source)) => Err(ExecuteError::Kube { what, name, source: Box::new(source) }),
            Err(_) => Err(ExecuteError::Timeout { what, name }),
        }
    }
}
