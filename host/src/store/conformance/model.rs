//! Owns the comparison of a store with the state machine over random histories.
//! Must not know which database is behind the store.

use super::{Shared, at, claim, ending, new_task, stored};
use crate::store::Store;
use crate::task::Task;
use crate::task::state::{Event, State};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[derive(Debug, Clone)]
enum Step {
    Claim { attempts_before: u32 },
    Postpone { attempt: u32 },
    Finish { attempt: u32, event: Event },
}

fn any_step() -> impl Strategy<Value = Step> {
    let attempt = 0..4_u32;
    let event = proptest::sample::select(&[Event::Complete, Event::Fail, Event::Abort][..]);
    prop_oneof![
        3 => attempt.clone().prop_map(|attempts_before| Step::Claim { attempts_before }),
        1 => attempt.clone().prop_map(|attempt| Step::Postpone { attempt }),
        2 => (attempt, event).prop_map(|(attempt, event)| Step::Finish { attempt, event }),
    ]
}

/// What the rules of a task make of a step: whether it takes effect.
fn expected(task: &mut Task, step: &Step, moment: i64) -> bool {
    match step {
        Step::Claim { attempts_before } => {
            *attempts_before == task.attempt && task.start(at(moment), "host-1/orders/0".into()).is_ok()
        }
        Step::Postpone { attempt } => {
            let due = *attempt == task.attempt && task.state == State::Running;
            if due {
                task.due = Some(at(moment));
            }
            due
        }
        Step::Finish { attempt, event } => *attempt == task.attempt && task.end(&ending(*event, moment)).is_ok(),
    }
}

async fn answered(store: &dyn Store, task: &Task, step: &Step, moment: i64) -> bool {
    let answer = match step {
        Step::Claim { attempts_before } => store.claim(claim(&task.id, *attempts_before, moment)).await,
        Step::Postpone { attempt } => store.postpone(&task.id, *attempt, at(moment)).await,
        Step::Finish { attempt, event } => store.finish(&task.id, *attempt, &ending(*event, moment)).await,
    };
    answer.expect("answers")
}

pub async fn any_history_agrees_with_the_state_machine(store: Shared) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let history = proptest::collection::vec(any_step(), 1..16).new_tree(&mut runner).expect("a history").current();
        let mut task = new_task();
        store.insert(&task).await.expect("inserts");
        for (step, moment) in history.iter().zip(2_000..) {
            let effect = answered(&*store, &task, step, moment).await;
            assert_eq!(effect, expected(&mut task, step, moment), "{step:?} of {history:?}");
            assert_eq!(stored(&*store, &task.id).await, task, "after {step:?} of {history:?}");
        }
    }
}
