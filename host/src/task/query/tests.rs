//! Owns the tests of the query language: documents, comparisons, orders and tokens.

use super::field::{Field, Kind};
use super::operator::Operator;
use super::order::{Key, Order, Position};
use super::{Query, QueryFault, fold, page};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::principal::Principal;
use crate::task::state::Event;
use crate::task::{Ending, Invocation, Request, Task};
use crate::value::Json;
use proptest::prelude::*;
use std::sync::Arc;

/// 2024-07-05T13:20:00Z
const CREATED: i64 = 1_720_185_600_000_000;

fn parse(text: &str) -> Result<Query, QueryFault> {
    Query::parse(&Json::parse(text.to_owned()).expect("JSON"))
}

/// A running task of Morty's, with a limit of 90 seconds.
fn task() -> Task {
    let request = Request {
        method: "PUT".into(),
        url: "http://localhost/Orders/17?a=100%25".into(),
        path_parameters: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
    };
    let user = Principal { id: "M0R7Y302".into(), ..Principal::default() };
    let invocation = Invocation {
        input: Json::null(),
        request,
        user: Some(user),
        tenant: None,
        traceparent: None,
        sse: None,
        callback: None,
    };
    let id = TaskId::parse("Ab-1").expect("an id");
    let mut task = Task::new(id, "__Put_orders_{id}__".into(), Timestamp(CREATED), Arc::new(invocation));
    task.expires = Some(Timestamp(CREATED + 90_000_000));
    task.start(Timestamp(CREATED + 1), "host-1/__Put_orders_{id}__/0".into()).expect("starts");
    task.progress = Some(33.5);
    task
}

/// The same, failed.
fn failed() -> Task {
    let mut task = task();
    let (at, error) = (Timestamp(CREATED + 5), Some("Straße ÄΣ [x]".into()));
    task.end(&Ending {
        event: Event::Fail,
        at,
        result: None,
        error,
        progress: Some(33.5),
        log: String::new(),
        events: Vec::new(),
    })
    .expect("ends");
    task
}

const LOG: &str = "{\"message\":\"say \\\"Hi\\\"\"}\nno JSON\n";

