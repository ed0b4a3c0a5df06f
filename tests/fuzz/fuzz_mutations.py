"""What is done to valid files: strategies that give the bytes of damaged ones.

Each takes the content of small valid files of one kind. Bytes are flipped, cut, doubled and moved; where a kind has
fields, rows or members, these change too and the rest stays valid, so that readers are not done at the first byte.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

Change = Callable[[bytes], bytes]

PLACES = st.one_of(st.integers(0, 63), st.integers(0, 511), st.integers(0, 1 << 20))
"""Of a byte, modulo the length: headers are at the beginning more often than not."""
WORDS = [
    pattern
    for value in (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1)
    for size in (1, 2, 4, 8)
    if value < 1 << 8 * size
    for pattern in (value.to_bytes(size, "little"), value.to_bytes(size, "big"))
]
"""Numbers at which sizes and counts overflow."""

CELLS = [
    "", " ", "0", "-1", "1e308", "1e999", "-inf", "nan", "9" * 400, "0x10", "1_0", ".", "..", "../../x", "/",
    "/dev/zero", "a\0b", "\udcff", "\ufeff", "\x1b[31m", "\u2028", "<NA>", '"', "a" * 140_000, "voice", "noise",
    "recording", "train", "SPEAKER", ";;", "a.wav", "a.npz", "a/" * 3000, "~", "%s", "\r", "None", "x" * 300,
]  # fmt: skip
"""Of tables; the last code points of a pair stand for bytes that are no UTF-8."""

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 8, 1000, 65_537, 2**31 - 1, 2**31, 2**63, -(2**63), 10**400, 0.0, -0.0, 0.5,
    1e-300, 1e308, float("nan"), float("inf"), "", "a", "nan", "../../x", "/dev/zero", "a\0b", "\ud800", "x" * 5000,
    "\x1b[31m", [], [0], [[]], {}, {"": 0}, [1.0] * 100, {"class_path": "os.system"}, {"class_path": 0},
    {"class_path": "avsep.models.base.Part", "init_args": {}}, {"class_path": "avsep.models."}, {"class_path": "."},
]  # fmt: skip
"""Of documents."""

ARRAYS: list[np.ndarray] = [
    np.zeros(0), np.zeros((0, 96, 96), np.uint8), np.int64(2**62), np.array(float("nan")), np.array("text"),
    np.array([{}], object), np.zeros((3, 1, 1)), np.array([-1, 5]), np.zeros((1, 0, 3), np.float32), np.array(b"x"),
    np.array([0, 10**9]), np.zeros((2, 2), complex), np.array(True), np.zeros(1, [("a", "i4")]),
]  # fmt: skip


def changed_bytes(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the files with up to four places changed."""
    change = st.one_of(
        st.builds(_flip, PLACES, st.integers(0, 7)),
        st.builds(_put, PLACES, st.sampled_from(WORDS)),
        st.builds(_put, PLACES, st.binary(min_size=1, max_size=8)),
        st.builds(_insert, PLACES, st.binary(min_size=1, max_size=8)),
        st.builds(_cut, PLACES, st.integers(1, 64)),
        st.builds(_end, PLACES),
        st.builds(_double, PLACES, st.integers(1, 512), st.integers(1, 3)),
        st.builds(_splice, st.sampled_from(list(files)), PLACES, PLACES, st.integers(1, 512)),
    )
    return _applied(st.sampled_from(list(files)), change, 4)


def changed_table(files: Sequence[bytes], between: str = "\t") -> st.SearchStrategy[bytes]:
    """A text of rows, some of whose cells and rows changed. between: what separates cells."""
    number = st.integers(0, 20)
    change = st.one_of(
        st.builds(lambda r, c, cell: _rows(between, _set_cell, r, c, cell), number, number, st.sampled_from(CELLS)),
        st.builds(lambda r, c, cell: _rows(between, _set_cell, r, c, cell), number, number, st.text(max_size=5)),
        st.builds(lambda r, c: _rows(between, _drop_cell, r, c), number, number),
        st.builds(lambda r, c: _rows(between, _swap_cells, r, c), number, number),
        st.builds(lambda r, n: _rows(between, _repeat_row, r, n), number, st.sampled_from([0, 2, 3])),
    )
    return st.one_of(_applied(st.sampled_from(list(files)), change, 3), changed_bytes(files))


