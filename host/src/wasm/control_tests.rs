use super::*;
use crate::tenant::Ledger;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

fn setting() -> (Arc<Turnstile>, Arc<Account>) {
    (Arc::new(Turnstile::new(1, || {})), Ledger::new(Arc::default()).account(Some("a")))
}

fn control(turnstile: &Arc<Turnstile>, account: &Arc<Account>) -> Arc<Control> {
    Arc::new(Control::new(Arc::default(), turnstile, Arc::clone(account), Arc::default()))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn burn(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn each_poll_is_charged() {
    let (turnstile, account) = setting();
    let control = control(&turnstile, &account);
    let mut polls = 0;
    let mut metered = Metered::new(
        Arc::clone(&control),
        poll_fn(move |_| {
            burn(Duration::from_millis(20));
            polls += 1;
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    while poll(&mut metered).is_pending() {}
    let used = control.cpu.total();
    assert_eq!(account.used(), used);
    assert!(used > Duration::from_millis(3) && used < Duration::from_secs(1), "{used:?}");
}

#[test]
fn a_panic_gives_the_turn_back() {
    let (turnstile, account) = setting();
    let mut panics = Metered::new(control(&turnstile, &account), poll_fn(|_| -> Poll<()> { panic!("on purpose") }));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut panics))).is_err());
    assert!(turnstile.has_free_core());
    assert!(poll(&mut Metered::new(control(&turnstile, &account), ready(()))).is_ready());
}

#[test]
fn a_guest_that_is_dropped_while_it_waits_leaves_the_queue() {
    let (turnstile, account) = setting();
    let mut ticket = None;
    assert!(turnstile.ask(&account, &mut ticket, Waker::noop()), "the only core");
    let mut waits = Metered::new(control(&turnstile, &account), ready(()));
    assert!(poll(&mut waits).is_pending() && waits.ticket.is_some());
    drop(waits);
    turnstile.give_back(&account, Duration::ZERO, None);
    let mut next = Metered::new(control(&turnstile, &account), pending::<()>());
    assert!(poll(&mut next).is_pending() && next.ticket.is_none(), "it had its turn, and waits for something else");
}

#[test]
fn an_interrupted_guest_queues_again() {
    let (turnstile, account) = setting();
    let control = control(&turnstile, &account);
    let interrupts = Arc::clone(&control);
    let mut polls = 0;
    let mut spins = Metered::new(
        Arc::clone(&control),
        poll_fn(move |_| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            assert_eq!(interrupts.interrupt(), None);
            Poll::<()>::Pending
        }),
    );
    assert!(poll(&mut spins).is_pending() && spins.ticket.is_some());
    assert!(poll(&mut spins).is_ready() && spins.ticket.is_none());
}
