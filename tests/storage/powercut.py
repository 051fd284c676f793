"""A disk that forgets: a SQLite VFS that keeps what was written since the last sync in memory.

Registered through ctypes in the very libsqlite3 that Python's ``sqlite3`` uses, under the name
``powercut``. Every file opened through it is read from and written to an image in memory; only
``xSync`` passes the writes on to the real file. ``cut`` ends the process as a power cut would:
what was not synced is gone, or (as disks do) any part of it, in sectors of 512 bytes, has
reached the disk.
"""

from __future__ import annotations

import ctypes
import os
import random
import sqlite3
import threading
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    addressof,
    byref,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_void_p,
    cast,
    memmove,
    sizeof,
    string_at,
)
from pathlib import Path
from typing import Any

NAME = "powercut"
SECTOR = 512
_OK, _SHORT_READ, _NO_MEMORY = 0, 522, 7
_MAIN, _WAL = 0x100, 0x80000
_CREATE, _EXCLUSIVE, _READ_WRITE, _DELETE_ON_CLOSE = 0x4, 0x10, 0x2, 0x8

_File = c_void_p
_Close = CFUNCTYPE(c_int, _File)
_Transfer = CFUNCTYPE(c_int, _File, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, _File, c_int64)
_WithFlag = CFUNCTYPE(c_int, _File, c_int)
_WithLong = CFUNCTYPE(c_int, _File, POINTER(c_int64))
_WithInt = CFUNCTYPE(c_int, _File, POINTER(c_int))
_Control = CFUNCTYPE(c_int, _File, c_int, c_void_p)
_ShmMap = CFUNCTYPE(c_int, _File, c_int, c_int, c_int, POINTER(c_void_p))
_ShmLock = CFUNCTYPE(c_int, _File, c_int, c_int, c_int)
_ShmBarrier = CFUNCTYPE(None, _File)


class _Methods(Structure):
    _fields_ = [
        ("version", c_int),
        ("close", _Close),
        ("read", _Transfer),
        ("write", _Transfer),
        ("truncate", _Truncate),
        ("sync", _WithFlag),
        ("size", _WithLong),
        ("lock", _WithFlag),
        ("unlock", _WithFlag),
        ("reserved", _WithInt),
        ("control", _Control),
        ("sector", _Close),
        ("characteristics", _Close),
        ("shm_map", _ShmMap),
        ("shm_lock", _ShmLock),
        ("shm_barrier", _ShmBarrier),
        ("shm_unmap", _WithFlag),
    ]


class _Vfs(Structure):
    pass


