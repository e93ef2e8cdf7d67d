"""A Prefect flow of cached tasks that each return a text, done again: `<what> <seconds> <tasks that ran>` a line."""
import pathlib
import sys
import time

from prefect import flow, task
from prefect.cache_policies import INPUTS

STEPS, FAILING = int(sys.argv[1]), int(sys.argv[2])
FLAG = pathlib.Path("fails")
ran = 0


@task(persist_result=True, cache_policy=INPUTS, result_serializer="json")
def make(number, before, salt):
    global ran
    ran += 1
    if FLAG.exists() and number == FAILING:
        raise RuntimeError("told to")
    return f"made {number} {salt}"


@flow(persist_result=True)
def chain(steps, salt):
    value = salt
    for number in range(steps):
        value = make(number, value, salt)


def timed(what, salt, fails=False):
    global ran
    ran, begun = 0, time.perf_counter()
    try:
        chain(STEPS, salt)
        assert not fails
    except RuntimeError:
        assert fails
    print(what, time.perf_counter() - begun, ran, flush=True)


# The first flow of a process starts Prefect's own server.
chain(1, "warm")
timed("first", "a")
timed("unchanged", "a")
results = [path for path in pathlib.Path.home().rglob("*") if path.is_file() and b"made 25 a" in path.read_bytes()]
results = [path for path in results if "storage" in path.parts]
results[0].unlink()
timed("gone", "a")
FLAG.touch()
timed("failed", "b", fails=True)
FLAG.unlink()
timed("resumed", "b")
