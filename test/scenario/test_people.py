"""People of a server: who may ask what on the control socket, and `stead user`, with a real sshd and real accounts in a
mount namespace of their own."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

import peoplebed
from peoplebed import PEOPLE, STATE
from program import BUILD, wait_until

pytestmark = pytest.mark.root
TABLE = json.loads(subprocess.run([str(BUILD / "stead"), "introspect", "commands"], check=True, capture_output=True,
                                  text=True).stdout)["rows"]
REQUESTS = {r["name"]: r["who"] for row in TABLE for r in row["requests"]}
# The least of what a request needs; what is not here needs no more than its verb.
NEEDS = {"up": {"folder": "/nonexistent"}, "purge": {"url": "/x"}, "logs": {"lines": 1}, "maintenance": {"on": False},
         "stop": None}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    why = peoplebed.usable()
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("people")
    folder.chmod(0o755)
    for parent in list(folder.parents)[:2]:
        parent.chmod(0o755)
    one = peoplebed.World(folder)
    site = folder / "shop"
    (site / "public").mkdir(parents=True)
    (site / "public" / "index.html").write_text("a shop\n")
    (site / "stead.conf").write_text("[Site]\nName=shop\nRoot=public\n")
    one.add("olga")
    one.add("dora", "--deploy", "shop")
    one.add("both", "--deploy", "bank,shop")
    one.add("bert", "--deploy", "bank")
    one.run("useradd", "--create-home", "--password", "*", "nora")
    one.up(site)
    one.sshd()
    yield one
    one.end()
    shutil.rmtree(folder, ignore_errors=True)


def owners():
    """Who runs something, or has a process that nobody waited for yet."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            found.add(entry.stat().st_uid)
        except FileNotFoundError:
            continue
    return found


# ---- who may ask what ----

@pytest.mark.parametrize("name", sorted(set(REQUESTS) - {"stop", "cert-agree"}))
def test_each_request_by_each_kind_of_peer(world, name):
    """The row says who may; nobody else gets further than the reason."""
    request = {"verb": name, "app": "shop", **(NEEDS.get(name) or {})}
    may = {None: True, "olga": REQUESTS[name] != "owner", "dora": REQUESTS[name] == "deployers",
           "bert": False, "nora": False, "nobody": False}
    for user, allowed in may.items():
        if allowed and name in ("up", "cert-renew", "cert-import", "restart", "backup"):
            continue  # those would do it
        end = world.ask(request, "65534" if user == "nobody" else user)
        assert end, f"{user} got no answer"
        if allowed:
            assert end["exit"] != 5, f"{user}: {end}"
        else:
            assert end["exit"] == 5 and "-aG stead" in end["todo"], f"{user}: {end}"
    assert world.ask({"verb": "status"})["exit"] == 0, "it serves on"


def test_only_root_ends_it(world):
    for user in ("olga", "dora", "nora"):
        end = world.ask({"verb": "stop"}, user)
        assert end["exit"] == 5 and end["error"]
    assert world.ask({"verb": "status"})["status"]["state"] == "live"


def test_the_reason_says_which_group_would_do(world):
    told = world.stead("reload", "--state", STATE, code=5, user="dora")
    assert "stead reload" in told and "the group stead" in told and "usermod -aG stead" in told
    told = world.stead("status", "--state", STATE, code=5, user="nora")
    assert "neither root" in told and "the group stead" in told and "usermod -aG stead" in told


def test_a_group_counts_from_the_next_login_on(world):
    """The kernel's word on the connection, not /etc/group's."""
    world.run("useradd", "--password", "*", "gina")
    assert world.ask({"verb": "metrics"}, "gina")["exit"] == 5
    world.run("gpasswd", "--add", "gina", "stead")
    assert world.ask({"verb": "metrics"}, "gina")["exit"] == 0
    code = "os.setgroups([]); os.setgid(pwd.getpwnam('gina').pw_gid); os.setuid(pwd.getpwnam('gina').pw_uid); " \
           f"os.execv('{BUILD}/stead', ['stead', 'metrics', '--state', '{STATE}'])"
    assert "group stead" in world.run("/usr/bin/python3", "-c", "import os, pwd; " + code, code=5)


