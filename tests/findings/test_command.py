from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.command import changes_of, own_command
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.present import NO_ROOTS, filled, fix_of, names_of_step, with_names
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_engine.workspace.init import init_workspace


def test_a_command_of_this_program_is_words_and_anything_else_is_for_a_person():
    assert own_command("diffbev-engine prepare --out 'a b'") == ("diffbev-engine", "prepare", "--out", "a b")
    for other in ("diffbev-engine runs list | head", "sudo ldconfig", "diffbev-engine2 prepare", ""):
        assert own_command(other) == ()


def test_whatever_the_runbook_offers_to_run_says_what_it_changes(tmp_path):
    (tmp_path / "nuScenes").mkdir()
    init_workspace(tmp_path / "work space", tmp_path / "nuScenes")
    roots = find_roots(tmp_path / "work space")
    runbook = load_runbook(roots)
    remedies = [remedy for problem in runbook.problems for remedy in problem.remedies]
    remedies += [fix for step in runbook.steps if (fix := fix_of(step, roots))]
    own = [filled(remedy, roots) for remedy in remedies]
    assert sum(bool(one.argv) for one in own) >= 10
    assert [one.command for one in own if one.argv and not one.changes] == []
    assert "--overwrite" in changes_of(("diffbev-engine", "prepare", "--overwrite")).en


def test_a_root_that_is_not_known_leaves_a_command_to_complete():
    remedy = Remedy(Bilingual("做", "do"), argv=("diffbev-engine", "prepare", "--out", "{nuscenes_root}"))
    one = filled(remedy, NO_ROOTS)
    assert (one.argv, one.shell) == ((), "diffbev-engine prepare --out NUSCENES_ROOT")
    assert Remedy.from_json(one.to_json()) == one


def test_a_step_about_one_run_names_it_in_what_is_advised(tmp_path):
    (tmp_path / "nuScenes").mkdir()
    init_workspace(tmp_path / "w", tmp_path / "nuScenes")
    roots = find_roots(tmp_path / "w")
    runbook = load_runbook(roots)
    names = names_of_step(runbook, runbook.step("3.4"), roots)
    assert names == {"RUN_DIR": str(roots.workspace / "runs/baseline"), "TRAINING_STEP": "3.2"}
    assert names_of_step(runbook, runbook.step("5.2"), roots) == {}
    remedy = Remedy(Bilingual("做", "do"), argv=("diffbev-engine", "runs", "resume", "RUN_DIR"))
    assert filled(with_names(remedy, names), roots).argv[-1] == names["RUN_DIR"]
