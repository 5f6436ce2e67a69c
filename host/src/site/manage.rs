//! Owns changes of routes at runtime: written, paused, drained, rolled back and removed, durably, and shown at once.
//! Must not know how a client asks for them.

use super::{
    Inner, Runtime, Site, SiteError, State, endpoints, endpoints_or_aside, has_name, load, offered, standing_as,
};
use crate::api::manage::{Origin, RouteFault, RouteView, Routes, Written};
use crate::config::Format;
use crate::plugins::chosen;
use crate::route::{PluginChoice, Route};
use crate::runner::Deployed;
use crate::store::registry::{Plugin, Revision, Standing};
use crate::tenant::{named, of_name};
use crate::value::Json;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::MutexGuard;

/// How often a change is begun anew because what it was checked with has changed meanwhile.
const TRIES: usize = 5;
/// The most routes that may come at runtime: all are looked through at each change.
const MOST_ROUTES: usize = 10_000;

impl Routes for Site {
    fn list<'a>(
        &'a self,
        is_meant: &'a (dyn Fn(&str, Option<&str>) -> bool + Send + Sync),
    ) -> BoxFuture<'a, Vec<RouteView>> {
        Box::pin(async move { self.state().await.views(is_meant) })
    }

    fn names(&self) -> BoxFuture<'_, Vec<Arc<str>>> {
        Box::pin(async move { self.state().await.runtime.keys().map(Arc::clone).collect() })
    }

    fn put(&self, route: Written) -> BoxFuture<'_, Result<(RouteView, bool), RouteFault>> {
        Box::pin(async move { self.put_route(route, None).await })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RouteFault>> {
        Box::pin(async move {
            let mut state = self.state().await;
            state.of_runtime(name)?;
            self.0.options.registry.remove_route(name).await?;
            state.runtime.remove(name);
            let endpoints = state.endpoints().map_err(SiteError::from)?;
            self.show(&state, endpoints);
            if !has_name(&state.files, &state.runtime, name) {
                self.0.options.runner.close(name);
            }
            drop(state);
            self.forget_unused().await;
            Ok(())
        })
    }

    fn set_standing<'a>(&'a self, name: &'a str, standing: Standing) -> BoxFuture<'a, Result<RouteView, RouteFault>> {
        Box::pin(async move {
            let mut state = self.state().await;
            let mut route = state.of_runtime(name)?.clone();
            self.0.options.registry.set_standing(name, standing).await?;
            route.standing = standing;
            route.deployed = route.deployed.map(|deployed| standing_as(deployed, standing));
            state.runtime.insert(Arc::clone(&route.revision.name), route.clone());
            let endpoints = state.endpoints().map_err(SiteError::from)?;
            self.show(&state, endpoints);
            Ok(route.view())
        })
    }

    fn roll_back<'a>(
        &'a self,
        name: &'a str,
        revision: Option<&'a str>,
        by: Option<String>,
    ) -> BoxFuture<'a, Result<RouteView, RouteFault>> {
        Box::pin(async move {
            let present = self.state().await.of_runtime(name)?.revision.revision;
            let revisions = self.0.options.registry.revisions(name).await?;
            let found = match revision {
                None => revisions.iter().find(|kept| kept.revision < present),
                Some(number) => revisions.iter().find(|kept| kept.revision.to_string() == *number),
            };
            let text = found.ok_or(RouteFault::NoRevision)?.definition.to_string();
            let damaged = |fault| RouteFault::Conflict(format!("the former definition cannot be read: {fault}"));
            let definition = Json::parse(text.clone()).map_err(damaged)?;
            let written = Written { name: name.to_owned(), text, is_yaml: false, definition, by };
            Ok(self.put_route(written, Some(present)).await?.0)
        })
    }

    fn revisions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Revision>, RouteFault>> {
        Box::pin(async move {
            self.state().await.of_runtime(name)?;
            Ok(self.0.options.registry.revisions(name).await?)
        })
    }

    fn users<'a>(&'a self, plugin: &'a Plugin) -> BoxFuture<'a, Vec<Arc<str>>> {
        Box::pin(async move { self.state().await.users(plugin) })
    }

    fn remove_plugin<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<u32, RouteFault>> {
        Box::pin(async move {
            // Held to the end: no route takes it up meanwhile.
            let state = self.state().await;
            let plugins = &self.0.options.plugins;
            let all = plugins.list().await?;
            let is_meant =
                |plugin: &&Plugin| *plugin.name == *name && version.is_none_or(|version| *plugin.version == *version);
            for plugin in all.iter().filter(is_meant) {
                if let Some(user) = state.users(plugin).first() {
                    let version = &plugin.version;
                    let words = format!("the route {user} runs version {version} of {name}; change or remove it first");
                    return Err(RouteFault::Conflict(words));
                }
            }
            let removed = plugins.remove(name, version).await?;
            drop(state);
            if removed > 0 {
                self.follow_latest(name).await;
            }
            Ok(removed)
        })
    }

    fn plugin_changed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.follow_latest(name).await })
    }
}

