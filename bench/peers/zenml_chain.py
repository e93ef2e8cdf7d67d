"""A ZenML pipeline of steps that do nothing, one after the other: `<steps> <seconds>` for each argument."""
import sys
import time

from zenml import pipeline, step


@step(enable_cache=False)
def noop(before: int) -> int:
    return before


@pipeline(enable_cache=False)
def chain(steps: int = 1):
    value = 0
    for _ in range(steps):
        value = noop(value)


# The first run registers what there is.
chain(steps=1)
for steps in map(int, sys.argv[1:]):
    begun = time.perf_counter()
    chain(steps=steps)
    print(steps, time.perf_counter() - begun, flush=True)
