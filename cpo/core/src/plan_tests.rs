//! One Service from its first plan to its last, run against the model.

#[path = "plan_tests/address.rs"]
mod address;
#[path = "plan_tests/histories.rs"]
mod histories;
#[path = "plan_tests/order.rs"]
mod order;
#[path = "plan_tests/trouble.rs"]
mod trouble;

use crate::effect::{Effect, LbEdit, TenantEffect, UnderEffect};
use crate::service::Service;
use crate::testing::{self, Model, world};

pub(super) const WEB: &str = "a/default/web";

/// A Service nobody has touched yet.
pub(super) fn new_service() -> Service {
    Service { finalizer: false, ..testing::service() }
}

/// A model with the Service `default/web` of tenant `a` just created.
pub(super) fn created() -> Model {
    Model::new(world().with_service(WEB, new_service()))
}

/// A model with that Service served.
pub(super) fn served() -> Model {
    let mut model = created();
    model.settle();
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"), "served at the first");
    model.log.clear();
    model
}

/// One word per effect.
pub(super) fn word(effect: &Effect) -> &'static str {
    match effect {
        Effect::Tenant(TenantEffect::Event(_)) => "event",
        Effect::Tenant(TenantEffect::PatchService { patch, .. }) => {
            let metadata = &patch["metadata"];
            if metadata["finalizers"].is_array() {
                "finalizer"
            } else if metadata["$deleteFromPrimitiveList/finalizers"].is_array() {
                "let go"
            } else {
                "status"
            }
        }
        Effect::Under(under) => match under {
            UnderEffect::CreateOvnEip { .. } => "OvnEip",
            UnderEffect::LabelOvnEip { .. } => "label",
            UnderEffect::DeleteOvnEip { .. } => "OvnEip deleted",
            UnderEffect::CreateEip { .. } => "Eip",
            UnderEffect::BindEip { .. } => "Eip bound",
            UnderEffect::PatchEipStatus { status, .. } if status.released_at.is_some() => {
                "Eip released"
            }
            UnderEffect::PatchEipStatus { .. } => "Eip status",
            UnderEffect::DeleteEip { .. } => "Eip deleted",
            UnderEffect::RaiseShield { .. } => "shield",
            UnderEffect::PatchTenantStatus { .. } => "tenant status",
            UnderEffect::TenantFinalizer { .. } => "tenant finalizer",
            UnderEffect::TenantEvent { .. } => "event",
            UnderEffect::RenderMetallb { .. } => "ConfigMap",
            UnderEffect::PatchPoolStatus { .. } => "pool status",
            UnderEffect::PatchAdvertisementStatus { .. } => "advertisement status",
        },
        Effect::Ovn(edits) => match edits.first() {
            Some(LbEdit::Insert { .. }) => "rows inserted",
            Some(LbEdit::Change { change, .. })
                if change.vips.as_ref().is_some_and(|vips| vips.is_empty()) =>
            {
                "rows emptied"
            }
            Some(LbEdit::Delete { .. }) => "rows deleted",
            _ => "rows changed",
        },
    }
}

/// What was done so far, without the Events.
pub(super) fn done(model: &Model) -> Vec<&'static str> {
    model.log.iter().map(word).filter(|word| *word != "event").collect()
}

/// What the next plan of the Service would do, without the Events.
pub(super) fn next(model: &mut Model) -> Vec<&'static str> {
    let plan = model.plan(&testing::key(WEB));
    plan.effects.iter().map(word).filter(|word| *word != "event").collect()
}
