"""Writes exported files inside the node's directory, where nothing is ever replaced."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cl_revenue_ops.ports import BadPath, Lease, Unavailable

_WRITE_DEADLINE_S = 60.0
_PUBLISH_DEADLINE_S = 600.0  # gigabytes may have to reach a slow disk
_BUFFER_BYTES = 1 << 20


class DiskExportFile:
    """Implements ports.ExportFile.

    The folder is held open, so that a link put in its place later changes nothing.
    """

    def __init__(self, lightning_dir: str, lease: Lease) -> None:
        self._home = Path(lightning_dir)
        self._lease = lease
        self._folder: int | None = None
        self._file: int | None = None
        self._target = Path()
        self._waiting = bytearray()

    def begin(self, path: str, ending: str) -> str:
        """See ports.ExportFile."""
        self.discard()
        target = _inside(self._home, path, ending)
        with self._working("make the file", _WRITE_DEADLINE_S, target):
            self._target = target
            self._folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _drop_draft(self._draft, self._folder)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._file = os.open(self._draft, flags, 0o600, dir_fd=self._folder)
            except FileExistsError as error:
                raise BadPath(f"{target}.part is no plain file; move it away") from error
        return str(target)

    @property
    def _draft(self) -> str:
        return f"{self._target.name}.part"

    def write(self, text: str) -> None:
        """See ports.ExportFile."""
        self._waiting += text.encode()
        if len(self._waiting) >= _BUFFER_BYTES:
            with self._working("write the file", _WRITE_DEADLINE_S, self._target):
                self._flush()

    def publish(self) -> int:
        """See ports.ExportFile."""
        assert self._file is not None and self._folder is not None
        with self._working("write the file", _PUBLISH_DEADLINE_S, self._target):
            self._flush()
            os.fsync(self._file)
            size = os.fstat(self._file).st_size
            with self._lease.effect():
                os.link(
                    self._draft,
                    self._target.name,
                    src_dir_fd=self._folder,
                    dst_dir_fd=self._folder,
                    follow_symlinks=False,
                )
            os.unlink(self._draft, dir_fd=self._folder)
            os.fsync(self._folder)
        self._close()
        return size

    def discard(self) -> None:
        """See ports.ExportFile."""
        if self._file is not None and self._folder is not None:
            with suppress(OSError):
                # Where a successor made its own draft meanwhile, that one is left alone.
                found = os.stat(self._draft, dir_fd=self._folder, follow_symlinks=False)
                if os.path.samestat(found, os.fstat(self._file)):
                    os.unlink(self._draft, dir_fd=self._folder)
        self._close()

    def _close(self) -> None:
        for fd in (self._file, self._folder):
            if fd is not None:
                with suppress(OSError):
                    os.close(fd)
        self._file = self._folder = None
        self._waiting.clear()

    def _flush(self) -> None:
        assert self._file is not None
        rest = memoryview(bytes(self._waiting))
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._waiting.clear()

    @contextmanager
    def _working(self, what: str, deadline_s: float, target: Path) -> Iterator[None]:
        try:
            with self._lease.call(what, deadline_s):
                yield
        except FileExistsError as error:
            raise BadPath(f"{target} is there already; nothing is overwritten") from error
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from error


def _inside(home: Path, path: str, ending: str) -> Path:
    """The whole path, behind all links, of a new file in an existing folder inside `home`."""
    try:
        root = home.resolve(strict=True)
        named = root / Path(path).expanduser()
        folder = named.parent.resolve(strict=True)
    except FileNotFoundError as error:
        raise BadPath(f"the folder of {path} is not there; make it first") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise BadPath(f"{path} cannot be used: {error}") from error
    target = folder / named.name
    if folder != root and root not in folder.parents:
        raise BadPath(f"{target} lies outside of the node's directory {root}")
    if not target.name.endswith(ending) or target.name == ending:
        raise BadPath(f"the name of the file must end with {ending}")
    if not target.name.isprintable() or not folder.is_dir():
        raise BadPath(f"{path} cannot be used")
    if os.path.lexists(target):
        raise BadPath(f"{target} is there already; nothing is overwritten")
    return target


def _drop_draft(name: str, folder: int) -> None:
    """Take away what an earlier run left; anything but a plain file stays, and is in the way."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode):
        os.unlink(name, dir_fd=folder)