def test_a_deployer_asks_for_its_own_app(world):
    assert world.ask({"verb": "status", "app": "shop"}, "dora")["exit"] == 0
    assert world.ask({"verb": "status"}, "dora")["exit"] == 0, "the only one is meant"
    end = world.ask({"verb": "status"}, "both")
    assert end["exit"] == 5 and "name the app" in end["error"] and "bank, shop" in end["error"]
    assert world.ask({"verb": "status", "app": "shop"}, "both")["exit"] == 0
    end = world.ask({"verb": "status", "app": "bank"}, "dora")
    assert end["exit"] == 5 and "dora deploys shop" in end["error"]
    assert world.ask({"verb": "status", "app": "shop"}, "dora")["status"]["processes"] == []
    assert world.ask({"verb": "status"}, "olga")["status"]["processes"]


def test_nobody_takes_every_place(world):
    """A user who opens all that he gets does not keep root out, nor a stranger anybody."""
    code = ("import socket, time\nopen_ = []\n"
            "for _ in range(200):\n    s = socket.socket(socket.AF_UNIX); s.connect('" + STATE + "/control'); open_.append(s)\n"
            "said = 0\n"
            "for s in open_:\n"
            "    s.setblocking(False)\n"
            "time.sleep(0.5)\n"
            "for s in open_:\n"
            "    try: said += b'exit' in s.recv(4096)\n"
            "    except BlockingIOError: pass\n"
            "print(said, flush=True); time.sleep(600)")
    for user, turned_away in (("olga", 184), ("nora", 200)):
        process = subprocess.Popen([*world.words, "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
                                    "/usr/bin/python3", "-c", code], stdout=subprocess.PIPE, text=True)
        try:
            assert int(process.stdout.readline()) == turned_away
            assert world.ask({"verb": "ping"})["exit"] == 0
            assert world.ask({"verb": "ping"}, "dora")["exit"] == 0
            if user == "olga":
                assert world.ask({"verb": "ping"}, "olga")["exit"] == 7
        finally:
            process.kill()
            process.wait()
    wait_until("olga is let in again", lambda: world.ask({"verb": "ping"}, "olga")["exit"] == 0)


# ---- accounts ----

def test_an_operators_account(world):
    told = world.add("alice")
    assert "alice: number" in told and "no password" in told and "group stead" in told
    seen = json.loads(world.python(
        "u = pwd.getpwnam('alice'); h = os.stat(u.pw_dir); s = os.stat(u.pw_dir + '/.ssh'); k = os.stat(u.pw_dir + '/.ssh/authorized_keys'); "
        "print(json.dumps([1000 <= u.pw_uid < 50000, oct(h.st_mode), oct(s.st_mode), oct(k.st_mode), "
        "{h.st_uid, s.st_uid, k.st_uid} == {u.pw_uid}, spwd.getspnam('alice').sp_pwdp, u.pw_gecos, "
        "'alice' in grp.getgrnam('stead').gr_mem, 'alice' in grp.getgrnam('sudo').gr_mem]))"))
    assert seen == [True, "0o40700", "0o40700", "0o100600", True, "*", "stead user", True, False]
    assert world.ssh("alice", "id", "-un").strip() == "alice"
    assert "live" in world.ssh("alice", f"{BUILD}/stead status --state {STATE}")
    people = json.loads(world.stead("user", "list", "--json", user="nora"))
    assert {"operator"} == {p["role"] for p in people if p["name"] == "alice"}
    assert "alice" in world.stead("user", "list")


def test_what_a_person_wrote_beside_it_stays(world):
    """Adding again replaces stead's own lines; others stay to the byte."""
    world.add("carl")
    file = "/home/carl/.ssh/authorized_keys"
    other = world.key("carls-own")
    mine = f"# mine\n{pathlib.Path(other).read_text()}"
    world.python(f"p = pathlib.Path('{file}'); p.write_text('# mine\\n' + p.read_text() + {pathlib.Path(other).read_text()!r})", "carl")
    assert world.ssh("carl", "echo", "in", key="carls-own") == "in\n"
    fresh = world.key("carls-new")
    world.add("carl", key=fresh)
    text = world.python(f"print(pathlib.Path('{file}').read_text())")
    assert text.startswith("# mine\n# stead: begin") and mine.splitlines()[1] in text.split("# stead: end\n")[1]
    assert "of-carl@test" not in text and "carls-new@test" in text
    assert "denied" in world.ssh("carl", "true", code=255)
    assert world.ssh("carl", "echo", "in", key="carls-new") == "in\n"
    # Marks that do not pair: nothing is guessed.
    world.python(f"p = pathlib.Path('{file}'); p.write_text(p.read_text().replace('# stead: end\\n', ''))", "carl")
    assert "marks do not pair" in world.stead("user", "add", "carl", "--key", fresh, code=6)


