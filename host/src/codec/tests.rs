//! Owns the tests of all formats together: every value survives each of them, and what is refused is told.
//! Must not be built outside of tests.

use super::*;
use crate::value::MAX_DEPTH;
use proptest::prelude::*;
use serde_json::Value;

const ALL: [Format; 3] = Format::ALL;

pub fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect(text)
}

pub fn decoded(format: Format, body: &str) -> String {
    match decode(Incoming::Format(format), body.as_bytes()) {
        Ok(json) => json.as_str().to_owned(),
        Err(fault) => fault.to_string(),
    }
}

fn encoded(format: Format, text: &str) -> String {
    String::from_utf8(encode(format, "AsyncTask", &json(text))).expect("UTF-8")
}

/// Strings that some reader of some format takes for something else, `¦` between them.
const WORDS: &str = "no¦Yes¦y¦on¦~¦null¦Null¦true¦TRUE¦1_000¦0o17¦017¦0x1F¦1:20¦1e3¦1.¦.5¦2024-07-05¦2024-07-05T01:20:00Z\
    ¦=¦<<¦¦ ¦\t¦\n¦ a ¦a\n¦\r\n¦a\rb¦- a¦a: b¦a #b¦#¦*a¦&a¦!a¦|¦>¦%a¦@¦`¦{¦[¦\"¦'¦?¦:¦-¦---¦...¦.inf¦-.INF¦.nan¦]]>\
    ¦<![CDATA[¦&amp;¦</item>¦\u{0}¦\u{1f}¦\u{7f}¦\u{85}¦\u{a0}¦\u{2028}¦\u{2029}¦\u{feff}¦\u{fffe}¦\u{ffff}¦\u{fffd}¦😀\
    ¦\u{10ffff}¦\u{1fffe}¦item¦entry¦i¦xml¦XmlA¦a:b¦größe¦Ω¦日本¦a b¦1a¦-a¦_a¦type¦name¦\\¦\\u0000¦a\u{0}b¦e\u{301}";

fn tricky() -> impl Strategy<Value = String> {
    let long = [1000_usize, 1025, 5000].map(|length| "k".repeat(length));
    let all: Vec<String> = WORDS.split('¦').map(str::to_owned).chain(long).collect();
    let (ascii, plain) = ("[\\x00-\\x7f]{0,8}", "[a-zA-Z ./_-]{0,12}");
    prop_oneof![4 => prop::sample::select(all), 2 => any::<String>(), 1 => ascii, 1 => plain]
}

const ANY_NUMBER: &str = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?";
/// What a reader can hold whose numbers are those of the machine.
const MACHINE_NUMBER: &str = "-?(0|[1-9][0-9]{0,15})(\\.[0-9]{1,5})?([eE][-+]?[0-9]{1,2})?";

/// The JSON text of any value.
fn any_json(numbers: &'static str) -> impl Strategy<Value = String> {
    let quoted = |text: String| Value::from(text).to_string();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        numbers,
        tricky().prop_map(quoted),
    ];
    leaf.prop_recursive(12, 60, 6, move |inner| {
        let pairs = prop::collection::btree_map(tricky(), inner.clone(), 0..5);
        let object = move |pairs: std::collections::BTreeMap<String, String>| {
            let members: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
            format!("{{{}}}", members.join(" ,"))
        };
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(", "))),
            pairs.prop_map(object)
        ]
    })
}

/// One spelling for each value: strings escaped alike, numbers with their exponent in one form.
fn canonical(text: &str) -> String {
    let mut out = String::new();
    for (_, piece) in token::Tokens::of(text) {
        match piece {
            token::Token::Key(quoted) | token::Token::Text(quoted) => {
                token::quote(&token::unquote_lossy(quoted), &mut out)
            }
            token::Token::Number(digits) => {
                let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, ""));
                out.push_str(mantissa.strip_suffix(".0").filter(|_| !exponent.is_empty()).unwrap_or(mantissa));
                out.push_str(&format!("e{}", exponent.trim_start_matches('+')));
            }
            other => out.push_str(&format!("{other:?}")),
        }
        out.push(' ');
    }
    out
}

