"""SMS-WSJ: two speakers in simulated rooms, recorded with six microphones, as fixed lists.

    python -m preprocessing.sms_wsj sms_wsj OUT_FOLDER

The folder is what the scripts of SMS-WSJ write: observation/SPLIT/ID.wav, early/SPLIT/ID_0.wav, early/SPLIT/ID_1.wav,
the same of tail, and noise/SPLIT/ID.wav, where SPLIT is train_si284, cv_dev93 or test_eval92. They end in train.tsv,
dev.tsv and test.tsv. No sound is copied: a mixture is the sum of early, tail and noise, which is the observation. What
is to be estimated is the early image of each speaker (what arrives within 50 ms of the direct sound), at every
microphone; tail and noise belong to nobody.

The lists have six channels: read them with `channels: 6` of `avsep.data.lists.FixedMixtures`, or with
`avsep evaluate test.tsv --model NAME`. With the sources as they were spoken for targets (speech_source), or where only
observation and speech_source were written, `avsep.data.published.PublishedMixtures` reads sms_wsj/observation/SPLIT as
it is.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from avsep.data.lists import Part
from avsep.data.published import read_sms_wsj
from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import add_folders, folder_split, wrong_layout
from preprocessing.mixture_lists import Mix, check_sum, make_lists

TYPES = ("observation", "early", "tail", "noise")


def list_mixtures(folder: Path) -> list[Mix]:
    """The mixtures of all splits. Raises InputError for a wrong layout, and when the first mixture of a split is not
    the sum of its parts."""
    if not all((folder / name).is_dir() for name in TYPES):
        raise wrong_layout(folder, f"folders {', '.join(TYPES)}, as SMS-WSJ writes them with write_all")
    mixes = []
    for place in sorted(path for path in (folder / "observation").iterdir() if path.is_dir()):
        split = folder_split(place.name)
        if split is None:
            continue
        rows = read_sms_wsj(place, "early")
        for row in rows:
            # RIR_FIRST_SECOND: the first three characters of an utterance of WSJ are its speaker.
            speakers = [utterance[:3] for utterance in row.name.split("_")[1:]]
            parts = []
            for speaker, early in zip(speakers, row.sources, strict=True):
                tail = folder / "tail" / place.name / early.name
                parts += [Part(early, None, speaker, "voice", 0.0, 1.0), Part(tail, None, speaker, "noise", 0.0, 1.0)]
            parts.append(Part(folder / "noise" / place.name / row.mixture.name, None, "noise", "noise", 0.0, 1.0))
            mixes.append(Mix(row.name, split, tuple(parts)))
        check_sum(rows[0].mixture, mixes[-len(rows)].parts)
    if not mixes:
        raise wrong_layout(folder / "observation", "folders train_si284, cv_dev93 and test_eval92")
    return mixes


def _run(options: Namespace) -> int:
    return make_lists(list_mixtures(options.source), options.out, engine_of(options))


main = command(__doc__ or "", "sms_wsj", lambda parser: add_folders(parser, "SMS_WSJ"), _run)

if __name__ == "__main__":
    sys.exit(main())
