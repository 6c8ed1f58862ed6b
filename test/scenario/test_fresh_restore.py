"""A server's backup restored on another fresh server: the same pages, rows, keys and people. Rows of `make promises`.

With the tests' own build; STEAD_DEB names a package that is taken instead.
"""

import os
import re
import shutil

import pytest

import program
from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]


@pytest.fixture(autouse=True)
def only_in_promises():
    if "STEAD_PROMISES" not in os.environ and "STEAD_DEB" not in os.environ:
        pytest.skip("boots servers for minutes: `make promises` runs it")


def install(server):
    if os.environ.get("STEAD_DEB"):
        server.install(os.environ["STEAD_DEB"])
        return
    server.install_build()
    server.run("systemctl enable stead && systemctl start stead")


def fill(server):
    """The guestbook with a line, a file that outlives releases, a certificate, people; and a site of a file."""
    shutil.copytree(program.TOP / "examples/guestbook", server.path("/root/guestbook"),
                    ignore=shutil.ignore_patterns(".stead", "__pycache__"))
    server.write("/root/guestbook/stead.conf", "[Site]\nDomain=book.example\nPersist=uploads\n")
    server.write("/root/guestbook/uploads/first", "kept\n")
    server.run("stead deploy /root/guestbook 2>&1")
    server.run("runuser -u app-guestbook -- env $(tr '\\0' '\\n' </proc/$(pgrep -u app-guestbook | head -1)/environ | grep ^PG) "
               "psql -c \"INSERT INTO entry (form, name, message) VALUES ('1', 'ann', 'was here')\"")
    server.run("runuser -u app-guestbook -- sh -c 'echo from the app >/var/lib/stead/apps/guestbook/data/persist/uploads/second'")
    server.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=book.example "
               "-addext subjectAltName=DNS:book.example -days 90 -keyout /root/key.pem -out /root/cert.pem 2>&1 && "
               "stead cert import guestbook --cert /root/cert.pem --key /root/key.pem && rm /root/key.pem")
    for name, how in (("ann", "--deploy guestbook"), ("max", "--sudo")):
        server.run(f"ssh-keygen -q -t ed25519 -N '' -f /root/{name} && stead user add {name} --key /root/{name}.pub {how}")
    server.write("/etc/stead/sites/plain/index.html", "of a file\n")
    server.write("/etc/stead/sites/plain.conf", "[Site]\nDomain=plain.example\nRoot=plain\n")
    server.run("systemctl reload stead")
    wait_until("the site of a file", lambda: server.answers(headers={"Host": "plain.example"}))


def serial(server):
    """The certificate that is served, by a handshake for which the private key is needed."""
    said = server.run("openssl s_client -connect 127.0.0.1:443 -servername book.example </dev/null 2>/dev/null | openssl x509 -noout -serial",
                      check=False)
    return re.findall(r"serial=(\w+)", said)


def secret(server):
    return server.run("tr '\\0' '\\n' </proc/$(pgrep -u app-guestbook | head -1)/environ | grep SECRET_KEY").strip()


def deploys_by_key(server, name="ann"):
    return server.run(f"ssh -i /root/{name} -o StrictHostKeyChecking=no -o BatchMode=yes {name}@127.0.0.1 releases guestbook 2>&1", check=False)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def backup(fresh_server, kept):
    """The file, the people's private keys, and what was seen on the first server; made once."""
    if not (kept / "server.backup").exists():
        server = fresh_server("debian-12")
        install(server)
        fill(server)
        said = server.run("stead backup /root/server.backup 2>&1")
        assert "1 app, 1 database, 2 people" in said.replace("persons", "people"), said
        assert server.run("stat -c %a /root/server.backup").strip() == "600"
        (kept / "serial").write_text(" ".join(serial(server)))
        (kept / "secret").write_text(secret(server))
        for name in ("ann", "max", "server.backup"):
            shutil.copy(server.path(f"/root/{name}"), kept / name)
        server.end()
    return kept


def other(fresh_server, backup, system):
    """A server of other numbers: people and accounts that were there before."""
    server = fresh_server(system)
    server.run("for i in 1 2 3; do useradd --system extra$i; done; useradd -u 50000 someone; useradd -u 50001 somebody; useradd -m -u 1000 first")
    install(server)
    for name in ("ann", "max", "server.backup"):
        shutil.copy(backup / name, server.path(f"/root/{name}"))
    return server


