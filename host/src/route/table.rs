//! Owns the table from method and path to an endpoint. It is built once and swapped as a whole.
//! Must not know what an endpoint is.

use percent_encoding::percent_decode_str;

/// One path pattern and its endpoints by method.
#[derive(Debug, Clone)]
struct Entry<T> {
    methods: Vec<(String, T)>,
}

/// Endpoints by method and path.
#[derive(Debug, Clone)]
pub struct Table<T> {
    paths: matchit::Router<usize>,
    entries: Vec<Entry<T>>,
    patterns: Vec<String>,
}

/// Why an endpoint cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// The same method and path is there already.
    #[error("{0} {1} is already taken")]
    Taken(String, String),
    /// The pattern is malformed, or cannot stand beside another one.
    #[error("the path {0} {1}")]
    Pattern(String, String),
}

/// What a request's method and path lead to.
#[derive(Debug, PartialEq)]
pub enum Found<'a, T> {
    /// An endpoint and the path's parameters, percent-decoded, in the pattern's order.
    Endpoint(&'a T, Vec<(String, String)>),
    /// The path exists, but not for this method; these are the methods that do, for `Allow`.
    OtherMethods(Vec<&'a str>),
    /// No such path.
    Nothing,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { paths: matchit::Router::new(), entries: Vec::new(), patterns: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds an endpoint.
    ///
    /// # Errors
    /// When the method and path are taken, or the pattern conflicts with one that is there.
    pub fn insert(&mut self, method: &str, path: &str, endpoint: T) -> Result<(), TableFault> {
        let known = self.patterns.iter().position(|pattern| pattern == path);
        let position = match known {
            Some(position) => position,
            None => {
                let fault = |error: matchit::InsertError| TableFault::Pattern(path.into(), words_of(&error));
                self.paths.insert(path, self.entries.len()).map_err(fault)?;
                self.patterns.push(path.into());
                self.entries.push(Entry { methods: Vec::new() });
                self.entries.len() - 1
            }
        };
        let Some(entry) = self.entries.get_mut(position) else {
            return Ok(());
        };
        if entry.methods.iter().any(|(taken, _)| taken == method) {
            return Err(TableFault::Taken(method.into(), path.into()));
        }
        entry.methods.push((method.into(), endpoint));
        Ok(())
    }

    /// Finds the endpoint of a request.
    pub fn find(&self, method: &str, path: &str) -> Found<'_, T> {
        let Ok(matched) = self.paths.at(path) else {
            return Found::Nothing;
        };
        let Some(entry) = self.entries.get(*matched.value) else {
            return Found::Nothing;
        };
        match entry.methods.iter().find(|(known, _)| known == method) {
            Some((_, endpoint)) => {
                let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let parameters = matched.params.iter().map(|(name, value)| (name.to_owned(), decoded(value)));
                Found::Endpoint(endpoint, parameters.collect())
            }
            None => Found::OtherMethods(entry.methods.iter().map(|(known, _)| known.as_str()).collect()),
        }
    }
}

fn words_of(error: &matchit::InsertError) -> String {
    match error {
        matchit::InsertError::Conflict { with } => format!("cannot stand beside {with}"),
        other => format!("is malformed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_share_a_path() {
        let mut table = Table::default();
        table.insert("GET", "/a/{id}", 1).expect("new");
        table.insert("PUT", "/a/{id}", 2).expect("another method");
        let parameters = vec![("id".to_owned(), "x y/z".to_owned())];
        assert_eq!(table.find("PUT", "/a/x%20y%2Fz"), Found::Endpoint(&2, parameters));
        assert_eq!(table.find("DELETE", "/a/1"), Found::OtherMethods(vec!["GET", "PUT"]));
        assert_eq!(table.find("GET", "/b"), Found::Nothing);
        assert_eq!(table.insert("GET", "/a/{id}", 3), Err(TableFault::Taken("GET".into(), "/a/{id}".into())));
        let conflict = table.insert("GET", "/a/{other}", 3).expect_err("conflicts");
        assert_eq!(conflict.to_string(), "the path /a/{other} cannot stand beside /a/{id}");
    }
}
