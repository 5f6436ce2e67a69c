//! Tests of the window: its bounds, turns and shares.

use super::*;

fn due(number: i64, host: &str) -> Due {
    Due { number, at: Timestamp(number), host: host.into(), made: 0, begun: 0, bytes: 0 }
}

fn taken(window: &mut Window) -> Vec<Due> {
    std::iter::from_fn(|| window.next().map(|(due, _)| due)).collect()
}

#[test]
fn hosts_take_turns_and_their_deliveries_go_in_order() {
    let mut window = Window::default();
    (0..10).for_each(|number| window.add(due(number, "a")));
    window.add(due(10, "b"));
    for host in ["a", "b"] {
        window.judge(&host.into(), Class::Proven);
    }
    let numbers: Vec<i64> = taken(&mut window).iter().map(|due| due.number).collect();
    assert_eq!(numbers, [0, 10, 1, 2, 3], "four of a at most, and b after the first");
    window.over(&"a".into(), 0, false);
    assert_eq!(taken(&mut window).iter().map(|due| due.number).collect::<Vec<_>>(), [4]);
}

#[test]
fn what_is_here_is_not_taken_twice() {
    let mut window = Window::default();
    for _ in 0..3 {
        window.add(due(1, "a"));
    }
    assert_eq!(taken(&mut window).len(), 1);
    window.add(due(1, "a"));
    assert_eq!(taken(&mut window).len(), 0, "it is under way");
    window.over(&"a".into(), 1, false);
    window.add(due(1, "a"));
    assert_eq!(taken(&mut window).len(), 1);
}

#[test]
fn hosts_that_fail_leave_room_for_those_that_answer() {
    let mut window = Window::default();
    for host in 0..200 {
        let name: Arc<str> = format!("failing-{host}").into();
        (0..8).for_each(|number| window.add(due(host * 8 + number, &name)));
        window.judge(&name, Class::Failing);
    }
    assert_eq!(taken(&mut window).len(), IN_FLIGHT_FAILING);
    (0..200).for_each(|host| window.add(due(10_000 + host, &format!("new-{host}"))));
    assert_eq!(taken(&mut window).len(), IN_FLIGHT_UNPROVEN - IN_FLIGHT_FAILING);
    for host in 0..200 {
        let name: Arc<str> = format!("good-{host}").into();
        window.add(due(20_000 + host, &name));
        window.judge(&name, Class::Proven);
    }
    let good = taken(&mut window);
    assert!(
        good.len() >= IN_FLIGHT / 2 - LEFT && good.iter().all(|due| due.host.starts_with("good")),
        "{}",
        good.len()
    );
}

#[test]
fn a_host_that_begins_to_hang_no_longer_counts_as_one_that_answers() {
    let mut window = Window::default();
    for host in 0..100 {
        let name: Arc<str> = format!("h-{host}").into();
        (0..4).for_each(|number| window.add(due(host * 4 + number, &name)));
        window.judge(&name, Class::Proven);
    }
    let under_way = taken(&mut window);
    assert_eq!(under_way.len(), IN_FLIGHT);
    for due in &under_way {
        window.judge(&due.host, Class::Failing);
    }
    assert_eq!(window.in_flight, [0, 0, IN_FLIGHT]);
    for due in under_way.iter().take(IN_FLIGHT / 2) {
        window.over(&due.host, due.number, false);
    }
    window.add(due(1_000, "good"));
    window.judge(&"good".into(), Class::Proven);
    assert_eq!(taken(&mut window).first().map(|due| due.number), Some(1_000));
}

#[test]
fn a_flood_to_one_host_stays_in_the_store_and_is_asked_for() {
    let mut window = Window::default();
    (0..10_000).for_each(|number| window.add(due(number, "a")));
    assert_eq!(window.size(), (1, PER_HOST));
    let host: Arc<str> = "a".into();
    let mut done: Vec<i64> = Vec::new();
    while let Some((next, _)) = window.next() {
        window.over(&host, next.number, false);
        done.push(next.number);
        for (name, limit) in window.low() {
            let stored = (0..10_000).filter(|number| !done.contains(number)).take(limit);
            let found: Vec<Due> = stored.map(|number| due(number, "a")).collect();
            let all = found.len() < limit;
            window.refill(&name, found, all);
        }
        if done.len() == 1_000 {
            break;
        }
    }
    assert_eq!(done, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn many_hosts_stay_in_the_store_and_those_that_fail_make_room() {
    let mut window = Window::default();
    let hosts = i64::try_from(HOSTS).expect("few");
    for host in 0..hosts {
        window.add(due(host, &format!("h-{host}")));
        window.judge(&format!("h-{host}").into(), Class::Failing);
    }
    assert_eq!((window.size(), window.unlisted()), ((HOSTS, HOSTS), 0));
    window.add(due(hosts, "good"));
    assert!(window.unlisted() > 0 && window.size().0 <= HOSTS);
    let names: Vec<Due> = taken(&mut window);
    assert!(names.iter().any(|due| &*due.host == "good"));
    for host in 0..hosts * 3 {
        window.add(due(100_000 + host, &format!("more-{host}")));
    }
    assert!(window.size().0 <= HOSTS && window.size().1 <= HOSTS * PER_HOST, "{:?}", window.size());
}
