//! Owns what tenants use of a store, and what may be used: the measure of tasks, and the limits of variables.
//! Must not know how it is counted.

use super::{MAX_NAME, MAX_VALUE};
use crate::executor::VariableError;
use crate::tenant::{self, SEPARATOR};
use crate::value::Json;
use std::ops::Range;
use std::sync::Arc;

/// What a task takes beside its data, in bytes: its rows and their entries in indices.
pub const TASK_BYTES: u64 = 512;
/// The most shared variables of the host's own, whose names have no tenant. Whatever goes beyond a limit is answered with
/// `Limit`, and why.
pub const MAX_VARIABLES: u32 = 10_000;
/// The most shared variables of a tenant. They do not count as the host's.
pub const MAX_TENANT_VARIABLES: u32 = 1_000;

/// What a tenant uses of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUse {
    /// The tenant.
    pub name: Arc<str>,
    /// Its tasks, those that have ended too.
    pub tasks: u64,
    /// Bytes of these: [`TASK_BYTES`] each, the invocation, permission, result, error, log and events.
    pub bytes: u64,
    /// Its shared variables.
    pub variables: u64,
    /// Bytes of their names and values.
    pub variable_bytes: u64,
}

/// What the variables of a name space take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Variables {
    pub(super) count: u64,
    /// Of names and values.
    pub(super) bytes: u64,
}

/// A tenant's name space: what all full names of its own begin with. `None`: the host's own, which is empty.
pub(super) fn space(tenant: Option<&str>) -> String {
    tenant.map_or_else(String::new, |tenant| format!("{tenant}{SEPARATOR}"))
}

/// The tenant of a name space.
pub(super) fn tenant_of(space: &str) -> Option<&str> {
    space.strip_suffix(SEPARATOR)
}

/// Between which names, in the order of their bytes, a tenant's full names are: from the first, before the second.
pub(super) fn names_of(tenant: &str) -> Range<String> {
    // What comes after the separator.
    format!("{tenant}{SEPARATOR}")..format!("{tenant};")
}

/// Whether a variable is within the limits that every store keeps.
pub(super) fn check_variable(name: &str, value: &Json) -> Result<(), VariableError> {
    let (name_bytes, value_bytes) = (name.len(), value.as_str().len());
    if !(1..=MAX_NAME).contains(&name_bytes) {
        let text = format!("a variable's name has 1 to {MAX_NAME} bytes, this one has {name_bytes}");
        return Err(VariableError::Limit(text));
    }
    // Clients take those for steps of a path.
    if [".", ".."].contains(&name) {
        return Err(VariableError::Limit(format!("no variable is called `{name}`")));
    }
    if value_bytes > MAX_VALUE {
        let text = format!("a variable's value has at most {MAX_VALUE} bytes, the one of {name} has {value_bytes}");
        return Err(VariableError::Limit(text));
    }
    Ok(())
}

/// Whether there is room for a variable in its name space, where these are: `had` is how many bytes the present value
/// has, `None` if it is new. `most` is how many all may take. A value that does not grow always has room.
pub(super) fn check_room(
    name: &str,
    value: &Json,
    had: Option<u64>,
    used: Variables,
    most: u64,
) -> Result<(), VariableError> {
    let tenant = tenant::of_name(name);
    if had.is_none() {
        check_count(tenant, used.count + 1)?;
    }
    let takes = value.as_str().len() as u64;
    let (takes, had) = had.map_or((takes + name.len() as u64, 0), |had| (takes, had));
    let after = (used.bytes + takes).saturating_sub(had);
    if takes <= had || after <= most {
        return Ok(());
    }
    let whose = tenant.unwrap_or("the host");
    Err(VariableError::Limit(format!(
        "the variables of {whose} may take {most} bytes together, names and values, and would take {after}: \
         make this one smaller, or others, or remove some"
    )))
}

/// Whether a tenant, or the host itself, may have so many variables.
pub(super) fn check_count(tenant: Option<&str>, count: u64) -> Result<(), VariableError> {
    match tenant {
        None if count > MAX_VARIABLES.into() => {
            Err(VariableError::Limit(format!("the store takes at most {MAX_VARIABLES} variables of the host's own")))
        }
        Some(tenant) if count > MAX_TENANT_VARIABLES.into() => Err(VariableError::Limit(format!(
            "{tenant} may have at most {MAX_TENANT_VARIABLES} variables: remove some"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_names_of_one_tenant() {
        let names = names_of("acme");
        let has = |name: &str| names.contains(&name.to_owned());
        assert!(has("acme:") && has("acme:a") && has("acme:\u{10ffff}"));
        assert!(!has("acme") && !has("acme2:a") && !has("acmf") && !has("acm:a") && !has("acme-eu:a"));
        assert_eq!((tenant_of(&space(Some("acme"))), tenant_of(&space(None))), (Some("acme"), None));
    }
}
