"""What a power cut leaves: what is written is recorded by strace(1), and each moment of it made again on a copy. No test framework here.

    recorded = powercut.Recording(folder, pids)   # from here on, what these processes and their children write below folder
    ... a deploy ...
    recorded.end()
    for cut in recorded.cuts():                   # every moment between two operations
        recorded.make(cut, "kept", target)        # what a disk has then

Three disks are made for each moment:

kept      every operation up to there is on the disk, in order: a process that was killed, or a disk that writes at once
journal   what a journaling file system may have lost: names (create, rename, remove) are kept in order up to some moment behind
          the last sync of anything; content of a file that no fsync has covered is missing, zeros, or partly there, by seed
strict    what POSIX promises and no more: a name is there when its folder (or, new, its file) was synced behind it, each other
          one by chance
"""

import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile

from program import wait_until

CALLS = ("open,openat,openat2,creat,write,pwrite64,writev,copy_file_range,sendfile,lseek,truncate,ftruncate,fallocate,rename,renameat,"
         "renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,fsync,fdatasync,"
         "syncfs,sync")
# What nobody needs after a cut: the log, and memory that SQLite shares.
PASSED_OVER = re.compile(r"(^|/)(log/|[^/]*-shm$|lock$|control)")


def why_not():
    """What keeps strace from looking at processes here; "" when nothing does."""
    scope = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
    if not shutil.which("strace"):
        return "needs strace (tools/install-deps.sh)"
    return "needs root (yama/ptrace_scope)" if os.geteuid() and scope.exists() and scope.read_text().strip() != "0" else ""


# --- strace's text ---

LINE = re.compile(r"^(\d+)\s+(.*)$")
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\)\s*= (-?\d+)(.*)$", re.S)
HEX = re.compile(r"\\x([0-9a-f]{2})")


def unquote(text):
    return bytes.fromhex("".join(HEX.findall(text)))


def arguments(text):
    """The arguments of a call, split at commas outside of quotes, brackets and descriptors' paths."""
    found, depth, quoted, at = [], 0, False, ""
    for c in text:
        if c == '"':
            quoted = not quoted
        elif not quoted and c in "[{<":
            depth += 1
        elif not quoted and c in "]}>":
            depth -= 1
        if c == "," and not quoted and depth == 0:
            found.append(at.strip())
            at = ""
        else:
            at += c
    return [*found, at.strip()]


def plain(text):
    return HEX.sub(lambda m: chr(int(m[1], 16)), text)


def path_of(descriptor):
    """`7</path>`: the path; one of a file that has no name any more, or of a socket: None."""
    match = re.match(r"^(?:\d+|AT_FDCWD)<(.*)>$", plain(descriptor), re.S)
    return match[1] if match and match[1].startswith("/") and not match[1].endswith(" (deleted)") else None


def joined(folder, name):
    name = unquote(name).decode()
    return name if name.startswith("/") else os.path.normpath(f"{path_of(folder)}/{name}") if path_of(folder) else None


class Node:
    """A file or a link: what it holds on the copy that was made at the begin, and every write since."""

    def __init__(self, first=b"", mode=0o600, link=None):
        self.first, self.mode, self.link = first, mode, link
        self.writes = []  # (operation, offset or None: cut or grown to that length, bytes)
        self.synced = []  # operations
        self.at = 0


