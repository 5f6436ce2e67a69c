//! Owns typed routes: components whose `run` has types of its own. What they take and give, and their one call.
//! Must not know how instances are made or stopped.

mod shapes;
mod values;

use super::bindings::route::sandpool::route::types::Args;
use super::imports::StateHandle;
use super::instance::{HostState, MAX_RESULT, detail_of};
use super::stdio::Reports;
use crate::schema::shape::{Shape, Typed};
use crate::schema::{Description, Schema, SchemaFault};
use crate::task::ending::{Fault, Outcome};
use crate::task::log::{Level, Line};
use crate::value::Json;
use shapes::Shapes;
use std::sync::Arc;
use values::{args_shape, args_val, from_val, to_val};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Func, Resource, ResourceAny, ResourceType, Type, Val};
use wasmtime::{Engine, Store};

/// The export.
pub const RUN: &str = "run";
const STATE: &str = "sandpool:route/state@1.";

/// What a component's `run` takes and gives.
pub struct Signature {
    parameters: Vec<Parameter>,
    /// What the request's body must be; `None`: anything, and `run` reads it in `args`.
    input: Option<Arc<Shape>>,
    gives: Gives,
}

enum Parameter {
    State,
    Args,
    /// The input; one of several such parameters: a member of it.
    Value,
}

enum Gives {
    Plain(Option<Arc<Shape>>),
    Fallible { ok: Option<Arc<Shape>>, err: Option<Shape> },
}

impl Signature {
    /// The types of a component's `run`; `None` when it has no such function.
    ///
    /// # Errors
    /// What in them cannot cross, and where.
    pub fn of(component: &Component, engine: &Engine) -> Result<Option<Self>, String> {
        let ty = component.component_type();
        let Some(ComponentItem::ComponentFunc(run)) = ty.get_export(engine, RUN).map(|export| export.ty) else {
            return Ok(None);
        };
        let state = ty.imports(engine).find(|(name, _)| name.starts_with(STATE)).and_then(|(_, import)| {
            let ComponentItem::ComponentInstance(interface) = import.ty else { return None };
            match interface.get_export(engine, "state")?.ty {
                ComponentItem::Resource(resource) => Some(resource),
                _ => None,
            }
        });
        Self::of_function(&run, state).map(Some)
    }

    fn of_function(run: &ComponentFunc, state: Option<ResourceType>) -> Result<Self, String> {
        let (mut parameters, mut values) = (Vec::new(), Vec::new());
        let (mut shapes, args) = (Shapes::default(), args_shape());
        let is_state = |ty: &Type| matches!(ty, Type::Own(resource) if Some(*resource) == state);
        for (name, ty) in run.params() {
            let parameter = if is_state(&ty) {
                Parameter::State
            } else {
                let shape = shapes.of(&ty).map_err(|why| format!("its parameter `{name}`: {why}"))?;
                if shape == args {
                    Parameter::Args
                } else {
                    values.push((name.to_owned(), shape));
                    Parameter::Value
                }
            };
            let once = !matches!(parameter, Parameter::Value);
            if once
                && parameters.iter().any(|before| std::mem::discriminant(before) == std::mem::discriminant(&parameter))
            {
                return Err(format!("its parameter `{name}`: `state` and `args` are given once only"));
            }
            parameters.push(parameter);
        }
        let has_args = parameters.iter().any(|parameter| matches!(parameter, Parameter::Args));
        let input = match (values.pop(), values.is_empty()) {
            (None, _) => (!has_args).then_some(Shape::Nothing),
            (Some((_, only)), true) => Some(only),
            (Some(last), false) => {
                values.push(last);
                Some(Shape::Record(values))
            }
        };
        let mut part = |ty: Option<Type>| ty.map(|ty| shapes.of(&ty)).transpose();
        let gives = match run.results().next() {
            Some(Type::Result(result)) => {
                part(result.ok()).and_then(|ok| Ok(Gives::Fallible { ok: ok.map(Arc::new), err: part(result.err())? }))
            }
            plain => part(plain).map(|plain| Gives::Plain(plain.map(Arc::new))),
        };
        let gives = gives.map_err(|why| format!("its result: {why}"))?;
        Ok(Self { parameters, input: input.map(Arc::new), gives })
    }

    /// What it takes and gives, with the words of the component's own `describe`. The types win over its schemas.
    pub fn described(&self, own: Option<Description>) -> Description {
        let ok = match &self.gives {
            Gives::Plain(ok) | Gives::Fallible { ok, .. } => ok.as_ref(),
        };
        Description {
            input_schema: self.input.as_ref().map(Schema::of),
            result_schema: ok.map(Schema::of),
            ..own.unwrap_or_default()
        }
    }

    /// The values of the parameters, but the handle.
    fn arguments(&self, input: &Json, args: Args) -> Result<Vec<Option<Val>>, Vec<SchemaFault>> {
        let several = self.parameters.iter().filter(|parameter| matches!(parameter, Parameter::Value)).count() > 1;
        let mut values = Vec::new();
        if let Some(shape) = self.input.as_deref() {
            match (shape, shape.read(input)?) {
                (Shape::Record(fields), Typed::Items(items)) if several => {
                    values.extend(fields.iter().zip(items).map(|((_, shape), item)| to_val(shape, item)));
                }
                (_, value) => values.push(to_val(shape, value)),
            }
        }
        let (mut values, mut args) = (values.into_iter(), Some(args));
        let argument = |parameter: &Parameter| match parameter {
            Parameter::State => None,
            Parameter::Args => args.take().map(args_val),
            Parameter::Value => values.next(),
        };
        Ok(self.parameters.iter().map(argument).collect())
    }

