#!/usr/bin/python3 -B
"""`muster orchestrate` with workers of PyTorch DDP: killed, frozen in a collective, late, interrupted, and failing. The
limit of a collective is longer than the tests: workers that hang in one have to be freed."""

import errno
import itertools
import logging
import os
import re
import select
import signal
import socket
import sys
from unittest import mock

import common
import support

try:
    import muster
    import torch
    import torch.distributed as dist
    from muster import Full, Unavailable, ddp
    from muster._ddp_checkpoint import Checkpoints
    from muster._ddp_group import Group, Store, is_group_error
    from muster._ddp_sockets import Liberation, connections_of_store
except ImportError:
    torch = None

PEER = common.PEER.with_name("ddp_peer.py")
DEMO = support.SOURCE / "apps" / "muster" / "orchestrate" / "demo"
EXAMPLE = support.SOURCE / "examples" / "python" / "ddp_worker.py"

# Of what is not to be noticed by it.
LIMIT = 60

OTHER_RANK = """
import datetime, sys
import torch.distributed as dist
store = dist.TCPStore("127.0.0.1", int(sys.argv[1]), 2, False)
limit = datetime.timedelta(seconds=1000)
dist.init_process_group("gloo", store=dist.PrefixStore("epoch 1", store), rank=1, world_size=2, timeout=limit)
dist.new_group([0, 1], timeout=limit)
print("is there", flush=True)
try:
    dist.barrier()
except RuntimeError:
    pass
"""

os.environ["OMP_NUM_THREADS"] = "1"


