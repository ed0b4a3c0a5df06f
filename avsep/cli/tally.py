"""What came of each clip of a run: told as it comes, and summed up at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsep.cli import report, summary
from avsep.cli.summary import Row, State
from avsep.cli.terminal import Terminal


class Tally:
    """Results of a single clip are told in full; of many in a line each, with a table at the end and a summary.csv, or
    in full too with -v. With --json results are one document at the end, and the lines go to stderr.

    clips: all of the run, in the order in which they are shown. many: whether they are told as many.
    """

    def __init__(self, terminal: Terminal, clips: Sequence[Path], *, many: bool, as_json: bool) -> None:
        self.terminal, self._clips, self._many, self._as_json = terminal, clips, many, as_json
        self._documents: dict[Path, dict[str, Any]] = {}
        self._rows: dict[Path, Row] = {}

    def separated(self, clip: Path, folder: Path, manifest: Mapping[str, Any], *, before: bool = False) -> None:
        """before: whether its results were there already."""
        state: State = "was there" if before else "separated"
        self._note(clip, Row.of(clip, folder, state, manifest), {**manifest, "folder": str(folder)})
        if self._many:
            self._line(clip, report.line(clip, manifest, folder, before))
        else:
            if before:
                self.terminal.say(f"{clip.name}: was there")
            self.terminal.say(report.mode_line(manifest))
        if not self._as_json and (self.terminal.verbose or not self._many):
            self.terminal.result(report.separated(manifest, folder))

    def planned(self, clip: Path, folder: Path, seconds: float, plan: dict[str, Any], block: str) -> None:
        """What would be done with a clip. seconds: of its audio. plan: for JSON. block: in full."""
        row = Row(str(clip), str(folder), "planned", model=plan["model"], seconds=seconds)
        self._note(clip, row, {"input": str(clip), "plan": plan})
        if self._many:
            self._line(clip, f"{clip} -> {folder}  (dry run, {seconds:.1f} s; {plan['model']})")
        if not self._as_json and (self.terminal.verbose or not self._many):
            self.terminal.result(block)

    def failed(self, clip: Path, reason: str) -> None:
        self._note(clip, Row(str(clip), state="failed", reason=reason), {"input": str(clip), "error": reason})
        self.terminal.error(reason)

    def close(self, output: Path | None) -> None:
        """Show what belongs to the end. output: where summary.csv goes, unless no clip has results; None for a dry run.
        Raises OutputError where it cannot be written."""
        if self._as_json:
            self.terminal.result_json([self._documents[clip] for clip in self._clips if clip in self._documents])
        rows = [self._rows.get(clip) or Row(str(clip)) for clip in self._clips]
        if not self._many or all(row.state in ("failed", "not reached") for row in rows):
            return
        if not self._as_json:
            self.terminal.result(summary.shown(rows))
        if output is not None:
            self.terminal.say(f"what came of each clip is in {summary.write(output, rows)}")

    def _note(self, clip: Path, row: Row, document: dict[str, Any]) -> None:
        self._rows[clip] = row
        if self._as_json:
            self._documents[clip] = document

    def _line(self, clip: Path, text: str) -> None:
        line = f"({len(self._rows)}/{len(self._clips)}) {text}"
        if self._as_json:
            self.terminal.say(line)
        else:
            self.terminal.result_line(line)
