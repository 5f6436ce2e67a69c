"""Generates a client from a server's OpenAPI document with openapi-python-client and uses it, typed objects throughout.

Usage: client.py BASE FOLDER
"""

import subprocess
import sys
from pathlib import Path

base, folder = sys.argv[1], Path(sys.argv[2])

(folder / "config.yaml").write_text("post_hooks: []\n")
command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--url", f"{base}/openapi.json"]
command += ["--config", folder / "config.yaml", "--output-path", folder / "sandpool_client"]
generated = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
assert generated.returncode == 0, generated.stdout
# It sends JSON only, and says so of every body that may also be YAML or XML; it must understand all else.
for words in ("will not be generated", "will be omitted", "Unable to", "Could not find", "duplicate"):
    assert words not in generated.stdout, generated.stdout

sys.path.insert(0, str(folder))
from sandpool_client import Client, models  # noqa: E402
from sandpool_client.api.default import get_long  # noqa: E402
from sandpool_client.api.orders import put_orders_by_id  # noqa: E402
from sandpool_client.api.tasks import get_task, query_tasks, stop_task  # noqa: E402
from sandpool_client.types import Unset  # noqa: E402


def check(kind, got):
    assert type(got) is kind, got
    return got


with Client(base_url=base, raise_on_unexpected_status=True) as client:
    order = models.PutOrdersByIdInput(item="pickle", quantity=3)
    task = check(models.AsyncTask, put_orders_by_id.sync("7", client=client, body=order))
    assert task.name == "__Put_orders_{id}__" and task.method == "PUT", task
    while isinstance(task.completed_time, Unset):
        task = check(models.AsyncTask, get_task.sync(task.id, client=client, wait=5))
    assert task.state is models.TaskState.COMPLETED and task.progress == 100, task
    assert task.creation_time <= task.starting_time <= task.completed_time, task
    receipt = models.PutOrdersByIdResult.from_dict(task.result)
    assert (receipt.item, receipt.quantity, receipt.total) == ("pickle", 3, 450), receipt

    wrong = models.PutOrdersByIdInput(item="pickle", quantity=101)
    refused = put_orders_by_id.sync("7", client=client, body=wrong)
    assert check(models.Problem, refused).errors[0].pointer == "/quantity", refused

    endless = check(models.AsyncTask, get_long.sync(client=client))
    stopped = check(models.AsyncTask, stop_task.sync(endless.id, client=client))
    assert stopped.state is models.TaskState.ABORTED and stopped.error == "Aborted by the user", stopped
    again = stop_task.sync(endless.id, client=client)
    assert check(models.Problem, again).status == 410, again

    state = models.AsyncTaskQueryState(op=models.AsyncTaskQueryStateOp.EQ, value=models.TaskState.ABORTED)
    found = query_tasks.sync(client=client, body=models.AsyncTaskQuery(state=state))
    assert [check(models.AsyncTask, one).id for one in found] == [endless.id], found
