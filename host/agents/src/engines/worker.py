"""Does one piece of FuseML's work where an engine put it.

It asks the server what to do, fetches and verifies what that takes, does it, and hands over what was made. It needs
Python 3.8 and nothing else.
"""

import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

WORK = os.environ["FUSEML_WORK"]
TOKEN = os.environ["FUSEML_WORK_TOKEN"]
# A server that is being upgraded must not cost the work: so long it is asked again, in seconds.
PATIENCE = 3600
LONGEST_PAUSE = 30
PORTION = 1 << 20


def ask(method, path, use=lambda answer: answer.read(), body=None, length=None):
    """What is made of the answer to a request; a server that is being restarted is asked again."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/octet-stream"}
    if length is not None:
        headers["Content-Length"] = str(length)
    deadline, pause = time.monotonic() + PATIENCE, 0.25
    while True:
        is_last = time.monotonic() > deadline
        data = body() if callable(body) else body
        request = urllib.request.Request(WORK + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return use(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500 or is_last:
                raise SystemExit(f"{method} {path}: {error.read(1000).decode(errors='replace').strip()}")
        except (OSError, http.client.HTTPException) as error:
            if is_last:
                raise SystemExit(f"the server does not answer at {WORK}: {error}")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def make(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def fetch(slot, entry, target):
    """Makes one file of an input, verified against its digest."""
    if "link" in entry:
        os.symlink(entry["link"], make(target))
        return
    path = f"/inputs/{urllib.parse.quote(slot)}/{urllib.parse.quote(entry['path'])}"

    def save(answer):
        digest = hashlib.sha256()
        with open(make(target), "wb") as file:
            while portion := answer.read(PORTION):
                digest.update(portion)
                file.write(portion)
        return f"sha256:{digest.hexdigest()}"

    if ask("GET", path, save) != entry["digest"]:
        raise SystemExit(f"{slot}/{entry['path']} is not what the server says it is")
    if entry["executable"]:
        os.chmod(target, 0o755)


def environment(order):
    """Folder of programs with the packages that the work needs, made once on this machine."""
    name, requirements = order["environment"], order["requirements"]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(cache, "fuseml", "environments", name)
    with open(make(folder + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, "ready")):
            shutil.rmtree(folder, ignore_errors=True)
            if shutil.which("uv"):
                commands = [["uv", "venv", "--python", sys.executable, folder]]
                commands += [["uv", "pip", "install", "--python", os.path.join(folder, "bin", "python")] + requirements]
            else:
                commands = [[sys.executable, "-m", "venv", folder]]
                commands += [[os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet"] + requirements]
            for command in commands:
                if subprocess.run(command).returncode:
                    raise SystemExit("the environment could not be made; the lines above say why")
            open(os.path.join(folder, "ready"), "w").close()
    return os.path.join(folder, "bin")


def prepare(order, work):
    for slot in order["inputs"]:
        for entry in slot["files"]:
            fetch(slot["name"], entry, os.path.join(work, slot["path"], entry["path"]))
        os.makedirs(os.path.join(work, slot["path"]), exist_ok=True)
    for path, text in order["files"]:
        with open(make(os.path.join(work, path)), "w", encoding="utf-8") as file:
            file.write(text)
        if text.startswith("#!"):
            os.chmod(os.path.join(work, path), 0o755)
    for output in order["outputs"]:
        make(os.path.join(work, output["path"]))
        make(os.path.join(work, output["report"] or output["path"]))


def package(order, folder):
    """Where Python searches, with the package that every job can import."""
    for path, text in order["modules"]:
        with open(make(os.path.join(folder, path)), "w", encoding="utf-8") as file:
            file.write(text)
    own = order["variables"].get("PYTHONPATH") or os.environ.get("PYTHONPATH")
    return own + os.pathsep + folder if own else folder


def run(order, work, modules):
    """How the command ended: its code, and what to say of it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FUSEML_WORK")}
    variables.update(order["variables"])
    if order["requirements"]:
        variables["PATH"] = environment(order) + os.pathsep + variables.get("PATH", os.defpath)
    variables["PYTHONPATH"] = package(order, modules)
    variables["PWD"] = work
    program = shutil.which(order["command"][0], path=variables.get("PATH"))
    command = [program or order["command"][0]] + order["command"][1:]
    try:
        ask("POST", "/begin", body=b"")
        job = subprocess.Popen(command, cwd=work, env=variables, start_new_session=True)
    except OSError as error:
        return 127, f"{order['command'][0]} cannot be started: {error.strerror}"

    def end(*_):
        try:
            os.killpg(job.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    signal.signal(signal.SIGTERM, end)
    try:
        code = job.wait(timeout=order["timeout_seconds"])
    except subprocess.TimeoutExpired:
        end()
        job.wait()
        return 124, f"stopped after its time limit of {order['timeout_seconds']}s"
    # Whatever it left running ends with it.
    end()
    if code < 0:
        return 128 - code, f"ended by signal {-code}"
    return code, f"exited with code {code}" if code else None


def files_of(output, work):
    """Paths of all that is handed over of an output; what is no file, or a link that leads elsewhere, is refused."""
    top = os.path.join(work, output["path"])
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, work)
            if not os.path.realpath(path).startswith(os.path.realpath(work) + os.sep):
                raise SystemExit(f"the output `{output['name']}` holds a link that leads out of it: {shown}")
            if name in folders and os.path.islink(path):
                raise SystemExit(f"the output `{output['name']}` holds a link to a folder: {shown}")
            if name in names:
                if not os.path.isfile(path):
                    raise SystemExit(f"the output `{output['name']}` holds what is no file: {shown}")
                yield path
    if output["report"] and os.path.isfile(os.path.join(work, output["report"])):
        yield os.path.join(work, output["report"])


def hand_over(order, work):
    beside = {"name": "artifacts beside the outputs", "path": order["beside"], "report": None}
    for output in [*order["outputs"], beside]:
        for path in files_of(output, work):
            relative = urllib.parse.quote(os.path.relpath(path, work))
            executable = "?executable=true" if os.access(path, os.X_OK) else ""
            body = lambda: open(path, "rb")
            ask("PUT", f"/files/{relative}{executable}", body=body, length=os.path.getsize(path))


def main():
    order = ask("GET", "", json.load)
    work, modules = tempfile.mkdtemp(prefix="fuseml-"), tempfile.mkdtemp(prefix="fuseml-")
    try:
        try:
            prepare(order, work)
            code, message = run(order, work, modules)
            if code == 0:
                hand_over(order, work)
        except (SystemExit, Exception) as trouble:
            code, message = 1, str(trouble) or type(trouble).__name__
            print(message, file=sys.stderr)
        ended = json.dumps({"exit_code": code, "message": message}).encode()
        ask("POST", "/end", body=ended)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(modules, ignore_errors=True)
    sys.stdout.flush()
    raise SystemExit(code)


main()
