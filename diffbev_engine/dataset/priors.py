"""How often each class occurs in the labels that a training learns from."""

from collections.abc import Sequence

import numpy as np

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.prepare.encoding import decode_label, read_label

_LABELS = 2_000  # a second or two; of 200,000 labels the shares differ by less than a tenth
_RAREST = 1e-4  # of a class that hardly occurs; its cells would outweigh all others


def measured_priors(records: Sequence[SampleRecord], mask: str) -> tuple[float, ...]:
    """Share of visible cells of each class, from labels spaced evenly over the split.

    Args:
        records: of the training split.
        mask: ``pon`` or ``fov``, the ignore mask of training.

    Raises:
        DiffBEVError: naming a damaged label.
    """
    cells, positive = np.zeros(NUM_CLASSES), np.zeros(NUM_CLASSES)
    count = min(_LABELS, len(records))
    for number in range(count):
        record = records[number * len(records) // count]
        label = decode_label(read_label(record.label))
        valid = label.valid if mask == "pon" else label.valid_fov  # rows x cols
        cells += record.known * valid.sum()
        positive += record.known * (label.classes & valid).sum(axis=(1, 2))
    shares = np.divide(positive, cells, out=np.zeros(NUM_CLASSES), where=cells > 0)
    return tuple(float(share) for share in shares.clip(_RAREST, 1 - _RAREST))
