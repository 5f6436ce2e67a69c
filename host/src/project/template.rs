//! Owns what `sandpool new` writes: the files of a language's example, with the starter in place of the tour.
//! Must not know the languages' tools.

use super::{Language, ProjectError, embedded};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The longest name, in bytes.
const MAX_NAME: usize = 64;
/// Up to here, the example's `Cargo.toml` is also a project's.
const EXAMPLES_ONLY: &str = "# --- What follows is of these examples only";

/// Makes a project in a new folder of its name, or in an empty one. Returns the folder.
///
/// # Errors
/// When the name is none, the folder is not empty, or the system refuses; then nothing is left of it.
pub fn create(name: &str, language: &Language, parent: &Path) -> Result<PathBuf, ProjectError> {
    check(name)?;
    let folder = parent.join(name);
    match fs::read_dir(&folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(ProjectError::new(format!(
                    "{} is not empty: choose another name, or remove it",
                    folder.display()
                )));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(ProjectError::io("used", &folder, &error)),
    }
    // Written beside it, and moved there as a whole.
    let new = parent.join(format!(".{name}.new-{}", std::process::id()));
    let made = write(&new, files(name, language)).and_then(|()| {
        fs::rename(&new, &folder).map_err(|error| ProjectError::io("made", &folder, &error)).map(|()| folder)
    });
    if made.is_err() {
        drop(fs::remove_dir_all(&new));
    }
    made
}

fn check(name: &str) -> Result<(), ProjectError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && name.len() <= MAX_NAME && name.chars().all(fits) {
        return Ok(());
    }
    Err(ProjectError::new(format!(
        "expected a name of 1 to {MAX_NAME} letters, digits, - and _ that begins with a letter or _, found {name:?}"
    )))
}

fn write(folder: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<(), ProjectError> {
    for (path, content) in files {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| ProjectError::io("made", parent, &error))?;
        fs::write(&file, content).map_err(|error| ProjectError::io("written", &file, &error))?;
    }
    Ok(())
}

/// Does a project leave this file of the example out?
fn of_the_tour(path: &str) -> bool {
    let first = path.split(['/', '.']).next().unwrap_or_default();
    first == "tour" || matches!(path, "input.json" | "result.json" | "sandpool.project.yaml" | ".gitignore" | "build")
}

/// A project's files by their paths.
fn files(name: &str, language: &Language) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let example = format!("guest-examples/{}", language.name);
    for (path, content) in embedded(&example).filter(|(path, _)| !of_the_tour(path) && !path.starts_with("starter/")) {
        let content = if path == "Cargo.toml" { workspace(content) } else { content.to_vec() };
        files.insert(path.to_owned(), content);
    }
    for (path, content) in embedded(&format!("{example}/starter")) {
        let mut content = named(content, name, language);
        // The package of a project in Rust is the workspace, too.
        if let Some(rest) = files.get(path) {
            content.push(b'\n');
            content.extend(rest);
        }
        files.insert(path.to_owned(), content);
    }
    for (path, content) in embedded("guest-examples/starter") {
        let path = if path == "gitignore" { ".gitignore" } else { path };
        files.insert(path.to_owned(), named(content, name, language));
    }
    files.extend(embedded("wit").map(|(path, content)| (format!("wit/{path}"), content.to_vec())));
    for (path, before, after) in language.changes {
        let after = after.replace("{name}", name).replace("{lower}", &name.to_lowercase());
        if let Some(content) = files.get_mut(*path) {
            *content = String::from_utf8_lossy(content).replace(before, &after).into_bytes();
        }
    }
    files
}

/// A file of the starter, with the project's name.
fn named(content: &[u8], name: &str, language: &Language) -> Vec<u8> {
    let text = String::from_utf8_lossy(content).replace("LANGUAGE", language.name).replace("SOURCE", language.source);
    text.replace("starter", name).into_bytes()
}

/// The workspace of the examples in Rust with one member beside the project itself: the SDK.
fn workspace(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(content);
    let own = text.split(EXAMPLES_ONLY).next().unwrap_or_default().trim_end();
    let (Some((before, rest)), true) = (own.split_once("members = ["), text.contains(EXAMPLES_ONLY)) else {
        return content.to_vec();
    };
    let after = rest.split_once(']').map_or(rest, |(_, after)| after);
    format!("{before}members = [\"sdk\"]{after}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::language::LANGUAGES;
    use super::*;

    #[test]
    fn a_project_has_no_trace_of_the_tour_and_all_that_its_language_needs() {
        for language in &LANGUAGES {
            let files = files("greeter", language);
            for needed in ["README.md", ".gitignore", "sandpool.yaml", "cases.jsonl", "wit/worlds.wit", language.source]
            {
                assert!(files.contains_key(needed), "{}: no {needed} in {:?}", language.name, files.keys());
            }
            for (path, content) in files.iter().filter(|(path, _)| !path.starts_with("wit/") && *path != "Cargo.lock") {
                let text = String::from_utf8_lossy(content);
                for word in ["starter", "LANGUAGE", "SOURCE", "../..", "./tour", "sandpool-tour", EXAMPLES_ONLY] {
                    assert!(!text.contains(word), "{}: {word} in {path}", language.name);
                }
            }
            for (path, before, _) in language.changes {
                let (_, example) = embedded(&format!("guest-examples/{}", language.name))
                    .filter(|(name, _)| name.strip_prefix("starter/").unwrap_or(name) == *path)
                    .find(|(_, content)| String::from_utf8_lossy(content).contains(before))
                    .unwrap_or_else(|| panic!("{}: {path} has no {before}", language.name));
                assert!(!example.is_empty());
            }
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "_a", "word-count", "Route2", &"n".repeat(64)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "2a", "-a", ".", "..", "a/b", "a b", "a.b", "ä", "a\n", &"n".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