#[test]
fn conditions_hold_or_not() {
    let cases = [
        ("Id", "EQ", "\"aB-1\"", true),
        ("Id", "NE", "\"ab-1\"", false),
        ("Name", "LIKE", "\"PUT_ORDERS\"", true),
        ("Name", "LIKE", "\"put*{id}\"", true),
        ("Name", "LIKE", "\"put?orders\"", true),
        ("Name", "LIKE", "\"put?rders\"", false),
        ("Name", "LIKE", "\"%\"", false),
        ("Name", "LIKE", "\"put%orders\"", false),
        ("Name", "LIKE", "\"\"", true),
        ("Name", "NOTLIKE", "\"*\"", false),
        ("Name", "GT", "\"__PUT_ORDERS\"", true),
        ("Name", "LT", "\"__put_orders_{id}__\"", false),
        ("Name", "ge", "\"__put_orders_{id}__\"", true),
        ("Url", "LIKE", "\"a=100%\"", true),
        ("Url", "LIKE", "\"localhost_orders\"", false),
        ("Method", "EQ", "\"put\"", true),
        ("User", "EQ", "\"m0r7y302\"", true),
        ("Runspace", "LIKE", "\"host-1/\"", true),
        ("Output", "LIKE", "\"say \\\"hi\\\"\"", true),
        ("Output", "LIKE", "\"no json\"", true),
        ("Output", "LIKE", "\"message\"", false),
        ("Error", "LIKE", "\"straSSe\"", false),
        ("Error", "LIKE", "\"STRAßE äς\"", true),
        ("Error", "LIKE", "\"[x]\"", true),
        ("Error", "EQ", "\"STRAßE ÄΣ [X]\"", true),
        ("State", "EQ", "\"failed\"", true),
        ("State", "NE", "\"Failed\"", false),
        ("State", "LIKE", "\"AIL\"", true),
        ("State", "NOTLIKE", "\"ed\"", false),
        ("CreationTime", "EQ", "\"7/5/2024 1:20:00 PM\"", true),
        ("CreationTime", "EQ", "\"2024-07-05T15:20:00.000000+02:00\"", true),
        ("CreationTime", "LE", "\"2024-07-05T13:20:00Z\"", true),
        ("StartingTime", "GT", "\"07/05/2024 01:20:00 pm\"", true),
        ("CompletedTime", "LT", "\"2024-07-05T13:20:00.000005Z\"", false),
        ("ExpireTime", "GE", "\"2024-07-05T13:21:30Z\"", true),
        ("Timeout", "EQ", "90", true),
        ("Timeout", "LT", "\"90.5\"", true),
        ("Progress", "GT", "33", true),
        ("Progress", "NE", "33.5", false),
        ("Cancellable", "EQ", "true", true),
        ("Cancellable", "NE", "\"TRUE\"", false),
        ("EnableSse", "EQ", "\"False\"", true),
        ("SseGroup", "EQ", "\"\"", false),
        ("SseGroup", "NE", "\"a\"", true),
        ("CallbackSettings", "LIKE", "\"\"", false),
        ("CallbackSettings", "NOTLIKE", "\"*\"", true),
    ];
    for (field, operator, value, expected) in cases {
        let text = format!("{{\"{field}\": {{\"op\": \"{operator}\", \"value\": {value}}}}}");
        let query = parse(&text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(query.matches(&failed(), LOG), expected, "{text}");
    }
}

#[test]
fn what_a_task_lacks_matches_only_the_negative_operators() {
    let mut bare = Task::new(
        task().id,
        "n".into(),
        Timestamp(0),
        Arc::new(Invocation { user: None, ..(*task().invocation).clone() }),
    );
    bare.cancellable = false;
    let lacking = [
        "Runspace",
        "Output",
        "StartingTime",
        "CompletedTime",
        "ExpireTime",
        "Error",
        "CallbackSettings",
        "SseGroup",
        "User",
        "Progress",
    ];
    for name in lacking {
        let field = Field::parse(name).expect("a field");
        for operator in Operator::fitting(field.kind()) {
            let value = match field.kind() {
                Kind::Date => "2024-07-05T13:20:00Z",
                Kind::Number => "0",
                _ => "",
            };
            let text = format!("{{\"{name}\": {{\"op\": \"{}\", \"value\": \"{value}\"}}}}", operator.name());
            let negative = matches!(operator, Operator::Ne | Operator::NotLike);
            assert_eq!(parse(&text).expect("a query").matches(&bare, ""), negative, "{text}");
        }
    }
    assert!(parse(r#"{"Timeout": {"op": "EQ", "value": -1}}"#).expect("a query").matches(&bare, ""));
}

#[test]
fn conditions_are_joined_by_and() {
    let query = parse(r#"{"State": {"op": "EQ", "value": "Running"}, "name": {"OP": "like", "Value": "orders"}}"#);
    let query = query.expect("a query");
    assert!(query.matches(&task(), "") && !query.matches(&failed(), ""));
    assert_eq!(query.to_string(), r#"Name LIKE "*orders*" AND State EQ Running"#);
    assert!(parse("{}").expect("a query").matches(&failed(), ""));
}

#[test]
fn faulty_documents_are_named() {
    let cases = [
        ("[]", "", r#"a query is an object: {"State": {"op": "EQ", "value": "Running"}}"#.to_owned()),
        (r#"{"Stat": 1}"#, "Stat", "there is no field `Stat`; did you mean `State`?".to_owned()),
        (
            r#"{"CreatedTime": 1}"#,
            "CreatedTime",
            "there is no field `CreatedTime`; did you mean `CreationTime`?".to_owned(),
        ),
        (r#"{"State": "Running"}"#, "State", "`State` must be an object with `op` and `value`".to_owned()),
        (r#"{"State": {}}"#, "State", "`State` lacks `op`".to_owned()),
        (r#"{"State": {"op": "EQ"}}"#, "State", "`State` lacks `value`".to_owned()),
        (r#"{"State": {"value": "Running"}}"#, "State", "`State` lacks `op`".to_owned()),
        (r#"{"State": {"op": 1, "value": ""}}"#, "State", "the `op` of `State` must be text".to_owned()),
        (
            r#"{"State": {"op": "EQ", "value": "Running", "a\nb": 1}}"#,
            "State",
            "`State` takes `op` and `value`, not `a\u{fffd}b`".to_owned(),
        ),
        (r#"{"State": {"op": "EQ", "OP": "NE", "value": "Running"}}"#, "State", "`State` has `OP` twice".to_owned()),
        (
            r#"{"State": {"op": "EQ", "value": "Failed"}, "state": {"op": "EQ", "value": "Failed"}}"#,
            "State",
            "`State` is named twice".to_owned(),
        ),
        (
            r#"{"State": {"op": "GT", "value": "Running"}}"#,
            "State",
            "`GT` does not fit `State`, which takes EQ, NE, LIKE, NOTLIKE".to_owned(),
        ),
        (
            r#"{"Cancellable": {"op": "like", "value": true}}"#,
            "Cancellable",
            "`LIKE` does not fit `Cancellable`, which takes EQ, NE".to_owned(),
        ),
        (
            r#"{"CreationTime": {"op": "LIKE", "value": "2024"}}"#,
            "CreationTime",
            "`LIKE` does not fit `CreationTime`, which takes GT, LT, GE, LE, EQ, NE".to_owned(),
        ),
        (
            r#"{"Name": {"op": "=", "value": "x"}}"#,
            "Name",
            "there is no operator `=`; `Name` takes GT, LT, GE, LE, EQ, NE, LIKE, NOTLIKE".to_owned(),
        ),
    ];
    refused(&cases);
    let unknown = parse(r#"{"xyzzy": 1}"#).expect_err("unknown").message;
    assert!(unknown.starts_with("there is no field `xyzzy`; the fields are Id, Name, Runspace, "), "{unknown}");
}

fn refused(cases: &[(&str, &str, String)]) {
    for (text, field, message) in cases {
        assert_eq!(parse(text), Err(QueryFault::new(*field, message)), "{text}");
    }
}

#[test]
fn faulty_values_are_named() {
    let date = "a date such as `2024-07-05T13:20:00Z` or `7/5/2024 1:20:00 PM`";
    let states = "NotStarted, Running, Completed, Failed or Aborted";
    let number = format!("the value of `CreationTime` must be {date}, not");
    let cases = [
        (r#"{"Name": {"op": "EQ", "value": null}}"#, "Name", "the value of `Name` must be text, not null".to_owned()),
        (r#"{"Name": {"op": "LIKE", "value": 5}}"#, "Name", "the value of `Name` must be text, not 5".to_owned()),
        (
            r#"{"State": {"op": "EQ", "value": "Done"}}"#,
            "State",
            format!("the value of `State` must be {states}, not `Done`"),
        ),
        (
            r#"{"CreationTime": {"op": "LE", "value": "7/5/24 1:20:00 PM"}}"#,
            "CreationTime",
            format!("{number} `7/5/24 1:20:00 PM`"),
        ),
        (r#"{"CreationTime": {"op": "LE", "value": "2024-07-05"}}"#, "CreationTime", format!("{number} `2024-07-05`")),
        (r#"{"CreationTime": {"op": "LE", "value": 5}}"#, "CreationTime", format!("{number} 5")),
        (r#"{"CreationTime": {"op": "LE", "value": [1]}}"#, "CreationTime", format!("{number} an array")),
        (
            r#"{"Cancellable": {"op": "EQ", "value": 1}}"#,
            "Cancellable",
            "the value of `Cancellable` must be true or false, not 1".to_owned(),
        ),
        (
            r#"{"Progress": {"op": "EQ", "value": "NaN"}}"#,
            "Progress",
            "the value of `Progress` must be a number, not `NaN`".to_owned(),
        ),
        (r#"{"Progress": {"op": "EQ", "value": 1e999}}"#, "Progress", "`Progress`: number out of range".to_owned()),
        (
            r#"{"Progress": {"op": "EQ", "value": {}}}"#,
            "Progress",
            "the value of `Progress` must be a number, not an object".to_owned(),
        ),
    ];
    refused(&cases);
    let long = format!("{{\"Name\": {{\"op\": \"EQ\", \"value\": \"{}\"}}}}", "ä".repeat(1_001));
    assert_eq!(parse(&long).expect_err("long").message, "the value of `Name` has more than 1000 characters");
}

#[test]
fn pairs_are_the_same_language() {
    let pairs = [
        ("limit", "5"),
        ("filter[State][op]", "EQ"),
        ("filter[name][VALUE]", "x"),
        ("filter[State][value]", "Failed"),
        ("filter[Name][op]", "ne"),
    ];
    let same = parse(r#"{"Name": {"op": "NE", "value": "x"}, "State": {"op": "EQ", "value": "Failed"}}"#);
    assert_eq!(Query::parse_pairs(pairs), same);
    assert_eq!(Query::parse_pairs([("order", "Id")]), Ok(Query::default()));
    let faults = [
        (("filter", "x"), "`filter` is no filter: write `filter[Field][op]` and `filter[Field][value]`"),
        (("filter[State]", "x"), "`filter[State]` is no filter: write `filter[Field][op]` and `filter[Field][value]`"),
        (("filter[State][op][x]", "x"), "`State` takes `op` and `value`, not `op][x`"),
        (("filter[][op]", "x"), "there is no field ``"),
        (("filter[State][op]", "EQ"), "`State` lacks `value`"),
        (("filter[Progress][value]", "1"), "`Progress` lacks `op`"),
    ];
    for (pair, message) in faults {
        let fault = Query::parse_pairs([pair]).expect_err("a fault").message;
        assert!(fault.starts_with(message), "{fault}");
    }
    let twice = [("filter[State][op]", "EQ"), ("filter[state][op]", "EQ")];
    assert_eq!(Query::parse_pairs(twice).expect_err("twice").message, "`State` has `op` twice");
}

#[test]
fn folding_goes_by_character_and_is_never_finer_than_lower_case() {
    assert_eq!(fold("ÄΣς"), "äσσ");
    for (one, other) in [("ΑΣ", "ας"), ("K", "k"), ("SOFTWARE", "software")] {
        assert_eq!(one.to_lowercase(), other.to_lowercase());
        assert_eq!(fold(one), fold(other));
    }
}

#[test]
fn orders_and_limits_are_read() {
    assert_eq!(Order::parse("-creationtime"), Ok(Order::default()));
    assert_eq!(Order::parse("Name"), Ok(Order { field: Field::Name, descending: false }));
    assert_eq!(Order::parse("-Output").expect_err("no order").message, "tasks cannot be ordered by `Output`");
    assert!(Order::parse("+Id").is_err() && Order::parse("").is_err());
    assert_eq!((page::limit("1"), page::limit("1000")), (Ok(1), Ok(1_000)));
    for wrong in ["0", "1001", "-1", "x", "", "1.5", "99999999999999999999999"] {
        let fault = page::limit(wrong).expect_err("wrong");
        assert_eq!(fault.message, format!("`limit` must be a whole number from 1 to 1000, not `{wrong}`"));
    }
}

#[test]
fn a_token_leads_back_to_its_position_in_its_own_query_only() {
    let query = parse(r#"{"State": {"op": "EQ", "value": "Running"}}"#).expect("a query");
    let order = Order { field: Field::Name, descending: true };
    let after = Position { key: Key::Text("\u{0}äß\"".into()), seq: i64::MAX };
    let token = page::token(&query, order, &after);
    assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{token}");
    assert_eq!(page::position(&token, &query, order), Ok(after));
    let foreign = "the page token does not belong to this query and order";
    for (query, order) in
        [(&Query::default(), order), (&query, Order { descending: false, ..order }), (&query, Order::default())]
    {
        assert_eq!(page::position(&token, query, order).expect_err("foreign").message, foreign);
    }
    for broken in ["", "x", &token[1..], &"A".repeat(5_000), "bnVsbA"] {
        assert!(page::position(broken, &query, order).is_err(), "{broken}");
    }
}

#[test]
fn keys_keep_the_order_of_numbers() {
    let numbers = [f64::MIN, -1.0, -0.5, 0.0, 1e-9, 33.25, 33.250_000_000_000_01, 1e300];
    let keys = numbers.map(|number| Key::of(&super::Fact::Number(number)));
    assert!(keys.is_sorted() && keys.windows(2).all(|two| two[0] != two[1]));
}

/// Texts that nearly are what is expected.
fn near() -> impl Strategy<Value = String> {
    const WORDS: [&str; 20] = [
        "Id",
        "State",
        "Progress",
        "Cancellable",
        "CreationTime",
        "op",
        "value",
        "EQ",
        "like",
        "GT",
        "Running",
        "true",
        "-1",
        "7/5/2024 1:20:00 PM",
        "2024-07-05T13:20:00Z",
        "filter[State][op]",
        "filter[",
        "*",
        "?",
        "a*?b",
    ];
    prop_oneof![4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        4 => near().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            4 => proptest::collection::btree_map(near(), inner.clone(), 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            1 => proptest::collection::vec(inner, 0..3).prop_map(serde_json::Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(
        value in any_value(), pairs in proptest::collection::vec((near(), near()), 0..5), text in near(), pattern in near()
    ) {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for query in [parse(&value.to_string()), Query::parse_pairs(pairs)].into_iter().flatten() {
            let matched = query.matches(&failed(), &text);
            prop_assert!(matched || !query.conditions().is_empty());
        }
        let _ = (Order::parse(&text), page::limit(&text), page::position(&text, &Query::default(), Order::default()));
        let like = serde_json::json!({"Name": {"op": "LIKE", "value": pattern}}).to_string();
        let mut task = task();
        task.name = format!("{text}{pattern}{text}").into();
        prop_assert!(parse(&like).is_ok_and(|query| query.matches(&task, "")), "a text contains itself, wildcards too");
    }
}
