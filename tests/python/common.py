"""What the tests of the package for Python share: where it is, C programs, and participants on threads."""

import contextlib
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))

import support  # noqa: E402

# In the build tree, or installed somewhere.
PACKAGE = pathlib.Path(os.environ.get("python_package") or support.BUILD / "python" / "package")
PEER = support.SOURCE / "tests" / "python" / "peer.py"
sys.path.insert(0, str(PACKAGE))

# A limit for what is to happen in any case.
LONG = 100


def compile_example(name, folder):
    """Builds a program of examples/ against the library in the build tree."""
    program = folder / name
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "muster"],
        env={"PKG_CONFIG_PATH": str(support.BUILD), "PATH": "/usr/bin:/bin"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    source = support.SOURCE / "examples" / f"{name}.c"
    subprocess.run(["cc", "-O1", "-o", program, source, *shlex.split(flags), "-pthread", "-lm"], check=True)
    return program


class Relay:
    """Passes connections on to a port of this machine, and cuts them."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.port))
                self.ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self.pass_on, args=(source, sink), daemon=True).start()

    def pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def cut(self):
        ends, self.ends = self.ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()


class Case(support.Case):
    def in_thread(self, function, *arguments):
        """Runs a function on a thread, and has the test wait for it at its end, and fail with it."""
        problems = []

        def run():
            try:
                function(*arguments)
            except BaseException as error:
                problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def finish():
            thread.join(LONG)
            self.assertFalse(thread.is_alive(), "a thread does not end")
            if problems:
                raise problems[0]

        self.addCleanup(finish)
        return thread

    def start_python(self, *words, **settings):
        """A program of Python that imports muster, in a process of its own."""
        return self.start(sys.executable, "-B", *words, **settings)


def main():
    if not (PACKAGE / "muster").is_dir():
        print("the package for Python is not built")
        sys.exit(77)
    support.main(PACKAGE)
