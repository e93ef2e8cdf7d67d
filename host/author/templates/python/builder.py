"""A codeset with a `job.py` becomes a trainer that runs it, with what `requirements.txt` names."""

import hashlib

from fuseml_extension import Error, files
from wit_world.exports.build import BuildPlan, Environment, InputSlot, Match, OutputSlot, Runnable

JOB = "job.py"
PYTHON = "3.11"


def _environment(name):
    lines = [line.strip() for line in (files.read_text_if_there("requirements.txt") or "").splitlines()]
    requirements = [line for line in lines if line and not line.startswith("#")]
    install = "".join(f" '{requirement}'" for requirement in requirements)
    dockerfile = f"FROM python:{PYTHON}-slim\n" + (f"RUN pip install{install}\n" if install else "")
    digest = "sha256:" + hashlib.sha256(dockerfile.encode()).hexdigest()
    return Environment(name=name, dockerfile=dockerfile, python=PYTHON, requirements=requirements, digest=digest)


def _trainer(environment):
    code = InputSlot(
        name="codeset",
        description="the code itself",
        kind="codeset",
        requires=[],
        optional=False,
        path="codeset",
        change_filter=[],
    )
    model = OutputSlot(
        name="model",
        description="what the job leaves in the folder model",
        kind="model",
        provides=[],
        path="model",
        report=None,
    )
    return Runnable(
        name="trainer",
        kind="trainer",
        environment=environment,
        command=["python", f"codeset/{JOB}"],
        scripts=[],
        variables=[],
        inputs=[code],
        outputs=[model],
        parameters=[],
        service=None,
        resources=[],
        labels=[],
    )


class Build:
    """The contract's functions. Each call begins anew: nothing is kept between two."""

    def detect(self):
        if files.exists(JOB):
            return Match(confidence=100, reason=JOB)
        return Match(confidence=0, reason=f"there is no {JOB}")

    def plan(self, codeset, previous):
        if not files.exists(JOB):
            raise Error.invalid("no-job", f"the codeset `{codeset.name}` has no {JOB}")
        environment = _environment(codeset.name)
        rebuild = previous is None or previous.environment_digest != environment.digest
        reason = "the environment is new or changed" if rebuild else "the environment is the same"
        return BuildPlan(
            rebuild=rebuild, reason=reason, environments=[environment], runnables=[_trainer(environment.name)]
        )
