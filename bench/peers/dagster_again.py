"""A Dagster job of ops that each return a text, done again: `<what> <seconds> <ops that ran>` a line."""
import pathlib
import sys
import time

from dagster import (
    DagsterInstance,
    ReexecutionOptions,
    build_reconstructable_job,
    execute_job,
    in_process_executor,
    job,
    op,
)

FLAG, RAN = pathlib.Path("fails").absolute(), pathlib.Path("ran").absolute()


def make(number, failing):
    @op(name=f"s{number}")
    def made(before=None):
        with RAN.open("a") as ran:
            ran.write(f"{number}\n")
        if FLAG.exists() and number == failing:
            raise RuntimeError("told to")
        return f"made {number}"

    return made


def chain_of(steps, failing):
    @job(executor_def=in_process_executor)
    def chain():
        value = make(0, failing)()
        for number in range(1, steps):
            value = make(number, failing)(value)

    return chain


def timed(what, run):
    RAN.write_text("")
    begun = time.perf_counter()
    result = run()
    print(what, time.perf_counter() - begun, len(RAN.read_text().split()), flush=True)
    return result


if __name__ == "__main__":
    with DagsterInstance.get() as instance:
        chain = build_reconstructable_job("dagster_again", "chain_of", (int(sys.argv[1]), int(sys.argv[2])), {})
        timed("first", lambda: execute_job(chain, instance))
        timed("unchanged", lambda: execute_job(chain, instance))
        FLAG.touch()
        failed = timed("failed", lambda: execute_job(chain, instance, raise_on_error=False))
        assert not failed.success
        FLAG.unlink()
        again = ReexecutionOptions.from_failure(failed.run_id, instance)
        assert timed("resumed", lambda: execute_job(chain, instance, reexecution_options=again)).success
