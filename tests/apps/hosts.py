#!/usr/bin/python3 -B
"""muster start on four hosts: network namespaces, each with an sshd. One is cut off and comes back, programs are missing on one,
and at the end nothing is left on any. It skips where the namespaces cannot be made."""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys

import spaces
import support
from spaces import HERE, SPACES, address_of, name_of
from support import MUSTER

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
EACH = int(os.environ.get("MUSTER_TEST_EACH", "2"))  # participants, and nodes, on each host
NAMES = ("a", "b", "c", "d")


def await_end(number):
    """Waits for a process, whosever child it is."""
    try:
        file = os.pidfd_open(number)
    except ProcessLookupError:
        return
    select.select([file], [], [])
    os.close(file)


class Hosts(support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm((200 + 10 * EACH) * support.SLOWNESS)
        self.count = SPACES * EACH
        self.environment = {**os.environ, "XDG_STATE_HOME": str(self.scratch / "state")}
        self.make_keys()
        self.daemons = [self.start_sshd(space) for space in range(SPACES)]

    def make_keys(self):
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.scratch / name], check=True)
        (self.scratch / "config").write_text(
            f"IdentityFile {self.scratch}/user\nIdentitiesOnly yes\nUserKnownHostsFile {self.scratch}/known\n"
            "StrictHostKeyChecking accept-new\nServerAliveInterval 1\nServerAliveCountMax 3\nLogLevel ERROR\n"
        )

    def start_sshd(self, space):
        """As Debian has it: sessions and unauthenticated starts are few."""
        config = self.scratch / f"sshd-{space}"
        config.write_text(
            f"ListenAddress {address_of(space)}:2222\nHostKey {self.scratch}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.scratch}/user.pub\nStrictModes no\nMaxSessions 10\nMaxStartups 10:30:100\n"
            "ClientAliveInterval 1\nClientAliveCountMax 3\n"
        )
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        daemon = self.start("ip", "netns", "exec", name_of(space), SSHD, "-D", "-e", "-f", config, stderr=subprocess.PIPE)
        self.await_line(daemon.stderr, "Server listening")
        return daemon

    def hosts(self):
        return [
            {"name": name, "ssh": f"root@{address_of(space)}", "port": 2222, "options": ["-F", str(self.scratch / "config")],
             "muster": str(MUSTER), "directory": str(self.scratch)}
            for space, name in enumerate(NAMES)
        ]  # fmt: skip

    def federated(self, rounds, **more):
        participants = {
            "program": "muster", "count": self.count,
            "arguments": ["demo", "--participant={rank}", "--name={name}", "--connect={server}", f"--participants={self.count}"],
            **more,
        }  # fmt: skip
        server = {"rounds": rounds, "listen": f"{HERE}:0", "min_participants": self.count, "wait": 3600, "deadline": 3600,
                  "grace": 3600, "train": {"lr": 0.1}}  # fmt: skip
        return {"name": "fleet", "hosts": self.hosts(), "server": server, "participants": participants}

    def begin(self, experiment, *options):
        path = self.scratch / "fleet.yml"
        path.write_text(json.dumps(experiment))
        return self.start(
            MUSTER, "start", path, *options, cwd=self.scratch, env=self.environment, stderr=subprocess.PIPE
        )

    def tell(self, *words):
        """What one of the other commands prints."""
        process = self.start(MUSTER, *words, cwd=self.scratch, env=self.environment)
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, self.errors_of(process))
        return output

    def processes(self):
        return json.loads(self.tell("status", "fleet", "--json"))["processes"]

    def left_on(self, space):
        """The processes in a namespace, but for its sshd."""
        daemon = self.daemons[space].pid
        pids = [int(word) for word in spaces.ip("netns", "pids", name_of(space)).split()]
        return [pid for pid in pids if pid != daemon and b"sshd" not in support.command_line(str(pid))]

    def assert_nothing_on_hosts(self):
        for space in range(SPACES):
            while left := self.left_on(space):
                await_end(left[0])

    def follow(self, name):
        return self.start(MUSTER, "logs", "-f", "fleet", name, cwd=self.scratch, env=self.environment)

    def test_a_federation_is_started_and_stopped(self):
        run = self.begin(self.federated(1000000))
        self.read_until(run, rf"^round 2/\d+: {self.count} answered, 0 failed")
        processes = self.processes()
        self.assertEqual([process["state"] for process in processes], ["running"] * (self.count + 1))
        self.assertEqual(
            [process["host"] for process in processes], ["here", *(NAMES[rank % SPACES] for rank in range(self.count))]
        )
        for space in range(SPACES):
            commands = [support.command_line(str(pid)) for pid in self.left_on(space)]
            self.assertEqual(sum(b"--participant=" in command for command in commands), EACH)
            self.assertEqual(sum(command.endswith(b"\0agent\0") for command in commands), 1)  # one connection
        self.assertEqual(self.tell("stop", "fleet"), "fleet has ended\n")
        run.stdout.read()
        self.assertEqual(run.wait(), 0, run.stderr.read())
        self.assert_nothing_on_hosts()

    def test_one_is_cut_off_and_comes_back(self):
        run = self.begin(self.federated(1000000))
        self.read_until(run, rf"^round 2/\d+: {self.count} answered")
        spaces.cut(1, True)
        try:
            self.await_line(run.stderr, r"host b is lost, with \d+ processes")
            while left := self.left_on(1):  # they end by themselves
                await_end(left[0])
        finally:
            spaces.cut(1, False)
        log = self.follow("participant-" + "1".zfill(len(str(self.count - 1))))
        self.await_line(log.stdout, "connected to")
        self.await_line(log.stdout, "connected to")  # again
        self.read_until(run, rf"^round \d+/\d+: {self.count} answered, 0 failed")
        self.assertEqual([process["state"] for process in self.processes()], ["running"] * (self.count + 1))
        run.send_signal(signal.SIGTERM)
        run.stdout.read()
        self.assertEqual(run.wait(), 143, run.stderr.read())
        self.assert_nothing_on_hosts()

    def test_the_launcher_is_killed(self):
        run = self.begin(self.federated(1000000))
        self.read_until(run, "^round 2/")
        run.kill()
        run.wait()
        self.assert_nothing_on_hosts()

    def test_nodes(self):
        experiment = {"name": "fleet", "hosts": self.hosts(), "coordinator": {"listen": f"{HERE}:0"},
                      "nodes": {"count": self.count, "rounds": 3, "wait": 3600, "patience": 3600}}  # fmt: skip
        run = self.begin(experiment)
        self.assertRegex(run.stdout.read(), r"(?m)^final accuracy 0\.\d+, .* 3 rounds$")
        self.assertEqual(run.wait(), 0, run.stderr.read())
        self.assert_nothing_on_hosts()

    def test_a_program_that_is_not_on_the_third_host(self):
        for program, why in (("/nowhere/python", "No such file or directory"), (str(self.scratch / "config"), "Permission denied")):
            run = self.begin(self.federated(5, **{"for": [{"ranks": 2, "program": program}]}), "--overwrite")
            run.stdout.read()
            errors = run.stderr.read()
            self.assertEqual(run.wait(), 1, errors)
            self.assertRegex(errors, rf"participant-0*2 on c: starting {re.escape(program)}: {why}")
            self.assert_nothing_on_hosts()

    def test_a_host_that_does_not_let_us_in(self):
        experiment = self.federated(5)
        experiment["hosts"][2]["options"] += ["-i", "/dev/null", "-o", "IdentityFile=none"]
        experiment["hosts"][2]["ssh"] = f"nobody@{address_of(2)}"
        run = self.begin(experiment)
        run.stdout.read()
        errors = run.stderr.read()
        self.assertEqual(run.wait(), 1, errors)
        self.assertRegex(errors, "host c cannot be reached: .*Permission denied")
        self.assert_nothing_on_hosts()


if __name__ == "__main__":
    if not SSHD:
        print("sshd is not installed")
        sys.exit(77)
    # Once: what is removed is gone only a while later, and cannot be made again before.
    support.after_all.append(spaces.remove)
    try:
        spaces.make()
        support.main()
    except (OSError, RuntimeError) as error:
        print(f"no network namespaces here: {error}")
        sys.exit(77)
    finally:
        spaces.remove()
