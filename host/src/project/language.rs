//! Owns the table of languages: which files of the examples a project has, and what is different in it.
//! Must not know how they are built: the recipes do.

/// A language that projects are written in.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name, also that of its folder in `guest-examples` and of its recipe.
    pub name: &'static str,
    /// The file to begin with.
    pub source: &'static str,
    /// The parts of its recipe after `common`.
    pub(super) recipe: &'static [&'static str],
    /// Texts of the example's own files that a project has otherwise: file, before, after. `{name}` is the project's
    /// name, `{lower}` the same in lower case.
    pub(super) changes: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) static LANGUAGES: [Language; 5] = [
    Language {
        name: "rust",
        source: "src/lib.rs",
        recipe: &["rust-compiler", "rust"],
        changes: &[
            ("sdk/src/lib.rs", "\"../../../wit\"", "\"../wit\""),
            ("Cargo.toml", "Example components in Rust, a workspace of its own", "The workspace"),
            ("Cargo.toml", "by ../build or by", "by `sandpool build`, or where rustup has the target by"),
            ("Cargo.toml", "path = \"../sdk\"", "path = \"sdk\""),
        ],
    },
    Language {
        name: "js",
        source: "route.ts",
        recipe: &["js"],
        changes: &[
            ("package.json", "\"sandpool-tour\"", "\"sandpool-{lower}\""),
            ("package-lock.json", "\"sandpool-tour\"", "\"sandpool-{lower}\""),
            ("main.ts", "tour from \"./tour\"", "route from \"./route\""),
            ("main.ts", "component(tour)", "component(route)"),
        ],
    },
    Language { name: "python", source: "route.py", recipe: &["python"], changes: &[] },
    Language { name: "c", source: "route.c", recipe: &["c"], changes: &[] },
    Language { name: "go", source: "route.go", recipe: &["go"], changes: &[] },
];

impl Language {
    /// The language of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.name == name)
    }

    /// All names.
    #[must_use]
    pub fn names(between: &str) -> String {
        LANGUAGES.each_ref().map(|language| language.name).join(between)
    }
}
