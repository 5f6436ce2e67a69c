//! Owns the way of values between our types and the engine's. Must not know JSON.

use crate::schema::shape::{Shape, Typed};
use crate::wasm::bindings::route::sandpool::route::types::{Args, User};
use wasmtime::component::Val;

/// A value for the engine. A value that is not of the type, which no reader makes, becomes an empty tuple: the engine
/// refuses that, with a message.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn to_val(shape: &Shape, value: Typed) -> Val {
    match (shape, value) {
        (Shape::Bool, Typed::Bool(value)) => Val::Bool(value),
        (Shape::Integer(integer), Typed::Integer(number)) => match (integer.bits, integer.signed) {
            (8, false) => Val::U8(number as u8),
            (8, true) => Val::S8(number as i8),
            (16, false) => Val::U16(number as u16),
            (16, true) => Val::S16(number as i16),
            (32, false) => Val::U32(number as u32),
            (32, true) => Val::S32(number as i32),
            (_, false) => Val::U64(number as u64),
            (_, true) => Val::S64(number as i64),
        },
        (Shape::Float32, Typed::Float(number)) => Val::Float32(number as f32),
        (Shape::Float64, Typed::Float(number)) => Val::Float64(number),
        (Shape::Char, Typed::Char(one)) => Val::Char(one),
        (Shape::Text, Typed::Text(text)) => Val::String(text),
        (Shape::Bytes, Typed::Bytes(bytes)) => Val::List(bytes.into_iter().map(Val::U8).collect()),
        (Shape::List(item), Typed::Items(items)) => Val::List(items.into_iter().map(|v| to_val(item, v)).collect()),
        (Shape::Record(fields), Typed::Items(items)) => {
            let fields = fields.iter().zip(items);
            Val::Record(fields.map(|((name, shape), value)| (name.clone(), to_val(shape, value))).collect())
        }
        (Shape::Tuple(shapes), Typed::Items(items)) => {
            Val::Tuple(shapes.iter().zip(items).map(|(shape, value)| to_val(shape, value)).collect())
        }
        (Shape::Option(shape), Typed::Option(some)) => Val::Option(some.map(|some| Box::new(to_val(shape, *some)))),
        (Shape::Enum(names), Typed::Case(position, _)) => names.get(position).cloned().map_or_else(none, Val::Enum),
        (Shape::Variant(cases), Typed::Case(position, carried)) => cases
            .get(position)
            .map_or_else(none, |(name, shape)| Val::Variant(name.clone(), payload(shape.as_ref(), carried))),
        (Shape::Result(ok, _), Typed::Case(0, carried)) => Val::Result(Ok(payload(ok.as_deref(), carried))),
        (Shape::Result(_, err), Typed::Case(_, carried)) => Val::Result(Err(payload(err.as_deref(), carried))),
        (Shape::Flags(names), Typed::Flags(set)) => {
            Val::Flags(set.into_iter().filter_map(|position| names.get(position).cloned()).collect())
        }
        _ => none(),
    }
}

fn none() -> Val {
    Val::Tuple(Vec::new())
}

fn payload(shape: Option<&Shape>, carried: Option<Box<Typed>>) -> Option<Box<Val>> {
    Some(Box::new(to_val(shape?, *carried?)))
}

