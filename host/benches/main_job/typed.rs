//! A route of world `route` against a typed one. Both give back what they are given, so that the rest is the host's work.

use crate::executor::{self, Guests};
use sandpool::schema::shape::{Integer, Shape};
use sandpool::value::Json;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The fields of one record, in WebAssembly's text and as our type.
fn fields() -> Vec<(&'static str, &'static str, Shape)> {
    let integer = |bits, signed| Shape::Integer(Integer { bits, signed });
    vec![
        ("id", "u64", integer(64, false)),
        ("name", "string", Shape::Text),
        ("sku", "string", Shape::Text),
        ("quantity", "u32", integer(32, false)),
        ("unit-price", "f64", Shape::Float64),
        ("weight", "f32", Shape::Float32),
        ("gift", "bool", Shape::Bool),
        ("rating", "u8", integer(8, false)),
        ("changed", "s64", integer(64, true)),
        ("note", "(option string)", Shape::Option(Box::new(Shape::Text))),
        ("speed", "(enum \"standard\" \"express\")", Shape::Enum(vec!["standard".into(), "express".into()])),
        ("tags", "(list string)", Shape::List(Box::new(Shape::Text))),
    ]
}

/// `items` records as JSON: 200 bytes each.
fn input(items: usize) -> String {
    let item = |n: usize| {
        format!(
            r#"{{"id":{n},"name":"a bag of tea","sku":"TEA-{n:06}","quantity":2,"unit-price":3.75,"weight":0.5,"gift":false,"rating":4,"changed":1764000000,"note":null,"speed":"express","tags":["green","loose"]}}"#
        )
    };
    format!("[{}]", (0..items).map(item).collect::<Vec<_>>().join(","))
}

/// A memory, and an allocator that never frees.
const MEMORY: &str = r#"(memory (export "memory") 64)
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3))))"#;

/// `run: func(items: list<item>) -> list<item>`
fn typed(folder: &Path) -> PathBuf {
    let mut types = String::new();
    let mut members = String::new();
    for (position, (name, ty, _)) in fields().into_iter().enumerate() {
        // A type must have a name when a named one is made of it.
        types += &format!("(type $f{position} {ty}) (export $e{position} \"t{position}\" (type $f{position}))\n");
        members += &format!("(field \"{name}\" $e{position}) ");
    }
    let text = format!(
        r#"(component {types}
          (type $record (record {members})) (export $item "item" (type $record)) (type $items (list $item))
          (core module $m {MEMORY}
            (func (export "run") (param i32 i32) (result i32)
              (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
          (core instance $i (instantiate $m))
          (func $run (param "items" $items) (result $items)
            (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))
          (export "run" (func $run)))"#
    );
    assembled(folder, "typed.wasm", &text)
}

/// World `route`: the result is the input.
fn text(folder: &Path) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/rust/misbehaving/wat/start-loop.wat");
    let all = std::fs::read_to_string(file).expect("the text");
    let (before, rest) = all.split_once("  (core module $main").expect("a core module");
    let (_, after) = rest.split_once("  (core instance $main").expect("its instance");
    // `input` is the fourth text of `args`, which come by address.
    let module = format!(
        r#"(core module $main {MEMORY}
          (func (export "run") (param i32) (result i32)
            (i32.store8 (i32.const 32) (i32.const 0))
            (i32.store (i32.const 36) (i32.load offset=24 (local.get 0)))
            (i32.store (i32.const 40) (i32.load offset=28 (local.get 0))) (i32.const 32)))"#
    );
    assembled(folder, "text.wasm", &format!("{before}  {module}\n  (core instance $main{after}"))
}

fn assembled(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, wat::parse_str(text).expect("valid text")).expect("writable");
    file
}

fn micros(took: Duration, calls: u32) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(calls)
}

/// Three rounds by turns; the best of each, in microseconds.
pub async fn compare() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = executor::engine();
    let of = |file: PathBuf| Guests::new(&engine, file);
    let guests = [of(text(folder.path())), of(typed(folder.path()))];
    let shapes = fields().into_iter().map(|(name, _, shape)| (name.to_owned(), shape)).collect();
    let shape = Shape::List(Box::new(Shape::Record(shapes)));
    for (items, calls) in [(1, 4_000), (1_000, 60)] {
        let input = input(items);
        let json = Json::parse(input.clone()).expect("JSON");
        let mut best = [f64::INFINITY; 4];
        let mut note = |which: usize, took: Duration| best[which] = best[which].min(micros(took, calls));
        for _ in 0..3 {
            for (which, guests) in guests.iter().enumerate() {
                guests.complete(&input).await;
                let began = Instant::now();
                for _ in 0..calls {
                    guests.complete(&input).await;
                }
                note(which, began.elapsed());
            }
            let value = shape.read(&json).expect("it fits");
            let began = Instant::now();
            for _ in 0..calls {
                drop(black_box(shape.read(black_box(&json))));
            }
            note(2, began.elapsed());
            let began = Instant::now();
            for _ in 0..calls {
                drop(black_box(shape.write(black_box(&value), 8 << 20)));
            }
            note(3, began.elapsed());
        }
        let [text, typed, read, write] = best;
        println!(
            "   {items:>5} of 12 fields, {:>6} B: text {text:>7.1} µs, typed {typed:>8.1} µs, ratio {:.2}; of it JSON read {read:.1} µs, written {write:.1} µs",
            input.len(),
            typed / text
        );
    }
}
