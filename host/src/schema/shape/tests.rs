use super::*;
use crate::schema::{MAX_FAULTS, Schema};
use crate::value::Json;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

const U64: Shape = Shape::Integer(Integer { bits: 64, signed: false });
const U8: Shape = Shape::Integer(Integer { bits: 8, signed: false });
const S64: Shape = Shape::Integer(Integer { bits: 64, signed: true });

fn field(name: &str, shape: Shape) -> (String, Shape) {
    (name.into(), shape)
}

fn text(json: &serde_json::Value) -> Json {
    Json::parse(json.to_string()).expect("JSON")
}

fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        serde_json::Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        other => other,
    }
}

fn faults(shape: &Shape, value: &serde_json::Value) -> Vec<String> {
    shape.read(&text(value)).expect_err("faulty").into_iter().map(|fault| fault.message).collect()
}

fn shapes() -> impl Strategy<Value = Shape> {
    let integer = (prop::sample::select(vec![8_u8, 16, 32, 64]), any::<bool>());
    let names =
        || prop::collection::btree_set("[a-z]{1,3}(-[a-z]{1,2})?", 1..4).prop_map(|set| set.into_iter().collect());
    let leaf = prop_oneof![
        Just(Shape::Bool),
        integer.prop_map(|(bits, signed)| Shape::Integer(Integer { bits, signed })),
        Just(Shape::Float32),
        Just(Shape::Float64),
        Just(Shape::Char),
        Just(Shape::Text),
        Just(Shape::Bytes),
        names().prop_map(Shape::Enum),
        names().prop_map(Shape::Flags),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let named = (names(), prop::collection::vec(inner.clone(), 4));
        let named = named.prop_map(|(names, shapes): (Vec<String>, Vec<Shape>)| names.into_iter().zip(shapes));
        let perhaps = || prop::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.clone().prop_map(|item| Shape::List(Box::new(item))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            named.clone().prop_map(|fields| Shape::Record(fields.collect())),
            named.prop_map(|cases| Shape::Variant(
                cases.enumerate().map(|(nth, (name, shape))| (name, (nth % 2 == 0).then_some(shape))).collect()
            )),
            inner
                .clone()
                .prop_filter("none in none", |shape| !matches!(shape, Shape::Option(_)))
                .prop_map(|some| { Shape::Option(Box::new(some)) }),
            (perhaps(), perhaps()).prop_map(|(ok, err)| Shape::Result(ok, err)),
        ]
    })
}

#[allow(clippy::cast_possible_truncation)]
fn values(shape: &Shape) -> BoxedStrategy<Typed> {
    let all = |shapes: Vec<&Shape>| shapes.into_iter().map(values).collect::<Vec<_>>();
    match shape {
        Shape::Nothing => Just(Typed::Nothing).boxed(),
        Shape::Bool => any::<bool>().prop_map(Typed::Bool).boxed(),
        Shape::Integer(integer) => {
            let (least, greatest) = integer.range();
            prop_oneof![Just(least), Just(greatest), least..=greatest].prop_map(Typed::Integer).boxed()
        }
        // A number that is none is unlike itself; it has a test of its own.
        Shape::Float32 => prop_oneof![any::<f32>(), Just(f32::INFINITY), Just(-0.0), Just(f32::MAX)]
            .prop_filter("a number", |number| !number.is_nan())
            .prop_map(|number| Typed::Float(number.into()))
            .boxed(),
        Shape::Float64 => prop_oneof![any::<f64>(), Just(f64::NEG_INFINITY), Just(-0.0), Just(f64::MIN_POSITIVE)]
            .prop_filter("a number", |number| !number.is_nan())
            .prop_map(Typed::Float)
            .boxed(),
        Shape::Char => any::<char>().prop_map(Typed::Char).boxed(),
        Shape::Text => any::<String>().prop_map(Typed::Text).boxed(),
        Shape::Bytes => any::<Vec<u8>>().prop_map(Typed::Bytes).boxed(),
        Shape::List(item) => prop::collection::vec(values(item), 0..4).prop_map(Typed::Items).boxed(),
        Shape::Tuple(items) => all(items.iter().collect()).prop_map(Typed::Items).boxed(),
        Shape::Record(fields) => all(fields.iter().map(|(_, shape)| shape).collect()).prop_map(Typed::Items).boxed(),
        Shape::Option(some) => prop::option::of(values(some).prop_map(Box::new)).prop_map(Typed::Option).boxed(),
        Shape::Variant(_) | Shape::Enum(_) | Shape::Result(..) => {
            let cases = shape.cases().enumerate().map(|(position, (_, carried))| match carried {
                Some(carried) => values(carried).prop_map(move |v| Typed::Case(position, Some(Box::new(v)))).boxed(),
                None => Just(Typed::Case(position, None)).boxed(),
            });
            prop::strategy::Union::new(cases.collect::<Vec<_>>()).boxed()
        }
        Shape::Flags(names) => prop::sample::subsequence((0..names.len()).collect::<Vec<_>>(), 0..=names.len())
            .prop_map(Typed::Flags)
            .boxed(),
    }
}

