//! Owns the rule that no two endpoints of a configuration answer the same request.
//! Must not know what endpoints do.

use super::OpenApi;
use super::fault::{Place, Sink};
use super::raw::RawRoute;
use super::reader::At;
use crate::route::table::{Table, TableFault};
use crate::route::task_route::TaskRoute;

/// A method and a path pattern, and where the file says so; defaults stand nowhere.
struct Endpoint {
    place: Option<Place>,
    /// What a default is, and how it is moved.
    moved_by: &'static str,
    method: &'static str,
    pattern: String,
}

/// Reports paths that collide with an earlier one, or that are malformed. Without task routes in the file,
/// the default ones are taken. The documentation comes with the place that the file says most of it at.
pub fn check(
    routes: &[RawRoute],
    task_routes: Option<&[At<TaskRoute>]>,
    (openapi, openapi_place): (&OpenApi, Option<Place>),
    sink: &Sink,
) {
    let of_route = |route: &RawRoute| {
        let (method, path) = (route.method.as_ref()?.value, route.path.as_ref()?);
        Some(Endpoint { place: Some(path.place), moved_by: "", method, pattern: path.value.clone() })
    };
    let mut endpoints: Vec<_> = routes.iter().filter_map(of_route).collect();
    match task_routes {
        None => endpoints.extend(TaskRoute::defaults().iter().flat_map(|route| of_task_route(None, route))),
        Some(found) => endpoints.extend(found.iter().flat_map(|at| of_task_route(Some(at.place), &at.value))),
    }
    let moved_by =
        "the documentation by default; configure `openapi` to move it, `path: none` and `ui: none` leave it out";
    let of_docs = openapi.patterns().into_iter().map(|pattern| (openapi_place, pattern));
    endpoints.extend(of_docs.map(|(place, pattern)| Endpoint { place, moved_by, method: "GET", pattern }));
    // The sort is stable, and what stands nowhere comes first.
    endpoints.sort_by_key(|endpoint| endpoint.place);
    insert(&endpoints, sink);
}

fn of_task_route(place: Option<Place>, route: &TaskRoute) -> Vec<Endpoint> {
    let methods = route.operation.methods();
    let patterns = route.patterns();
    let moved_by = "a task route by default; configure `task_routes` to move it";
    let endpoint = |(method, pattern)| Endpoint { place, moved_by, method, pattern };
    let all = methods.iter().flat_map(|method| patterns.iter().map(|pattern| (*method, pattern.clone())));
    let callbacks = route.callbacks_pattern();
    let callbacks = TaskRoute::CALLBACKS_METHODS.into_iter().filter_map(|method| Some((method, callbacks.clone()?)));
    all.chain(route.log_pattern().map(|pattern| ("GET", pattern))).chain(callbacks).map(endpoint).collect()
}

fn insert(endpoints: &[Endpoint], sink: &Sink) {
    let mut table = Table::default();
    let mut last_fault = None;
    for (position, endpoint) in endpoints.iter().enumerate() {
        let earlier = endpoints.get(..position).unwrap_or_default();
        let Err(fault) = table.insert(endpoint.method, &endpoint.pattern, ()) else {
            continue;
        };
        let other = earlier.iter().find(|earlier| match &fault {
            TableFault::Taken(method, path) => earlier.method == method && earlier.pattern == *path,
            // The table's words end with the pattern that is in the way.
            TableFault::Pattern(_, words) => words.ends_with(&format!(" {}", earlier.pattern)),
        });
        let line = match other.map(|other| (other.place, other.moved_by)) {
            None => String::new(),
            Some((Some(place), _)) => format!(" (line {})", place.line),
            Some((None, moved_by)) => format!(" ({moved_by})"),
        };
        // A task route's patterns stand in one place, where one fault is enough.
        if last_fault != Some(endpoint.place) {
            sink.report(endpoint.place.unwrap_or(Place::FILE), format!("{fault}{line}"));
        }
        last_fault = Some(endpoint.place);
    }
}
