use super::*;
use crate::tenant::{Ledger, Quota, Tenant};
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

const SLICE: Duration = Duration::from_millis(5);

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A guest, as far as the turnstile knows it.
struct Guest {
    account: Arc<Account>,
    ticket: Option<Ticket>,
    woken: Arc<Counted>,
}

impl Guest {
    fn of(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), ticket: None, woken: Arc::new(Counted(AtomicUsize::new(0))) }
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }

    fn ask(&mut self, turnstile: &Turnstile) -> bool {
        let waker = self.waker();
        turnstile.ask(&self.account, &mut self.ticket, &waker)
    }

    /// Was interrupted.
    fn slice(&mut self, turnstile: &Turnstile, used: Duration) {
        let waker = self.waker();
        turnstile.give_back(&self.account, used, Some((&mut self.ticket, &waker)));
    }

    /// Waits for something else now, or is at its end.
    fn rest(&self, turnstile: &Turnstile, used: Duration) {
        turnstile.give_back(&self.account, used, None);
    }

    fn was_woken(&self) -> bool {
        self.woken.0.swap(0, Ordering::Relaxed) > 0
    }
}

fn tenant(name: &str, weight: u32, cpu_per_minute: Option<Duration>) -> Arc<Tenant> {
    Tenant::with(name, weight, Quota { cpu_per_minute, ..Quota::default() })
}

/// Two accounts with these weights.
fn accounts(weights: [u32; 2]) -> [Arc<Account>; 2] {
    let ledger = Ledger::new(Arc::default());
    ledger.apply(&[tenant("a", weights[0], None), tenant("b", weights[1], None)]);
    ["a", "b"].map(|name| ledger.account(Some(name)))
}

fn quiet(cores: usize) -> Turnstile {
    Turnstile::new(cores, || {})
}

/// Lets guests that never end have the cores for so many slices, as the runtime would: who was interrupted is polled,
/// then whoever was woken by that. Answers how many slices each account had.
fn spin(turnstile: &Turnstile, cores: usize, guests: &mut [Guest], slices: usize, used: Duration) -> Vec<usize> {
    let mut had = vec![0; guests.len()];
    let mut on: VecDeque<usize> = VecDeque::new();
    for (at, guest) in guests.iter_mut().enumerate() {
        if on.len() < cores && guest.ask(turnstile) {
            on.push_back(at);
        } else {
            // A thread would not have come to it; it has its place all the same.
            guest.ask(turnstile);
        }
    }
    for _ in 0..slices {
        let ended = on.pop_front().expect("the cores are busy");
        had[ended] += 1;
        guests[ended].slice(turnstile, used);
        let mut next = guests[ended].ask(turnstile).then_some(ended);
        for (at, guest) in guests.iter_mut().enumerate() {
            if next.is_none() && guest.was_woken() && guest.ask(turnstile) {
                next = Some(at);
            }
        }
        on.push_back(next.expect("no core stays idle while somebody waits"));
    }
    for at in on {
        guests[at].rest(turnstile, Duration::ZERO);
    }
    had
}

fn by_account(guests: &[Guest], had: &[usize], account: &Arc<Account>) -> usize {
    guests.iter().zip(had).filter(|(guest, _)| Arc::ptr_eq(&guest.account, account)).map(|(_, had)| had).sum()
}

#[test]
fn turns_go_by_weight_however_many_guests_somebody_has() {
    for cores in [1, 2] {
        let [a, b] = accounts([3, 1]);
        let turnstile = quiet(cores);
        let mut guests: Vec<Guest> = (0..5).map(|_| Guest::of(&a)).chain((0..20).map(|_| Guest::of(&b))).collect();
        let had = spin(&turnstile, cores, &mut guests, 400, SLICE);
        assert!((296..=304).contains(&by_account(&guests, &had, &a)), "{cores} cores: {had:?}");
        assert!(had[..5].iter().all(|had| (58..=62).contains(had)), "within an account they go round: {had:?}");
    }
}

