"""What is measured and is no command as it stands: ``python -m tests.memory.child NAME DATA``.

Each uses the product's own code; what would take hours and holds no memory is replaced by a link.
"""

import itertools
import json
import os
import sys
from contextlib import closing
from pathlib import Path


def tables(root: Path) -> None:
    """Read all tables once, and keep the index."""
    from diffbev_engine.nuscenes.tables import Tables

    Tables.open(root)


def prepare(root: Path) -> None:
    """`prepare` of all cameras, with one label for all images."""
    import numpy as np

    from diffbev_engine.prepare import pipeline, workers
    from diffbev_engine.prepare.data_root import DataRoot
    from diffbev_engine.prepare.encoding import encode_label, write_label
    from diffbev_engine.prepare.images import check_image, place_image
    from tests.memory.world import link_many

    classes = np.zeros((14, 196, 200), bool)
    classes[0, :120] = True
    label = root / "label.png"
    write_label(label, encode_label(classes, np.zeros((196, 200), bool), np.zeros((196, 200), bool)))
    copies = [root / f"label{number}.png" for number in range(12)]
    for copy in copies:
        link_many(label, [copy])
    names = itertools.count()

    def link(places: workers.Places, task: workers.FrameTask, boxes: workers.Boxes) -> tuple[int, int]:
        del boxes
        stored = check_image(task.frame)
        target = DataRoot(places.output_dir)
        os.link(copies[next(names) // 20_000], target.label(task.split, task.frame.token))
        place_image(task.frame.image_path, target.image(task.split, task.frame.token), places.images)
        return stored

    workers._prepare_frame = link
    summary = pipeline.prepare(pipeline.PrepareJob(root, cameras=None, split="official", workers=1))
    assert not summary.failed, summary.to_text()


def epoch(root: Path, workers: str) -> None:
    """One epoch through the loader; the memory of its processes after the first batches and at the end."""
    from diffbev_engine.dataset.loader import BEVDataset, training_batches
    from diffbev_engine.dataset.order import TrainingOrder
    from diffbev_engine.dataset.records import read_records
    from diffbev_engine.dataset.settings import DataSettings
    from tests.memory.usage import descendants, memory_of

    records = read_records(root, "train", "all")
    settings = DataSettings(image_size=(32, 48))
    order = TrainingOrder(len(records), batch_size=16, seed=0)
    count = -(-len(records) // 16)
    early = min(200, count // 3)
    with closing(training_batches(BEVDataset(records, settings), order, int(workers))) as batches:
        for number, _ in enumerate(itertools.islice(batches, count)):
            if number == early:
                before = memory_of([os.getpid(), *descendants(os.getpid())])
        after = memory_of([os.getpid(), *descendants(os.getpid())])
    growth = {pid: after[pid] - size for pid, size in before.items() if pid != os.getpid()}
    print("RESULT", json.dumps({"growth": max(growth.values())}))


def writers(root: Path, iterations: str) -> None:
    """What a campaign writes, without its training: rows, states, log, history of the machine, alerts."""
    import sys

    from diffbev_engine.core.gpu.reading import read_gpus
    from diffbev_engine.runs.alert_detector import AlertDetector
    from diffbev_engine.runs.alerts import Alert, AlertKind, append_alerts
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.host import read_host
    from diffbev_engine.runs.inspect import inspect_run
    from diffbev_engine.runs.system import SystemWriter, sample
    from diffbev_engine.train.meter import Reading
    from diffbev_engine.train.recorder import Recorder, RunLog
    from tests.memory.usage import memory_of

    folder, count = RunFolder(root / "writers"), int(iterations)
    folder.path.mkdir(exist_ok=True)
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the log goes to a file as well
    log, sizes = RunLog(folder), {}
    recorder = Recorder(folder, max_iters=count, start=0)
    system, detector = SystemWriter(folder.system), AlertDetector(folder)
    host, gpus = read_host(folder.path, os.getpid()), read_gpus()
    extra = {"lr": 1e-4, "images_per_s": 9.0, "gpu_mem_mb": 1.0, "it_per_s": 3.0, "data_wait": 0.1}
    for step in range(1, count + 1):
        recorder.iterated(step, 0.3)
        recorder.training_row(Reading(step, {"Lwce": 1.0 / step, "loss": 1.0 / step}, 1.0, extra))
        if step % 2 == 0:  # far more often than every ten seconds: the file is thinned several times
            system.write(sample(1.7e9 + step, step, host, gpus, 0.1))
        if step % 500 == 0:
            append_alerts(folder.alerts, detector.look(inspect_run(folder.path)))
            append_alerts(folder.alerts, [Alert(1.7e9, AlertKind.NEW_BEST, step, value=0.1, before=0.05)])
        if step in (count // 2, count):
            sizes[step] = memory_of([os.getpid()])[os.getpid()]
    log.close()
    sys.stdout = sys.__stdout__
    early, late = sizes.values()
    print("RESULT", json.dumps({"growth": late - early}))
    assert late - early < 2, sizes


if __name__ == "__main__":
    {"tables": tables, "prepare": prepare, "epoch": epoch, "writers": writers}[sys.argv[1]](
        Path(sys.argv[2]), *sys.argv[3:]
    )