def test_a_symlink_in_a_home_leads_root_nowhere(world):
    """What is written in a home is written with its owner's rights."""
    world.add("lena")
    world.run("sh", "-c", "rm -r ~lena/.ssh && mkdir /root/.trap 2>/dev/null; ln -s /root/.trap ~lena/.ssh && "
              "chown -h lena: ~lena/.ssh")
    key = world.key("lena-two")
    told = world.stead("user", "add", "lena", "--key", key, code=1)
    assert "authorized_keys" in told
    assert world.python("print(os.listdir('/root/.trap'))") == "[]"
    world.run("sh", "-c", "rm ~lena/.ssh; mkdir ~lena/.ssh; ln -s /etc/shadow ~lena/.ssh/authorized_keys; "
              "chown -hR lena: ~lena/.ssh; rmdir /root/.trap")
    before = world.run("sha256sum", "/etc/shadow")
    world.stead("user", "add", "lena", "--key", key, code=1)
    assert world.run("sha256sum", "/etc/shadow") == before


def test_sudo_asks_for_no_password(world):
    told = world.add("sven", "--sudo")
    assert "sudo" in told
    assert world.python("print('sven' in grp.getgrnam('sudo').gr_mem, oct(os.stat('/etc/sudoers.d/stead-sven').st_mode))") == (
        "True 0o100440")
    world.run("visudo", "-c")
    assert world.ssh("sven", "sudo", "-n", "id", "-u") == "0\n"
    assert world.run("sudo", "-n", "true", code=1, user="olga")
    # Not any more: it is an operator again.
    world.stead("user", "add", "sven", "--key", f"{world.folder}/of-sven.pub")
    assert world.ssh("sven", "sudo", "-n", "id", "-u", code=1)
    assert world.python("print('sven' in grp.getgrnam('sudo').gr_mem, os.path.exists('/etc/sudoers.d/stead-sven'))") == "False False"
    assert "choose one" in world.stead("user", "add", "sven", "--key", f"{world.folder}/of-sven.pub", "--sudo", "--deploy", "shop",
                                       code=2)


@pytest.mark.parametrize("name, code", [("root", 5), ("daemon", 5), ("nora", 5), ("Alice", 2), ("a b", 2), ("-x", 2),
                                        ("stead-gate", 2), ("app-shop", 2), ("a" * 32, 2), ("../x", 2), ("sudo", 5)])
def test_names_that_are_not_taken(world, name, code):
    before = world.run("sha256sum", "/etc/passwd", "/etc/shadow", "/etc/group")
    key = world.folder / "names"
    if not key.exists():
        world.key("names")
    world.stead("user", "add", "--key", f"{key}.pub", "--", name, code=code)
    if code == 5 and name != "sudo":
        world.stead("user", "remove", name, code=5)
    assert world.run("sha256sum", "/etc/passwd", "/etc/shadow", "/etc/group") == before


def test_keys_that_are_not_taken(world):
    """No options, no private key, no weak one; nothing is made then."""
    good = pathlib.Path(world.key("some")).read_text()
    weak = pathlib.Path(world.key("weak", "rsa", "-b", "1024")).read_text()
    private = (world.folder / "some").read_text()
    before = world.run("sha256sum", "/etc/passwd")
    for n, text in enumerate(['command="id" ' + good, "restrict " + good, weak, private, "", good.replace("AAAA", "AAAB", 1),
                              good + 'environment="A=b" ' + good, good * 17, "\0" + good]):
        file = world.folder / f"bad{n}.pub"
        file.write_text(text)
        assert "key" in world.stead("user", "add", "fred", "--key", str(file), code=2)
    world.stead("user", "add", "fred", "--key", "/nonexistent.pub", code=4)
    world.stead("user", "add", "fred", code=2)
    assert world.run("sha256sum", "/etc/passwd") == before