#[test]
fn who_takes_less_of_each_turn_gets_more_of_them() {
    let [a, b] = accounts([1, 1]);
    let turnstile = quiet(1);
    let (mut long, mut short) = (Guest::of(&a), Guest::of(&b));
    assert!(long.ask(&turnstile) && !short.ask(&turnstile));
    let (mut longs, mut shorts) = (0, 0);
    long.slice(&turnstile, SLICE * 10);
    for _ in 0..1_100 {
        if short.ask(&turnstile) {
            short.slice(&turnstile, SLICE);
            shorts += 1;
        } else {
            assert!(long.ask(&turnstile));
            long.slice(&turnstile, SLICE * 10);
            longs += 1;
        }
    }
    assert!((9..=11).contains(&(shorts / longs)), "{shorts} to {longs}");
}

#[test]
fn a_newcomer_is_next_and_nobody_saves_up() {
    let [a, b] = accounts([1, 1]);
    let turnstile = quiet(1);
    let mut hogs: Vec<Guest> = (0..8).map(|_| Guest::of(&a)).collect();
    // A uses the core for long; b was there before, and rests.
    let mut newcomer = Guest::of(&b);
    assert!(newcomer.ask(&turnstile));
    newcomer.rest(&turnstile, Duration::from_micros(1));
    spin(&turnstile, 1, &mut hogs, 1_000, SLICE);
    // All of a's wait, one of them called; b's comes on before them nevertheless.
    assert!(hogs.iter().any(Guest::was_woken));
    assert!(newcomer.ask(&turnstile));
    newcomer.slice(&turnstile, SLICE);
    // But then they are even: what b did not use is gone.
    hogs.push(newcomer);
    let had = spin(&turnstile, 1, &mut hogs, 100, SLICE);
    assert!((49..=51).contains(&had[8]), "{had:?}");
}

#[test]
fn who_lacks_guests_for_its_share_saves_little() {
    let [a, b] = accounts([100, 1]);
    let turnstile = quiet(2);
    let mut guests: Vec<Guest> = std::iter::once(Guest::of(&a)).chain((0..4).map(|_| Guest::of(&b))).collect();
    let had = spin(&turnstile, 2, &mut guests, 2_000, SLICE);
    assert_eq!(had[0], 1_000, "one guest has one core at most");
    let line = turnstile.line();
    let behind = line.now - line.flows[&key(&a)].time;
    assert!(behind <= MOST_BEHIND, "{}", behind / SCALE);
}

#[test]
fn a_turn_that_is_not_taken_up_goes_to_the_next() {
    let [a, b] = accounts([1, 1]);
    let turnstile = quiet(1);
    let [mut first, mut second, mut third] = [Guest::of(&a), Guest::of(&b), Guest::of(&b)];
    assert!(first.ask(&turnstile) && !second.ask(&turnstile) && !third.ask(&turnstile));
    first.rest(&turnstile, SLICE);
    assert!(second.was_woken() && !third.was_woken());
    turnstile.leave(&second.account, second.ticket.take().expect("it waits"));
    assert!(third.was_woken() && third.ask(&turnstile));
    assert!(!first.ask(&turnstile));
    turnstile.leave(&first.account, first.ticket.take().expect("it waits"));
    third.rest(&turnstile, SLICE);
    assert!(!first.was_woken(), "it is gone");
    let line = turnstile.line();
    assert_eq!((line.free, line.called.len(), line.next.len(), line.running.len()), (1, 0, 0, 0));
}

#[test]
fn who_was_called_and_comes_too_late_keeps_its_place() {
    let [a, b] = accounts([1, 1]);
    let turnstile = quiet(1);
    let [mut on, mut called, mut later, mut newcomer] = [Guest::of(&a), Guest::of(&a), Guest::of(&a), Guest::of(&b)];
    assert!(on.ask(&turnstile) && !called.ask(&turnstile) && !later.ask(&turnstile));
    on.rest(&turnstile, SLICE);
    assert!(called.was_woken());
    assert!(newcomer.ask(&turnstile), "b is further behind");
    assert!(!called.ask(&turnstile));
    newcomer.rest(&turnstile, SLICE * 10);
    assert!(called.was_woken() && !later.was_woken());
    assert!(called.ask(&turnstile));
}