impl Site {
    /// Writes a route over its definition of this number (`None`: whatever is there).
    async fn put_route(&self, written: Written, over: Option<u64>) -> Result<(RouteView, bool), RouteFault> {
        let Inner { options, .. } = &*self.0;
        let Written { name, text, is_yaml, definition, by } = written;
        let format = if is_yaml { Format::Yaml } else { Format::Json };
        for _ in 0..TRIES {
            let (config, before) = {
                let state = self.state().await;
                (Arc::clone(&state.config), state.runtime.get(&*name).and_then(|route| route.deployed.clone().ok()))
            };
            let route = config
                .route(&name, &text, format)
                .map_err(|faults| RouteFault::Faults(faults.iter().map(ToString::to_string).collect()))?;
            let plugins = options.plugins.list().await?;
            // Guests are compiled and asked what they are: nobody waits for that.
            let deployed = load::versions(options, &plugins, &route, before.as_ref()).await;
            let deployed = deployed.map_err(|why| RouteFault::Faults(vec![why]))?;
            let state = self.state().await;
            let is_same =
                Arc::ptr_eq(&config, &state.config) && runs(&deployed, &options.plugins.list().await?, &route);
            let present = state.runtime.get(&*name).map(|route| route.revision.revision);
            if is_same && over.is_none_or(|over| present == Some(over)) {
                return self.put_loaded(state, deployed, &definition, by).await;
            }
        }
        Err(RouteFault::Conflict("the configuration or the plugin changes at this moment; try again".into()))
    }

    async fn put_loaded(
        &self,
        mut state: MutexGuard<'_, State>,
        deployed: Deployed,
        definition: &Json,
        by: Option<String>,
    ) -> Result<(RouteView, bool), RouteFault> {
        let Inner { options, .. } = &*self.0;
        let loaded = deployed.main().map(Arc::clone).ok_or(RouteFault::Unknown)?;
        let name = &loaded.route.name;
        if state.config.routes.iter().any(|of_file| of_file.name == *name) {
            let words = format!("the configuration file has a route {name}; change it there");
            return Err(RouteFault::Conflict(words));
        }
        let before = state.runtime.get(name);
        let standing = before.map_or(Standing::Active, |route| route.standing);
        let is_new = before.is_none();
        if is_new {
            state.check_room(&loaded.route)?;
        }
        let deployed = standing_as(deployed, standing);
        let mut revision = Revision {
            name: Arc::clone(name),
            revision: 0,
            definition: definition.as_str().into(),
            created: options.clock.now(),
            by,
        };
        let mut runtime = state.runtime.clone();
        runtime.insert(Arc::clone(name), Runtime::new(revision.clone(), standing, Ok(deployed.clone())));
        let endpoints = endpoints(&state.config, &offered(&state.files, &runtime)).map_err(SiteError::from)?;
        revision.revision = options.registry.put_route(revision.clone(), standing).await?;
        options.runner.adopt(&loaded).await?;
        let new = Runtime::new(revision, standing, Ok(deployed));
        let view = new.view();
        runtime.insert(Arc::clone(name), new);
        state.runtime = runtime;
        self.show(&state, endpoints);
        drop(state);
        self.prepare().await;
        self.forget_unused().await;
        Ok((view, is_new))
    }

    /// Has routes that run the latest version of a plugin run the one that is the latest now.
    async fn follow_latest(&self, name: &str) {
        let mut state = self.state().await;
        let follows = |deployed: &Deployed| {
            let choice = deployed.main().and_then(|loaded| loaded.route.component.plugin());
            choice.is_some_and(|PluginChoice { name: plugin, versions }| {
                **plugin == *name && versions.iter().any(|(version, _)| version.is_none())
            })
        };
        let Inner { options, .. } = &*self.0;
        let plugins = match options.plugins.list().await {
            Ok(plugins) => plugins,
            Err(error) => return tracing::error!("the newest version of {name} cannot be looked for: {error}"),
        };
        let config = Arc::clone(&state.config);
        let mut changed = state.runtime.clone();
        for route in changed.values_mut() {
            // One that was set aside for want of the plugin may be whole again.
            let is_due = route.deployed.as_ref().map_or(true, follows);
            if is_due {
                let old = route.deployed.as_ref().ok();
                match load::runtime(options, &plugins, &config, &route.revision, old).await {
                    Ok(deployed) => route.deployed = Ok(standing_as(deployed, route.standing)),
                    Err(why) => {
                        tracing::error!(route = %route.revision.name, "the newest version cannot be run: {why}")
                    }
                }
            }
        }
        let mut files = state.files.clone();
        for deployed in files.iter_mut().filter(|deployed| follows(deployed)) {
            let Some(route) = deployed.main().map(|loaded| Arc::clone(&loaded.route)) else { continue };
            match load::versions(options, &plugins, &route, Some(deployed)).await {
                Ok(newest) => *deployed = newest,
                Err(why) => tracing::error!(route = %route.name, "the newest version cannot be run: {why}"),
            }
        }
        match endpoints_or_aside(&config, &files, &mut changed, |_| true) {
            Ok(endpoints) => {
                (state.files, state.runtime) = (files, changed);
                self.show(&state, endpoints);
            }
            Err(fault) => return tracing::error!("the newest version of {name} cannot be offered: {fault}"),
        }
        drop(state);
        self.prepare().await;
        self.forget_unused().await;
    }
}