def changed_tree(documents: Sequence[Any]) -> st.SearchStrategy[Any]:
    """A document of mappings and lists, some of whose nodes changed."""
    change = st.one_of(
        st.builds(lambda at, value: lambda tree: _at_node(tree, at, lambda _: value), PLACES, st.sampled_from(VALUES)),
        st.builds(lambda at, value: lambda tree: _at_node(tree, at, lambda _: value), PLACES, st.text(max_size=5)),
        st.builds(lambda at: lambda tree: _at_node(tree, at, None), PLACES),
        st.builds(
            lambda at, levels, many: lambda tree: _at_node(tree, at, lambda node: _nested(node, levels, many)),
            PLACES,
            st.sampled_from([1, 2, 60, 2000, 100_000]),
            st.booleans(),
        ),
        st.builds(lambda at, n: lambda tree: _at_node(tree, at, lambda node: [node] * n), PLACES, st.integers(2, 9)),
        st.builds(lambda at, to: lambda tree: _at_node(tree, at, lambda _: _nth(tree, to)), PLACES, PLACES),
    )
    return st.builds(
        lambda number, changes: _chain(changes, json.loads(json.dumps(documents[number]))),
        st.integers(0, len(documents) - 1),
        st.lists(change, min_size=1, max_size=3),
    )