class Training(common.Case):
    def demo(self, *options, **environment):
        """./run ddp: what it writes, and its last line in parts."""
        process = self.start(DEMO, support.BUILD, *options, env={**os.environ, **environment})
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, output + self.errors_of(process))
        final = re.fullmatch(r"final loss ([0-9.]+), (\d+) iterations, (\d+) restarts", output.splitlines()[-1])
        self.assertTrue(final, output)
        return output, float(final[1]), int(final[2]), int(final[3])

    def start_orchestrator(self, *options):
        """What it writes goes to a file: in epochs without an end nobody reads it."""
        command = (support.MUSTER, "orchestrate", "--listen=127.0.0.1:0", "--checkpoint-every=4")
        output = open(self.scratch / "output", "w")
        self.addCleanup(output.close)
        orchestrator = self.start_on_port(*command, *options, stdout=output)
        self.address = f"127.0.0.1:{orchestrator.port}"
        return orchestrator

    def start_worker(self, name, *options, **environment):
        environment = {**os.environ, "MUSTER_SERVER": self.address, "MUSTER_NAME": name, **environment}
        return self.start_python(PEER, f"--checkpoints={self.scratch / name}", "--verbose", *options, env=environment)

    def write_checkpoints_of_before(self, folder):
        folder.mkdir()
        torch.save({"states": {}, "time": 1.0, "mark": "before"}, self.scratch / "before")
        for iteration in range(4, 20000, 4):
            os.link(self.scratch / "before", folder / f"iteration-{iteration}.pt")

    def finish(self, orchestrator, pattern):
        """Of the last line that an orchestrator writes."""
        self.assertEqual(orchestrator.wait(), 0, self.errors_of(orchestrator))
        self.assertRegex((self.scratch / "output").read_text().splitlines()[-1], "^final loss .*, " + pattern)

    def first_of(self, workers):
        """Waits for the first epoch; the worker that has rank 0."""
        ranks = [self.read_until(worker, "^epoch 1: rank . of 2") for worker in workers]
        return workers["rank 0" in ranks[1]]

    def test_a_checkpoint_is_no_program(self):
        class Program:
            def __reduce__(self):
                return os.mkdir, (str(path / "made"),)

        path = self.scratch
        torch.save({"states": {"model": Program()}, "time": 1.0, "mark": ""}, path / "iteration-1.pt")
        with self.assertLogs("muster.ddp", "WARNING") as log:
            self.assertEqual(Checkpoints(path)._read(1), (None, None))
        self.assertIn("posix.mkdir is no tensor", log.output[0])
        self.assertFalse((path / "made").exists())
        states = {"model": {"rate": 0.5, "steps": [torch.ones(2)]}}
        torch.save({"states": states, "time": 1.0, "mark": ""}, path / "iteration-1.pt")
        self.assertEqual(Checkpoints(path)._read(1)[1]["states"]["model"]["rate"], 0.5)

    def test_a_checkpoint_that_is_not_whole_is_not_used(self):
        path = self.scratch / "iteration-1.pt"
        whole = {"states": {"model": {"weight": torch.ones(1000)}}, "time": 1.0, "mark": ""}
        torch.save(whole, path)
        data = path.read_bytes()
        for cut in (0, 1, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:cut])
            with self.assertLogs("muster.ddp", "WARNING"):
                self.assertEqual(Checkpoints(self.scratch)._read(1), (None, None), cut)
        for other in ([1, 2], {}, {**whole, "time": "yesterday"}, {**whole, "states": 1}):
            torch.save(other, path)
            with self.assertLogs("muster.ddp", "WARNING"):
                self.assertEqual(Checkpoints(self.scratch)._read(1), (None, None), other)

    def test_a_disk_that_is_full_is_told_and_leaves_nothing(self):
        files = Checkpoints(self.scratch)
        files._writes = True
        model = torch.nn.Linear(2, 1)
        files.save(1, {"model": model})
        with mock.patch.object(os, "fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            with self.assertRaises(OSError) as raised:
                files.save(2, {"model": model})
        self.assertFalse(is_group_error(raised.exception))
        self.assertEqual([each.name for each in self.scratch.iterdir()], ["iteration-1.pt"])

    def test_a_store_that_cannot_be_reached_is_no_failure_of_the_program(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            for address in ("127.0.0.1", "not.a.name.invalid", "not an address"):
                order = {"master_addr": address, "master_port": nobody.getsockname()[1]}
                with self.assertRaises(Exception) as raised:
                    Group(order, None, 0)._await_store(lambda: False)
                self.assertTrue(is_group_error(raised.exception), raised.exception)

    def test_an_orchestrator_that_has_no_place_for_long_is_asked_again(self):
        answers = [Full("no place")] * 2 * sys.getrecursionlimit() + ["a participant"]
        with mock.patch.object(ddp, "connect", side_effect=answers), mock.patch.object(ddp, "AGAIN_SECONDS", 0):
            self.assertEqual(ddp._connect("host:1", float("inf"), True), "a participant")

    def test_a_worker_that_comes_before_it_is_known_to_be_gone_asks_again(self):
        self.start_orchestrator("--workers=1")
        before = muster.connect(self.address, name="ada")
        asked = logging.Handler()
        asked.emit = lambda record: before.close()
        ddp._log.addHandler(asked)
        self.addCleanup(ddp._log.removeHandler, asked)
        with mock.patch.object(ddp, "_attend", lambda control, participant, *_: participant.close()):
            with self.assertLogs("muster.ddp", "WARNING") as log:
                ddp.worker(self.address, None, name="ada", checkpoints=self.scratch, join_timeout=common.LONG)
        self.assertRegex(log.output[0], r"does not take this worker yet, and is asked again for \d+ s; .*: .+")

    def test_where_no_place_gets_free_that_is_told_after_a_while(self):
        for error in (Full("no place"), Unavailable("nobody listens")):
            with mock.patch.object(ddp, "connect", side_effect=error) as connect:
                with self.assertRaises(type(error)):
                    ddp._connect("host:1", 0, False)
            self.assertEqual(connect.call_count, 1)
        answers = [Full("no place"), Unavailable("nobody listens")]
        with mock.patch.object(ddp, "connect", side_effect=answers), mock.patch.object(ddp, "AGAIN_SECONDS", 0):
            with self.assertRaises(Unavailable):
                ddp._connect("host:1", float("inf"), False)

    def test_what_a_program_raises_of_its_own_connections_is_no_broken_group(self):
        own = ConnectionRefusedError("Connection refused"), TimeoutError("timed out"), RuntimeError("socket: timed out")
        for error in own:
            self.assertFalse(is_group_error(error), error)
        for place in ("./gloo/transport/tcp/pair.cc:598", "/pytorch/torch/csrc/distributed/c10d/TCPStore.cpp:120"):
            self.assertTrue(is_group_error(RuntimeError(f"[{place}] Connection closed by peer [127.0.0.1]:47")), place)

    def connection(self):
        """Two ends."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ends = socket.create_connection(listener.getsockname()), listener.accept()[0]
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def test_connections_of_groups_are_shut_and_those_of_the_program_are_not(self):
        store, kept = Store(2, LIMIT), []
        order = {"master_addr": "127.0.0.1", "master_port": store.port, "rank": 0, "world_size": 2, "epoch": 1,
                 "backend": "gloo"}
        peer = self.start_python("-c", OTHER_RANK, str(store.port))
        group, original, form = Group(order, store, LIMIT), dist.new_group, dist.init_process_group

        def form_slowly(*arguments, **options):
            """Other threads open connections meanwhile."""
            form(*arguments, **options)
            kept.append(self.connection())

        kept.append(self.connection())
        with mock.patch.object(dist, "init_process_group", form_slowly):
            group.enter(lambda: False)
        another = dist.new_group([0, 1])
        kept.append(self.connection())
        self.read_until(peer, "^is there")
        peer.send_signal(signal.SIGSTOP)  # it does nothing that would free this one
        group.free()
        for each in (None, another):
            with self.assertRaises(RuntimeError) as raised:
                dist.recv(torch.zeros(1), 1, group=each)
            self.assertTrue(is_group_error(raised.exception))
            self.assertNotIn("Timed out", str(raised.exception))
        group.leave(True)
        peer.send_signal(signal.SIGCONT)
        self.assertEqual(peer.wait(), 0, self.errors_of(peer))
        for end in itertools.chain(*kept):
            end.setblocking(False)
            self.assertRaises(BlockingIOError, end.recv, 1)  # it would be the end, were it shut
        self.assertIs(dist.new_group, original)

    def test_connections_of_a_store_are_found_at_both_ends(self):
        """torch has them as connections of IPv6."""
        store = Store(2, LIMIT)
        another = dist.TCPStore("127.0.0.1", store.port, 2, False, wait_for_workers=False)
        another.set("a", "b")  # nobody answers to it
        another.get("a")  # an answer: it is accepted
        for found in (connections_of_store(store.port, None), connections_of_store(None, ("127.0.0.1", store.port))):
            self.assertGreaterEqual(len(found), 3)  # of two, and where one was accepted

    def test_a_connection_is_shut_when_nothing_is_on_its_way(self):
        one, other = self.connection()
        inode = os.fstat(one.fileno()).st_ino
        liberation = Liberation(dict)
        liberation.stop()
        liberation._until = float("inf")
        other.sendall(b"half a message")
        select.select([one], [], [])
        self.assertFalse(liberation._try(inode, one.fileno()))
        self.assertEqual(one.recv(100), b"half a message")
        while not liberation._try(inode, one.fileno()):
            pass
        self.assertEqual(one.recv(100), b"")
        # A peer that is frozen reads nothing more.
        one, other = self.connection()
        one.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                one.send(bytes(100000))
        inode = os.fstat(one.fileno()).st_ino
        self.assertFalse(liberation._try(inode, one.fileno()))
        liberation._until = 0
        self.assertTrue(liberation._try(inode, one.fileno()))
        one.setblocking(True)
        self.assertEqual(one.recv(100), b"")

    def test_the_example_trains(self):
        output, loss, iterations, restarts = self.demo("--workers=2", "--iterations=60")
        self.assertEqual((iterations, restarts), (60, 0))
        self.assertLess(loss, 1.5)
        self.assertLessEqual(len(EXAMPLE.read_text().splitlines()), 60)

    def test_with_a_killed_worker_it_ends_as_without(self):
        options = (f"--worker={PEER}", "--workers=3", "--iterations=20")
        _, loss, iterations, restarts = self.demo(*options)
        self.assertEqual((iterations, restarts), (20, 0))
        # None gets beyond iteration 15 before one is killed.
        output, *numbers = self.demo(*options, "--kill=1", "--seed=3", DDP_HOLD="15")
        self.assertIn("killed worker-", output)
        self.assertEqual(numbers, [loss, 20, 1])

    def test_a_frozen_worker_is_named_and_a_late_one_waits_for_the_next_epoch(self):
        patience = f"--patience={5 * support.SLOWNESS}"
        orchestrator = self.start_orchestrator("--workers=2", "--elastic", "--heartbeat=0.2", patience)
        ada, bob = (self.start_worker(name, DDP_HOLD="6", DDP_LAST_EPOCH="3") for name in ("ada", "bob"))
        self.read_until(self.first_of([ada, bob]), "iteration 6")
        bob.send_signal(signal.SIGSTOP)
        self.read_until(ada, "epoch 2: rank 0 of 1")
        # On another machine, which has checkpoints of an earlier training.
        self.write_checkpoints_of_before(self.scratch / "cyd")
        cyd = self.start_worker("cyd", DDP_LAST_EPOCH="3", DDP_HOST="another")
        for worker in (ada, cyd):
            self.read_until(worker, "epoch 3: rank . of 2")
            self.assertEqual(worker.wait(), 0, self.errors_of(worker))
        self.assertIn("waiting: the others train", self.errors_of(cyd))
        files = [sorted(path.name for path in (self.scratch / name).iterdir()) for name in ("ada", "cyd")]
        self.assertEqual(len(files[0]), 2)
        self.assertLessEqual(set(files[0]), set(files[1]))
        for name in files[0]:
            ada_, cyd_ = (torch.load(self.scratch / worker / name)["states"] for worker in ("ada", "cyd"))
            self.assertEqual(str(ada_), str(cyd_))
        self.finish(orchestrator, r"\d+ iterations, 1 restarts")
        self.assertRegex(self.errors_of(orchestrator), "(?s)bob is silent.*bob is lost: it is silent for")

    def test_workers_go_on_with_an_orchestrator_that_is_started_again(self):
        options = ("--workers=2", f"--file={self.scratch / 'memory'}")
        orchestrator = self.start_orchestrator(*options)
        workers = [self.start_worker(name, DDP_LAST_EPOCH="2") for name in ("ada", "bob")]
        self.read_until(self.first_of(workers), "iteration 5")
        orchestrator.kill()  # whatever is on its way then
        orchestrator.wait()
        again = self.start_orchestrator(*options, f"--listen={self.address}")
        for worker in workers:
            self.read_until(worker, "epoch 2: rank . of 2")
            self.assertEqual(worker.wait(), 0, self.errors_of(worker))
        self.finish(again, r"\d+ iterations, 0 restarts")

    def test_a_program_that_does_not_end_its_epoch_is_lost(self):
        orchestrator = self.start_orchestrator("--workers=3", "--elastic", f"--leave={6 * support.SLOWNESS}")
        ada, cyd = (self.start_worker(name, "--iterations=10") for name in ("ada", "cyd"))
        bob = self.start_worker("bob", "--iterations=10", DDP_STAY="6")
        self.read_until(bob, "^it stays")
        cyd.kill()
        self.read_until(ada, "epoch 3: rank 0 of 1")
        self.assertEqual(ada.wait(), 0, self.errors_of(ada))
        self.finish(orchestrator, "10 iterations, 2 restarts")
        self.assertIn("bob is lost: it has not left an epoch that is over, for ", self.errors_of(orchestrator))

    def test_ctrl_c_ends_a_worker_that_waits_in_a_collective(self):
        orchestrator = self.start_orchestrator("--workers=2", "--elastic")
        workers = [self.start_worker(name, "--iterations=10", DDP_HOLD="6") for name in ("ada", "bob")]
        first = self.first_of(workers)
        self.read_until(first, "iteration 6")
        first.send_signal(signal.SIGINT)
        self.assertEqual(first.wait(common.LONG), -signal.SIGINT)
        self.assertIn("KeyboardInterrupt", self.errors_of(first))
        other = workers[first is workers[0]]
        self.read_until(other, "epoch 2: rank 0 of 1")
        self.assertEqual(other.wait(), 0, self.errors_of(other))
        self.finish(orchestrator, "10 iterations, 1 restarts")

    def test_a_program_that_fails_is_told_with_its_error(self):
        orchestrator = self.start_orchestrator("--workers=2", "--elastic")
        workers = [self.start_worker(name, "--iterations=10", DDP_FAIL="6") for name in ("ada", "bob")]
        self.assertEqual(sorted(worker.wait(common.LONG) for worker in workers), [0, 1])
        self.finish(orchestrator, "10 iterations, 1 restarts")
        self.assertRegex(self.errors_of(orchestrator), "is lost: .*ConnectionRefusedError: there is no data")


if __name__ == "__main__":
    if not torch:
        print("there is no torch (python3-torch), or the package for Python is not built")
        sys.exit(77)
    common.main()