/// Whether another YAML reader read the same.
fn same(ours: &Value, theirs: &serde_yaml::Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), serde_yaml::Value::Mapping(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(ours), serde_yaml::Value::Sequence(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| same(one, other))
        }
        (Value::Number(ours), theirs) => theirs.as_f64() == ours.as_f64(),
        (Value::String(ours), theirs) => theirs.as_str() == Some(ours),
        (Value::Bool(ours), theirs) => theirs.as_bool() == Some(*ours),
        (Value::Null, theirs) => theirs.is_null(),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_survives_every_format(text in any_json(ANY_NUMBER)) {
        for format in ALL {
            let body = encoded(format, &text);
            let back = decoded(format, &body);
            prop_assert_eq!(canonical(&back), canonical(&text), "{:?}\n{}\n{}\n{}", format, text, body, back);
        }
    }

    #[test]
    fn another_yaml_reader_reads_the_same(text in any_json(MACHINE_NUMBER)) {
        let body = encoded(Format::Yaml, &text);
        let ours: Value = serde_json::from_str(&text).expect("JSON");
        let theirs = serde_yaml::from_str(&body);
        prop_assert!(theirs.as_ref().is_ok_and(|theirs| same(&ours, theirs)), "{text}\n{body}\n{theirs:?}");
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, text in "[-\\[\\]{}<>a&*!|>'\"%#:,? \n\t/=;0-9.]{0,80}") {
        for incoming in ALL.map(Incoming::Format).into_iter().chain([Incoming::Form]) {
            for body in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(json) = decode(incoming, body) {
                    prop_assert!(Json::parse(json.as_str().to_owned()).is_ok());
                }
            }
        }
    }

    #[test]
    fn no_mutilated_body_makes_a_reader_panic(text in any_json(ANY_NUMBER), at: prop::sample::Index, byte: u8) {
        for format in ALL {
            let mut body = encode(format, "a", &json(&text));
            let at = at.index(body.len());
            body[at] = byte;
            let _ = decode(Incoming::Format(format), &body);
            body.truncate(at);
            let _ = decode(Incoming::Format(format), &body);
        }
    }
}

#[test]
fn the_deepest_values_survive() {
    let lists = "[".repeat(MAX_DEPTH) + "1" + &"]".repeat(MAX_DEPTH);
    let maps = "{\"a\":".repeat(MAX_DEPTH) + "null" + &"}".repeat(MAX_DEPTH);
    let mixed = "{\"a\":[".repeat(MAX_DEPTH / 2) + "\"\"" + &"]}".repeat(MAX_DEPTH / 2);
    for text in [lists, maps, mixed] {
        for format in ALL {
            assert_eq!(decoded(format, &encoded(format, &text)), text, "{format:?}");
        }
    }
}

#[test]
fn halves_of_surrogate_pairs_are_replaced() {
    for format in [Format::Xml, Format::Yaml] {
        assert_eq!(decoded(format, &encoded(format, r#"{"\ud800a":"\udfff"}"#)), "{\"\u{fffd}a\":\"\u{fffd}\"}");
    }
}

#[test]
fn content_types_are_told_apart() {
    let read = |text| incoming(text).map_err(|unread| unread.to_string());
    for (format, types) in [
        (Format::Json, ["application/json", "TEXT/JSON; charset=UTF-8", "application/vnd.api+json;charset=\"utf-8\""]),
        (Format::Xml, ["application/xml", "text/xml;charset=us-ascii", "application/soap+xml; action=x"]),
        (Format::Yaml, ["application/yaml", "text/x-yaml", "application/openapi+yaml"]),
    ] {
        types.into_iter().for_each(|name| assert_eq!(read(name), Ok(Incoming::Format(format)), "{name}"));
    }
    assert_eq!(read("application/x-www-form-urlencoded"), Ok(Incoming::Form));
    assert!(read("text/plain").is_err_and(|message| message.contains("`text/plain`")));
    assert!(read("").is_err() && read("json").is_err() && read("image/svg+xml").is_err());
    assert!(read("text/xml; charset=iso-8859-1").is_err_and(|message| message.contains("`iso-8859-1`")));
}

#[test]
fn a_task_looks_as_the_contract_says() {
    let task = r#"{"Id":"1","State":"Completed","Progress":100,"Cancellable":true,"Permission":{"Read":{
        "Users":["a","b"]}},"Result":{"a b":null,"n":0,"e":[],"o":{},"s":""},"Error":"no"}"#;
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AsyncTask><Id>1</Id><State>Completed</State>\
        <Progress type=\"number\">100</Progress><Cancellable type=\"boolean\">true</Cancellable><Permission><Read>\
        <Users type=\"array\"><item>a</item><item>b</item></Users></Read></Permission><Result>\
        <entry name=\"a b\" type=\"null\"></entry><n type=\"number\">0</n><e type=\"array\"></e><o type=\"object\"></o>\
        <s></s></Result><Error>no</Error></AsyncTask>\n";
    assert_eq!(encoded(Format::Xml, task), xml);
    let yaml = "Id: \"1\"\nState: Completed\nProgress: 100\nCancellable: true\nPermission:\n\
        \u{20} Read:\n    Users:\n      - a\n      - b\n\
        Result:\n  a b: null\n  \"n\": 0\n  e: []\n  o: {}\n  s: \"\"\nError: \"no\"\n";
    assert_eq!(encoded(Format::Yaml, task), yaml);
    assert_eq!(encoded(Format::Yaml, "[[1,[2]],{\"a\":[{\"b\":1e5}]}]"), "- - 1\n  - - 2\n- a:\n    - b: 1.0e+5\n");
}

