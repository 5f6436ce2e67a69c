//! Owns a route that is ready to run, or will be: its guests may still be compiled while it takes tasks already.
//! Must not know how guests are made.

use crate::executor::{Executor, IdGenerator};
use crate::ids::IdScheme;
use crate::route::Route;
use crate::schema::Description;
use std::sync::Arc;
use tokio::sync::SetOnce;

/// A route as it runs.
pub struct LoadedRoute {
    /// Its definition.
    pub route: Arc<Route>,
    /// Names its tasks.
    pub ids: Ids,
    guests: SetOnce<Result<Guests, String>>,
}

/// What a route's component gives.
pub struct Guests {
    /// Runs them.
    pub executor: Arc<dyn Executor>,
    /// What the component says about itself.
    pub description: Option<Arc<Description>>,
    /// SHA-256 of the component, in hex.
    pub digest: Arc<str>,
}

/// Where a route's task ids come from.
pub enum Ids {
    /// A built-in scheme.
    Scheme(IdScheme),
    /// A guest.
    Guest(Arc<dyn IdGenerator>),
}

impl LoadedRoute {
    /// A route whose guests come later: its tasks wait for them.
    #[must_use]
    pub fn new(route: Arc<Route>, ids: Ids) -> Self {
        Self { route, ids, guests: SetOnce::new() }
    }

    /// A route with its guests.
    #[must_use]
    pub fn ready(route: Arc<Route>, ids: Ids, guests: Guests) -> Self {
        Self { route, ids, guests: SetOnce::new_with(Some(Ok(guests))) }
    }

    /// Brings the guests, or why there are none (a sentence for the host's operator). Only the first time counts.
    pub fn resolve(&self, guests: Result<Guests, String>) {
        drop(self.guests.set(guests));
    }

    /// The guests as it stands now: `None` while they are made.
    #[must_use]
    pub fn guests(&self) -> Option<Result<&Guests, &str>> {
        self.guests.get().map(|guests| guests.as_ref().map_err(String::as_str))
    }

    /// What the component says about itself, as far as that is known.
    #[must_use]
    pub fn description(&self) -> Option<&Arc<Description>> {
        self.guests()?.ok()?.description.as_ref()
    }

    /// SHA-256 of the component in hex, once it is there.
    #[must_use]
    pub fn digest(&self) -> Option<&Arc<str>> {
        Some(&self.guests()?.ok()?.digest)
    }

    /// Waits for the guests.
    pub(super) async fn wait(&self) -> Result<&Guests, &str> {
        self.guests.wait().await.as_ref().map_err(String::as_str)
    }
}

/// A route as it is offered: one or more versions of its component, and the share of new tasks that each gets.
#[derive(Clone)]
pub struct Deployed {
    versions: Arc<[(u32, Arc<LoadedRoute>)]>,
    is_open: bool,
}

impl Deployed {
    /// These versions of one route; `None` without any that has a share.
    #[must_use]
    pub fn new(versions: Vec<(u32, Arc<LoadedRoute>)>) -> Option<Self> {
        let has_share = versions.iter().any(|(share, _)| *share > 0);
        has_share.then(|| Self { versions: versions.into(), is_open: true })
    }

    /// A route with one version.
    #[must_use]
    pub fn single(loaded: Arc<LoadedRoute>) -> Self {
        Self { versions: [(1, loaded)].into(), is_open: true }
    }

    /// The same, taking tasks or not.
    #[must_use]
    pub fn opened(self, is_open: bool) -> Self {
        Self { is_open, ..self }
    }

    /// Whether it takes tasks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Its versions.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<LoadedRoute>> {
        self.versions.iter().map(|(_, loaded)| loaded)
    }

    /// The version with the largest share: it speaks for the route.
    #[must_use]
    pub fn main(&self) -> Option<&Arc<LoadedRoute>> {
        self.versions.iter().rev().max_by_key(|(share, _)| share).map(|(_, loaded)| loaded)
    }

    /// The version for a task: evenly spread numbers give each its share. Nobody draws one where there is no choice.
    #[must_use]
    pub fn version(&self, draw: impl FnOnce() -> u32) -> Option<&Arc<LoadedRoute>> {
        if let [(_, only)] = &*self.versions {
            return Some(only);
        }
        let number = draw();
        let sum: u64 = self.versions.iter().map(|(share, _)| u64::from(*share)).sum();
        let mut left = (u64::from(number) * sum) >> 32;
        let of_share = self.versions.iter().find(|(share, _)| {
            let share = u64::from(*share);
            let mine = left < share;
            left = left.saturating_sub(share);
            mine
        });
        of_share.map(|(_, loaded)| loaded)
    }
}
