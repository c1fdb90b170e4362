#!/usr/bin/python3 -B
"""The participant at a server of the original protocol, written in Python against original.proto: its answers belong to
their instructions, also after it was asked to come back."""

import queue

import numpy

import peers
import support
from peers import CLASSES, FEATURES, from_bytes, to_bytes


class OriginalServer(peers.Door):
    """Takes the first message of each stream for the initiative, and each of the others for the answer to the
    instruction before, as the original does."""

    def __init__(self, protocol, plan):
        super().__init__(protocol)
        self.plan = plan  # a list of marks for each stream
        self.answers = queue.SimpleQueue()

    def connect(self, requests, context):
        next(requests)
        marks = self.plan.pop(0)
        for mark in marks:
            yield self.instruction(mark)
            self.answers.put((mark, self.mark_of(next(requests))))
        if self.plan:
            yield self.protocol.ServerMessage(reconnect_in=1)

    def instruction(self, mark):
        """A model of which all biases are `mark`: training moves them, but not their mean."""
        message = self.protocol.ServerMessage()
        for array in (numpy.zeros((FEATURES, CLASSES), "f4"), numpy.full(CLASSES, mark, "f4")):
            message.train_config.theta.add(ndarray=to_bytes(array))
        return message

    @staticmethod
    def mark_of(answer):
        if not answer.result.theta:
            return None
        return round(float(from_bytes(answer.result.theta[-1].ndarray).mean()))


class Original(support.Case):
    def test_each_instruction_gets_its_own_answer_after_coming_back_too(self):
        plan = [[10, 20, 30], [40, 50, 60], [70]]
        expected = [(mark, mark) for stream in plan for mark in stream]
        door = OriginalServer(peers.load_protocol("original"), plan)
        participant = self.start_participant(door.open(self), 0)
        self.assertEqual([door.answers.get() for _ in expected], expected)
        self.assertEqual(participant.wait(), 0, self.errors_of(participant))


if __name__ == "__main__":
    support.main()