def changed_json(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A JSON file (which is YAML too) with nodes or bytes changed."""
    documents = [json.loads(file) for file in files]
    return st.one_of(changed_tree(documents).map(as_json), changed_bytes(files))


def changed_zip(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A zip file, some of whose members are of another content (their checksums hold), missing or doubled."""
    members = [_members(file) for file in files]
    inner = sorted({data for content in members for data in content.values()})
    pick = st.integers(0, 20)
    change = st.one_of(
        st.builds(lambda at, data: lambda m: _set_member(m, at, data), pick, changed_bytes(inner)),
        st.builds(lambda at, data: lambda m: _set_member(m, at, _npy(data)), pick, st.sampled_from(ARRAYS)),
        st.builds(lambda at, new: lambda m: _set_member(m, at, _nth_member(m, new)), pick, pick),
        st.builds(lambda at: lambda m: {k: v for k, v in m.items() if k != _name(m, at)}, pick),
    )
    whole = st.builds(
        lambda number, changes, pressed: _zipped(_chain(changes, dict(members[number])), pressed),
        st.integers(0, len(members) - 1),
        st.lists(change, min_size=1, max_size=2),
        st.sampled_from([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED]),
    )
    return st.one_of(whole, changed_bytes(files))


def changed_tar(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A tar file, some of whose entries have another name, kind, target or content."""
    entries = [_tar_entries(file) for file in files]
    inner = [data for content in entries for _, data in content]
    names = st.sampled_from(
        ["../out", "/tmp/avsep-out", "a/../../out", "", ".", "x" * 300, "k.flac", "k.json", "a\x1b.npz"]
    )
    kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    pick = st.integers(0, 20)
    change = st.one_of(
        st.builds(lambda at, name: lambda e: _set_entry(e, at, name=name), pick, names),
        st.builds(
            lambda at, kind, to: lambda e: _set_entry(e, at, type=kind, linkname=to),
            pick,
            st.sampled_from(kinds),
            names,
        ),
        st.builds(lambda at, data: lambda e: _set_entry(e, at, data=data), pick, changed_bytes(inner)),
        st.builds(lambda at, data: lambda e: _set_entry(e, at, data=data), pick, st.sampled_from(_DOCUMENTS)),
        st.builds(lambda at: lambda e: [entry for n, entry in enumerate(e) if n != at % len(e)] or e, pick),
    )
    whole = st.builds(
        lambda number, changes: _tarred(_chain(changes, list(entries[number]))),
        st.integers(0, len(entries) - 1),
        st.lists(change, min_size=1, max_size=3),
    )
    return st.one_of(whole, changed_bytes(files))


def changed_safetensors(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A weights file with another header: what it tells of tensors, or of the model."""
    parts = [_safetensors(file) for file in files]

    def card(number: int, tree: Any) -> bytes:
        header, data = parts[number]
        text = as_json(tree).decode(errors="surrogateescape")
        return _as_safetensors({**header, "__metadata__": {**header["__metadata__"], "avsep": text}}, data)

    told = [
        changed_tree([json.loads(header["__metadata__"]["avsep"])]).map(lambda tree, n=number: card(n, tree))
        for number, (header, _) in enumerate(parts)
    ]
    tensors = [
        changed_tree([header]).map(lambda tree, data=data: _as_safetensors(tree, data)) for header, data in parts
    ]
    return st.one_of(*told, *told, *tensors, changed_bytes(files))


_DOCUMENTS = [as_bytes for value in VALUES[:40] for as_bytes in [json.dumps({"speaker": value, "id": value}).encode()]]


def as_json(tree: Any) -> bytes:
    """By hand, for json gives up on what is nested deeply."""
    out: list[str] = []
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, _Raw):
            out.append(node.text)
        elif isinstance(node, dict):
            parts: list[Any] = [_Raw("{")]
            for n, (key, value) in enumerate(node.items()):
                parts += [_Raw((", " if n else "") + json.dumps(str(key)) + ": "), value]
            stack += reversed([*parts, _Raw("}")])
        elif isinstance(node, list):
            parts = [_Raw("[")]
            for n, value in enumerate(node):
                parts += [_Raw(", " if n else ""), value]
            stack += reversed([*parts, _Raw("]")])
        elif isinstance(node, int) and not isinstance(node, bool) and abs(node) > 2**64:
            out.append("1" + "0" * 5000)  # more digits than Python reads
        else:
            out.append(json.dumps(node))
    return "".join(out).encode(errors="surrogateescape")


class _Raw:
    def __init__(self, text: str) -> None:
        self.text = text


def _applied(file: st.SearchStrategy[bytes], change: st.SearchStrategy[Change], most: int) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda content, changes: _chain(changes, content), file, st.lists(change, min_size=1, max_size=most)
    )


def _chain(changes: Sequence[Callable[[Any], Any]], content: Any) -> Any:
    for change in changes:
        content = change(content)
    return content


def _flip(at: int, bit: int) -> Change:
    return lambda data: _replaced(data, at, 1, lambda old: bytes([old[0] ^ 1 << bit]))


def _put(at: int, new: bytes) -> Change:
    return lambda data: _replaced(data, at, len(new), lambda _: new)


def _insert(at: int, new: bytes) -> Change:
    return lambda data: _replaced(data, at, 0, lambda _: new)


def _cut(at: int, size: int) -> Change:
    return lambda data: _replaced(data, at, size, lambda _: b"")


def _end(at: int) -> Change:
    return lambda data: data[: at % (len(data) + 1)]


def _double(at: int, size: int, times: int) -> Change:
    return lambda data: _replaced(data, at, size, lambda old: old * (times + 1))


def _splice(other: bytes, source: int, at: int, size: int) -> Change:
    start = source % (len(other) + 1)
    return lambda data: _replaced(data, at, size, lambda _: other[start : start + size])


def _replaced(data: bytes, at: int, size: int, new: Callable[[bytes], bytes]) -> bytes:
    if not data:
        return data
    at %= len(data)
    return data[:at] + new(data[at : at + size]) + data[at + size :]


