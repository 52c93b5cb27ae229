"""The record of a campaign: both forms, both languages, figures inside."""

import base64
import json

import pytest

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.report import read_content, write_report
from diffbev_engine.runbook.runner import Reporter, Selection, run_steps
from diffbev_engine.runs.metrics.file import MetricsWriter
from tests.processes import PATIENCE_S, engine

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def campaign_roots(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = { zh = "第一步", en = "First" }\nrun = "echo \'<b>proof</b>\'"\n'
        'checks = [{ type = "output_contains", texts = ["proof"] }]\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nrun = "exit 4"\n'
    )
    run_steps(load_runbook(roots), roots, Selection("9"), Reporter())
    plots = roots.workspace / "reports/comparison/plots"
    plots.mkdir(parents=True)
    for name in ("loss", "mIoU"):
        (plots / f"{name}_comparison.png").write_bytes(PIXEL)
    run = roots.workspace / "runs/baseline"
    run.mkdir(parents=True)
    writer = MetricsWriter(run / "metrics.csv")
    writer.write({"step": 40, "mode": "eval", "mIoU": 0.214})
    writer.close()
    return roots


@pytest.mark.parametrize(("language", "title"), [("zh", "第一步"), ("en", "First")])
def test_both_forms_hold_steps_evidence_runs_and_figures(language, title, campaign_roots, tmp_path):
    content = read_content(load_runbook(campaign_roots), campaign_roots, language)
    markdown, html = (path.read_text() for path in write_report(content, tmp_path / "out"))
    for text in (markdown, html):
        for word in (title, "9.2", "21.40", "loss_comparison", "diverged", "torch"):
            assert word in text
        assert text.index("21.40") < text.index(title), "the score comes first"
    assert [path.stem for path in content.figures] == ["mIoU_comparison", "loss_comparison"]
    assert "<b>proof</b>" not in html
    assert "data:image/png;base64," in html
    assert "(<../ws/reports/comparison/plots/loss_comparison.png>)" in markdown


def test_report_on_the_command_line(campaign_roots):
    process = engine("runbook", "report", campaign_roots.workspace, "--json")
    answer = json.loads(process.communicate(timeout=PATIENCE_S)[0])
    assert answer["figures"] == 2
    assert (campaign_roots.workspace / "reports/runbook/report.html").exists()


def test_status_and_list_on_the_command_line(campaign_roots):
    status = json.loads(
        engine("runbook", "status", campaign_roots.workspace, "--json").communicate(timeout=PATIENCE_S)[0]
    )
    assert status["next"] == "0.1"
    assert status["counts"]["failed"] == 1
    listed = engine(
        "runbook", "list", campaign_roots.workspace, "--phase", "9", "--lang", "zh"
    ).communicate()[0]
    assert "第一步" in listed
