//! Owns what a route's guests may do with the shared variables: each call is checked against the route's grants.
//! Must not know where variables are kept.

use crate::executor::{VariableError, Variables, Versioned};
use crate::route::StateGrants;
use crate::store::{Store, StoreError};
use crate::value::Json;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

/// The shared variables behind a route's grants.
pub struct GrantedVariables {
    store: Arc<dyn Store>,
    grants: StateGrants,
    most: u64,
}

impl GrantedVariables {
    /// The variables of `store`, limited to `grants`; `most` is how many bytes those of a tenant may take together.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, grants: StateGrants, most: u64) -> Self {
        Self { store, grants, most }
    }
}

impl Variables for GrantedVariables {
    fn get(&self, name: String) -> BoxFuture<'_, Result<Option<Versioned>, VariableError>> {
        if !self.grants.may_read(&name) {
            return denied();
        }
        Box::pin(async { self.store.variable(name).await.map_err(unavailable) })
    }

    fn set(&self, name: String, value: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        if self.grants.may_write(&name) { self.store.set_variable(name, value, self.most) } else { denied() }
    }

    fn update(&self, name: String, expected: Option<u64>, value: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        if !self.grants.may_write(&name) {
            return denied();
        }
        self.store.update_variable(name, expected, value, self.most)
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
