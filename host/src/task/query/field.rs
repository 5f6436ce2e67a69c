//! Owns the fields that a query may name, and the kind of each.
//! Must not know what a task's fields hold.

use super::QueryFault;

/// The kind of what a field holds; it decides which operators and values fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text, compared without case.
    Text,
    /// A point in time.
    Date,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A task's state.
    State,
}

macro_rules! fields {
    ($($name:ident: $kind:ident, $text:literal;)*) => {
        /// A field of a query.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = $text] $name,)*
        }

        impl Field {
            /// All fields, in the contract's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The field's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The kind of what it holds.
            #[must_use]
            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }
        }
    };
}

fields! {
    Id: Text, "The task's id.";
    Name: Text, "The route's name.";
    Runspace: Text, "The newest attempt's slot, `node/route/slot`.";
    Output: Text, "The captured log's messages, one a line.";
    StartingTime: Date, "When its first attempt started.";
    CreationTime: Date, "When the request came.";
    CompletedTime: Date, "When it ended.";
    ExpireTime: Date, "When it is aborted at the latest.";
    State: State, "Where it stands.";
    Error: Text, "Why it did not complete.";
    CallbackSettings: Text, "The callback's settings as JSON text.";
    Cancellable: Boolean, "Whether a client may stop it.";
    EnableSse: Boolean, "Whether its route sends server-sent events.";
    SseGroup: Text, "The group of its events.";
    Timeout: Number, "Seconds from CreationTime to ExpireTime, -1 without a limit.";
    User: Text, "The owner's id.";
    Url: Text, "The URL of the request.";
    Method: Text, "The HTTP method of the request.";
    Progress: Number, "Per cent done.";
}

impl Field {
    /// The field of this name, in any case.
    ///
    /// # Errors
    /// A fault that names the nearest field.
    pub fn parse(name: &str) -> Result<Self, QueryFault> {
        if let Some(field) = Self::ALL.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
            return Ok(*field);
        }
        let shown = super::parse::shown(name);
        let message = match nearest(name) {
            Some(nearest) => format!("there is no field `{shown}`; did you mean `{}`?", nearest.name()),
            None => {
                let names: Vec<&str> = Self::ALL.iter().map(|field| field.name()).collect();
                format!("there is no field `{shown}`; the fields are {}", names.join(", "))
            }
        };
        Err(QueryFault::new(shown, message))
    }
}

/// The field that was meant, if a few strokes lead to it.
fn nearest(name: &str) -> Option<Field> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_lowercase();
    let distance = |field: &Field| strsim::damerau_levenshtein(&field.name().to_lowercase(), &name);
    let (strokes, field) = Field::ALL.iter().map(|field| (distance(field), *field)).min()?;
    (strokes <= 2.max(name.chars().count() / 3)).then_some(field)
}
