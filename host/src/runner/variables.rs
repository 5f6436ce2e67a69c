//! Owns what a route's guests may do with the shared variables: each call is checked against the route's grants.
//! Must not know where variables are kept.

use crate::executor::{VariableError, Variables, Versioned};
use crate::route::{Route, StateGrants};
use crate::store::{Store, StoreError};
use crate::tenant::full_name;
use crate::value::Json;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

/// The shared variables behind a route's grants. Guests know short names: those of a tenant's route are completed here.
pub struct GrantedVariables {
    store: Arc<dyn Store>,
    grants: StateGrants,
    tenant: Option<Arc<str>>,
    most: u64,
}

impl GrantedVariables {
    /// The variables of `store` that the route may use; `most` is how many bytes those of its tenant may take together.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, route: &Route, most: u64) -> Self {
        Self { store, grants: route.state.clone(), tenant: route.tenant.clone(), most }
    }

    fn full(&self, name: String) -> String {
        match &self.tenant {
            Some(tenant) => full_name(tenant, &name),
            None => name,
        }
    }
}

impl Variables for GrantedVariables {
    fn get(&self, name: String) -> BoxFuture<'_, Result<Option<Versioned>, VariableError>> {
        if !self.grants.may_read(&name) {
            return denied();
        }
        Box::pin(async { self.store.variable(self.full(name)).await.map_err(unavailable) })
    }

    fn set(&self, name: String, value: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        if !self.grants.may_write(&name) {
            return denied();
        }
        self.store.set_variable(self.full(name), value, self.most)
    }

    fn update(&self, name: String, expected: Option<u64>, value: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        if !self.grants.may_write(&name) {
            return denied();
        }
        self.store.update_variable(self.full(name), expected, value, self.most)
    }

    fn names(&self) -> Vec<String> {
        self.grants.names()
    }
}

fn denied<T: Send + 'static>() -> BoxFuture<'static, Result<T, VariableError>> {
    ready(Err(VariableError::Denied)).boxed()
}

fn unavailable(error: StoreError) -> VariableError {
    VariableError::Unavailable(error.to_string())
}
