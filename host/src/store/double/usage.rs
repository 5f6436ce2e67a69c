//! Owns what the double's tenants use: it counts anew each time. Must not be kinder than a real store.

use super::{Contents, Kept};
use crate::store::PURGE_BATCH;
use crate::store::usage::{self, TASK_BYTES, TenantUse};
use crate::task::Task;
use crate::task::event::OVERHEAD;
use crate::tenant;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Contents {
    fn bytes_of(&self, kept: &Kept) -> u64 {
        let Kept { task, log, .. } = kept;
        let invocation = serde_json::to_string(&*task.invocation).expect("JSON").len();
        let permission = task.permission.as_ref().map_or(0, |it| serde_json::to_string(&**it).expect("JSON").len());
        let result = task.result.as_ref().map_or(0, |result| result.as_str().len());
        let error = task.error.as_ref().map_or(0, |error| error.len());
        let events = self.events.iter().filter(|event| event.task == task.id);
        let events: usize = events.map(|event| OVERHEAD + event.data.as_str().len()).sum();
        TASK_BYTES + (invocation + permission + result + error + log.len() + events) as u64
    }

    pub(super) fn usage(&self) -> Vec<TenantUse> {
        let mut found: BTreeMap<Arc<str>, TenantUse> = BTreeMap::new();
        let mut of = |name: &str, change: &dyn Fn(&mut TenantUse)| {
            let none = TenantUse { name: name.into(), tasks: 0, bytes: 0, variables: 0, variable_bytes: 0 };
            change(found.entry(name.into()).or_insert(none));
        };
        for kept in self.tasks.values() {
            if let Some(tenant) = &kept.task.invocation.tenant {
                let bytes = self.bytes_of(kept);
                of(tenant, &|used| (used.tasks, used.bytes) = (used.tasks + 1, used.bytes + bytes));
            }
        }
        for (name, variable) in &self.variables {
            if let Some(tenant) = tenant::of_name(name) {
                let bytes = (name.len() + variable.value.as_str().len()) as u64;
                of(tenant, &|used| {
                    (used.variables, used.variable_bytes) = (used.variables + 1, used.variable_bytes + bytes);
                });
            }
        }
        found.into_values().collect()
    }

    pub(super) fn evict(&mut self, tenant: &str, keep: u64) -> u32 {
        let is_own = |task: &Task| task.invocation.tenant.as_deref() == Some(tenant);
        let mut bytes: u64 =
            self.tasks.values().filter(|kept| is_own(&kept.task)).map(|kept| self.bytes_of(kept)).sum();
        let ended = |task: &Task| is_own(task) && task.completed.is_some() && !self.deliveries.is_due(&task.id);
        let mut ended = self.in_order(ended);
        ended.sort_by_key(|task| task.completed);
        let mut old = Vec::new();
        for task in ended.into_iter().take(PURGE_BATCH as usize) {
            if bytes <= keep {
                break;
            }
            bytes -= self.bytes_of(&self.tasks[&task.id]);
            old.push(task);
        }
        self.remove(&old)
    }

    /// What the variables of a name's name space take.
    pub(super) fn used(&self, name: &str) -> usage::Variables {
        let tenant = tenant::of_name(name);
        let own = self.variables.iter().filter(|(other, _)| tenant::of_name(other) == tenant);
        let bytes = own.clone().map(|(name, variable)| (name.len() + variable.value.as_str().len()) as u64).sum();
        usage::Variables { count: own.count() as u64, bytes }
    }
}
