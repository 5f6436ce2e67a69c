//! A route whose `run` has types of its own, `wit/order.wit`. The host makes JSON Schemas of them, refuses every body that
//! does not fit, and turns the receipt into JSON: there is no JSON in here.

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "example:orders/typed-order", generate_all });

use example::orders::types::Speed;
use sandpool::route::progress;
use sandpool::route::state::StateError;

/// The shared variable that counts orders.
const COUNTER: &str = "orders";
/// This item is never there.
const SOLD_OUT: u64 = 404;

struct TypedOrder;

export!(TypedOrder);

impl Guest for TypedOrder {
    fn run(order: Order, state: State) -> Result<Receipt, OrderError> {
        let Order { items, speed, note } = order;
        if items.is_empty() {
            return Err(OrderError::Empty);
        }
        if let Some(item) = items.iter().find(|item| item.id == SOLD_OUT) {
            return Err(OrderError::SoldOut(item.id));
        }
        progress::set(50.0);
        let cost = |name: &str, quantity: u32| u64::from(quantity) * 25 * name.chars().count() as u64;
        let lines: Vec<(String, u64)> =
            items.into_iter().map(|item| (item.name.clone(), cost(&item.name, item.quantity))).collect();
        let total = lines.iter().map(|(_, amount)| amount).sum();
        let number = next(&state)?;
        Ok(Receipt { number, lines, total, speed: speed.unwrap_or(Speed::Standard), note })
    }
}

/// Counts up, without losing anybody's order.
fn next(state: &State) -> Result<u64, OrderError> {
    let no_number = |error: StateError| OrderError::NoNumber(error.to_string());
    loop {
        let before = state.get(COUNTER).map_err(no_number)?;
        let number = before.as_ref().and_then(|found| found.value.parse::<u64>().ok()).unwrap_or(0) + 1;
        match state.update(COUNTER, before.map(|found| found.version), &number.to_string()) {
            Ok(_) => return Ok(number),
            Err(StateError::Conflict(_)) => {}
            Err(error) => return Err(no_number(error)),
        }
    }
}
