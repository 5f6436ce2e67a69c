//! Owns the way from the engine's types to ours: which types can cross as JSON, within bounds.
//! Must not know what a parameter is for.

use crate::schema::shape::{Integer, MAX_DEPTH, MAX_NAMES, MAX_PARTS, Shape};
use wasmtime::component::Type;

/// Takes over the types of one function, which share the bounds.
#[derive(Default)]
pub struct Shapes {
    parts: usize,
    names: usize,
    /// From the type that is being taken over down to the part that is.
    path: Vec<String>,
}

impl Shapes {
    /// The type as one of ours.
    ///
    /// # Errors
    /// What in it cannot cross, and where: `items[].owner: …`.
    pub fn of(&mut self, ty: &Type) -> Result<Shape, String> {
        self.path.clear();
        self.shape(ty).map_err(|why| match self.path.concat().trim_start_matches('.') {
            "" => why,
            place => format!("{place}: {why}"),
        })
    }

    fn shape(&mut self, ty: &Type) -> Result<Shape, String> {
        self.count("")?;
        if self.path.len() >= MAX_DEPTH {
            self.path.truncate(3);
            return Err(format!("types nest deeper than {MAX_DEPTH} levels below here"));
        }
        let integer = |bits, signed| Shape::Integer(Integer { bits, signed });
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::U8 => integer(8, false),
            Type::U16 => integer(16, false),
            Type::U32 => integer(32, false),
            Type::U64 => integer(64, false),
            Type::S8 => integer(8, true),
            Type::S16 => integer(16, true),
            Type::S32 => integer(32, true),
            Type::S64 => integer(64, true),
            Type::Float32 => Shape::Float32,
            Type::Float64 => Shape::Float64,
            Type::Char => Shape::Char,
            Type::String => Shape::Text,
            Type::List(list) if list.ty() == Type::U8 => Shape::Bytes,
            Type::List(list) => Shape::List(Box::new(self.part("[]", &list.ty())?)),
            Type::Record(record) => {
                let mut fields = Vec::new();
                for field in record.fields() {
                    self.count(field.name)?;
                    fields.push((field.name.to_owned(), self.part(&format!(".{}", field.name), &field.ty)?));
                }
                Shape::Record(fields)
            }
            Type::Tuple(tuple) => {
                let mut items = Vec::new();
                for (position, ty) in tuple.types().enumerate() {
                    items.push(self.part(&format!("[{position}]"), &ty)?);
                }
                Shape::Tuple(items)
            }
            Type::Variant(variant) => {
                let mut cases = Vec::new();
                for case in variant.cases() {
                    self.count(case.name)?;
                    let carried = case.ty.map(|ty| self.part(&format!(".{}", case.name), &ty)).transpose()?;
                    cases.push((case.name.to_owned(), carried));
                }
                Shape::Variant(cases)
            }
            Type::Enum(names) => Shape::Enum(self.names(names.names())?),
            Type::Flags(names) => Shape::Flags(self.names(names.names())?),
            Type::Option(option) => match self.part("", &option.ty())? {
                Shape::Option(_) => {
                    return Err("option<option<…>>: JSON has one null only; use a variant instead".into());
                }
                some => Shape::Option(Box::new(some)),
            },
            Type::Result(result) => {
                let mut side = |name: &str, ty: Option<Type>| {
                    ty.map(|ty| self.part(&format!(".{name}"), &ty).map(Box::new)).transpose()
                };
                Shape::Result(side("ok", result.ok())?, side("err", result.err())?)
            }
            other => return Err(format!("a {} cannot cross as JSON", kind_of(other))),
        })
    }

    fn part(&mut self, place: &str, ty: &Type) -> Result<Shape, String> {
        self.path.push(place.to_owned());
        let shape = self.shape(ty)?;
        self.path.pop();
        Ok(shape)
    }

    fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
        names.map(|name| self.count(name).map(|()| name.to_owned())).collect()
    }

    fn count(&mut self, name: &str) -> Result<(), String> {
        self.parts += 1;
        self.names += name.len();
        if self.parts > MAX_PARTS || self.names > MAX_NAMES {
            // Where it is too much by one says nothing.
            self.path.clear();
            return Err(format!("`run` has more than {MAX_PARTS} types and names, or {MAX_NAMES} bytes of names"));
        }
        Ok(())
    }
}

fn kind_of(ty: &Type) -> &'static str {
    match ty {
        Type::Own(_) | Type::Borrow(_) => "resource (of which `own<state>` as a parameter is the only one taken)",
        Type::Future(_) => "future",
        Type::Stream(_) => "stream",
        Type::ErrorContext => "error-context",
        Type::Map(_) => "map",
        _ => "value of this type",
    }
}
