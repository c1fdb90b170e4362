#!/usr/bin/python3 -B
"""Groups in Python: members on threads, and the ways to meet."""

import numpy

import common
from common import LONG
import muster


class Groups(common.Case):
    COUNT = 3

    def setUp(self):
        super().setUp()
        self.coordinator = muster.Coordinator("local:" + self.id())
        self.addCleanup(self.coordinator.close)

    def together(self, body):
        """Has each member run `body(group)`, and returns what it returned, by rank."""
        results = [None] * self.COUNT

        def run(number):
            with muster.join_group("local:" + self.id(), self.COUNT, name=f"m{number}") as group:
                results[group.rank] = body(group)

        threads = [self.in_thread(run, number) for number in range(self.COUNT)]
        for thread in threads:
            thread.join(LONG)
        return results

    def test_roster(self):
        def body(group):
            roster = [(each.rank, each.name, each.state) for each in group.roster()]
            group.barrier(LONG)
            return roster

        self.assertEqual(self.together(body), [[(rank, f"m{rank}", "present") for rank in range(self.COUNT)]] * self.COUNT)

    def test_send_and_receive(self):
        def body(group):
            if group.rank > 0:
                group.send(0, muster.Train([numpy.full(2, group.rank)], who=group.rank), tag=5)
                return None
            got = [group.receive(tag=5, timeout=LONG) for _ in range(2)]
            return sorted((message["who"], source, tag) for message, source, tag in got)

        self.assertEqual(self.together(body)[0], [(1, 1, 5), (2, 2, 5)])

    def test_exchange_publish_and_fetch(self):
        def body(group):
            peer = (1, 0, None)[group.rank]
            got = peer if peer is None else int(group.exchange(peer, [numpy.full(1, group.rank)]).arrays[0][0])
            group.publish(3, [numpy.full(2, group.rank)])
            message, version = group.fetch((group.rank + 1) % 3, 3, LONG)
            return got, int(message.arrays[0][0]), version

        self.assertEqual(self.together(body), [(1, 1, 3), (0, 2, 3), (None, 0, 3)])

    def test_collectives(self):
        def body(group):
            own = numpy.full(4, float(group.rank))
            (mean,) = group.all_reduce([own], weight=group.rank + 1)
            self.assertIs(mean, own, "it is written there")
            (total,) = group.all_reduce([numpy.full(2, 1.0)], mean=False)
            told = group.broadcast({"w": numpy.arange(3)} if group.rank == 1 else None, root=1)
            gathered = group.gather([numpy.full(1, group.rank)], root=2)
            everywhere = group.all_gather([numpy.full(1, group.rank)])
            group.barrier(LONG)
            return (
                round(float(mean[0]), 6),
                total.tolist(),
                told.named["w"].tolist(),
                gathered and [int(each.arrays[0][0]) for each in gathered],
                [int(each.arrays[0][0]) for each in everywhere],
                group.statistics()["members"],
            )

        for rank, result in enumerate(self.together(body)):
            expected = (round(8 / 6, 6), [3, 3], [0, 1, 2], [0, 1, 2] if rank == 2 else None, [0, 1, 2], 3)
            self.assertEqual(result, expected)

    def test_too_few_come(self):
        with self.assertRaises(muster.Timeout):
            muster.join_group("local:" + self.id(), 2, name="alone", join_timeout=2)


if __name__ == "__main__":
    common.main()
