"""Diffusion is random, its evaluation is not: noise belongs to the image and the seed."""

import json
import statistics

import pytest
import torch
from click.testing import CliRunner

from diffbev_engine.cli.evaluate import command
from diffbev_engine.core.errors import UsageError
from diffbev_engine.dataset.order import ALONE, Shard
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import collate, load_sample
from diffbev_engine.evaluate.network import network
from diffbev_engine.evaluate.run import evaluate_checkpoint, evaluate_model, evaluation_in_training
from diffbev_engine.train.distributed import Processes
from tests.tiny import trained

CPU = torch.device("cpu")
SINGLE = Processes(CPU, ALONE)


@pytest.fixture
def records(tiny_root):
    return read_records(tiny_root, "val", "front")


@pytest.fixture
def model(diffusion_settings):
    return trained(diffusion_settings)


def _evaluate(model, settings, records, seed=0, processes=SINGLE):
    return evaluate_model(model, settings, records, "val", processes, seed=seed)


def test_two_evaluations_with_noise_agree_to_the_last_digit(model, diffusion_settings, records):
    first = _evaluate(model, diffusion_settings, records)
    torch.randn(3)  # the global generator does not matter
    assert _evaluate(model, diffusion_settings, records).masks == first.masks
    assert first.main.counts[0].predicted > 0


def test_evaluation_leaves_the_global_generator_and_the_kernel_choice_alone(
    model, diffusion_settings, records
):
    state = torch.get_rng_state()
    _evaluate(model, diffusion_settings, records)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_another_seed_gives_other_numbers(model, diffusion_settings, records):
    results = [_evaluate(model, diffusion_settings, records, seed) for seed in (0, 1)]
    assert results[0].masks != results[1].masks
    assert [result.provenance["noise_seed"] for result in results] == [0, 1]
    assert results[0].provenance["denoise_steps"] == 2


def test_the_noise_of_an_image_does_not_depend_on_its_batch(model, records):
    model.eval()
    run = network(model, "fp32", CPU)
    samples = [load_sample(record, (64, 96)) for record in records[:3]]
    with torch.inference_mode():
        together, alone = run(collate(samples)).logits, run(collate(samples[2:])).logits
        other_seed = network(model, "fp32", CPU, seed=1)(collate(samples[2:])).logits
    torch.testing.assert_close(together[2:], alone, rtol=1e-4, atol=1e-4)
    assert (other_seed - alone).abs().max() > 0.01


def test_the_number_of_processes_does_not_change_the_counts(model, diffusion_settings, records):
    whole = _evaluate(model, diffusion_settings, records).main.counts
    shards = [Processes(CPU, Shard(rank, 2)) for rank in (0, 1)]
    parts = [_evaluate(model, diffusion_settings, records, processes=each).main.counts for each in shards]
    for one, *halves in zip(whole, *parts, strict=True):
        # Batches differ, and with them the last digit of a logit: a cell at the threshold may flip.
        assert sum(half.predicted for half in halves) == pytest.approx(one.predicted, rel=1e-4, abs=2)


def test_evaluation_in_training_uses_seed_zero(model, diffusion_settings, records):
    in_training = evaluation_in_training(diffusion_settings, SINGLE)(
        model, None, lambda _images: None, lambda _seconds: None
    )
    assert in_training == _evaluate(model, diffusion_settings, records, seed=0).main


def test_seeds_are_summed_up_as_mean_and_sample_deviation(diffusion_settings, saved):
    _, checkpoint = saved(diffusion_settings)
    table = evaluate_checkpoint(diffusion_settings, checkpoint, "val", SINGLE, seeds=3)
    report = json.loads(json.dumps(table.to_json()))
    scores = report["mIoU_per_seed"]
    assert len(set(scores)) == 3
    assert report["mIoU"] == pytest.approx(statistics.fmean(scores))
    assert report["mIoU_std"] == pytest.approx(statistics.stdev(scores))
    cars = [each["masks"]["fov"]["IoU"]["car"] for each in report["per_seed"]]
    assert report["masks"]["fov"]["IoU"]["car"] == pytest.approx(statistics.fmean(cars))
    assert report["masks"]["fov"]["IoU"]["bus"] is None
    assert report["provenance"]["noise_seeds"] == [0, 1, 2]
    assert "noise_seed" not in report["provenance"]
    text = table.to_text()
    assert f"{100 * report['mIoU']:.2f} ± {100 * report['mIoU_std']:.2f}" in text
    assert "noise seeds [0, 1, 2]" in text


