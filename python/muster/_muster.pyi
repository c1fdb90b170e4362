"""What muster_build.py compiles: cffi, and all that the public headers declare, by its name in C."""
from typing import Any

class _FFI:
    NULL: Any
    CData: type
    def string(self, cdata: Any, maxlen: int = ...) -> bytes: ...
    def sizeof(self, cdata: Any) -> int: ...
    def __getattr__(self, name: str) -> Any: ...

ffi: _FFI
lib: Any
