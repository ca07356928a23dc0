"""An apt client for bench, with a server that counts what it fetches."""

import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import yardstick


class AptClient:
    """An apt with a private root, that updates from a tree through a server that counts what it sends."""

    def __init__(self, directory, tree, keyring, suites, components, architecture):
        """`directory` is the client's own, and is emptied."""
        self.tree, self.log, self.directory = tree, directory.with_suffix(".log"), directory
        self.keyring, self.suites, self.components, self.arch = keyring, suites, " ".join(components), architecture
        shutil.rmtree(self.directory, ignore_errors=True)
        for path in ("lists/partial", "cache/archives/partial"):
            (self.directory / path).mkdir(parents=True)
        (self.directory / "status").touch()
        self.server = None

    def update(self):
        """The bytes that were sent for one update: of the signed Releases, and of all else."""
        sent = {"Release": 0, "index": 0}
        tree = self.tree

        class Counting(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(tree))

            def copyfile(self, source, outputfile):
                data = source.read()
                sent["Release" if self.path.endswith(("/InRelease", "/Release", "/Release.gpg")) else "index"] += len(data)
                outputfile.write(data)

            def log_message(self, *_):
                pass

        # The address is part of what apt knows a source by: the port has to stay.
        port = self.server or 0
        with ThreadingHTTPServer(("127.0.0.1", port), Counting) as server:
            server.daemon_threads, server.block_on_close = True, False
            self.server = server.server_address[1]
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                self.apt_get_update()
            finally:
                server.shutdown()
        return sent

    def apt_get_update(self):
        source = f"[arch={self.arch} signed-by={self.keyring}] http://127.0.0.1:{self.server}/"
        lines = [f"deb {source} {suite} {self.components}\n" for suite in self.suites]
        (self.directory / "sources.list").write_text("".join(lines))
        (self.directory / "apt.conf").write_text(
            f'Dir::State "{self.directory}"; Dir::State::lists "{self.directory}/lists"; Dir::State::status "{self.directory}/status";\n'
            f'Dir::Cache "{self.directory}/cache"; Dir::Etc::sourcelist "{self.directory}/sources.list"; Dir::Etc::sourceparts "-";\n'
            'Dir::Etc::main "-"; Dir::Etc::parts "-"; Dir::Etc::preferencesparts "-"; Dir::Etc::trustedparts "-";\n'
            f'APT::Sandbox::User "root"; APT::Architecture "{self.arch}"; Acquire::Languages "none"; Acquire::http::Proxy "DIRECT";\n')
        environment = os.environ | {"APT_CONFIG": str(self.directory / "apt.conf"), "LC_ALL": "C"}
        command = ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"]
        yardstick.measured(command, self.log, env=environment)
