//! A route that says what it takes and what it gives: an order. The host refuses every input that does not fit the
//! schema, so `run` sees only good ones, and both schemas are in the OpenAPI document.

use serde::{Deserialize, Serialize};

wit_bindgen::generate!({ path: "../../../wit", world: "described-route" });

/// JSON Schemas (2020-12), as files: they can be checked, and shown, without building anything.
const INPUT_SCHEMA: &str = include_str!("input.json");
const RESULT_SCHEMA: &str = include_str!("result.json");

struct Described;

export!(Described);

/// What `input.json` says.
#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u32,
    note: Option<String>,
}

/// What `result.json` says. Amounts are in cents: floating-point money loses some.
#[derive(Serialize)]
struct Receipt {
    item: String,
    quantity: u32,
    total: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Guest for Described {
    fn run(args: Args, _: State) -> Result<String, Failure> {
        let order: Order = serde_json::from_str(&args.input).map_err(failure)?;
        let total = order.quantity.saturating_mul(price(&order.item));
        let Order { item, quantity, note } = order;
        serde_json::to_string(&Receipt { item, quantity, total, note }).map_err(failure)
    }

    fn describe() -> Description {
        Description {
            summary: "Order items".to_owned(),
            description: "Takes an order of 1 to 100 items and answers what it costs, in **cents**.".to_owned(),
            input_schema: Some(INPUT_SCHEMA.to_owned()),
            result_schema: Some(RESULT_SCHEMA.to_owned()),
        }
    }
}

/// Every letter of an item's name costs a quarter.
fn price(item: &str) -> u32 {
    u32::try_from(item.chars().count()).unwrap_or(u32::MAX).saturating_mul(25)
}

fn failure(error: serde_json::Error) -> Failure {
    Failure { message: format!("the order cannot be taken: {error}"), detail: None }
}