    /// Calls it. The inner outcome is that of an input that does not fit: no guest code runs.
    ///
    /// # Errors
    /// How the guest ended instead of returning.
    pub async fn call(
        &self,
        run: Func,
        store: &mut Store<HostState>,
        args: Args,
        input: &Json,
        handle: Resource<StateHandle>,
    ) -> wasmtime::Result<Result<Option<Val>, Outcome>> {
        let arguments = match self.arguments(input, args) {
            Ok(arguments) => arguments,
            Err(faults) => return Ok(Err(unfit(&faults))),
        };
        let handle = ResourceAny::try_from_resource(handle, &mut *store)?;
        let arguments: Vec<Val> =
            arguments.into_iter().map(|argument| argument.unwrap_or(Val::Resource(handle))).collect();
        let nothing = matches!(self.gives, Gives::Plain(None));
        let mut results = vec![Val::Bool(false); usize::from(!nothing)];
        run.call_async(&mut *store, &arguments, &mut results).await?;
        Ok(Ok(results.pop()))
    }

    /// How a call that returned turned out.
    pub fn outcome(&self, returned: Option<Val>, reports: &Reports) -> Outcome {
        match (&self.gives, returned) {
            (Gives::Fallible { err, .. }, Some(Val::Result(Err(error)))) => match (err, error) {
                (Some(shape), Some(error)) => failure(shape, *error, reports),
                _ => failed("The component failed without saying why".into(), None),
            },
            (Gives::Fallible { ok, .. }, Some(Val::Result(Ok(value)))) => completed(ok.as_deref(), value.map(|v| *v)),
            (Gives::Plain(shape), value) => completed(shape.as_deref(), value),
            _ => misfit(),
        }
    }
}

/// The component has changed since the task was accepted.
fn unfit(faults: &[SchemaFault]) -> Outcome {
    let first = faults.first().map_or("", |fault| fault.message.as_str());
    let more = match faults.len() {
        0 | 1 => String::new(),
        all => format!(", and {} more", all - 1),
    };
    let message = format!("The input does not fit the types of the route's component: {first}{more}");
    failed(message, Json::from_serialize(faults).ok())
}

fn failed(message: String, detail: Option<Json>) -> Outcome {
    Outcome::Failed { message: Line::cut(message), detail }
}

fn misfit() -> Outcome {
    Outcome::Fault(Fault::BadResult("it is not of the type that `run` promises".into()))
}

fn completed(shape: Option<&Shape>, value: Option<Val>) -> Outcome {
    let (Some(shape), Some(value)) = (shape, value) else { return Outcome::Completed(Json::null()) };
    let Some(value) = from_val(shape, value) else { return misfit() };
    match shape.write(&value, MAX_RESULT) {
        Ok(json) => Outcome::Completed(json),
        Err(_) => Outcome::Fault(Fault::BadResult(format!("it has more than {} MiB as JSON", MAX_RESULT >> 20))),
    }
}

/// A text is the message; so is the field `message` of a record, and the name of a variant's case.
fn failure(shape: &Shape, error: Val, reports: &Reports) -> Outcome {
    let Some(error) = from_val(shape, error) else { return misfit() };
    match (shape, &error) {
        (Shape::Text, Typed::Text(message)) => return failed(message.clone(), None),
        (Shape::Record(fields), Typed::Items(items)) if is_failure(fields) => {
            if let [Typed::Text(message), Typed::Option(detail)] = items.as_slice() {
                let detail = match detail.as_deref() {
                    Some(Typed::Text(detail)) => detail_of(detail.clone(), reports),
                    _ => None,
                };
                return failed(message.clone(), detail);
            }
        }
        _ => {}
    }
    let message = match (shape, &error) {
        (Shape::Record(fields), Typed::Items(items)) => {
            let message = fields.iter().zip(items).find(|((name, _), _)| name == "message");
            message.and_then(|(_, value)| if let Typed::Text(text) = value { Some(text.clone()) } else { None })
        }
        (Shape::Variant(_) | Shape::Enum(_), Typed::Case(position, _)) => {
            shape.case(*position).map(|(name, _)| name.to_owned())
        }
        _ => None,
    };
    let message = message.unwrap_or_else(|| "The component failed; the task's result says why".into());
    let detail = shape.write(&error, MAX_RESULT).inspect_err(|fault| {
        reports.log(Level::Warn, format!("the failure's detail was dropped: {fault}"), Vec::new());
    });
    failed(message, detail.ok())
}

/// Whether it is the record `failure` of the interface `types`, whose detail is a JSON text.
fn is_failure(fields: &[(String, Shape)]) -> bool {
    matches!(fields, [(message, Shape::Text), (detail, Shape::Option(text))]
        if message == "message" && detail == "detail" && **text == Shape::Text)
}
