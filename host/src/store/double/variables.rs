//! Owns the double's variables. Must not be kinder than a real store.

use super::Contents;
use crate::executor::{VariableError, Versioned};
use crate::store::StoreError;
use crate::store::usage::{check_count, check_room, check_variable};
use crate::tenant;
use crate::value::Json;
use std::collections::HashMap;

impl Contents {
    pub(super) fn set(&mut self, name: String, value: Json, most: u64) -> Result<u64, VariableError> {
        check_variable(&name, &value)?;
        let stored = self.variables.get(&name);
        let had = stored.map(|stored| stored.value.as_str().len() as u64);
        let version = stored.map_or(self.removed, |stored| stored.version) + 1;
        check_room(&name, &value, had, self.used(&name), most)?;
        self.variables.insert(name, Versioned { value, version });
        Ok(version)
    }

    pub(super) fn update(
        &mut self,
        name: String,
        expected: Option<u64>,
        value: Json,
        most: u64,
    ) -> Result<u64, VariableError> {
        check_variable(&name, &value)?;
        let stored = self.variables.get(&name).map(|stored| stored.version);
        if stored != expected {
            return Err(VariableError::Conflict(stored.unwrap_or(0)));
        }
        self.set(name, value, most)
    }

    pub(super) fn remove_variable(&mut self, name: &str, expected: Option<u64>) -> Result<bool, VariableError> {
        let Some(version) = self.variables.get(name).map(|stored| stored.version) else { return Ok(false) };
        if expected.is_some_and(|expected| expected != version) {
            return Err(VariableError::Conflict(version));
        }
        self.removed = self.removed.max(version);
        Ok(self.variables.remove(name).is_some())
    }

    pub(super) fn init(&mut self, variables: Vec<(String, Json)>) -> Result<(), StoreError> {
        let refused = |fault: VariableError| StoreError::Unavailable(fault.to_string());
        let (mut after, mut counts) = (self.variables.clone(), HashMap::new());
        for (name, value) in variables {
            check_variable(&name, &value).map_err(refused)?;
            if !after.contains_key(&name) {
                let tenant = tenant::of_name(&name).map(str::to_owned);
                let count = counts.entry(tenant).or_insert_with(|| self.used(&name).count);
                *count += 1;
                check_count(tenant::of_name(&name), *count).map_err(refused)?;
                after.insert(name, Versioned { value, version: self.removed + 1 });
            }
        }
        self.variables = after;
        Ok(())
    }

    pub(super) fn names(&self, tenant: Option<&str>) -> Vec<String> {
        let names = self.variables.keys().filter(|name| tenant.is_none() || tenant::of_name(name) == tenant);
        names.cloned().collect()
    }
}
