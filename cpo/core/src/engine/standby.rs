//! Leading and standing by. Every replica takes everything in; only the one that leads decides.
//!
//! What is to be done follows from the world alone, so a standby keeps no list of it: such a list
//! would grow with every Service that comes and goes. Whoever begins to lead looks at everything
//! that is known, once, as after a cold start but without reading anything again.

use std::collections::BTreeSet;

use super::Engine;
use super::timers::Timers;
use crate::ids::ServiceKey;
use crate::world::World;

impl Engine {
    /// Begins to decide.
    pub fn lead(&mut self) {
        self.forget();
        // What was promised in an earlier term may be another's by now.
        self.world.reckon_all();
        self.leading = true;
        for key in known(&self.world) {
            self.soil(key);
        }
        self.chores.all_due(&self.world);
    }

    /// Decides nothing from now on. Jobs under way are still to be [`Engine::done`].
    pub fn stand_by(&mut self) {
        self.leading = false;
        self.forget();
    }

    /// Jobs given out that have not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.jobs.len()
    }

    /// Forgets what was to be done, and keeps what is under way.
    pub(super) fn forget(&mut self) {
        self.everybody = false;
        self.dirty.clear();
        self.timers = Timers::default();
        self.progress.retain(|_, progress| progress.under_way > 0);
    }
}

/// Every Service of which anything is known, those of tenants that are gone included.
fn known(world: &World) -> BTreeSet<ServiceKey> {
    let services = world.tenants.values().flat_map(|tenant| tenant.services.keys());
    services
        .chain(world.under.eips_of.keys())
        .chain(world.under.ovn_eips_of.keys())
        .chain(world.ovn.of_service.keys())
        .cloned()
        .collect()
}
