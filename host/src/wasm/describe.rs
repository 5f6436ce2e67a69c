//! Owns asking a component what it takes and gives: `describe` of world `described-route`, once, at load, within limits.
//! Must not know what the description is used for.

use super::bindings::route::sandpool::route::types;
use super::control::Metered;
use super::engine::WasmEngine;
use super::granted::Granted;
use super::instance::{HostState, new_store};
use super::trap;
use crate::schema::{Description, Schema};
use crate::task::ending::Outcome;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// The export.
const DESCRIBE: &str = "describe";
const CPU_LIMIT: Duration = Duration::from_secs(1);
/// Longer than the CPU limit for a busy machine, and for guests that only wait.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Enough for a bundled interpreter, whatever the route's own guests get.
const MEMORY: u64 = 128 << 20;
/// The most bytes of each text.
const MAX_TEXT: usize = 64 << 10;

/// The component's description, charged to a tenant or the host itself; `None` when it exports no `describe`. Blocks for as long as the guest takes.
pub fn describe(
    engine: &Arc<WasmEngine>,
    pre: &InstancePre<HostState>,
    tenant: Option<&str>,
) -> Result<Option<Description>, String> {
    if pre.component().get_export_index(None, DESCRIBE).is_none() {
        return Ok(None);
    }
    let said = call(engine, pre.clone(), tenant).map_err(|why| format!("its `describe` {why}"))?;
    described(said).map(Some)
}

fn call(
    engine: &Arc<WasmEngine>,
    pre: InstancePre<HostState>,
    tenant: Option<&str>,
) -> Result<types::Description, String> {
    let instances = Arc::clone(&engine.others);
    let sender = Arc::clone(&engine.sender);
    // It is not held up because others of its tenant have used too much: whoever loads it waits.
    let control = engine.control(&engine.ledger.account(None)).limited(Some(CPU_LIMIT));
    let control = Arc::new(control.paid_by(engine.ledger.account(tenant)));
    let guest = Metered::new(Arc::clone(&control), async move {
        let _share = instances.acquire_owned().await.map_err(|error| error.to_string())?;
        let store = new_store(pre.engine(), MEMORY, control, &Granted::default(), &sender);
        let mut store = store.map_err(|error| format!("failed: {error}"))?;
        let said = ask(&pre, &mut store).await;
        said.map_err(|error| match trap::outcome_of(&error, store.data()) {
            Outcome::Fault(fault) => format!("failed. {fault}"),
            _ => format!("failed: {}", error.root_cause()),
        })
    });
    let _ticking = engine.ticker.busy();
    let (answer, answered) = sync_channel(1);
    let running = engine.spawn(async move { drop(answer.send(guest.await)) }).ok_or("found the engine shut down")?;
    match answered.recv_timeout(TIME_LIMIT) {
        Ok(said) => said,
        Err(RecvTimeoutError::Timeout) => {
            running.abort();
            Err(format!("took longer than {} s", TIME_LIMIT.as_secs()))
        }
        Err(RecvTimeoutError::Disconnected) => Err("was cut off".into()),
    }
}

async fn ask(pre: &InstancePre<HostState>, store: &mut Store<HostState>) -> wasmtime::Result<types::Description> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let describe = instance.get_typed_func::<(), (types::Description,)>(&mut *store, DESCRIBE)?;
    let (description,) = describe.call_async(&mut *store, ()).await?;
    Ok(description)
}

fn described(said: types::Description) -> Result<Description, String> {
    let types::Description { summary, description, input_schema, result_schema } = said;
    for (text, field) in [(&summary, "summary"), (&description, "description")] {
        if text.len() > MAX_TEXT {
            return Err(format!("its `{field}` has more than {} KiB", MAX_TEXT >> 10));
        }
    }
    let schema = |text: Option<String>, field: &str| {
        text.map(|text| Schema::parse(&text)).transpose().map_err(|error| format!("its `{field}` is refused: {error}"))
    };
    let input_schema = schema(input_schema, "input-schema")?;
    let result_schema = schema(result_schema, "result-schema")?;
    Ok(Description { summary, description, input_schema, result_schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &str, summary: &str) -> types::Description {
        types::Description {
            summary: summary.into(),
            description: String::new(),
            input_schema: Some(input.into()),
            result_schema: None,
        }
    }

    #[test]
    fn schemas_are_checked_and_named() {
        let fault = described(said(r#"{"type": "nonsense"}"#, "")).expect_err("no schema");
        assert!(fault.contains("`input-schema`") && fault.contains("nonsense"), "{fault}");
        assert!(described(said("true", &"x".repeat(MAX_TEXT + 1))).expect_err("too long").contains("`summary`"));
        assert!(described(said(r#"{"type": "object"}"#, "An order")).expect("valid").input_schema.is_some());
    }
}