/// A value from the engine, which keeps to its types; `None` if it should not.
pub fn from_val(shape: &Shape, value: Val) -> Option<Typed> {
    let carry = |shape: Option<&Shape>, carried: Option<Box<Val>>| match (shape, carried) {
        (Some(shape), Some(carried)) => from_val(shape, *carried).map(|carried| Some(Box::new(carried))),
        (None, None) => Some(None),
        _ => None,
    };
    let position = |names: &[String], name: &str| names.iter().position(|known| known == name);
    Some(match (shape, value) {
        (_, Val::Bool(value)) => Typed::Bool(value),
        (_, Val::U8(number)) => Typed::Integer(number.into()),
        (_, Val::S8(number)) => Typed::Integer(number.into()),
        (_, Val::U16(number)) => Typed::Integer(number.into()),
        (_, Val::S16(number)) => Typed::Integer(number.into()),
        (_, Val::U32(number)) => Typed::Integer(number.into()),
        (_, Val::S32(number)) => Typed::Integer(number.into()),
        (_, Val::U64(number)) => Typed::Integer(number.into()),
        (_, Val::S64(number)) => Typed::Integer(number.into()),
        (_, Val::Float32(number)) => Typed::Float(number.into()),
        (_, Val::Float64(number)) => Typed::Float(number),
        (_, Val::Char(one)) => Typed::Char(one),
        (_, Val::String(text)) => Typed::Text(text),
        (Shape::Bytes, Val::List(items)) => Typed::Bytes(
            items.into_iter().filter_map(|item| if let Val::U8(byte) = item { Some(byte) } else { None }).collect(),
        ),
        (Shape::List(shape), Val::List(items)) => {
            Typed::Items(items.into_iter().map(|item| from_val(shape, item)).collect::<Option<_>>()?)
        }
        (Shape::Record(fields), Val::Record(values)) => {
            let values = fields.iter().zip(values).map(|((_, shape), (_, value))| from_val(shape, value));
            Typed::Items(values.collect::<Option<_>>()?)
        }
        (Shape::Tuple(shapes), Val::Tuple(values)) => {
            let values = shapes.iter().zip(values).map(|(shape, value)| from_val(shape, value));
            Typed::Items(values.collect::<Option<_>>()?)
        }
        (Shape::Option(shape), Val::Option(some)) => {
            Typed::Option(some.map(|some| from_val(shape, *some).map(Box::new).ok_or(())).transpose().ok()?)
        }
        (Shape::Enum(names), Val::Enum(name)) => Typed::Case(position(names, &name)?, None),
        (Shape::Variant(cases), Val::Variant(name, carried)) => {
            let at = cases.iter().position(|(known, _)| *known == name)?;
            Typed::Case(at, carry(cases.get(at)?.1.as_ref(), carried)?)
        }
        (Shape::Result(ok, _), Val::Result(Ok(carried))) => Typed::Case(0, carry(ok.as_deref(), carried)?),
        (Shape::Result(_, err), Val::Result(Err(carried))) => Typed::Case(1, carry(err.as_deref(), carried)?),
        (Shape::Flags(names), Val::Flags(set)) => {
            Typed::Flags(set.iter().map(|name| position(names, name)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The record `args` of the interface `types`.
pub fn args_shape() -> Shape {
    let texts = || Shape::List(Box::new(Shape::Text));
    let pairs = || Shape::List(Box::new(Shape::Tuple(vec![Shape::Text, Shape::Text])));
    let record = |fields: Vec<(&str, Shape)>| {
        Shape::Record(fields.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect())
    };
    let request = record(vec![
        ("method", Shape::Text),
        ("url", Shape::Text),
        ("path-parameters", pairs()),
        ("query", pairs()),
        ("headers", pairs()),
    ]);
    let user = record(vec![("id", Shape::Text), ("groups", texts()), ("roles", texts()), ("scopes", texts())]);
    record(vec![
        ("task-id", Shape::Text),
        ("arguments", Shape::Text),
        ("variables", Shape::Text),
        ("input", Shape::Text),
        ("request", request),
        ("user", Shape::Option(Box::new(user))),
        ("attempt", Shape::Integer(crate::schema::shape::Integer { bits: 32, signed: false })),
    ])
}

/// That record.
pub fn args_val(args: Args) -> Val {
    let text = Val::String;
    let texts = |items: Vec<String>| Val::List(items.into_iter().map(Val::String).collect());
    let pairs = |items: Vec<(String, String)>| {
        Val::List(items.into_iter().map(|(name, value)| Val::Tuple(vec![text(name), text(value)])).collect())
    };
    let record = |fields: Vec<(&str, Val)>| {
        Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let Args { task_id, arguments, variables, input, request, user, attempt } = args;
    let request = record(vec![
        ("method", text(request.method)),
        ("url", text(request.url)),
        ("path-parameters", pairs(request.path_parameters)),
        ("query", pairs(request.query)),
        ("headers", pairs(request.headers)),
    ]);
    let user = user.map(|User { id, groups, roles, scopes }| {
        let fields =
            vec![("id", text(id)), ("groups", texts(groups)), ("roles", texts(roles)), ("scopes", texts(scopes))];
        Box::new(record(fields))
    });
    record(vec![
        ("task-id", text(task_id)),
        ("arguments", text(arguments)),
        ("variables", text(variables)),
        ("input", text(input)),
        ("request", request),
        ("user", Val::Option(user)),
        ("attempt", Val::U32(attempt)),
    ])
}