def test_accounts_are_roots_to_make(world):
    """Neither an operator nor ctl can have one made."""
    key = world.key("wish")
    assert "sudo stead user add" in world.stead("user", "add", "eve", "--key", key, "--sudo", code=5, user="olga")
    world.stead("user", "remove", "olga", code=5, user="olga")
    # stead-act as ctl has it started: the row is refused, whatever the arguments.
    import test_act
    assert test_act.ask(world.words, 7, "eve", pathlib.Path(key).read_text(), "sudo", "", "/usr/bin/stead") is None
    assert test_act.ask(world.words, 8, "olga") is None
    assert world.python("print([u.pw_name for u in pwd.getpwall() if u.pw_name == 'eve'])") == "[]"


def test_a_home_that_is_there_is_nobodys(world):
    world.run("mkdir", "/home/hans")
    assert "/home/hans" in world.add("hans", code=6)
    world.run("rmdir", "/home/hans")
    world.stead("user", "add", "hans", "--key", f"{world.folder}/of-hans.pub")


# ---- deploy keys ----

def test_a_deploy_key_asks_for_its_apps_verbs_alone(world):
    for command in ("status", "stead status shop"):
        assert "http://" in world.ssh("dora", command)
    assert json.loads(world.ssh("dora", "status --json"))["sites"][0]["name"] == "shop"
    for command in ("stead logs shop -n 3", "logs -n 5 --level error"):
        world.ssh("dora", command)
    for command in ("id", "stead stop", "reload", "status; id", "status $(id)", "cat /etc/passwd", "user list", "status --state /tmp",
                    "logs -f --format x", "scp -t /tmp", "/bin/sh", "serve-deploy", "status a b"):
        told = world.ssh("dora", command, code=5)
        assert "this key cannot do that" in told and "uid=" not in told and "root:" not in told, command
    assert "this key cannot do that" in world.ssh("dora", code=5)
    told = world.ssh("dora", "status bank", code=5)
    assert "dora deploys shop" in told


