"""`avsep people`: the library of people whose tracks are named."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.cli import options
from avsep.cli.listing import block
from avsep.cli.terminal import Terminal
from avsep.errors import AvsepError, UsageError

if TYPE_CHECKING:
    from avsep.people.library import Entry, Library

DESCRIPTION = """\
Keep a library of people whom 'avsep separate --people' and 'avsep separate --learn' know by face and voice. It is a
folder of plain files and holds biometric data: 'avsep people remove' deletes that of a person, deleting the folder
deletes all."""


def register(commands) -> None:
    parser = commands.add_parser("people", help="keep the library of known people", description=DESCRIPTION)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    add = _action(actions, "add", "add a person, or more of one", _add)
    add.add_argument("name", metavar="NAME", help="what the person is called")
    for what, told in (("face", "a picture that shows this face alone"), ("voice", "a recording of this voice alone")):
        add.add_argument(
            f"--{what}", action="append", default=[], metavar="FILE", help=f"{told}; may be given several times"
        )
    add.add_argument("--more", action="store_true", help="add to a person who is there already")
    options.add_machine(add)

    _action(actions, "list", "list the people", _list)

    remove = _action(actions, "remove", "remove people, with all that is kept of them", _remove)
    remove.add_argument("names", nargs="+", metavar="NAME", help="who is removed")

    rename = _action(actions, "rename", "give a person another name", _rename)
    rename.add_argument("name", metavar="NAME", help="what the person is called")
    rename.add_argument("wanted", metavar="NEW_NAME", help="what the person is to be called")

    merge = _action(actions, "merge", "make one person of several", _merge)
    merge.add_argument("name", metavar="NAME", help="who stays")
    merge.add_argument("others", nargs="+", metavar="OTHER", help="who becomes part of NAME, such as person-3")


def _action(actions, name: str, told: str, run) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    parser.add_argument(
        "--library", "--people", type=Path, metavar="LIB", help="folder of the library (default: that of the user)"
    )
    options.add_messages(parser)
    parser.set_defaults(run=run)
    return parser


def _add(args: argparse.Namespace, terminal: Terminal) -> int:
    if not args.face and not args.voice:
        raise UsageError("there is nothing to know the person by. Give --face PICTURE or --voice RECORDING, or both")
    from avsep.people.enrol import enrolled
    from avsep.people.library import changed_library, check_library
    from avsep.results.change import check_name

    folder, name = _folder(args), check_name(args.name)
    check_library(folder, create=not args.more).check_addition(name, more=args.more)
    made = enrolled(name, args.face, args.voice, args.device, args.threads, terminal.say)
    with changed_library(folder, create=not args.more) as library:
        library.check_addition(name, more=args.more)
        entry = library.extend(name, made) if args.more else library.add(name, made)
    _tell(args, terminal, folder, [entry], f"{entry.name} is in {folder}")
    return 0


def _list(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.people.library import open_library

    folder = _folder(args)
    with open_library(folder) as library:
        entries = sorted(library.entries, key=lambda entry: entry.name.casefold())
        damage = [error for entry in entries if (error := _damage(library, entry)) is not None]
    if args.json:
        terminal.result_json({"library": str(folder), "people": [asdict(entry) for entry in entries]})
    elif entries:
        terminal.result("\n".join(block(one.name, _shown(folder, one)) for one in entries))
    else:
        terminal.say(f"nobody is in {folder}")
    if damage:
        raise damage[0]
    return 0


def _damage(library: Library, entry: Entry) -> AvsepError | None:
    """What is wrong with the embeddings of a person."""
    try:
        library.embeddings(entry)
    except AvsepError as error:
        return error
    return None


def _remove(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.people.library import changed_library

    folder = _folder(args)
    with changed_library(folder) as library:
        for name in dict.fromkeys(args.names):
            library.remove(name)
    _tell(args, terminal, folder, [], f"removed from {folder}: {', '.join(args.names)}")
    return 0


def _rename(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.people.library import changed_library

    folder = _folder(args)
    with changed_library(folder) as library:
        entry = library.rename(args.name, args.wanted)
    _tell(args, terminal, folder, [entry], f"{args.name} is {entry.name} in {folder}")
    return 0


def _merge(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.people.library import changed_library

    folder = _folder(args)
    with changed_library(folder) as library:
        entry = library.merge(args.name, args.others)
    _tell(args, terminal, folder, [entry], f"{', '.join(args.others)} became part of {entry.name} in {folder}")
    return 0


def _folder(args: argparse.Namespace) -> Path:
    from avsep.people.library import default_folder

    return args.library or default_folder()


def _shown(folder: Path, entry: Entry) -> dict[str, Any]:
    return {
        "faces": entry.faces,
        "voices": entry.voices,
        "added": entry.added[:10],
        "learnt from": entry.source,
        "picture": str(folder / f"{entry.id}.jpg") if entry.thumbnail else None,
    }


def _tell(args: argparse.Namespace, terminal: Terminal, folder: Path, entries: list[Entry], said: str) -> None:
    if args.json:
        terminal.result_json({"library": str(folder), "people": [asdict(entry) for entry in entries]})
        return
    for entry in entries:
        said += f" ({entry.faces} {'face' if entry.faces == 1 else 'faces'}, "
        said += f"{entry.voices} {'voice' if entry.voices == 1 else 'voices'})"
    terminal.result(said)
