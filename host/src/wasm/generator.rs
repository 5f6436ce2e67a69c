//! Owns ids made by a guest of world `id-generator`.
//! Must not know what the ids are for.

use super::bindings::id_generator::IdGeneratorPre;
use super::control::Metered;
use super::engine::WasmEngine;
use super::granted::Granted;
use super::instance::{HostState, new_store};
use crate::executor::IdGenerator;
use crate::ids::TaskId;
use crate::tenant::Account;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// A request waits for its id, so the guest has not long.
const TIME_LIMIT: Duration = Duration::from_secs(1);
const MEMORY: u64 = 32 << 20;
/// Random bytes handed to each call.
const ENTROPY: usize = 32;

/// Makes each id in a fresh instance.
pub struct GuestIds {
    engine: Arc<WasmEngine>,
    account: Arc<Account>,
    pre: Arc<IdGeneratorPre<HostState>>,
}

impl GuestIds {
    pub(super) fn new(engine: Arc<WasmEngine>, account: Arc<Account>, pre: IdGeneratorPre<HostState>) -> Self {
        Self { engine, account, pre: Arc::new(pre) }
    }
}

impl IdGenerator for GuestIds {
    fn generate(&self) -> BoxFuture<'static, Result<TaskId, String>> {
        let (engine, account, pre) = (Arc::clone(&self.engine), Arc::clone(&self.account), Arc::clone(&self.pre));
        Box::pin(async move {
            let entropy = entropy()?;
            let share = tokio::time::timeout(TIME_LIMIT, Arc::clone(&engine.others).acquire_owned()).await;
            let share = share.map_err(|_| "the host has no room for another instance")?.map_err(|e| e.to_string())?;
            let _ticking = engine.ticker.busy();
            // A request waits: it is not held up because others of its tenant have used too much.
            let control = engine.control(&engine.ledger.account(None)).limited(Some(TIME_LIMIT)).paid_by(account);
            let control = Arc::new(control);
            let arriving = Arc::clone(&control);
            let sender = Arc::clone(&engine.sender);
            let call = Metered::new(Arc::clone(&control), async move {
                let _share = share;
                let mut store = new_store(pre.engine(), MEMORY, control, &Granted::default(), &sender)?;
                let guest = pre.instantiate_async(&mut store).await?;
                guest.call_generate(&mut store, &entropy).await
            });
            let task = engine.spawn(call).ok_or("the engine has shut down")?;
            arriving.arrive();
            match tokio::time::timeout(TIME_LIMIT, AbortOnDropHandle::new(task)).await {
                Ok(Ok(Ok(id))) => TaskId::parse(&id).map_err(|fault| fault.to_string()),
                Ok(Ok(Err(error))) => Err(error.root_cause().to_string()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => {
                    drop(engine.ticker.kick());
                    Err(format!("it took longer than {TIME_LIMIT:?}"))
                }
            }
        })
    }
}

fn entropy() -> Result<[u8; ENTROPY], String> {
    let mut bytes = [0; ENTROPY];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
