//! Owns the query route: finding tasks by a query that may stand in several places, page by page.
//! Must not know how tasks are found.

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, body, request, tasks};
use crate::codec::{self, Format, Incoming};
use crate::route::task_route::{IdPlace, TaskRoute};
use crate::store::{Reader, Search};
use crate::task::query::order::Order;
use crate::task::query::{Query, page};
use crate::value::Json;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use std::sync::Arc;

/// The header field and the query parameter that may hold the query.
const DOCUMENT: &str = "query";

pub async fn answer(api: &Api, task_route: &TaskRoute, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let caller = Caller::admit(api, task_route.auth.as_deref(), &task_route.responses, parts).await?;
    let pairs = request::query(&parts.uri);
    let query = find(api, task_route, parts, &pairs, body).await?;
    let parameter = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let order = parameter("order").map(Order::parse).transpose()?.unwrap_or_default();
    let limit = parameter("limit").map(page::limit).transpose()?.unwrap_or(page::DEFAULT_LIMIT);
    let after = parameter("page").map(|token| page::position(token, &query, order)).transpose()?;
    let query = Arc::new(query);
    let reader = Reader::Caller(caller.principal.clone());
    let found = api.0.runner.search(Search { order, after, ..Search::new(Arc::clone(&query), reader, limit) }).await?;
    let mut response = tasks::list(StatusCode::OK, &found.tasks, caller.answer);
    if let Some(next) = found.next {
        let token = page::token(&query, order, &next);
        let link = next_page(parts.uri.path(), &pairs, &token);
        response.headers_mut().extend(HeaderValue::try_from(link).map(|link| (header::LINK, link)));
    }
    Ok(response)
}

/// The query, from the first place that has one; a request without any asks for everything.
async fn find(
    api: &Api,
    task_route: &TaskRoute,
    parts: &Parts,
    pairs: &[(String, String)],
    body: Body,
) -> Result<Query, Problem> {
    for place in &task_route.places {
        let found = match place {
            // Looked at last: it is read at most once.
            IdPlace::Body | IdPlace::Path | IdPlace::Cookie => None,
            IdPlace::Query => in_parameters(pairs)?,
            IdPlace::Header => match parts.headers.get(DOCUMENT) {
                Some(value) => Some(document(&String::from_utf8_lossy(value.as_bytes()))?),
                None => None,
            },
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    if parts.method != Method::GET && task_route.places.contains(&IdPlace::Body) {
        let document = body::read(&parts.headers, body, api.now().options.body_limit).await?;
        // No conditions in XML are an element with nothing in it, which reads as an empty text.
        let is_empty_element = document.as_str() == "\"\"" && is_xml(&parts.headers);
        if document.as_str() != Json::null().as_str() && !is_empty_element {
            return Ok(Query::parse(&document)?);
        }
    }
    Ok(Query::parse_pairs([])?)
}

fn is_xml(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| codec::incoming(value).ok()) == Some(Incoming::Format(Format::Xml))
}

fn in_parameters(pairs: &[(String, String)]) -> Result<Option<Query>, Problem> {
    if let Some((_, text)) = pairs.iter().find(|(name, _)| name == DOCUMENT) {
        return document(text).map(Some);
    }
    let filters = pairs.iter().any(|(name, _)| name == "filter" || name.starts_with("filter["));
    let borrowed = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(if filters { Some(Query::parse_pairs(borrowed)?) } else { None })
}

fn document(text: &str) -> Result<Query, Problem> {
    let document = Json::parse(text.to_owned())
        .map_err(|fault| Problem::new(400, format!("The query is no JSON that can be read: {fault}.")))?;
    Ok(Query::parse(&document)?)
}

/// RFC 8288: the same request with the next page's token.
fn next_page(path: &str, pairs: &[(String, String)], token: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(name, _)| name != "page")).append_pair("page", token);
    format!("<{path}?{}>; rel=\"next\"", query.finish())
}
