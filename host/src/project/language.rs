//! Owns the table of languages: which files of the examples a project has, and what is different in it.
//! Must not know how they are built: the recipes do.

/// A language that projects are written in.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name, also that of its folder in `guest-examples` and of its recipe.
    pub name: &'static str,
    /// The file to begin with.
    pub source: &'static str,
    /// The folder of its toolchain, where projects share them; languages with the same one share it, too.
    pub(super) toolchain: &'static str,
    /// The parts of its recipe after `common`.
    pub(super) recipe: &'static [&'static str],
    /// Texts of the example's own files that a project has otherwise: file, before, after. `{name}` is the project's
    /// name, `{lower}` the same in lower case.
    pub(super) changes: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) static LANGUAGES: [Language; 7] = [
    Language {
        name: "rust",
        source: "src/lib.rs",
        toolchain: "rust",
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
        toolchain: "js",
        recipe: &["js"],
        changes: &[
            ("package.json", "\"sandpool-tour\"", "\"sandpool-{lower}\""),
            ("package-lock.json", "\"sandpool-tour\"", "\"sandpool-{lower}\""),
            ("main.ts", "tour from \"./tour\"", "route from \"./route\""),
            ("main.ts", "component(tour)", "component(route)"),
        ],
    },
    plain("python", "route.py", "python", &["python"]),
    plain("c", "route.c", "zig", &["zig-compiler", "c"]),
    plain("cpp", "route.cpp", "zig", &["zig-compiler", "cpp"]),
    plain("go", "route.go", "go", &["go"]),
    plain("zig", "route.zig", "zig", &["zig-compiler", "zig"]),
];

/// A language whose projects have the example's files as they are.
const fn plain(
    name: &'static str,
    source: &'static str,
    toolchain: &'static str,
    recipe: &'static [&'static str],
) -> Language {
    Language { name, source, toolchain, recipe, changes: &[] }
}

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
