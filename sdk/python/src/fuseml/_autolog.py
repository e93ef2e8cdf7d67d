"""Takes over what libraries say anyway.

A library that is not imported is left alone, and nothing that goes wrong here stops a training.
"""

import functools
import sys
import warnings
from threading import local
from typing import Any, Callable, Iterator, Optional

from fuseml._step import current

_MOST_TEXT = 500


def autolog(output: Optional[str] = None) -> None:
    """Says from now on what scikit-learn's estimators are fitted with and how they score, and what MLflow is told."""
    for library, take_over in (("sklearn", _sklearn), ("mlflow", _mlflow)):
        if library in sys.modules or _is_there(library):
            try:
                take_over(output)
            except Exception as error:  # a training goes on without
                warnings.warn(f"fuseml takes nothing over from {library}: {error}", stacklevel=2)


def _is_there(library: str) -> bool:
    from importlib.util import find_spec

    return find_spec(library) is not None


class _Depth(local):
    """How many of the functions that are followed this thread is in."""

    calls = 0


_depth = _Depth()


def _beside(function: Callable[..., Any], say: Callable[..., None]) -> Callable[..., Any]:
    """The function, followed by what is said of its call; not of calls within it, such as those of a pipeline's parts."""

    @functools.wraps(function)
    def both(*arguments: Any, **named: Any) -> Any:
        _depth.calls += 1
        try:
            answer = function(*arguments, **named)
        finally:
            _depth.calls -= 1
        if _depth.calls == 0:
            try:
                say(answer, *arguments, **named)
            except Exception as error:  # whatever a library's version does differently
                warnings.warn(f"fuseml could not take over what {function.__name__} said: {error}", stacklevel=2)
        return answer

    both.__fuseml__ = True  # type: ignore[attr-defined]
    return both


def _patch(owner: Any, name: str, say: Callable[..., None]) -> None:
    function = owner.__dict__.get(name)
    if callable(function) and not getattr(function, "__fuseml__", False):
        setattr(owner, name, _beside(function, say))


def _numbers(values: Any) -> dict:
    return {name: value for name, value in values.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}


def _sklearn(output: Optional[str]) -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    report = current().report(output)

    def fitted(_: Any, estimator: Any, *__: Any, **___: Any) -> None:
        settings = estimator.get_params(deep=False).items()
        plain = {name: value if isinstance(value, (str, int, float, bool)) else repr(value)[:_MOST_TEXT] for name, value in settings}
        report.add("parameters", plain)
        report.add("attributes", {"framework": "sklearn", "estimator": type(estimator).__name__})
        best = getattr(estimator, "best_score_", None)
        if best is not None:
            report.add("metrics", {"best_score": best})

    def follow(estimator: Any) -> None:
        _patch(estimator, "fit", fitted)
        _patch(estimator, "score", lambda answer, *_, **__: report.add("metrics", {"score": answer}))

    def known(of: Any) -> Iterator[Any]:
        for estimator in of.__subclasses__():
            yield estimator
            yield from known(estimator)

    for estimator in (ClassifierMixin, RegressorMixin, *known(BaseEstimator)):
        follow(estimator)

    def defined(cls: Any, **named: Any) -> None:
        super(BaseEstimator, cls).__init_subclass__(**named)
        follow(cls)

    # Estimators of modules that are imported later.
    if "__init_subclass__" not in BaseEstimator.__dict__:
        BaseEstimator.__init_subclass__ = classmethod(defined)


def _mlflow(output: Optional[str]) -> None:
    import mlflow

    report = current().report(output)

    def log_metrics(_: Any, metrics: Any, *__: Any, **___: Any) -> None:
        report.add("metrics", _numbers(metrics))

    def log_params(_: Any, params: Any, *__: Any, **___: Any) -> None:
        report.add("parameters", params)

    def log_batch(_: Any, __: Any, run_id: str, metrics: Any = (), params: Any = (), *___: Any, **____: Any) -> None:
        report.add("metrics", _numbers({metric.key: metric.value for metric in metrics}))
        report.add("parameters", {param.key: param.value for param in params})

    # Whoever speaks to a server by a client of one's own.
    client = mlflow.MlflowClient
    _patch(client, "log_metric", lambda _, __, run_id, key, value, *___, **____: report.add("metrics", {key: value}))
    _patch(client, "log_param", lambda _, __, run_id, key, value, *___, **____: report.add("parameters", {key: value}))
    _patch(client, "log_batch", log_batch)
    _patch(mlflow, "log_metrics", log_metrics)
    _patch(mlflow, "log_metric", lambda _, key, value, *__, **___: report.add("metrics", {key: value}))
    _patch(mlflow, "log_params", log_params)
    _patch(mlflow, "log_param", lambda _, key, value, *__, **___: report.add("parameters", {key: value}))

