"""muster: a server takes the initiative over its clients, over gRPC streams."""
try:
    from ._muster import ffi, lib
except ModuleNotFoundError as problem:
    remedy = "pip install the package, and start Python in another folder"
    raise ImportError(f"{__path__[0]} has the sources alone: {remedy}") from problem
except ImportError as problem:
    raise ImportError(f"{problem}: run ldconfig, or name its folder in LD_LIBRARY_PATH") from problem

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
