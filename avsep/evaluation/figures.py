"""Which figures there are, what they are called, and which package each needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import NamedTuple

from avsep.errors import UsageError


class Figure(NamedTuple):
    """A column of the results. name as in papers, unit "" for a plain number; group: what --metrics chooses."""

    name: str
    unit: str
    group: str


FIGURES = {
    "si_sdr": Figure("SI-SDR", "dB", "si_sdr"),
    "si_sdri": Figure("SI-SDRi", "dB", "si_sdr"),
    "snr": Figure("SNR", "dB", "snr"),
    "snri": Figure("SNRi", "dB", "snr"),
    "sdr": Figure("SDR", "dB", "sdr"),
    "sdri": Figure("SDRi", "dB", "sdr"),
    "sir": Figure("SIR", "dB", "sdr"),
    "sar": Figure("SAR", "dB", "sdr"),
    "isr": Figure("ISR", "dB", "isr"),
    "dry_si_sdr": Figure("dry SI-SDR", "dB", "dry"),
    "dry_si_sdri": Figure("dry SI-SDRi", "dB", "dry"),
    "dry_sdr": Figure("dry SDR", "dB", "dry"),
    "dry_sdri": Figure("dry SDRi", "dB", "dry"),
    "pesq": Figure("PESQ", "", "pesq"),
    "stoi": Figure("STOI", "", "stoi"),
    "estoi": Figure("ESTOI", "", "stoi"),
    "mask_precision": Figure("mask precision", "", "mask"),
    "mask_recall": Figure("mask recall", "", "mask"),
    "attenuation": Figure("attenuation", "dB", "silent"),
    "input_si_sdr": Figure("input SI-SDR", "dB", "si_sdr"),
    "input_snr": Figure("input SNR", "dB", "snr"),
    "input_sdr": Figure("input SDR", "dB", "sdr"),
}
"""All columns, in their order. `attenuation` is the one of silent references, which have no other; those of the group
si_sdr are always there, the pictures need them."""

DRY = "dry"
"""The group of the figures against sources without any room, which is there where such sources are given."""

GROUPS = ("si_sdr", "snr", "sdr", "isr", "pesq", "stoi", "mask")
DEFAULT_GROUPS = ("si_sdr", "snr", "sdr", "pesq", "stoi", "mask")
"""All but ISR, which costs a second or more for each mixture and tells of images with several channels."""

_PACKAGES = {
    "sdr": ("fast_bss_eval", "evaluate"),
    "isr": ("museval", "evaluate"),
    "dry": ("fast_bss_eval", "evaluate"),
    "pesq": ("pesq", "pesq"),
    "stoi": ("pystoi", "evaluate"),
}


def parse_groups(text: str) -> tuple[str, ...]:
    """ "sdr,stoi", "all" or "default" -> groups in their order, si_sdr always among them. Raises UsageError for
    another name."""
    if text in ("all", "default"):
        return GROUPS if text == "all" else DEFAULT_GROUPS
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(wanted):
        if name not in GROUPS:
            raise UsageError(f"metric is {name!r}; allowed are {', '.join(GROUPS)}, or all")
    return tuple(group for group in GROUPS if group in wanted | {"si_sdr"})


def usable(groups: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """The groups whose package is installed, and a line for each that is not: its columns stay empty."""
    there, notes = [], []
    for group in groups:
        package, extra = _PACKAGES.get(group, (None, None))
        if package is None or importlib.util.find_spec(package):
            there.append(group)
            continue
        names = ", ".join(figure.name for figure in FIGURES.values() if figure.group == group)
        hint = ", which needs a C compiler" if extra == "pesq" else ""
        notes.append(f"no {names}: the package {package} is not installed. pip install 'avsep[{extra}]'{hint}")
    return tuple(there), notes


def columns(groups: Iterable[str]) -> list[str]:
    """The columns of the groups, and that of silent references."""
    wanted = {*groups, "silent"}
    return [key for key, figure in FIGURES.items() if figure.group in wanted]
