//! For the tests: gives back what it is given, in every type that can cross as JSON, or misbehaves with such types.

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "test:types/typed-types", generate_all });

use test::types::types::{Color, Pick, Rights};

struct TypedTypes;

export!(TypedTypes);

impl Guest for TypedTypes {
    fn run(state: State, deed: Deed, args: Args, all: Option<Everything>) -> Result<Answer, Problem> {
        let answer = |many, texts| Ok(Answer { task: args.task_id.clone(), all: None, many, texts });
        match deed {
            Deed::Echo => Ok(Answer { task: args.task_id, all, many: Vec::new(), texts: Vec::new() }),
            Deed::Fail => Err(problem("it failed")),
            Deed::Count => match state.set("count", "7") {
                Ok(version) => answer(Vec::new(), vec![version.to_string()]),
                Err(error) => Err(problem(&error.to_string())),
            },
            Deed::Attempt if args.attempt < 3 => Err(problem("not yet")),
            Deed::Attempt => answer(Vec::new(), vec![args.attempt.to_string()]),
            Deed::Endless => loop {
                std::hint::black_box(0);
            },
            Deed::Trap => panic!("as asked"),
            Deed::ManyRecords => answer(vec![everything(); 50_000], Vec::new()),
            Deed::ManyTexts => answer(Vec::new(), vec![String::new(); 1_000_000]),
            Deed::Wide => answer(Vec::new(), vec!["\u{1}".repeat(2 << 20)]),
            Deed::Big => answer(vec![everything(); 1000], Vec::new()),
        }
    }
}

fn problem(message: &str) -> Problem {
    Problem { message: message.to_owned(), code: 7, colors: vec![Color::Green] }
}

fn everything() -> Everything {
    Everything {
        yes: true,
        a_u8: 0,
        a_s8: 0,
        a_u16: 0,
        a_s16: 0,
        a_u32: 0,
        a_s32: 0,
        a_u64: 0,
        a_s64: 0,
        single: 0.0,
        double: 0.0,
        letter: 'a',
        text: String::new(),
        bytes: Vec::new(),
        points: Vec::new(),
        pair: (String::new(), 0),
        color: Color::Red,
        rights: Rights::empty(),
        picks: vec![Pick::Nothing],
        perhaps: None,
        maybe_point: None,
        tried: Ok(0),
        done: Ok(()),
    }
}
