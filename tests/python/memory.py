#!/usr/bin/python3 -B
"""Payloads in Python are freed with the last reference to them: no cycle keeps one, and memory stays steady."""

import gc
import re
import threading
import weakref

import numpy

import common
from common import LONG
import muster


def resident():
    """MiB of this process in memory."""
    with open("/proc/self/status") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]) // 1024


class Memory(common.Case):
    def setUp(self):
        super().setUp()
        gc.disable()
        self.addCleanup(gc.enable)
        self.seen = []
        self.manager = muster.ParticipantManager("127.0.0.1:0")
        self.in_thread(self.participate)
        self.addCleanup(self.manager.close)
        (self.proxy,) = self.manager.get_participants(1, LONG)

    def participate(self):
        with muster.connect(self.manager.address) as participant:
            for instruction in participant:
                self.seen.append(weakref.ref(instruction))
                arrays = instruction.arrays
                arrays[0] += 1
                instruction.answer(arrays)

    def test_a_thousand_turns_of_5_megabytes(self):
        model = numpy.zeros(5_000_000 // 4, numpy.float32)
        for turn in range(1000):
            model = self.proxy.run(muster.Train([model]), LONG).arrays[0]
            if turn == 100:
                before = resident()
        self.assertEqual(float(model[7]), 1000)
        self.assertLess(resident() - before, 120, "MiB: malloc may keep 64, and one array in ten that stayed would be 450")

    def test_no_cycle_keeps_a_payload(self):
        kept = [weakref.ref(self.proxy.run(muster.Train([numpy.zeros(300000)]), LONG)) for _ in range(3)]
        round = muster.run_all([self.proxy], muster.Train([numpy.zeros(300000)]), deadline=LONG)
        for _, answer in round:
            kept.append(weakref.ref(answer))
        del answer, _
        self.assertEqual([each() for each in kept], [None] * 4)
        self.manager.close()
        self.doCleanups()
        self.assertEqual([each() for each in self.seen], [None] * 4)

    def test_no_cycle_keeps_a_round_or_a_manager(self):
        round = weakref.ref(muster.run_all([self.proxy], muster.Train([numpy.zeros(3)]), deadline=LONG))
        self.assertIsNone(round())
        manager = muster.ParticipantManager("local:" + self.id(), on_event=print)
        gone = threading.Event()
        weakref.finalize(manager, gone.set)
        del manager
        self.assertTrue(gone.is_set())
        muster.ParticipantManager("local:" + self.id()).close()

    def test_an_array_keeps_its_message_alone(self):
        answer = self.proxy.run(muster.Train([numpy.zeros(300000), numpy.ones(3)]), LONG)
        array, whole = answer.arrays[1], weakref.ref(answer)
        del answer
        self.assertIsNone(whole())
        self.assertEqual(array.tolist(), [1, 1, 1])


if __name__ == "__main__":
    common.main()
