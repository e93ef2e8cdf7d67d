"""A Dagster job of ops that do nothing, one after the other: `<steps> <seconds>` for each argument after the executor."""
import sys
import time

from dagster import (
    DagsterInstance,
    build_reconstructable_job,
    execute_job,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
)


@op
def noop(before=None):
    return 0


def in_process(steps):
    return chain_of(steps, in_process_executor)


def multiprocess(steps):
    return chain_of(steps, multiprocess_executor)


def chain_of(steps, executor):
    @job(executor_def=executor)
    def chain():
        value = noop.alias("s0")()
        for number in range(1, steps):
            value = noop.alias(f"s{number}")(value)

    return chain


if __name__ == "__main__":
    with DagsterInstance.get() as instance:
        for steps in map(int, sys.argv[2:]):
            chain = build_reconstructable_job("dagster_chain", sys.argv[1], (steps,), {})
            begun = time.perf_counter()
            assert execute_job(chain, instance).success
            print(steps, time.perf_counter() - begun, flush=True)