class Recording:
    def __init__(self, folder, pids):
        self.folder = pathlib.Path(folder)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="stead-cut-", dir="/tmp"))
        self.base, self.trace = self.work / "base", self.work / "trace"
        self.ops, self.marks = [], {}
        command = ["strace", "-f", "-y", "-xx", "-qq", "-s", "16777216", "-e", f"trace={CALLS}", "-o", self.trace]
        for pid in pids:
            command += ["-p", str(pid)]
        self.tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for pid in pids:
            wait_until("strace", lambda pid=pid: self.tracer.poll() is not None or
                       "TracerPid:\t0" not in pathlib.Path(f"/proc/{pid}/status").read_text())
        assert self.tracer.poll() is None, self.tracer.stderr.read()
        self.copy()

    def copy(self):
        shutil.copytree(self.folder, self.base, symlinks=True, dirs_exist_ok=True, ignore=self.passed_over)
        self.owners, self.mode = {}, self.folder.stat().st_mode & 0o7777
        self.know_owners()
        for path in (self.folder, *self.folder.rglob("*")):
            there = self.base / path.relative_to(self.folder)
            if there.exists() and not there.is_symlink():
                os.chmod(there, path.stat().st_mode & 0o7777)

    def passed_over(self, folder, names):
        rel = os.path.relpath(folder, self.folder)
        left = []
        for name in names:
            path = name if rel == "." else f"{rel}/{name}"
            if PASSED_OVER.search(path) or PASSED_OVER.search(path + "/"):
                left.append(name)
            elif not (os.path.isfile(f"{folder}/{name}") or os.path.isdir(f"{folder}/{name}") or os.path.islink(f"{folder}/{name}")):
                left.append(name)
        return left

    def know_owners(self):
        for path in (self.folder, *self.folder.rglob("*")):
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue  # a temporary one
            self.owners[str(path.relative_to(self.folder))] = seen.st_uid, seen.st_gid

    def mark(self):
        """How many bytes of the trace there are: what is behind was done later. end() makes an operation's number of it."""
        name = len(self.marks)
        self.marks[name] = self.trace.stat().st_size
        return name

    def end(self):
        self.tracer.send_signal(signal.SIGINT)
        self.tracer.communicate(timeout=60)
        self.know_owners()
        self.load()
        return self

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)

    # --- the operations ---

    def load(self):
        self.nodes, self.folders = {}, {}  # by path, as they are now
        for path in sorted(self.base.rglob("*")):
            rel = str(path.relative_to(self.base))
            if path.is_symlink():
                self.nodes[rel] = Node(link=os.readlink(path))
            elif path.is_dir():
                self.folders[rel] = path.stat().st_mode & 0o777
            else:
                self.nodes[rel] = Node(path.read_bytes(), path.stat().st_mode & 0o777)
        self.first_nodes, self.first_folders = dict(self.nodes), dict(self.folders)
        unfinished, read, numbers = {}, 0, {}
        with open(self.trace, "rb") as file:
            for raw in file:
                read += len(raw)
                for name, size in self.marks.items():
                    if size < read:
                        numbers.setdefault(name, len(self.ops))
                match = LINE.match(raw.decode(errors="replace").rstrip("\n"))
                if not match:
                    continue
                pid, text = match[1], match[2]
                if text.endswith("<unfinished ...>"):
                    unfinished[pid] = text[:-len("<unfinished ...>")]
                    continue
                resumed = RESUMED.match(text)
                if resumed:
                    text = unfinished.pop(pid, "") + resumed[2]
                call = CALL.match(text)
                if call and int(call[3]) >= 0:
                    self.take(call[1], arguments(call[2]), int(call[3]), call[4])
        self.marks = {name: numbers.get(name, len(self.ops)) for name in self.marks}

    def below(self, path):
        """The path below the folder; None: it is elsewhere, or of no account."""
        if path is None or not path.startswith(f"{self.folder}/"):
            return None
        rel = path[len(str(self.folder)) + 1:]
        return None if PASSED_OVER.search(rel) else rel

    def op(self, kind, *rest):
        self.ops.append((kind, *rest))

    def write(self, path, offset, data):
        node = self.nodes.get(path)
        if node and node.link is None:
            node.writes.append((len(self.ops), offset, data))
            self.op("data", node)

    def take(self, call, a, result, behind):
        handler = getattr(self, "on_" + call, None)
        if handler:
            handler(a, result, behind)

    def on_openat(self, a, result, behind):
        match = re.match(r"^(<.*>)", behind, re.S)
        path = self.below(path_of(f"{result}{match[1]}")) if match else None
        flags = a[2] if len(a) > 2 else ""
        if path is None or path in self.folders or "O_PATH" in flags or "O_DIRECTORY" in flags:
            return
        if path not in self.nodes and "O_CREAT" in flags:
            mode = int(a[3], 8) if len(a) > 3 and re.fullmatch(r"0\d+", a[3]) else 0o600
            self.nodes[path] = Node(mode=mode & 0o755)
            self.op("create", path, self.nodes[path])
        elif path in self.nodes and "O_TRUNC" in flags:
            self.write(path, None, 0)
        if path in self.nodes:
            self.nodes[path].at = self.size(self.nodes[path]) if "O_APPEND" in flags else 0

    def on_open(self, a, result, behind):
        self.on_openat(["", *a], result, behind)

    on_openat2 = on_openat

    @staticmethod
    def size(node):
        n = len(node.first)
        for _, offset, data in node.writes:
            n = data if offset is None else max(n, offset + len(data))
        return n

    def on_write(self, a, result, behind):
        path = self.below(path_of(a[0]))
        if path in self.nodes:
            node = self.nodes[path]
            self.write(path, node.at, unquote(a[1])[:result])
            node.at += result

    def on_pwrite64(self, a, result, behind):
        path = self.below(path_of(a[0]))
        if path in self.nodes:
            self.write(path, int(a[3]), unquote(a[1])[:result])

    def on_writev(self, a, result, behind):
        self.on_write([a[0], "".join(re.findall(r"iov_base=\"([^\"]*)\"", a[1]))], result, behind)

    def on_copy_file_range(self, a, result, behind):
        """What is copied is in the source now, or was: a release's files do not change."""
        path, source = self.below(path_of(a[2])), path_of(a[0])
        if path in self.nodes and result:
            node, rel = self.nodes[path], self.below(source)
            if rel in self.nodes:
                data = self.content(self.nodes[rel], len(self.ops))
            else:
                data = pathlib.Path(source).read_bytes()
            self.write(path, node.at, data[node.at:node.at + result])
            node.at += result

    def on_sendfile(self, a, result, behind):
        self.on_copy_file_range([a[1], "", a[0]], result, behind)

    def on_lseek(self, a, result, behind):
        path = self.below(path_of(a[0]))
        if path in self.nodes:
            self.nodes[path].at = result

    def on_ftruncate(self, a, result, behind):
        path = self.below(path_of(a[0]))
        if path in self.nodes:
            self.write(path, None, int(a[1], 0))

    def on_fchmod(self, a, result, behind):
        path = self.below(path_of(a[0]))
        mode = int(a[1], 8) & 0o777
        if path in self.nodes:
            self.nodes[path].mode = mode
        elif path in self.folders:
            self.folders[path] = mode

    def on_mkdirat(self, a, result, behind):
        path = self.below(joined(a[0], a[1]))
        if path:
            self.folders[path] = int(a[2], 8) & 0o755
            self.op("mkdir", path)

    def on_mkdir(self, a, result, behind):
        path = self.below(unquote(a[0]).decode())
        if path:
            self.folders[path] = int(a[1], 8) & 0o755
            self.op("mkdir", path)

    def on_symlinkat(self, a, result, behind):
        path = self.below(joined(a[1], a[2]))
        if path:
            self.nodes[path] = Node(link=unquote(a[0]).decode())
            self.op("create", path, self.nodes[path])

    def on_unlinkat(self, a, result, behind):
        path = self.below(joined(a[0], a[1]))
        if path in self.nodes:
            del self.nodes[path]
            self.op("unlink", path)
        elif path in self.folders:
            del self.folders[path]
            self.op("rmdir", path)

    def on_unlink(self, a, result, behind):
        self.on_unlinkat([f"AT_FDCWD<{self.folder}>", a[0], ""], result, behind)

    on_rmdir = on_unlink

    def moved(self, old, new, exchange):
        if old is None or new is None:
            assert old is None or old not in self.nodes, (old, new)
            return
        if old not in self.nodes and old not in self.folders:
            return  # a socket
        rename(self.nodes, self.folders, old, new, exchange)
        self.op("rename", old, new, exchange)

    def on_renameat2(self, a, result, behind):
        self.moved(self.below(joined(a[0], a[1])), self.below(joined(a[2], a[3])), "RENAME_EXCHANGE" in a[4])

    def on_renameat(self, a, result, behind):
        self.on_renameat2([*a, ""], result, behind)

    def on_rename(self, a, result, behind):
        here = f"AT_FDCWD<{self.folder}>"
        self.on_renameat2([here, a[0], here, a[1], ""], result, behind)

    def on_linkat(self, a, result, behind):
        old, new = self.below(joined(a[0], a[1])), self.below(joined(a[2], a[3]))
        assert old is None and new is None, "hard links are not recorded"

    def on_fsync(self, a, result, behind):
        path = path_of(a[0])
        if path == str(self.folder):
            self.op("sync", "", None)
        rel = self.below(path)
        if rel in self.nodes:
            self.nodes[rel].synced.append(len(self.ops))
            self.op("sync", rel, self.nodes[rel])
        elif rel in self.folders:
            self.op("sync", rel, None)

    on_fdatasync = on_fsync

    def on_syncfs(self, a, result, behind):
        for node in {id(n): n for n in self.nodes.values()}.values():
            node.synced.append(len(self.ops))
        self.op("syncall")

    def forget_syncs(self):
        """As if nobody had ever made sure of anything: what a test can be seen to fail by."""
        self.ops = [("forgotten",) if op[0] in ("sync", "syncall") else op for op in self.ops]
        for op in self.ops:
            if op[0] in ("create", "data"):
                op[-1].synced.clear()
        for node in self.first_nodes.values():
            node.synced.clear()

    # --- disks ---

    def cuts(self):
        return range(len(self.ops) + 1)

    def content(self, node, cut, lost="none", chance=None):
        """What the file holds when that many operations were done; of what no sync has covered, `lost`."""
        sure = max([s for s in node.synced if s < cut], default=-1)
        data = bytearray(node.first)
        for at, offset, piece in node.writes:
            if at >= cut:
                break
            keep = at < sure or lost == "none" or (lost == "some" and chance.random() < 0.5)
            if not keep and lost == "all":
                continue
            if offset is None:
                del data[piece:]
                data.extend(bytes(piece - len(data)))
                continue
            if len(data) < offset + len(piece):
                data.extend(bytes(offset + len(piece) - len(data)))
            data[offset:offset + len(piece)] = piece if keep else data[offset:offset + len(piece)]
        return bytes(data)

    def names(self, cut, disk, chance):
        """Which operations on names are there."""
        ops = [i for i in range(cut) if self.ops[i][0] in ("create", "mkdir", "unlink", "rmdir", "rename")]
        if disk == "kept":
            return set(ops)
        if disk == "journal":
            sure = max((i for i in range(cut) if self.ops[i][0] in ("sync", "syncall")), default=-1)
            until = chance.randint(sure, cut)
            return {i for i in ops if i <= until}
        return {i for i in ops if self.is_sure(i, cut) or chance.random() < 0.5}

    def is_sure(self, i, cut):
        op = self.ops[i]
        paths = {os.path.dirname(op[1])} | ({os.path.dirname(op[2])} if op[0] == "rename" else set())
        for later in range(i + 1, cut):
            kind = self.ops[later][0]
            if kind == "syncall":
                return True
            if kind == "sync" and self.ops[later][2] is None:
                paths.discard(self.ops[later][1])
                if not paths:
                    return True
            elif kind == "sync" and op[0] == "create" and self.ops[later][2] is op[2]:
                return True
        return False

    def make(self, cut, disk, target, seed=0):
        """The disk after that many operations, at `target`, which is made anew. Gives what it has, to tell the same ones apart."""
        chance = random.Random(seed * 100003 + cut)  # the same in each run
        there = self.names(cut, disk, chance)
        nodes, folders = dict(self.first_nodes), dict(self.first_folders)
        for i in sorted(there):
            op = self.ops[i]
            if op[0] in ("create", "mkdir") and ("/" not in op[1] or os.path.dirname(op[1]) in folders):
                if op[0] == "create" or op[1] not in folders:
                    clear(nodes, folders, op[1])  # a name is one thing's: what had it is gone
                if op[0] == "create":
                    nodes[op[1]] = op[2]
                else:
                    folders[op[1]] = self.folders.get(op[1], 0o755)
            elif op[0] == "unlink":
                nodes.pop(op[1], None)
            elif op[0] == "rmdir" and op[1] in folders:
                clear(nodes, folders, op[1])
            elif op[0] == "rename" and (op[1] in nodes or op[1] in folders):
                rename(nodes, folders, op[1], op[2], op[3])
        lost = "none" if disk == "kept" else chance.choice(("all", "zeros", "some"))
        files = {path: node.link if node.link is not None else self.content(node, cut, lost, chance) for path, node in nodes.items()}
        if target is not None:
            self.put(target, files, nodes, folders)
        return hash((frozenset(files.items()), frozenset(folders)))

    def put(self, target, files, nodes, folders):
        target = pathlib.Path(target)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for path in sorted(folders):
            (target / path).mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            if nodes[path].link is not None:
                (target / path).symlink_to(data)
            else:
                (target / path).write_bytes(data)
                (target / path).chmod(nodes[path].mode | 0o400)
        for path, mode in folders.items():
            (target / path).chmod(mode)
        target.chmod(self.mode)
        if os.geteuid() == 0:
            for path in (target, *target.rglob("*")):
                os.chown(path, *self.owner_of(str(path.relative_to(target))), follow_symlinks=False)

    def owner_of(self, path):
        """Of one that was there for a moment only: its folder's."""
        return self.owners.get(path) or self.owner_of(os.path.dirname(path) or ".")


def clear(nodes, folders, path):
    """Neither of both has it any more, nor anything below; what was there."""
    return {p: d.pop(p) for d in (nodes, folders) for p in list(d) if p == path or p.startswith(path + "/")}


def rename(nodes, folders, old, new, exchange):
    """Both dictionaries after it."""

    def give(found, path, to):
        for p, what in found.items():
            (nodes if isinstance(what, Node) else folders)[to + p[len(path):]] = what
    gone, came = clear(nodes, folders, new), clear(nodes, folders, old)
    give(came, old, new)
    if exchange:
        give(gone, new, old)
