//! Owns the double's variables. Must not be kinder than a real store.

use super::Contents;
use crate::executor::{VariableError, Versioned};
use crate::store::{MAX_VARIABLES, StoreError, check_variable, too_many_variables};
use crate::value::Json;

impl Contents {
    pub(super) fn set(&mut self, name: String, value: Json) -> Result<u64, VariableError> {
        check_variable(&name, &value)?;
        let version = self.variables.get(&name).map_or(0, |stored| stored.version) + 1;
        if version == 1 && self.variables.len() >= MAX_VARIABLES as usize {
            return Err(too_many_variables());
        }
        self.variables.insert(name, Versioned { value, version });
        Ok(version)
    }

    pub(super) fn update(&mut self, name: String, expected: Option<u64>, value: Json) -> Result<u64, VariableError> {
        check_variable(&name, &value)?;
        let stored = self.variables.get(&name).map(|stored| stored.version);
        if stored != expected {
            return Err(VariableError::Conflict(stored.unwrap_or(0)));
        }
        self.set(name, value)
    }

    pub(super) fn init(&mut self, variables: Vec<(String, Json)>) -> Result<(), StoreError> {
        let before = self.variables.clone();
        for (name, value) in variables {
            let written = match self.variables.contains_key(&name) {
                true => check_variable(&name, &value),
                false => self.set(name, value).map(drop),
            };
            if let Err(fault) = written {
                self.variables = before;
                return Err(StoreError::Unavailable(fault.to_string()));
            }
        }
        Ok(())
    }
}
