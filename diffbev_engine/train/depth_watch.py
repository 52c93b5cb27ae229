"""Images without depth ground truth, whose depth loss is 0: warned of once."""

from collections.abc import Sequence

from diffbev_engine.dataset.sample import Batch
from diffbev_engine.train.recorder import logger


class DepthWatch:
    """Looks at the batches of a training with a depth loss."""

    def __init__(self, *, expected: bool) -> None:
        self._looking = expected

    def look(self, drawn: Sequence[Batch]) -> None:
        """Warn of the first images without depth."""
        if not self._looking:
            return
        without = [token for batch in drawn for token in _tokens_without_depth(batch)]
        if without:
            self._looking = False
            images = sum(len(batch.tokens) for batch in drawn)
            logger.warning(
                f"{len(without)} of {images} images of this iteration have no depth ground truth, such as "
                f"{without[0]}: they add nothing to Ldepth. Run `diffbev-engine check-depth`."
            )


def _tokens_without_depth(batch: Batch) -> list[str]:
    if batch.depth is None:
        return list(batch.tokens)
    there = batch.depth.flatten(1).any(dim=1).tolist()  # of B
    return [token for token, found in zip(batch.tokens, there, strict=True) if not found]
