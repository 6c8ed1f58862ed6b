"""A row of bench/run: one piece of work, who does it, and what asks for it."""

import os

import measure
import servers


class Row:
    """One piece of work. `goals`: for each peer what its CPU per request over stead's must be at least."""

    def __init__(self, name, title, folder, path, body, goals, module=None, log=False):
        self.name, self.title, self.path, self.body = name, title, path, body
        self.folder = os.path.join(servers.HERE, "apps", folder)
        self.module, self.log, self.goals = module, log, goals

    tls = None    # an SSLContext: it is asked over TLS
    floor = True  # beside it stands what an answer of its size costs at least

    def behind(self, args):
        """What serves behind stead and its peers, and is counted for neither; or None."""
        return None

    def floors(self):
        """What else shows what an answer costs at least."""
        return []

    def load(self, args):
        return measure.wrk

    def stead(self, binary, behind):
        return servers.Stead(self.folder, self.path, self.log, binary)

    def peers(self, behind):
        if self.module:
            return [servers.NginxUwsgi(self.folder, self.module, self.log)]
        return [servers.NginxStatic(os.path.join(self.folder, "public"), self.path, self.log)]
