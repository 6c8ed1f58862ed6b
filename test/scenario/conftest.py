"""Fixtures of the scenario tests: the real program, real clients, real faults.

stead        factory: stead(FOLDER) gives an instance that is not started yet, on a state folder and a port of
             its own; all that it started is gone when the test ends, or the test fails
app_folder   factory: writes files, gives a folder
fresh_server factory: fresh_server("debian-12") boots one; see freshbed.py. Skipped, with the reason, where none can be
promise      writes one measured line for `make promises`, and whether its goal is kept

Environment: STEAD_BUILD the build folder (default build/), STEAD_TEST_TIMEOUT the one time limit in seconds.
As root, stead is run as an unprivileged user, but where a test asks for as_root.
"""

import os
import pathlib
import resource
import shutil
import tempfile

import pytest

import acmebed
import freshbed
import program

TOP = program.TOP


def pytest_configure(config):
    # Where many connections are made at once; a login's own soft limit is 1,024, and the hard one what is meant.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    config.addinivalue_line("markers", "smoke: the subset that also runs on the sanitized build")
    config.addinivalue_line("markers", "promise: measures a promise and prints it")
    config.addinivalue_line("markers", "root: needs to be root")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        # Nobody has to think of the marker: who measures a promise is run by `make promises`.
        if "promise" in item.fixturenames:
            item.add_marker(pytest.mark.promise)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(program.TIMEOUT * 6))


def pytest_terminal_summary(terminalreporter):
    for line in program.PROMISES:
        terminalreporter.write_line("  " + line)


@pytest.fixture
def work():
    """A folder that the unprivileged user can read and write."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stead-test-", dir="/tmp"))
    folder.chmod(0o755)
    program.give(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def net(work):
    """A network of its own; see acmebed.py."""
    one = acmebed.Net(work)
    yield one
    one.end()


@pytest.fixture
def app_folder(work):
    def make(files, name="app"):
        folder = work / name
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        folder.mkdir(exist_ok=True)
        program.give(folder)
        return folder
    return make


@pytest.fixture
def guestbook(work):
    """A copy of the example, so that no test writes into the repository."""
    shutil.copytree(TOP / "examples" / "guestbook", work / "guestbook",
                    ignore=shutil.ignore_patterns(".stead", "__pycache__"))
    program.give(work / "guestbook")
    return work / "guestbook"


@pytest.fixture
def fresh_server():
    """made=True: only from a base tree that is there, for tests that have no time to make one."""
    running = []

    def make(system="debian-12", made=False, **options):
        why = freshbed.why_not()
        if not why and made and not freshbed.is_made(system):
            why = f"no tree of {system} yet: `make promises` makes it, or test/scenario/freshbed.py {system}"
        if why:
            pytest.skip(why)
        server = freshbed.Server(system, **options)
        running.append(server)
        server.boot()
        return server
    yield make
    for server in running:
        server.end()


@pytest.fixture
def stead(work, request):
    made = []

    def make(folder, **options):
        one = program.Stead(work, folder, number=len(made), **options)
        made.append(one)
        return one
    yield make
    left = []
    for one in made:
        left += one.end()
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    if failed:
        for one in made:
            print(f"--- output of {one.command}\n{one.output()}\n--- its log\n{one.log_tail()}")
    assert not left, f"processes left over: {left}"
    found = [line for one in made for line in one.sanitizer_reports()]
    assert not found, "\n".join(found[:20])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report_call = outcome.get_result()


@pytest.fixture
def promise():
    return program.promise