#[test]
fn no_free_core_waits_for_anybody() {
    let [a, b] = accounts([1, 1]);
    let turnstile = quiet(3);
    let mut guests: Vec<Guest> = [&a, &b, &a].map(Guest::of).into();
    assert!(turnstile.has_free_core());
    assert!(guests.iter_mut().all(|guest| guest.ask(&turnstile)));
    assert!(!turnstile.has_free_core());
    guests[0].slice(&turnstile, SLICE);
    assert!(turnstile.has_free_core() && guests[0].ask(&turnstile), "alone it goes on at once");
}

#[test]
fn who_has_used_up_its_time_waits_until_there_is_more() {
    let ledger = Ledger::new(Arc::default());
    ledger.apply(&[tenant("a", 1, Some(Duration::from_secs(60))), tenant("b", 1, None)]);
    let [a, b] = ["a", "b"].map(|name| ledger.account(Some(name)));
    let turnstile = quiet(1);
    let (mut paused, mut other) = (Guest::of(&a), Guest::of(&b));
    assert!(paused.ask(&turnstile));
    a.charge(Duration::from_secs(61));
    paused.slice(&turnstile, SLICE);
    assert!(!paused.ask(&turnstile));
    turnstile.tick();
    assert!(!paused.was_woken() && !paused.ask(&turnstile), "a free core changes nothing");
    let mut another = Guest::of(&a);
    assert!(!another.ask(&turnstile));
    assert!(other.ask(&turnstile), "others go on");
    other.rest(&turnstile, SLICE);
    assert!(!paused.was_woken() && !another.was_woken());
    turnstile.leave(&another.account, another.ticket.take().expect("it waits"));
    // More time by a reload.
    ledger.apply(&[tenant("a", 1, Some(Duration::from_secs(120)))]);
    turnstile.tick();
    assert!(paused.was_woken() && !another.was_woken());
    assert!(paused.ask(&turnstile));
    paused.rest(&turnstile, SLICE);
    assert!(turnstile.line().paused.is_empty());
}

#[test]
fn others_are_interrupted_for_whoever_is_behind_only() {
    let nudges = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&nudges);
    let turnstile = Turnstile::new(1, move || _ = counted.fetch_add(1, Ordering::Relaxed));
    let nudged = || nudges.swap(0, Ordering::Relaxed);
    let [a, b] = accounts([1, 1]);
    let [mut spinner, mut second] = [Guest::of(&a), Guest::of(&a)];
    assert!(spinner.ask(&turnstile));
    turnstile.arrive(&a);
    assert!(!second.ask(&turnstile));
    assert_eq!(nudged(), 0, "not for its own account");
    let mut newcomer = Guest::of(&b);
    assert!(!newcomer.ask(&turnstile));
    assert_eq!(nudged(), 1);
    spinner.slice(&turnstile, SLICE);
    assert!(newcomer.ask(&turnstile));
    turnstile.arrive(&a);
    assert_eq!(nudged(), 0, "a has used more");
    newcomer.slice(&turnstile, SLICE * 3);
    assert!(spinner.ask(&turnstile) || second.ask(&turnstile));
    turnstile.arrive(&b);
    assert_eq!(nudged(), 0, "now b has");
}

#[test]
fn accounts_that_use_nothing_are_forgotten() {
    let ledger = Ledger::new(Arc::default());
    let turnstile = quiet(1);
    for number in 0..1_000 {
        let mut guest = Guest::of(&ledger.account(Some(&format!("t{number}"))));
        assert!(guest.ask(&turnstile));
        guest.rest(&turnstile, if number == 10 { SLICE * 1_000 } else { Duration::from_nanos(1) });
    }
    let line = turnstile.line();
    assert!(line.flows.len() <= 2 * FLOWS, "{}", line.flows.len());
    assert!(line.flows.contains_key(&key(&ledger.account(Some("t10")))), "its debt is remembered");
}