impl State {
    /// Whether one more route that came at runtime is taken.
    fn check_room(&self, route: &Route) -> Result<(), RouteFault> {
        if self.runtime.len() >= MOST_ROUTES {
            return Err(RouteFault::Full(format!("there are {MOST_ROUTES} routes that came at runtime")));
        }
        let tenant = route.tenant.as_deref().and_then(|tenant| named(&self.config.tenants, tenant));
        let Some(tenant) = tenant else { return Ok(()) };
        let own = self.runtime.keys().filter(|name| of_name(name) == Some(&*tenant.name)).count();
        match own < tenant.quota.routes as usize {
            true => Ok(()),
            false => Err(RouteFault::Full(format!("the tenant {} has {own} routes, as many as it may", tenant.name))),
        }
    }

    fn of_runtime(&self, name: &str) -> Result<&Runtime, RouteFault> {
        let of_file = || self.config.routes.iter().any(|route| *route.name == *name);
        match self.runtime.get(name) {
            // Set aside or not: what a client put here, a client may take away.
            Some(route) => Ok(route),
            None if of_file() => Err(RouteFault::Conflict(format!(
                "the route {name} comes from the configuration file; change it there"
            ))),
            None => Err(RouteFault::Unknown),
        }
    }

    fn views(&self, is_meant: &dyn Fn(&str, Option<&str>) -> bool) -> Vec<RouteView> {
        let of_file = |deployed: &Deployed| {
            let route = &deployed.main()?.route;
            if !is_meant(&route.name, route.tenant.as_deref()) {
                return None;
            }
            let mut view = view_of(deployed, Origin::File)?;
            view.state = state_of(Some(deployed), Standing::Active);
            Some(view)
        };
        let mut views: Vec<RouteView> = self.files.iter().filter_map(of_file).collect();
        let meant = |(name, _): &(&Arc<str>, &Runtime)| is_meant(name, of_name(name));
        views.extend(self.runtime.iter().filter(meant).map(|(_, route)| route.view()));
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// The routes that run this version.
    fn users(&self, plugin: &Plugin) -> Vec<Arc<str>> {
        let uses = |deployed: &&Deployed| {
            let choice = deployed.main().and_then(|loaded| loaded.route.component.plugin());
            choice.is_some_and(|choice| choice.name == plugin.name)
                && deployed.versions().any(|loaded| loaded.digest().is_some_and(|digest| *digest == plugin.digest))
        };
        let offered = offered(&self.files, &self.runtime);
        let users = offered.iter().filter(uses).filter_map(Deployed::main);
        users.map(|loaded| Arc::clone(&loaded.route.name)).collect()
    }
}

impl Runtime {
    pub(super) fn new(revision: Revision, standing: Standing, deployed: Result<Deployed, String>) -> Self {
        let definition = Json::parse(revision.definition.to_string()).ok();
        Self { revision, standing, deployed, definition }
    }

    fn view(&self) -> RouteView {
        let Self { revision, standing, deployed, definition } = self;
        let view = deployed.as_ref().ok().and_then(|deployed| view_of(deployed, Origin::Api));
        let mut view = view.unwrap_or_else(|| RouteView {
            name: Arc::clone(&revision.name),
            tenant: of_name(&revision.name).map(Arc::from),
            fault: deployed.as_ref().err().cloned(),
            ..RouteView::default()
        });
        view.state = state_of(deployed.as_ref().ok(), *standing);
        view.revision = Some(revision.revision);
        view.changed_time = Some(revision.created);
        view.changed_by.clone_from(&revision.by);
        view.definition.clone_from(definition);
        view
    }
}

/// Whether these are the versions that the route means now.
fn runs(deployed: &Deployed, plugins: &[Plugin], route: &Route) -> bool {
    let Some(Ok(chosen)) = route.component.plugin().map(|choice| chosen(plugins, choice)) else { return false };
    let digests = deployed.versions().map(|loaded| loaded.digest());
    digests.eq(chosen.iter().map(|(_, plugin)| Some(&plugin.digest)))
}

fn view_of(deployed: &Deployed, origin: Origin) -> Option<RouteView> {
    let route = &deployed.main()?.route;
    Some(RouteView {
        name: Arc::clone(&route.name),
        tenant: route.tenant.clone(),
        method: Some(route.method.clone()),
        path: Some(route.path.clone()),
        origin,
        component: Some(route.component.to_string()),
        digests: deployed
            .versions()
            .filter_map(|loaded| loaded.digest())
            .map(|digest| format!("sha256:{digest}"))
            .collect(),
        ..RouteView::default()
    })
}

fn state_of(deployed: Option<&Deployed>, standing: Standing) -> &'static str {
    let Some(deployed) = deployed else { return "Faulty" };
    match deployed.main().map(|loaded| loaded.guests()) {
        Some(None) => "Compiling",
        Some(Some(Err(_))) | None => "Faulty",
        Some(Some(Ok(_))) => standing.name(),
    }
}