def test_a_deploy_key_opens_nothing_else(world):
    """No terminal, no forwarding of ports, sockets or agents, no file transfer."""
    text = world.python("print(pathlib.Path('/home/dora/.ssh/authorized_keys').read_text())")
    assert re.search(r'^command="[^"]+/stead serve-deploy",restrict ssh-ed25519 ', text, re.M)
    assert "PTY allocation request failed" in world.ssh("dora", "status", options=["-tt", "-o", "LogLevel=INFO"], code=None)
    for options in (["-W", "127.0.0.1:1"], ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"]):
        told = world.ssh("dora", options=options, code=255)
        assert re.search("prohibited|refused|failed", told), told
    sftp = subprocess.run(["sftp", "-q", "-S", "ssh", "-P", str(world.port), "-i", f"{world.folder}/of-dora", "-F", "none",
                           "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                           "dora@127.0.0.1"], input="ls\n", text=True, capture_output=True, timeout=30)
    assert sftp.returncode != 0
    # The same with an operator's key: it is the key's restriction, not sshd's.
    told = world.ssh("olga", options=["-W", f"127.0.0.1:{world.port}"], code=None)
    assert "SSH-2.0" in told


def test_rights_change_with_add(world):
    """From deployer to operator and back: the forced command comes and goes, the group too."""
    key = world.key("of-dirk")
    world.stead("user", "add", "dirk", "--key", key, "--deploy", "shop")
    assert world.ask({"verb": "metrics"}, "dirk")["exit"] == 5
    world.stead("user", "add", "dirk", "--key", key)
    assert world.ssh("dirk", "echo", "in") == "in\n"
    assert world.ask({"verb": "metrics"}, "dirk")["exit"] == 0
    world.stead("user", "add", "dirk", "--key", key, "--deploy", "bank")
    assert "this key cannot do that" in world.ssh("dirk", "echo", "in", code=5)
    assert world.ask({"verb": "metrics"}, "dirk")["exit"] == 5
    assert world.ask({"verb": "status", "app": "shop"}, "dirk")["exit"] == 5


# ---- the end of one ----

def test_remove_takes_the_account_and_leaves_the_home(world):
    world.add("rosa", "--sudo")
    world.python("pathlib.Path('/home/rosa/thesis').write_text('years of work')", "rosa")
    told = world.stead("user", "remove", "rosa")
    assert "its home stays: /home/rosa" in told
    assert world.python("print(os.path.exists('/home/rosa/thesis'), [u for u in pwd.getpwall() if u.pw_name == 'rosa'], "
                        "'rosa' in grp.getgrnam('sudo').gr_mem + grp.getgrnam('stead').gr_mem, os.path.exists('/etc/sudoers.d/stead-rosa'), "
                        f"os.path.exists('{PEOPLE}/rosa'))") == "True [] False False False"
    assert "denied" in world.ssh("rosa", "true", code=255)
    assert "user list" in world.stead("user", "remove", "rosa", code=4)


def test_remove_shuts_out_at_once_and_ends_no_program(world):
    """Also a key of his own, outside of stead's lines, opens nothing any more."""
    world.add("paul", "--sudo")
    own = pathlib.Path(world.key("pauls-own")).read_text()
    world.python(f"p = pathlib.Path('/home/paul/.ssh/authorized_keys'); p.write_text(p.read_text() + {own!r})", "paul")
    process = subprocess.Popen([*world.ssh_words("paul"), "echo in; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    told = world.stead("user", "remove", "paul", code=7)
    assert "(cat)" in told and "cannot log in" in told
    for key in ("of-paul", "pauls-own"):
        assert "in\n" not in world.ssh("paul", "echo in", key=key, code=None)
    assert world.ask({"verb": "metrics"}, "paul")["exit"] == 5
    assert world.run("sudo", "-n", "-l", "-U", "paul").count("NOPASSWD") == 0
    process.stdin.write("still here\n")
    process.stdin.flush()
    assert process.stdout.readline() == "still here\n"
    process.stdin.close()
    process.wait(30)
    uid = int(world.python("print(pwd.getpwnam('paul').pw_uid)"))
    wait_until("his programs to end", lambda: uid not in owners())
    assert "paul is removed" in world.stead("user", "remove", "paul")


def test_an_account_that_only_looks_like_ours_stays(world):
    """The comment alone is no proof, nor is a note with another number."""
    world.run("useradd", "--comment", "stead user", "--password", "*", "fake")
    world.stead("user", "remove", "fake", code=5)
    world.run("sh", "-c", f"printf 'name=fake\\nuid=4242\\nsudo=no\\ndeploy=shop\\n' >{PEOPLE}/fake")
    world.stead("user", "remove", "fake", code=5)
    assert world.ask({"verb": "status", "app": "shop"}, "fake")["exit"] == 5
    world.run("sh", "-c", f"rm {PEOPLE}/fake; userdel fake")


def test_an_account_removed_by_hand_is_forgotten(world):
    world.add("ines", "--sudo")
    world.run("userdel", "ines")
    assert "its account is gone" in world.stead("user", "list")
    world.stead("user", "remove", "ines")
    assert world.python(f"print(os.path.exists('{PEOPLE}/ines'), os.path.exists('/etc/sudoers.d/stead-ines'))") == "False False"


def test_add_that_was_cut_off_is_ended_by_the_next(world):
    """The account is there, the note is not yet: the next try takes it; and without the mark of the try nobody does."""
    key = world.key("of-carla")
    world.stead("user", "add", "carla", "--key", key)
    note = f"{PEOPLE}/carla"
    world.run("rm", note)
    world.stead("user", "add", "carla", "--key", key, code=5)
    world.run("touch", f"{PEOPLE}/.making-carla")
    world.stead("user", "add", "carla", "--key", key)
    assert world.python(f"print(os.path.exists('{note}'), os.path.exists('{PEOPLE}/.making-carla'))") == "True False"


# ---- an app and the others ----

@pytest.fixture
def readable():
    """Folders that a deployer may read, whoever else makes folders for tests meanwhile."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="stead-people-"))
    base.chmod(0o755)

    def make(name):
        (base / name).mkdir(mode=0o755)
        return base / name
    yield make
    shutil.rmtree(base)


def test_a_deployer_puts_no_app_before_others(world, readable):
    """Who runs first and who is ended when memory is short is an operator's to give: a deploy key's deploy leaves it out."""
    folder, seconds = readable("bank"), 100000 + os.getpid()
    keys = {"Nice": "-5", "OOMScoreAdjust": "-500", "CPUWeight": "900", "IOWeight": "900", "MemoryMax": "infinity", "TasksMax": "infinity"}
    (folder / "bank.service").write_text(f"[Service]\nExecStart=/bin/sleep {seconds}\n" + "".join(f"{k}={v}\n" for k, v in keys.items()))

    def niceness():
        """Of those that run it; another stead's of the same machine sleep for another time."""
        rows = [line.split(None, 2) for line in world.run("ps", "-eo", "uid=,ni=,args=").splitlines()]
        return [ni for uid, ni, args in rows if args == f"/bin/sleep {seconds}" and int(uid) >= 50000]
    words = ["deploy", str(folder / "bank.service"), "--state", STATE]
    said = world.stead(*words, user="bert")
    assert all(f"{k}={v} is left out" in said for k, v in keys.items()) and "live  bank" in said
    wait_until("its one process", lambda: niceness() == ["0"])
    assert "left out" not in world.stead(*words)
    wait_until("the operator's deploy", lambda: niceness() == ["-5"])
    world.stead("remove", "bank", "--state", STATE)


def test_a_deployer_who_sends_nothing_gives_the_turn_up_when_he_goes(world):
    """The name of the stream is his alone, and nobody waits for one who is gone."""
    code = ("import socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect('" + STATE + "/control')\n"
            "s.sendall(b'{\"verb\":\"deploy\",\"app\":\"bank\",\"folder\":\"/x\"}\\n')\n"
            "f = s.makefile()\n"
            "while '\"send\"' not in f.readline(): pass\n"
            "print('asked', flush=True); sys.stdin.read()")
    process = subprocess.Popen([*world.words, "setpriv", "--reuid=bert", "--regid=bert", "--init-groups", "/usr/bin/python3", "-c", code],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "asked\n"
        assert world.ask({"verb": "domain-add", "app": "shop", "domain": "x.example"})["exit"] == 7, "it is bert's turn"
        assert world.ask({"verb": "deploy-send", "app": "bank", "token": "0" * 32}, "bert")["exit"] == 4
        assert world.ask({"verb": "deploy-send", "app": "bank", "token": "0" * 32}, "dora")["exit"] == 5
    finally:
        process.stdin.close()
        process.wait(20)
    wait_until("the turn to be given up", lambda: world.ask({"verb": "domain-add", "app": "shop", "domain": "x.example"})["exit"] == 0)
    assert world.ask({"verb": "domain-remove", "app": "shop", "domain": "x.example"})["exit"] == 0


def test_a_deployer_takes_no_database_that_another_app_left(world, readable):
    """An app that was removed without --data, or uses none just now, has its database still."""
    world.run("mkdir", "-p", f"{STATE}/apps/old-shop/data")
    folder = readable("bank-db")
    (folder / "bank.py").write_text("")
    for name in ("old_shop", "shop"):
        (folder / "stead.conf").write_text("[Service]\nExecStart=/usr/bin/python3 bank.py\nListen=none\n[Postgres]\nEnabled=yes\n"
                                           f"Database={name}\n")
        told = world.stead("deploy", str(folder), "--app", "bank", "--state", STATE, user="bert", code=2)
        assert f"The database {name} is another app's: {name.replace('_', '-')} has it" in told, told


def test_a_deployer_sees_nothing_of_others_in_a_status(world, readable):
    """Neither the operator's folder and files, nor programs and databases of other apps."""
    folder = readable("seen")
    (folder / "stead.conf").write_text("[Site]\nDomain=seen.example\nRoot=.\n")
    (folder / "index.html").write_text("seen")
    world.stead("deploy", str(folder), "--app", "bank", "--state", STATE)
    told = world.ask({"verb": "status", "app": "bank"}, "bert")["status"]
    assert [s["name"] for s in told["sites"]] == ["bank"]
    assert told["folder"] == "" and told["server"] is None and told["database"] is None
    assert not told["timers"] and not told["processes"] and not told["certificates"]
    assert world.ask({"verb": "status"})["status"]["folder"]
    world.stead("remove", "bank", "--state", STATE)