fn typed() -> impl Strategy<Value = (Shape, Typed)> {
    shapes().prop_flat_map(|shape| {
        let values = values(&shape);
        (Just(shape), values)
    })
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "[a-z]{0,3}|[0-9]{1,4}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            prop::collection::btree_map("[a-z]{1,3}|ok|err", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    /// What was written is read as the same value, and its schema accepts it.
    #[test]
    fn values_come_back((shape, value) in typed()) {
        let json = shape.write(&value, 1 << 20).expect("it fits");
        prop_assert_eq!(shape.read(&json), Ok(value), "{:?}", json);
        let schema = Schema::parse(&shape.document().to_string()).expect("a schema that we would take");
        prop_assert_eq!(schema.validate(&json), Ok(()));
        // Options that are left out.
        let short = text(&without_nulls(serde_json::from_str(json.as_str()).expect("JSON")));
        if shape.read(&short).is_ok() {
            prop_assert_eq!(schema.validate(&short), Ok(()));
        }
    }

    /// What a type takes, its schema takes too; a text of digits that is no number of the type is all it cannot refuse.
    #[test]
    fn the_schema_takes_what_the_type_takes(shape in shapes(), value in any_json()) {
        let schema = Schema::parse(&shape.document().to_string()).expect("a schema");
        let (json, typed) = (text(&value), Schema::of(&Arc::new(shape)));
        if typed.validate(&json).is_ok() {
            prop_assert_eq!(schema.validate(&json), Ok(()));
        }
    }
}

#[test]
fn each_fault_has_its_place() {
    let item = Shape::Record(vec![field("id", U64), field("tags", Shape::Flags(vec!["new".into(), "old".into()]))]);
    let order = Shape::Record(vec![
        field("items", Shape::List(Box::new(item))),
        field("unit-price", Shape::Float32),
        field("note", Shape::Option(Box::new(Shape::Text))),
        field(
            "by",
            Shape::Variant(
                vec![field("post", Shape::Text)]
                    .into_iter()
                    .map(|(n, s)| (n, Some(s)))
                    .chain([("self".into(), None)])
                    .collect(),
            ),
        ),
    ]);
    let value = json!({
        "items": [{"id": -1, "tags": ["new", "new", "x"]}, {"id": "18446744073709551616"}, 7],
        "unit-price": 1e300, "note": 5, "by": {"post": null}, "a/b": 1,
    });
    let expected = [
        "items[0].id: expected u64, got -1",
        "items[0].tags[1]: this flag is there already",
        "items[0].tags[2]: expected \"new\" | \"old\", got a string",
        "items[1].id: expected u64, got a string",
        "items[1].tags: missing, expected flags: an array of new | old",
        "items[2]: expected record: an object, got 7",
        "unit-price: expected f32, got 1e+300",
        "note: expected string, got 5",
        "by.post: expected string, got null",
        "a/b: unknown here; there are items | unit-price | note | by",
    ];
    assert_eq!(faults(&order, &value), expected);
    let pointers: Vec<String> = order.read(&text(&value)).expect_err("faulty").into_iter().map(|f| f.pointer).collect();
    assert_eq!((pointers[0].as_str(), pointers[9].as_str()), ("/items/0/id", "/a~1b"));
    for (value, fault) in [
        (json!("post"), "expected variant: {\"post\": …} | \"self\", got a string"),
        (json!({"self": null}), "got an object with the member \"self\""),
        (json!({"post": "a", "self": 1}), "got an object"),
    ] {
        let all = json!({"items": [], "unit-price": 1, "by": value});
        assert!(faults(&order, &all)[0].contains(fault), "{:?}", faults(&order, &all));
    }
}

#[test]
fn numbers_keep_to_their_types() {
    let reads = |shape: &Shape, json: &str| shape.read(&Json::parse(json.into()).expect("JSON")).ok();
    for (shape, json, number) in [
        (U64, "18446744073709551615", Some(u64::MAX.into())),
        (U64, "\"18446744073709551615\"", Some(u64::MAX.into())),
        (U64, "\"+1\"", None),
        (U64, "\" 1\"", None),
        (U64, "1e30", None),
        (S64, "-9223372036854775808", Some(i64::MIN.into())),
        (S64, "-9223372036854775809", None),
        (U8, "255.0", Some(255)),
        (U8, "25.5", None),
        (U8, "256", None),
        (U8, "\"1\"", None),
    ] {
        assert_eq!(reads(&shape, json), number.map(Typed::Integer), "{json}");
    }
    let written = |number| U64.write(&Typed::Integer(number), 99).expect("short").as_str().to_owned();
    assert_eq!(
        (written(1 << 53).as_str(), written((1 << 53) + 1).as_str()),
        ("9007199254740992", "\"9007199254740993\"")
    );
    assert!(matches!(reads(&Shape::Float32, "\"NaN\""), Some(Typed::Float(number)) if number.is_nan()));
    let tenth = Shape::Float32.write(&Typed::Float(0.1_f32.into()), 99).expect("short");
    assert_eq!(tenth.as_str(), "0.1");
}

#[test]
fn neither_values_nor_faults_grow_without_bound() {
    let many = Shape::Record((0..500).map(|n| field(&format!("n{n}"), Shape::Option(Box::new(U8)))).collect());
    let list = Shape::List(Box::new(many));
    let told = faults(&list, &json!(vec![json!({}); 1000]));
    assert!(told.len() == 1 && told[0].contains("too many values"), "{told:?}");
    let told = faults(&Shape::List(Box::new(U8)), &json!(vec!["x"; 1000]));
    assert_eq!(told.len(), MAX_FAULTS);
    let long = Typed::Items(vec![Typed::Text("x".repeat(100)); 100]);
    assert_eq!(Shape::List(Box::new(Shape::Text)).write(&long, 5000), Err(TooLarge(5000)));
}