# The name is passed on as the pointer it came as: the real file keeps it, not a copy.
_Open = CFUNCTYPE(c_int, POINTER(_Vfs), c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = CFUNCTYPE(c_int, POINTER(_Vfs), c_char_p, c_int)
_Vfs._fields_ = [
    ("version", c_int),
    ("file_size", c_int),
    ("path_length", c_int),
    ("next", c_void_p),
    ("name", c_char_p),
    ("data", c_void_p),
    ("open", _Open),
    ("delete", _Delete),
    *((f"same{number}", c_void_p) for number in range(10)),  # xAccess ... xCurrentTimeInt64
    *((f"none{number}", c_void_p) for number in range(3)),
]


class _Handle(Structure):
    """Our sqlite3_file. The real one follows it directly in memory."""

    _fields_ = [("methods", c_void_p), ("pad", c_double)]


_HEAD = sizeof(_Handle)


class _Image:
    """One file as the process sees it, and what of that the disk does not have yet."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR)
        self.data = bytearray(os.pread(self.descriptor, 1 << 30, 0))
        self.pending: list[tuple[int, bytes | None]] = []  # (offset, bytes) or (size, None)

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, data))
        if len(self.data) < offset:
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        self.pending.append((size, None))
        del self.data[size:]

    def put(self, offset: int, data: bytes | None) -> None:
        if data is None:
            os.ftruncate(self.descriptor, offset)
        else:
            os.pwrite(self.descriptor, data, offset)

    def sync(self) -> None:
        for offset, data in self.pending:
            self.put(offset, data)
        self.pending.clear()

    def tear(self, chance: random.Random) -> None:
        """Let any part of what is pending reach the disk."""
        share = chance.choice((0.0, 0.5, 0.9))
        for offset, data in self.pending:
            if data is None:
                if chance.random() < share:
                    self.put(offset, None)
                continue
            for start in range(0, len(data), SECTOR):
                if chance.random() < share:
                    self.put(offset + start, data[start : start + SECTOR])


class PowerCut:
    """The shim, registered for this process. Nothing of it may be collected while it is in use."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.images: dict[str, _Image] = {}
        self.open: dict[int, _Image | None] = {}
        self.syncs = 0
        library = ctypes.CDLL(library_path())
        find = library.sqlite3_vfs_find
        find.restype, find.argtypes = POINTER(_Vfs), [c_char_p]
        self.real: Any = find(None)
        self.methods = _Methods(
            2,
            _Close(self._close),
            _Transfer(self._read),
            _Transfer(self._write),
            _Truncate(self._truncate),
            _WithFlag(self._sync),
            _WithLong(self._size),
            _WithFlag(lambda file, level: self._of(file).lock(file + _HEAD, level)),
            _WithFlag(lambda file, level: self._of(file).unlock(file + _HEAD, level)),
            _WithInt(lambda file, out: self._of(file).reserved(file + _HEAD, out)),
            _Control(lambda file, op, arg: self._of(file).control(file + _HEAD, op, arg)),
            _Close(lambda file: self._of(file).sector(file + _HEAD)),
            _Close(lambda file: self._of(file).characteristics(file + _HEAD)),
            _ShmMap(lambda file, *rest: self._of(file).shm_map(file + _HEAD, *rest)),
            _ShmLock(lambda file, *rest: self._of(file).shm_lock(file + _HEAD, *rest)),
            _ShmBarrier(lambda file: self._of(file).shm_barrier(file + _HEAD)),
            _WithFlag(lambda file, delete: self._of(file).shm_unmap(file + _HEAD, delete)),
        )
        real = self.real.contents
        self.vfs = _Vfs()
        memmove(addressof(self.vfs), addressof(real), sizeof(_Vfs))
        self.vfs.file_size = real.file_size + _HEAD
        self.vfs.next = None
        self.vfs.name = NAME.encode()
        self.vfs.open = _Open(self._open)
        self.vfs.delete = _Delete(self._delete)
        if library.sqlite3_vfs_register(byref(self.vfs), 0) != _OK:
            raise RuntimeError("SQLite did not take the VFS")

    def cut(self, chance: random.Random) -> None:
        """End the process. Nothing is synced, read or acknowledged from here on."""
        with self.lock:
            for image in self.images.values():
                image.tear(chance)
            os._exit(0)

    def _of(self, file: int) -> Any:
        """The methods of the real file behind ours."""
        methods = cast(file + _HEAD, POINTER(c_void_p)).contents.value
        return cast(methods, POINTER(_Methods)).contents

    def _open(self, _vfs: Any, name: int | None, file: int, flags: int, out: Any) -> int:
        code = self.real.contents.open(self.real, name, file + _HEAD, flags, out)
        handle = cast(file, POINTER(_Handle)).contents
        if code != _OK:
            handle.methods = None
            return int(code)
        handle.methods = addressof(self.methods)
        with self.lock:
            self.open[file] = None
            if name and flags & (_MAIN | _WAL):
                path = os.fsdecode(string_at(name))
                if path not in self.images:
                    self.images[path] = _Image(path)
                self.open[file] = self.images[path]
        return _OK

    def _delete(self, _vfs: Any, name: bytes, sync: int) -> int:
        with self.lock:
            self.images.pop(os.fsdecode(name), None)
            return int(self.real.contents.delete(self.real, name, sync))

    def _close(self, file: int) -> int:
        with self.lock:
            self.open.pop(file, None)
            return int(self._of(file).close(file + _HEAD))

    def _read(self, file: int, buffer: int, amount: int, offset: int) -> int:
        with self.lock:
            image = self.open[file]
            if image is None:
                return int(self._of(file).read(file + _HEAD, buffer, amount, offset))
            data = bytes(image.data[offset : offset + amount])
            memmove(buffer, data + bytes(amount - len(data)), amount)
            return _OK if len(data) == amount else _SHORT_READ

    def _write(self, file: int, buffer: int, amount: int, offset: int) -> int:
        with self.lock:
            image = self.open[file]
            if image is None:
                return int(self._of(file).write(file + _HEAD, buffer, amount, offset))
            image.write(offset, string_at(buffer, amount))
            return _OK

    def _truncate(self, file: int, size: int) -> int:
        with self.lock:
            image = self.open[file]
            if image is None:
                return int(self._of(file).truncate(file + _HEAD, size))
            image.truncate(size)
            return _OK

    def _sync(self, file: int, _flags: int) -> int:
        with self.lock:
            image = self.open[file]
            if image is not None:
                self.syncs += 1
                image.sync()
            return _OK

    def _size(self, file: int, out: Any) -> int:
        with self.lock:
            image = self.open[file]
            if image is None:
                return int(self._of(file).size(file + _HEAD, out))
            out[0] = len(image.data)
            return _OK


def library_path() -> str:
    """The libsqlite3 that this Python has loaded.

    Raises:
        LookupError: it is built into Python, or the system does not tell.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        raise LookupError("no /proc/self/maps to find libsqlite3 in")
    sqlite3.connect(":memory:").close()
    for line in maps.read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/libsqlite3" in path:
            return path
    raise LookupError("this Python's sqlite3 has SQLite built in, not as a shared library")
