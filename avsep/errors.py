"""The kinds of error a caller can act on; every message says what, where and what to do next."""


class AvsepError(Exception):
    """Base of all expected errors; `exit_code` is what the command line returns for it."""

    exit_code = 1


class InputError(AvsepError):
    """A media file cannot be used: missing, damaged, without sound, ..."""


class OutputError(AvsepError):
    """Results cannot be written: folder exists, not writable, disk full, ..."""


class WeightsError(AvsepError):
    """A model is unknown, or its weights file is damaged or not ours."""


class TrainingError(AvsepError):
    """A training cannot go on: its numbers are no longer finite."""


class UsageError(AvsepError):
    """Options that contradict each other or the file; wrong usage, exit code 2."""

    exit_code = 2
