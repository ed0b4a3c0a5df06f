"""The kinds of files by the name of their reader: valid ones, and how they are damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import fuzz_seeds as seeds
from fuzz_mutations import (
    changed_bytes,
    changed_json,
    changed_safetensors,
    changed_table,
    changed_tar,
    changed_zip,
)
from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Kind:
    """files: valid ones. changed: strategy of damaged ones. suffix: of the file's name. examples: in `make test`, by
    what one of them costs. name: of the file, where it matters."""

    files: Callable[[], Sequence[bytes]]
    changed: Callable[[Sequence[bytes]], SearchStrategy[bytes]]
    suffix: str
    examples: int
    name: str = ""

    @property
    def file_name(self) -> str:
        return self.name or f"example{self.suffix}"


def _yaml(files: Sequence[bytes]) -> SearchStrategy[bytes]:
    return changed_json(files) | changed_table(seeds.yaml_texts(), " ")


KINDS = {
    "probe": Kind(seeds.clips, changed_bytes, ".mp4", 120),
    "clip_sound": Kind(lambda: (*seeds.clips(), *seeds.sounds()), changed_bytes, ".mkv", 300),
    "pictures": Kind(seeds.clips, changed_bytes, ".mp4", 250),
    "copied_pictures": Kind(seeds.clips, changed_bytes, ".mp4", 150),
    "sound": Kind(seeds.sounds, changed_bytes, ".wav", 400),
    "weights": Kind(seeds.weights, changed_safetensors, ".safetensors", 150),
    "checkpoint": Kind(seeds.checkpoints, changed_zip, ".ckpt", 150),
    "resume": Kind(seeds.checkpoints, changed_zip, ".ckpt", 60),
    "published": Kind(seeds.published, changed_zip, ".pt", 150),
    "manifest": Kind(seeds.manifests, changed_table, ".tsv", 400),
    "packed": Kind(seeds.packed, changed_table, ".tsv", 200, "train.tsv"),
    "list": Kind(seeds.lists, changed_table, ".tsv", 300),
    "pairs": Kind(seeds.pairs, changed_table, ".tsv", 200),
    "labels": Kind(seeds.labels, changed_table, ".tsv", 200),
    "table": Kind(seeds.tables, lambda files: changed_table(files, ","), ".csv", 200),
    "turns": Kind(seeds.turns, lambda files: changed_table(files, " "), ".rttm", 400),
    "configuration": Kind(seeds.configurations, _yaml, ".yaml", 50),
    "exported_yaml": Kind(seeds.configurations, _yaml, ".yaml", 50),
    "positions": Kind(seeds.positions, changed_json, ".json", 300),
    "lineage": Kind(seeds.lineages, changed_json, ".json", 200),
    "transcript": Kind(seeds.transcripts, changed_json, ".json", 200),
    "results": Kind(seeds.results, changed_json, ".json", 300, "manifest.json"),
    "people": Kind(seeds.people, changed_json, ".json", 200, "library.json"),
    "lips": Kind(seeds.lips, changed_zip, ".npz", 300),
    "rooms": Kind(seeds.rooms, changed_zip, ".npz", 150),
    "shard": Kind(seeds.shards, changed_tar, ".tar", 300),
    "tar": Kind(seeds.tars, changed_tar, ".tar", 250),
    "zip": Kind(seeds.zips, changed_zip, ".zip", 250),
}