def test_steps_table_shows_quality_against_cost(diffusion_settings, saved):
    config, checkpoint = saved(diffusion_settings)
    arguments = [str(config), str(checkpoint), "--steps", "1,12", "--seeds", "2"]
    out = config.with_name("result.json")
    result = CliRunner().invoke(command, [*arguments, "--out", str(out)], catch_exceptions=False)
    lines = result.output.splitlines()
    header = next(line for line in lines if "network ms/image" in line)
    assert "mIoU pon" in header
    rows = [line.split() for line in lines if line.split()[0] in ("1", "12")]
    assert [row[0] for row in rows] == ["1", "12"]
    assert all(row.count("±") == 3 for row in rows)
    assert any("(normalisation, noise, forward pass)" in line for line in lines)

    report = json.loads(out.read_text())["by_steps"]
    assert [row["steps"] for row in report] == [1, 12]
    assert [row["provenance"]["denoise_steps"] for row in report] == [1, 12]
    assert all(row["network_ms"] > 0 for row in report)
    assert report[0]["mIoU_per_seed"] != report[1]["mIoU_per_seed"]


def test_a_single_evaluation_keeps_its_json(diffusion_settings, saved):
    config, checkpoint = saved(diffusion_settings)
    arguments = [str(config), str(checkpoint), "--json"]
    report = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).stdout)
    before = {"config", "checkpoint", "mIoU", "mask", "masks", "samples", "images_per_s", "provenance"}
    assert report.keys() == before | {"network_ms", "depth", "depth_note"}
    assert report["provenance"]["denoise_steps"] == 2
    assert report["provenance"]["noise_seed"] == 0
    three = json.loads(CliRunner().invoke(command, [*arguments, "--steps", "3"]).stdout)
    assert three["provenance"]["denoise_steps"] == 3


@pytest.mark.parametrize("options", [{"seeds": 3}, {"steps": (1, 3)}])
def test_a_baseline_has_no_noise_to_vary(tiny_settings, saved, options):
    _, checkpoint = saved(tiny_settings)
    with pytest.raises(UsageError, match="require diffusion"):
        evaluate_checkpoint(tiny_settings, checkpoint, "val", SINGLE, **options)
    provenance = evaluate_checkpoint(tiny_settings, checkpoint, "val", SINGLE).to_json()["provenance"]
    assert not {"noise_seed", "denoise_steps"} & provenance.keys()


def test_more_steps_than_times_are_refused(diffusion_settings, saved):
    _, checkpoint = saved(diffusion_settings)
    with pytest.raises(UsageError, match="at most 300 steps"):
        evaluate_checkpoint(diffusion_settings, checkpoint, "val", SINGLE, steps=(1, 400))


@pytest.mark.parametrize("steps", ["0", "3,", "many", "1,-2"])
def test_steps_that_are_no_numbers_are_wrong_usage(steps):
    result = CliRunner().invoke(command, ["config.py", "weights.pth", "--steps", steps])
    assert result.exit_code == 2
    assert "comma-separated list" in result.output


def test_samples_are_averaged_and_their_spread_scored(diffusion_settings, saved):
    _, checkpoint = saved(diffusion_settings)
    tables = [evaluate_checkpoint(diffusion_settings, checkpoint, "val", SINGLE, samples=n) for n in (1, 3)]
    one, three = (json.loads(json.dumps(table.to_json())) for table in tables)
    assert one["uncertainty"]["pon"]["auroc_spread"] is None
    assert three["masks"] != one["masks"]
    assert three["provenance"]["samples_averaged"] == 3
    assert all(0 < three["uncertainty"][mask]["auroc_spread"] < 1 for mask in ("pon", "fov", "unseen"))
    told = tables[1].to_text()
    assert "mean of 3 samples" in told
    assert f"ECE {three['uncertainty']['pon']['ece']:.4f}" in told


def test_the_mean_of_samples_is_that_of_their_seeds(model, records):
    model.eval()
    batch = collate([load_sample(records[0], (64, 96))])
    with torch.inference_mode():
        alone = [network(model, "fp32", CPU, seed)(batch).logits.sigmoid() for seed in (2, 3)]
        both = network(model, "fp32", CPU, 1, samples=2)(batch)
    torch.testing.assert_close(both.logits.sigmoid(), torch.stack(alone).mean(0))
    torch.testing.assert_close(both.spread, (alone[0] - alone[1]).abs() / 2)


@pytest.mark.parametrize("process", [None, "none"])
def test_samples_of_what_is_not_random_are_refused(tiny_settings, diffusion_settings, saved, process):
    content = diffusion_settings.model_dump()
    content["model"]["diffusion"]["process"] = process
    settings = type(tiny_settings).model_validate(content) if process else tiny_settings
    with pytest.raises(UsageError, match="--samples"):
        evaluate_checkpoint(settings, saved(settings)[1], "val", SINGLE, samples=2)
