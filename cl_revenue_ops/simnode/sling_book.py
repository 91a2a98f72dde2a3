"""What the simulated sling keeps: its file of jobs, its exceptions, what it knows of channels."""

from __future__ import annotations

import json
from pathlib import Path

from cl_revenue_ops.simnode.model import USABLE, Channel
from cl_revenue_ops.simnode.sling_jobs import Job, entry, from_entry
from cl_revenue_ops.simnode.world import World

FIRST_LOOK_S = 1.0
"""It looks at our channels every second, and knows none in the second after its start."""


class JobBook:
    """The persistent jobs in `folder`/jobs.json, and which channels are no candidates.

    `pull` and `push` are the channels that no job of that direction may take from: those that have
    one, and the excepted. Every reading of the file makes both anew, so the mark of a once-job is
    lost then. `looked` is set by the commands that look at our channels at once.
    """

    def __init__(self, world: World, folder: Path, elder: bool) -> None:
        self.file = folder / "jobs.json"
        self.pull: set[str] = set()
        self.push: set[str] = set()
        self.excepted: set[str] = set()
        self.excepted_peers: set[str] = set()
        self.looked = False
        self.started_s = float("-inf")
        self._world = world
        self._elder = elder

    def start(self, at_s: float) -> None:
        """A new process: of the channels it knows nothing yet."""
        self.started_s, self.looked = at_s, False
        self.pull, self.push = set(self.excepted), set(self.excepted)

    def known(self, at_s: float) -> dict[str, Channel]:
        """Our channels by scid, as last looked at: none in the first second."""
        if not self.looked and at_s < self.started_s + FIRST_LOOK_S:
            return {}
        channels = self._world.channels.values()
        return {channel.scid: channel for channel in channels if channel.scid is not None}

    def normal(self, at_s: float) -> dict[str, Channel]:
        """Those of `known` that can carry payments."""
        return {
            scid: channel for scid, channel in self.known(at_s).items() if channel.state in USABLE
        }

    def read(self, at_s: float) -> dict[str, Job]:
        """The jobs of channels that are known and normal; an unreadable file counts as empty."""
        normal = self.normal(at_s)
        jobs = {scid: job for scid, job in self._load().items() if scid in normal}
        self._mark(jobs)
        return jobs

    def _load(self) -> dict[str, Job]:
        try:
            written = json.loads(self.file.read_text())
            return {scid: from_entry(written[scid]) for scid in sorted(written)}
        except FileNotFoundError:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch()
        except (ValueError, KeyError, TypeError):
            pass  # as the real one, which then goes on without jobs
        return {}

    def _mark(self, jobs: dict[str, Job]) -> None:
        self.pull = {scid for scid, job in jobs.items() if job.pulls} | self.excepted
        self.push = {scid for scid, job in jobs.items() if not job.pulls} | self.excepted

    def write(self, scid: str, job: Job | None, at_s: float) -> None:
        """Put one job, or take it out. What was not read is not written back either."""
        jobs = self.read(at_s)
        jobs.pop(scid, None)
        if job is not None:
            jobs[scid] = job
        shown = {scid: entry(jobs[scid], self._elder) for scid in sorted(jobs)}
        self.file.write_text(json.dumps(shown, indent=2))
        self._mark(jobs)