#[test]
fn problems_follow_their_rfc() {
    let problem =
        json(r#"{"title":"Bad Request","status":400,"line":2,"errors":["a",{"i":1,"status":2}],"type":"about:blank"}"#);
    let xml = String::from_utf8(encode_problem(Format::Xml, &problem)).expect("UTF-8");
    let body = "<problem xmlns=\"urn:ietf:rfc:7807\"><title>Bad Request</title><status>400</status><line type=\"number\">2</line>\
        <errors type=\"array\"><i>a</i><i><entry name=\"i\" type=\"number\">1</entry><status type=\"number\">2</status></i></errors>\
        <type>about:blank</type></problem>";
    assert!(xml.contains(body), "{xml}");
    assert_eq!(encode_problem(Format::Json, &problem), problem.as_str().as_bytes());
}

#[test]
fn what_xml_means_to_others_is_understood() {
    let cases = [
        ("<order><qty>3</qty></order>", r#"{"qty":"3"}"#),
        ("<o>\n <a>1</a>\n <b/>\n <a>2</a><!-- x --></o>\n", r#"{"a":["1","2"],"b":""}"#),
        ("<o><item>1</item><item>2</item></o>", r#"{"item":["1","2"]}"#),
        ("<o type='array'> <item>1</item> </o>", r#"["1"]"#),
        ("<o type='array'/>", "[]"),
        ("<o type='object'> </o>", "{}"),
        ("<o> a&lt;&#x42;\r\n<![CDATA[<&]]>\t</o>", "\" a<B\\n<&\\t\""),
        ("<o><a type='number'> 1.50 </a><b type='boolean'>true</b></o>", r#"{"a":1.50,"b":true}"#),
        ("<o><entry>x</entry><entry name='a&#10;b'>y</entry></o>", r#"{"entry":"x","a\nb":"y"}"#),
        ("<?xml version='1.0' encoding='utf-8'?><p:o xmlns:p='u' xsi:x='' xml:lang='de'><p:a/></p:o>", r#"{"p:a":""}"#),
        ("\u{feff}<größe>x</größe>", "\"x\""),
        ("<o><a type='array'><item/></a><a type='array'/></o>", r#"{"a":[[""],[]]}"#),
    ];
    for (body, text) in cases {
        assert_eq!(decoded(Format::Xml, body), text, "{body}");
    }
}

#[test]
fn what_xml_would_lose_is_refused() {
    let cases = [
        ("", "1, column 1: malformed XML: no element"),
        ("<a>\n <b>", "2, column 5: malformed XML: the element `b` is not closed"),
        ("<a>\n</b>", "2, column 1: malformed XML: expected `</a>`, but `</b>` was found"),
        ("<a/><b/>", "1, column 5: malformed XML: a second root element"),
        ("<a/>x", "1, column 5: malformed XML: text outside of the root element"),
        ("<!DOCTYPE a><a/>", "1, column 1: a document type declaration, which is not read here"),
        ("<a><?x y?></a>", "1, column 4: a processing instruction, which is not read here"),
        ("<a>&é;</a>", "1, column 4: the entity `é`, which is not declared"),
        ("<a>&#0;</a>", "1, column 4: the reference `#0` to a character that XML excludes"),
        ("<a>&#x1;</a>", "1, column 4: the reference `#x1` to a character that XML excludes"),
        ("<a type='&#1;'/>", "1, column 1: a reference to a character that XML excludes"),
        ("<a>é\0</a>", "1, column 5: a character that XML excludes"),
        ("<a id='1'/>", "1, column 1: the attribute `id`, which would be lost; send it as an element"),
        ("<a name='1'/>", "1, column 1: the attribute `name` (`1`) on another element than `entry`"),
        (
            "<a type='int'>1</a>",
            "1, column 16: the type `int`; it may be string, number, boolean, null, array or object",
        ),
        ("<a type='number'>x</a>", "1, column 19: `x` in `a`, whose type is number"),
        ("<a type='null'>x</a>", "1, column 17: `x` in `a`, whose type is null"),
        ("<a type='array'><b/></a>", "1, column 21: the element `b` in an array; it may be `item`"),
        ("<a type='string'><b/></a>", "1, column 22: elements in `a`, whose type is `string`"),
        ("<a>x<b/></a>", "1, column 5: text beside the element `b`, which would be lost"),
        ("<a><b/>x</a>", "1, column 8: text beside elements in `a`, which would be lost"),
        ("<a encoding='json'>x</a>", "1, column 21: `x` is no JSON string"),
        ("<a encoding='base64'>x</a>", "1, column 1: encoding=`base64`; it may be `json`"),
        (
            "<a type='null' type='null'/>",
            "1, column 1: malformed XML: position 14: duplicated attribute, previous declaration at position 2",
        ),
        ("<1a/>", "1, column 1: malformed XML: `1a` is no name"),
        ("<?xml version='1.1'?><a/>", "1, column 1: XML `1.1`; send XML 1.0"),
        ("<?xml version='1.0' encoding='latin1'?><a/>", "1, column 1: the encoding `latin1`; send UTF-8"),
        (" <?xml version='1.0'?><a/>", "1, column 2: malformed XML: a declaration that is not at the beginning"),
    ];
    for (body, told) in cases {
        assert_eq!(decoded(Format::Xml, body), format!("line {told}"), "{body}");
    }
}

#[test]
fn yaml_follows_its_core_schema() {
    let cases = [
        ("", "null"),
        ("# nothing", "null"),
        (
            "{a: no, b: [on, 1_000, 0o17, 0x1F, 1:20, 2024-07-05, ~, .5, 12345678901234567890123]}",
            r#"{"a":"no","b":["on","1_000",15,31,"1:20","2024-07-05",null,0.5,12345678901234567890123]}"#,
        ),
        ("1: a\ntrue: b\n~: c\n'<<': d\n\"1 \": e", r#"{"1":"a","true":"b","~":"c","<<":"d","1 ":"e"}"#),
        ("{a: &x [1, {b: 2}], c: *x}", r#"{"a":[1,{"b":2}],"c":[1,{"b":2}]}"#),
        (
            "[!!str 1, !!int 2, !!float 3, !!null '', !!bool 'true', !!seq [], !!map {}, ! 4]",
            r#"["1",2,3,null,true,[],{},"4"]"#,
        ),
        ("--- |\n x\n y\n...\n", r#""x\ny\n""#),
        ("\"\\0\\x07\\u2028\\U0001F600\"", r#""\u0000\u0007\u2028😀""#),
        ("é: 1\na: 2\né: 3", "line 3, column 1: the key `é` occurs twice"),
        ("1: a\n'1': b", "line 2, column 1: the key `1` occurs twice"),
        ("a: b\n c: d", "line 2, column 3: malformed YAML: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("a: &x [*x]", "line 1, column 8: an alias inside of what it stands for"),
        ("a: *x", "line 1, column 4: malformed YAML: while parsing node, found unknown anchor"),
        ("[a]: b", "line 1, column 1: a list or map as key"),
        ("a: &x b\n*x : c", "line 2, column 1: an alias as key"),
        ("<<: {a: 1}", "line 1, column 1: merge keys (`<<`) are not read; write the members out"),
        ("a: !x b", "line 1, column 4: the tag `!x`, which is not read here"),
        ("a: !!binary eA==", "line 1, column 4: the tag `!!binary`, which is not read here"),
        ("a: !!int x", "line 1, column 4: `x` is no int"),
        ("a: -.inf", "line 1, column 4: -.inf, which JSON cannot hold"),
        ("a: .NaN", "line 1, column 4: .NaN, which JSON cannot hold"),
        ("a: b\0c", "line 1, column 5: a control character, which must be escaped"),
        ("a: 1e10001", "line 1, column 4: a number whose exponent is beyond 10000"),
    ];
    for (body, text) in cases {
        assert_eq!(decoded(Format::Yaml, body), text, "{body}");
    }
}
