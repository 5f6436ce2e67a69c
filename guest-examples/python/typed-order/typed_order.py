"""A route whose `run` has types of its own, `wit/order.wit`: the same as `../../rust/typed-order`, which says more."""

import wit_world
from componentize_py_types import Err
from wit_world.imports import progress
from wit_world.imports import state as wit_state
from wit_world.imports.example_orders_types import (
    Order,
    OrderError_Empty,
    OrderError_NoNumber,
    OrderError_SoldOut,
    Receipt,
    Speed,
)

# The shared variable that counts orders.
COUNTER = "orders"
# This item is never there.
SOLD_OUT = 404


class WitWorld(wit_world.WitWorld):
    def run(self, order: Order, state: wit_state.State) -> Receipt:
        if not order.items:
            raise Err(OrderError_Empty())
        if any(item.id == SOLD_OUT for item in order.items):
            raise Err(OrderError_SoldOut(SOLD_OUT))
        progress.set(50.0)
        lines = [(item.name, item.quantity * 25 * len(item.name)) for item in order.items]
        return Receipt(
            number=next_number(state),
            lines=lines,
            total=sum(amount for _, amount in lines),
            speed=Speed.STANDARD if order.speed is None else order.speed,
            note=order.note,
        )


def next_number(state: wit_state.State) -> int:
    """Counts up, without losing anybody's order."""
    while True:
        try:
            before = state.get(COUNTER)
            number = 1 + (int(before.value) if before else 0)
            state.update(COUNTER, before.version if before else None, str(number))
            return number
        except Err as error:
            if not isinstance(error.value, wit_state.StateError_Conflict):
                raise Err(OrderError_NoNumber(type(error.value).__name__)) from None
