"""How good a separation is: figures of references and estimates, their summary and pictures. Works without files:

rows = score(make_trial(references, estimates, sample_rate=16000))
summary = summarise(rows)
"""

from avsep.evaluation.run import Outcome, evaluate
from avsep.evaluation.score import Row, Scoring, score
from avsep.evaluation.summary import bootstrap, summarise
from avsep.evaluation.trial import Trial, make_trial

__all__ = ["Outcome", "Row", "Scoring", "Trial", "bootstrap", "evaluate", "make_trial", "score", "summarise"]