def _rows(between: str, change: Callable[..., list[list[str]]], *arguments: Any) -> Change:
    def changed(data: bytes) -> bytes:
        rows = [line.split(between) for line in data.decode("utf-8", "surrogateescape").split("\n")]
        rows = change(rows, *arguments)
        return "\n".join(between.join(row) for row in rows).encode("utf-8", "surrogateescape")

    return changed


def _set_cell(rows: list[list[str]], row: int, cell: int, text: str) -> list[list[str]]:
    if rows:
        cells = rows[row % len(rows)]
        cells[cell % len(cells)] = text
    return rows


def _drop_cell(rows: list[list[str]], row: int, cell: int) -> list[list[str]]:
    if rows:
        cells = rows[row % len(rows)]
        del cells[cell % len(cells)]
        cells or cells.append("")
    return rows


def _swap_cells(rows: list[list[str]], row: int, cell: int) -> list[list[str]]:
    if rows:
        cells = rows[row % len(rows)]
        first, second = cell % len(cells), (cell + 1) % len(cells)
        cells[first], cells[second] = cells[second], cells[first]
    return rows


def _repeat_row(rows: list[list[str]], row: int, times: int) -> list[list[str]]:
    at = row % max(1, len(rows))
    return rows[:at] + [list(again) for again in rows[at : at + 1] * times] + rows[at + 1 :]


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a tree: what holds it, and its key there."""
    stack = [tree]
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in list(items):
            yield node, key
            stack.append(value)


def _nth(tree: Any, at: int) -> Any:
    places = list(_nodes(tree))
    if not places:
        return tree
    holder, key = places[at % len(places)]
    value = holder[key]
    return json.loads(json.dumps(value)) if not isinstance(value, dict | list) else None


def _at_node(tree: Any, at: int, new: Callable[[Any], Any] | None) -> Any:
    """The tree with one node changed in place, or gone; at the end of the list, the tree itself."""
    places = list(_nodes(tree))
    number = at % (len(places) + 1)
    if number == len(places):
        return tree if new is None else new(tree)
    holder, key = places[number]
    if new is None:
        del holder[key]
    else:
        holder[key] = new(holder[key])
    return tree


def _nested(node: Any, levels: int, in_lists: bool) -> Any:
    if levels > 2000 and not in_lists:
        levels = 2000
    for _ in range(levels):
        node = [node] if in_lists else {"init_args": node, "class_path": "avsep.models.conv_tasnet.ConvTasNet"}
    return node


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def _members(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def _name(members: dict[str, bytes], at: int) -> str | None:
    return list(members)[at % len(members)] if members else None


def _nth_member(members: dict[str, bytes], at: int) -> bytes:
    return members.get(_name(members, at) or "", b"")


def _set_member(members: dict[str, bytes], at: int, data: bytes) -> dict[str, bytes]:
    return members | {_name(members, at) or "a": data}


def _zipped(members: dict[str, bytes], pressed: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", pressed) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, pressed)
    return out.getvalue()


def _tar_entries(file: bytes) -> list[tuple[dict[str, Any], bytes]]:
    with tarfile.open(fileobj=io.BytesIO(file)) as archive:
        found = []
        for entry in archive:
            reader = archive.extractfile(entry)
            found.append(({"name": entry.name, "type": entry.type}, b"" if reader is None else reader.read()))
        return found


def _set_entry(entries: list, at: int, data: bytes | None = None, **told: Any) -> list:
    number = at % len(entries)
    before, content = entries[number]
    return [*entries[:number], (before | told, content if data is None else data), *entries[number + 1 :]]


def _tarred(entries: Sequence[tuple[dict[str, Any], bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for told, data in entries:
            entry = tarfile.TarInfo()
            for key, value in told.items():
                setattr(entry, key, value)
            entry.size = len(data) if entry.type == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _safetensors(file: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def _as_safetensors(header: Any, data: bytes) -> bytes:
    text = as_json(header)
    return len(text).to_bytes(8, "little") + text + data