@pytest.mark.parametrize("system", ["debian-12", "debian-13"])
def test_on_another_server(fresh_server, backup, promise, system):
    server = other(fresh_server, backup, system)
    said = server.run("stead restore /root/server.backup 2>&1", check=False)
    assert "restored  the server" in said, (said, server.journal()[-6000:], server.run("cat /var/lib/stead/log/*.jsonl")[-6000:])
    book, plain = {"Host": "book.example"}, {"Host": "plain.example"}
    wait_until("the site of a file", lambda: server.answers(headers=plain))
    wait_until("TLS", lambda: serial(server))
    seen = {
        "page": "was here" in server.run("curl -sk --resolve book.example:443:127.0.0.1 https://book.example/"),
        "site of a file": server.get("/", headers=plain)[1] == b"of a file\n",
        "key's serial": serial(server) == (backup / "serial").read_text().split(),
        "SECRET_KEY": secret(server) == (backup / "secret").read_text(),
        "persisted files": server.run("cd /var/lib/stead/apps/guestbook/data/persist/uploads && cat first second") == "kept\nfrom the app\n",
        "owner": server.run("stat -c %U /var/lib/stead/apps/guestbook/data/persist/uploads/second").strip() == "app-guestbook",
        "deploy key": re.search(r"^\* 1 ", deploys_by_key(server), re.M) is not None,
        "sudo": "uid=0" in server.run("ssh -i /root/max -o StrictHostKeyChecking=no -o BatchMode=yes max@127.0.0.1 sudo id 2>&1", check=False),
        "mark gone": server.status("test -e /var/lib/stead/restored -o -e /var/lib/stead/restore") != 0,
    }
    # And it goes on: a deploy, a rollback to the release that came with the backup, a reboot.
    server.run("mkdir -p /root/guestbook; cp -r /var/lib/stead/apps/guestbook/releases/1/. /root/guestbook; rm -f /root/guestbook/uploads; "
               "stead deploy /root/guestbook 2>&1 && stead rollback guestbook 2>&1")
    server.reboot()
    wait_until("the site after a reboot", lambda: server.answers(headers=book, status=308) or server.answers(headers=book))
    seen["after a deploy, a rollback and a reboot"] = "was here" in server.run(
        "curl -sk --resolve book.example:443:127.0.0.1 https://book.example/")
    bad = [name for name, good in seen.items() if not good]
    promise(f"backup restored on another fresh server ({system})", f"the same: {', '.join(seen)}" if not bad else f"differs: {', '.join(bad)}",
            not bad)
    assert not bad, (bad, said, server.journal()[-3000:])
    assert "--yes" in server.run("stead restore /root/server.backup 2>&1", check=False)
    assert server.run("stead restore /root/server.backup --yes 2>&1")


def test_who_may(fresh_server, backup):
    """An operator may do neither: a backup has all private keys, and a restore makes accounts that may use sudo."""
    server = other(fresh_server, backup, "debian-12")
    server.run("useradd -m -G stead olga; chmod 755 /root; chmod 644 /root/server.backup")
    for command in ("backup /tmp/x", "restore /root/server.backup --yes"):
        assert server.status(f"runuser -u olga -- stead {command}") == 5, server.run(f"runuser -u olga -- stead {command} 2>&1", check=False)
    server.write("/root/half", (backup / "server.backup").read_bytes()[:-1])
    assert "Nothing was changed" in server.run("stead restore /root/half --yes 2>&1", check=False)
    assert server.status("systemctl is-active --quiet stead") == 0


@pytest.mark.parametrize("at", [2, 5, 12])
def test_power_fails_while_it_is_put_in_place(fresh_server, backup, promise, at):
    """Killed at its n-th rename, then the machine is off: it comes up as what the backup has."""
    server = other(fresh_server, backup, "debian-12")
    server.run(f"strace -f -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when={at} stead restore /root/server.backup 2>&1", check=False)
    assert server.status("test -e /var/lib/stead/restore/go") == 0 and server.status("systemctl is-active --quiet stead") != 0
    server.kill()
    server.boot()
    wait_until("the site of a file", lambda: server.answers(headers={"Host": "plain.example"}))
    wait_until("the app", lambda: "was here" in server.run("curl -sk --resolve book.example:443:127.0.0.1 https://book.example/", check=False))
    assert serial(server) == (backup / "serial").read_text().split() and server.status("test -e /var/lib/stead/restore/go") != 0
    assert server.run("stead restore /root/server.backup --yes 2>&1") and re.search(r"^\* 1 ", deploys_by_key(server), re.M)
    promise(f"a server's restore, power off at rename {at}", "carried on at boot, the backup's sites serve")
