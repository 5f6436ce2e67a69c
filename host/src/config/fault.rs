//! Owns what is wrong with a configuration file, and the collecting of it: all faults are told at once.
//! Must not know which rules a configuration has.

use std::cell::RefCell;
use std::fmt;

/// Where something stands in the file; both count from 1, columns in characters.
/// Line 0 is the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub const FILE: Self = Self { line: 0, column: 0 };
}

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1; 0 when the fault is that of the file as a whole.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.file, self.message),
            line => write!(formatter, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

/// All that is wrong with a configuration file, in the file's order; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Takes faults from readers that go on after one. Shared, so that nested readers can report in any order.
pub struct Sink {
    file: String,
    faults: RefCell<Vec<Fault>>,
    /// Variables and their values, which no fault may show.
    concealed: RefCell<Vec<(String, String)>>,
}

/// Shorter values of variables are no secrets, and stand in other words by chance.
const MIN_CONCEALED: usize = 4;

impl Sink {
    /// No faults yet in the file of this name.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), faults: RefCell::default(), concealed: RefCell::default() }
    }

    /// From now on no fault shows this value of a variable.
    pub fn conceal(&self, name: String, value: String) {
        if value.len() >= MIN_CONCEALED {
            self.concealed.borrow_mut().push((name, value));
        }
    }

    /// A text with `${NAME}` in place of the values of variables.
    pub fn without_values(&self, text: &str) -> String {
        let concealed = self.concealed.borrow();
        concealed.iter().fold(text.to_owned(), |text, (name, value)| match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), &format!("${{{name}}}")),
            false => text,
        })
    }

    /// Takes a fault.
    pub fn report(&self, place: Place, message: impl Into<String>) {
        let (Place { line, column }, message) = (place, self.without_values(&message.into()));
        self.faults.borrow_mut().push(Fault { file: self.file.clone(), line, column, message });
    }

    /// `value`, unless there were faults or there is no value.
    ///
    /// # Errors
    /// The faults, in the file's order.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(Faults(faults)),
        }
    }
}

/// `; did you mean …?` when one of the candidates is close to `word`, else nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |candidate: &str| strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase());
    // The measure of cargo and rustc: a third of the letters may differ.
    let most = word.chars().count().max(3) / 3;
    // Long words are no slips of the pen, and the distance takes their lengths' product.
    let candidates = candidates.into_iter().filter(|candidate| word.len().max(candidate.len()) <= 128);
    let near = candidates.map(|candidate| (distance(candidate), candidate)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_understood() {
        let keys = ["timeout", "run_timeout", "memory"];
        assert_eq!(did_you_mean("timout", keys), "; did you mean `timeout`?");
        assert_eq!(did_you_mean("Memroy", keys), "; did you mean `memory`?");
        assert_eq!(did_you_mean("colour", keys), "");
        assert_eq!(did_you_mean(&"x".repeat(1 << 20), keys), "");
    }

    #[test]
    fn faults_stand_in_the_order_of_the_file() {
        let sink = Sink::new("a.yaml");
        sink.report(Place { line: 10, column: 1 }, "third");
        sink.report(Place { line: 2, column: 5 }, "second");
        sink.report(Place::FILE, "first");
        let faults = sink.finish(Some(())).expect_err("faults");
        assert_eq!(faults.to_string(), "a.yaml: first\na.yaml:2:5: second\na.yaml:10:1: third");
    }
}
