//! Owns the tests of what tenants get of a host's slots: their shares, their quotas, and nothing at another's cost.
//! Must not repeat the unit tests of accounts.

use super::scripted::Act;
use super::world::{Lane, World, pool, route};
use crate::runner::SubmitError;
use crate::tenant::{Quota, Tenant};
use std::sync::Arc;
use std::time::Duration;

/// Everything that the host has.
fn open_quota() -> Quota {
    Quota { running: 1000, waiting: 100_000, ..Quota::NONE }
}

impl World {
    fn with_tenants(slots: u32, tenants: &[Arc<Tenant>]) -> Self {
        let world = Self::with_slots(slots);
        world.runner.0.options.ledger.apply(tenants);
        world
    }

    /// A route of a tenant with slots enough, whose tasks take so many milliseconds each.
    fn of_tenant(&self, tenant: &str, name: &str, millis: impl IntoIterator<Item = u64>) -> Lane {
        let route =
            crate::route::Route { name: name.into(), tenant: Some(tenant.into()), pool: pool(500, 100_000), ..route() };
        self.load(route, millis.into_iter().map(Act::complete))
    }

    async fn submit_many(&self, lane: &Lane, count: usize) {
        for _ in 0..count {
            self.try_submit(lane).await.expect("is taken");
        }
        self.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_queues_ten_thousand_holds_nobody_up() {
    let world = World::with_tenants(2, &[Tenant::with("a", 1, open_quota()), Tenant::with("b", 1, open_quota())]);
    let flood = world.of_tenant("a", "a:flood", vec![50; 2_000]);
    let probe = world.of_tenant("b", "b:probe", vec![1; 20]);
    // Without checks of the whole store at each: there are thousands.
    for _ in 0..2_000 {
        world.runner.submit(&flood.loaded, super::world::invocation(), None).await.expect("is taken");
    }
    for number in 0..20 {
        let asked = world.millis();
        let task = world.runner.submit(&probe.loaded, super::world::invocation(), None).await.expect("is taken");
        world.runner.wait(&task.id, super::world::EVER).await.expect("reads");
        let took = world.millis() - asked;
        // The next slot that gets free is its own: at most the rest of one task of a's, and its own time.
        assert!(took <= 50 + 1 + 2, "probe {number} took {took} ms");
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    assert!(flood.guests.began().len() < 100, "a's 2,000 tasks still wait");
}

#[tokio::test(start_paused = true)]
async fn slots_are_shared_by_weight_whatever_tasks_take() {
    let world = World::with_tenants(4, &[Tenant::with("a", 3, open_quota()), Tenant::with("b", 1, open_quota())]);
    // b's tasks take three times as long: by number it gets a ninth, by time a third of what a gets.
    let (a, b) = (world.of_tenant("a", "a:x", vec![10; 4_000]), world.of_tenant("b", "b:x", vec![30; 4_000]));
    for _ in 0..3_000 {
        world.runner.submit(&a.loaded, super::world::invocation(), None).await.expect("is taken");
        world.runner.submit(&b.loaded, super::world::invocation(), None).await.expect("is taken");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let time = |lane: &Lane, each: usize| (lane.guests.began().len() * each) as f64;
    let ratio = time(&a, 10) / time(&b, 30);
    println!("slot time of weight 3 to weight 1: {ratio:.2}");
    assert!((2.6..3.4).contains(&ratio), "{ratio}");
}

#[tokio::test(start_paused = true)]
async fn nobody_saves_up() {
    let world = World::with_tenants(1, &[Tenant::with("a", 1, open_quota()), Tenant::with("b", 1, open_quota())]);
    let (a, b) = (world.of_tenant("a", "a:x", vec![10; 900]), world.of_tenant("b", "b:x", vec![10; 900]));
    for _ in 0..400 {
        world.runner.submit(&a.loaded, super::world::invocation(), None).await.expect("is taken");
    }
    // b was away for 2 s, and then has its half, not all of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = a.guests.began().len();
    for _ in 0..400 {
        world.runner.submit(&b.loaded, super::world::invocation(), None).await.expect("is taken");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (of_a, of_b) = (a.guests.began().len() - before, b.guests.began().len());
    assert!((40..=60).contains(&of_a) && (40..=60).contains(&of_b), "{of_a} of a, {of_b} of b");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_runs_and_queues_as_many_as_its_quota_says() {
    let quota = Quota { running: 2, waiting: 3, ..Quota::default() };
    let world = World::with_tenants(1000, &[Tenant::with("a", 1, quota)]);
    let (x, y) = (world.of_tenant("a", "a:x", vec![10; 9]), world.of_tenant("a", "a:y", vec![10; 9]));
    world.submit_many(&x, 3).await;
    world.submit_many(&y, 2).await;
    let used = world.runner.used(Some("a"));
    assert_eq!((used.running, used.waiting, used.memory), (2, 3, 2 << 20));
    for lane in [&x, &y] {
        let refused = world.try_submit(lane).await;
        assert!(matches!(refused, Err(SubmitError::TenantFull { running: 2, waiting: 3 })), "{refused:?}");
    }
    world.pass(25).await;
    assert_eq!((x.guests.began(), y.guests.began()), (vec![0, 0, 10], vec![10, 20]), "routes go round");
    world.pass(25).await;
    assert_eq!(world.runner.used(Some("a")), Default::default());
}

#[tokio::test(start_paused = true)]
async fn memory_of_running_tasks_is_bounded_and_one_task_always_runs() {
    let quota = Quota { memory: 5 << 19, ..Quota::default() };
    let world = World::with_tenants(1000, &[Tenant::with("a", 1, quota)]);
    let x = world.of_tenant("a", "a:x", vec![10; 9]);
    world.submit_many(&x, 3).await;
    assert_eq!(world.runner.used(Some("a")).running, 2, "2.5 MiB hold two of 1 MiB");
    world.pass(15).await;
    assert_eq!(x.guests.began(), [0, 0, 10]);
}

#[tokio::test(start_paused = true)]
async fn who_has_used_up_its_cpu_time_waits_and_goes_on() {
    let quota = Quota { cpu_per_minute: Some(Duration::from_secs(30)), ..Quota::default() };
    let world = World::with_tenants(1000, &[Tenant::with("a", 1, quota), Tenant::with("b", 1, Quota::default())]);
    let (a, b) = (world.of_tenant("a", "a:x", vec![10; 9]), world.of_tenant("b", "b:x", vec![10; 9]));
    let account = world.runner.0.options.ledger.account(Some("a"));
    account.charge(Duration::from_secs(30) + Duration::from_millis(100));
    let waiting = world.submit(&a).await;
    let other = world.submit(&b).await;
    world.ended(&other).await;
    assert_eq!(a.guests.running(), 0, "it has no CPU time");
    // The account's clock is the machine's: some 200 ms of it must pass, whatever the paused one says.
    while account.pause().is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    tokio::select! {
        () = world.runner.clone().pace() => panic!("it paces for ever"),
        ended = world.ended(&waiting) => assert_eq!(ended.attempt, 1),
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_quota_takes_effect_at_once() {
    let one = Quota { running: 1, ..Quota::default() };
    let world = World::with_tenants(1000, &[Tenant::with("a", 1, one.clone())]);
    let x = world.of_tenant("a", "a:x", vec![100; 9]);
    world.submit_many(&x, 3).await;
    assert_eq!(x.guests.running(), 1);
    world.runner.0.options.ledger.apply(&[Tenant::with("a", 1, Quota { running: 3, ..one })]);
    world.runner.refresh();
    world.settle().await;
    assert_eq!(x.guests.running(), 3);
}

#[tokio::test(start_paused = true)]
async fn bodies_leave_room_for_others() {
    let world = World::with_tenants(1000, &[Tenant::with("a", 1, open_quota()), Tenant::with("b", 1, open_quota())]);
    let lanes = &world.runner.0.lanes;
    let (a, b) = (world.of_tenant("a", "a:x", vec![]), world.of_tenant("b", "b:x", vec![]));
    let (a, b) = (lanes.of(&a.loaded.route), lanes.of(&b.loaded.route));
    let mib = |lane: &Arc<_>, most: usize| -> Vec<_> {
        std::iter::from_fn(|| crate::runner::lane::Lane::admit(lane, 1024).ok()).take(most).collect()
    };
    let of_a = mib(&a, 1000);
    assert_eq!(of_a.len(), 128, "half of 256 MiB");
    let of_b = mib(&b, 1000);
    assert_eq!(of_b.len(), 64, "half of the rest");
    drop(of_a);
    assert_eq!(mib(&b, 1000).len(), 32 + 32, "half of what is free now, with what it has");
    drop(of_b);
}
