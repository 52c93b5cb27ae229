"""The arithmetic of the table, against numbers computed by hand."""

import json
from math import sqrt
from pathlib import Path

import pytest

from diffbev_engine.bench.ablation_runs import Outcome, Training
from diffbev_engine.bench.ablation_table import Circumstances, as_json, as_markdown, gap, score
from diffbev_engine.bench.scheduler import Entry, State
from diffbev_engine.bench.speed import Speed
from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.folder import RunFolder

BASELINE = {0: 0.10, 1: 0.14, 2: 0.12}
DIFFBEV = {0: 0.13, 1: 0.15, 2: 0.17}


def test_mean_and_sample_standard_deviation():
    estimate = score(BASELINE)
    assert estimate.mean == pytest.approx(0.12)
    assert estimate.spread == pytest.approx(0.02)  # sqrt((0.02² + 0.02² + 0) / 2)
    assert score({0: 0.1}).spread is None
    assert score({}) is None


def test_the_gap_is_paired_by_seed():
    estimate = gap(DIFFBEV, BASELINE)  # differences 0.03, 0.01, 0.05
    assert estimate.mean == pytest.approx(0.03)
    assert estimate.spread == pytest.approx(0.02 / sqrt(3))
    partly = gap({1: 0.15, 2: 0.17, 7: 0.9}, BASELINE)  # 0.01, 0.05; seed 7 has no partner
    assert (partly.mean, partly.spread, partly.seeds) == (pytest.approx(0.03), pytest.approx(0.02), 2)
    assert gap({0: 0.13}, BASELINE).spread is None
    assert gap({7: 0.13}, BASELINE) is None


@pytest.fixture
def entries(tiny_settings):
    def entry(variant, seed, miou):
        folder = RunFolder(Path("out") / variant / f"seed_{seed}")
        training = Training(variant, seed, "tiny.py", (), tiny_settings, folder)
        iou = dict.fromkeys(CLASSES, miou) | {"bus": None}
        masks = {"pon": miou, "fov": miou / 2} if variant in depths else {"pon": miou, "fov": 0.05}
        return Entry(
            training, State.FINISHED, Outcome(miou, iou, 1.5, "NVIDIA H200", depths.get(variant), masks)
        )

    depths = {"diffbev_S": (0.125, 4.5)}
    scores = {"baseline": BASELINE, "diffbev_S": DIFFBEV}
    return [entry(name, seed, scores[name][seed]) for seed in BASELINE for name in scores]


@pytest.fixture
def facts(tiny_settings):
    return Circumstances(
        command="diffbev-engine bench ablation --out out",
        config="diffbev/diffbev_lss_swin_synth",
        torch="2.11",
        train_frames=1872,
        val_frames=528,
        seeds=(0, 1, 2),
        variants=("baseline", "diffbev_S"),
        settings=tiny_settings,
    )


def test_the_table_of_a_complete_campaign(facts, entries):
    speed = Speed(12_340_000, 2, 50.04, (50.04,), 3.5, {3: 20.06}, {3: (20.06,)}, 1.0)
    text = as_markdown(facts, entries, {"diffbev_S": speed}, "2026-11-22")

    assert "| variant | mIoU | gap to baseline | map | objects | mIoU fov (gap) | seeds |" in text
    assert (
        "| baseline | 12.00 ± 2.00 | – | 12.00 | 12.00 | 5.00 ± 0.00 | 3/3 | – | – | – | – | – | – |" in text
    )
    assert "| diffbev_S | 15.00 ± 2.00 | +3.00 ± 1.15 | 15.00 | 15.00 | 7.50 ± 1.00 (+2.50 ± 0.58) |" in text
    assert "| 3/3 | 0.1250 | 4.500 m |" in text
    assert "| 12.34 M | 50.0 ms | 20.1 ms (3 DDIM) | 3.50 GiB |" in text
    assert "missing" not in text
    for fact in (
        facts.command,
        "NVIDIA H200",
        "torch 2.11",
        "2026-11-22",
        "1872 training and 528 validation",
    ):
        assert fact in text
    assert "6 iterations × batch 2, images 64×96" in text
    assert "val split, ignore mask `pon`" in text


def test_the_table_of_a_campaign_that_was_cut_short(facts, entries):
    entries[-1].state, entries[-1].outcome = State.STOPPED, None
    entries[-2].state, entries[-2].outcome = State.FAILED, None
    entries[-2].message = "exit code 4 (diverged)\nerror: training diverged at step 7"
    text = as_markdown(facts, entries, {}, "2026-11-22")

    assert (
        "| diffbev_S | 14.00 ± 1.41 | +2.00 ± 1.00 | 14.00 | 14.00 | 7.00 ± 0.71 (+2.00 ± 0.50) | 2/3 |"
        in text
    )
    assert "2 of 6 runs are missing" in text
    assert "Failed: baseline seed 2" in text
    assert "error: training diverged at step 7" in text


def test_the_json_holds_shares_and_class_means(facts, entries):
    entries[-1].state, entries[-1].outcome = State.STOPPED, None
    content = json.loads(json.dumps(as_json(facts, entries, {}, "2026-11-22")))

    baseline, diffbev = content["variants"]
    assert baseline["mIoU"] == {"mean": pytest.approx(0.12), "std": pytest.approx(0.02), "seeds": 3}
    assert diffbev["gap"] == {"mean": pytest.approx(0.02), "standard_error": pytest.approx(0.01), "seeds": 2}
    assert diffbev["masks"]["fov"]["gap"]["mean"] == pytest.approx(0.02)
    assert diffbev["IoU"]["car"] == pytest.approx(0.14)
    assert diffbev["IoU"]["bus"] is None
    assert baseline["depth"] is None
    assert diffbev["depth"] == {"abs_rel": 0.125, "rmse_m": 4.5}
    assert [run["state"] for run in diffbev["runs"]] == ["finished", "finished", "stopped"]
    assert content["missing"] == ["diffbev_S seed 2"]
    assert (content["split"], content["mask"]) == ("val", "pon")
