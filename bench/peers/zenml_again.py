"""A ZenML pipeline of cached steps that each return a text, done again: `<what> <seconds> <steps that ran>` a line."""
import pathlib
import sys
import time

from zenml import pipeline, step

STEPS, FAILING = int(sys.argv[1]), int(sys.argv[2])
FLAG, RAN = pathlib.Path("fails").absolute(), pathlib.Path("ran").absolute()


@step
def make(number: int, before: str) -> str:
    with RAN.open("a") as ran:
        ran.write(f"{number}\n")
    if FLAG.exists() and number == FAILING:
        raise RuntimeError("told to")
    # Whose inputs have the same contents is the same to its cache: each salt has a chain of its own.
    return f"made {number} of {before.split()[-1]}"


@step
def begin(salt: str) -> str:
    return salt


@pipeline(enable_cache=True)
def chain(steps: int = 1, salt: str = "warm"):
    value = begin(salt)
    for number in range(steps):
        value = make(number, value)


def timed(what, salt, fails=False):
    RAN.write_text("")
    begun = time.perf_counter()
    try:
        chain(steps=STEPS, salt=salt)
        assert not fails
    except RuntimeError:
        assert fails
    print(what, time.perf_counter() - begun, len(RAN.read_text().split()), flush=True)


# The first run registers what there is.
chain()
timed("first", "a")
timed("unchanged", "a")
results = [path for path in pathlib.Path.home().rglob("data.json") if path.read_bytes() == b'"made 25 of a"']
results[0].unlink()
timed("gone", "a")
FLAG.touch()
timed("failed", "b", fails=True)
FLAG.unlink()
timed("resumed", "b")
