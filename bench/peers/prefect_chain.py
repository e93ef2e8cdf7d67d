"""A Prefect flow of tasks that do nothing, one after the other: `<steps> <seconds>` for each argument."""
import sys
import time

from prefect import flow, task


@task
def noop(before):
    return before


@flow
def chain(steps):
    value = 0
    for _ in range(steps):
        value = noop(value)


# The first flow of a process starts Prefect's own server.
chain(1)
for steps in map(int, sys.argv[1:]):
    begun = time.perf_counter()
    chain(steps)
    print(steps, time.perf_counter() - begun, flush=True)
