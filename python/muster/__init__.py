"""muster: a server takes the initiative over its clients, over gRPC streams."""
from ._errors import (
    Busy,
    Cancelled,
    Closed,
    Error,
    Exists,
    FormatError,
    Full,
    Gone,
    Invalid,
    IoError,
    OutOfMemory,
    ProtocolError,
    Refused,
    Stopped,
    Timeout,
    TooBig,
    TooFew,
    Unauthenticated,
    Unavailable,
    UnknownInstruction,
    Unsupported,
)
from ._message import Application, Evaluate, Failure, Message, Prepared, Train, check_match
from ._muster import ffi, lib
from .group import ANY_RANK, ANY_TAG, Coordinator, Group, Member, join_group
from .learning import Mean, Run, Strategy, npz_read, npz_write
from .monitor import Monitor
from .participant import Instruction, Participant, connect, connect_async
from .proxy import Answer, Proxy
from .record import Record
from .round import Entry, Round, run_all, run_each
from .server import Event, ParticipantManager

__version__ = ffi.string(lib.muster_version()).decode()

__all__ = [
    "ANY_RANK",
    "ANY_TAG",
    "Answer",
    "Application",
    "Busy",
    "Cancelled",
    "Closed",
    "Coordinator",
    "Entry",
    "Error",
    "Evaluate",
    "Event",
    "Exists",
    "Failure",
    "FormatError",
    "Full",
    "Gone",
    "Group",
    "Instruction",
    "Invalid",
    "IoError",
    "Mean",
    "Member",
    "Message",
    "Monitor",
    "OutOfMemory",
    "Participant",
    "ParticipantManager",
    "Prepared",
    "ProtocolError",
    "Proxy",
    "Record",
    "Refused",
    "Round",
    "Run",
    "Stopped",
    "Strategy",
    "Timeout",
    "TooBig",
    "TooFew",
    "Train",
    "Unauthenticated",
    "Unavailable",
    "UnknownInstruction",
    "Unsupported",
    "check_match",
    "connect",
    "connect_async",
    "ffi",
    "join_group",
    "lib",
    "npz_read",
    "npz_write",
    "run_all",
    "run_each",
]
