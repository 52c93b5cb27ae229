import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbev_engine.config.parser import parse_config, parse_literal
from diffbev_engine.config.presets_index import PRESETS_DIR
from diffbev_engine.config.values import Origin, plain
from diffbev_engine.core.errors import UsageError

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(folder: Path, text: str, name: str = "config.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> object:
    return plain(parse_config(path))


def failure(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        parse_config(path)
    return str(caught.value)


def test_values_are_those_of_python(tmp_path: Path) -> None:
    text = (
        "'''A bare string is a comment.'''\n"
        "_side = 600\n"
        "a = 20 * 1000 + _side // 32 - 2 ** 3 / 4\n"
        "b = ('im' 'plicit' + '/joined', True, None, -1.5, +2)\n"
        "c = dict(x=[1, (2,)], **dict(y='z'))\n"
        "d = {**c, 'x': {}}\n"
    )
    assert read(write(tmp_path, text)) == {
        "a": 20 * 1000 + 600 // 32 - 2**3 / 4,
        "b": ("implicit/joined", True, None, -1.5, 2),
        "c": {"x": [1, (2,)], "y": "z"},
        "d": {"x": {}, "y": "z"},
    }


def test_chinese_comments_and_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_bytes("# 冒烟测试：覆盖配置\r\nseed = 3  # 种子\r\n".encode("utf-8-sig"))
    assert read(path) == {"seed": 3}


def test_every_value_and_key_knows_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "_lr = 1\noptimizer = dict(\n    lr=_lr,\n    betas=(\n        0.9,\n    ),\n)\n")
    config = parse_config(path)
    assert isinstance(config.data, dict)
    entry = config.data["optimizer"]
    assert entry.where == Origin(str(path), 2)
    assert isinstance(entry.value.data, dict)
    lr, betas = entry.value.data["lr"], entry.value.data["betas"]
    assert (lr.where.line, lr.value.where.line) == (3, 1)
    assert isinstance(betas.value.data, tuple)
    assert (betas.where.line, betas.value.data[0].where.line) == (4, 5)


def test_dicts_merge_over_bases_and_later_bases_win(tmp_path: Path) -> None:
    write(tmp_path, "data = dict(a=1, b=dict(c=1, d=1))\nseed = 1\n", "_base_/one.py")
    write(tmp_path, "data = dict(b=dict(d=2, e=2))\nseed = 2\n", "_base_/two.py")
    child = write(
        tmp_path,
        "_base_ = ['../_base_/one.py', '../_base_/two.py']\ndata = dict(b=dict(e=3))\n",
        "x/child.py",
    )
    assert read(child) == {"data": {"a": 1, "b": {"c": 1, "d": 2, "e": 3}}, "seed": 2}


def test_delete_replaces_instead_of_merging(tmp_path: Path) -> None:
    write(tmp_path, "data = dict(a=1, b=dict(c=1))\n", "base.py")
    child = write(tmp_path, "_base_ = 'base.py'\ndata = dict(b=dict(_delete_=True, d=2))\n")
    assert read(child) == {"data": {"a": 1, "b": {"d": 2}}}


def test_a_later_base_may_delete_what_an_earlier_one_says(tmp_path: Path) -> None:
    write(tmp_path, "data = dict(a=1)\n", "one.py")
    write(tmp_path, "data = dict(_delete_=True, b=2)\n", "two.py")
    assert read(write(tmp_path, "_base_ = ('one.py', 'two.py')\n")) == {"data": {"b": 2}}


def test_a_base_shared_by_two_bases_does_not_undo_the_first(tmp_path: Path) -> None:
    write(tmp_path, "seed = 0\nprecision = 'bf16'\n", "root.py")
    write(tmp_path, "_base_ = 'root.py'\nseed = 1\n", "one.py")
    write(tmp_path, "_base_ = 'root.py'\nprecision = 'fp32'\n", "two.py")
    assert read(write(tmp_path, "_base_ = ['one.py', 'two.py']\n")) == {"seed": 1, "precision": "fp32"}


def test_assigning_again_replaces_within_a_file_and_merges_over_the_base(tmp_path: Path) -> None:
    write(tmp_path, "runner = dict(type='T', max_iters=1)\n", "base.py")
    child = write(tmp_path, "_base_ = 'base.py'\nrunner = dict(extra=2)\nrunner = dict(max_iters=3)\n")
    assert read(child) == {"runner": {"type": "T", "max_iters": 3}}


def test_settings_of_a_base_are_names_but_its_local_variables_are_not(tmp_path: Path) -> None:
    write(tmp_path, "_local = 1\nseed = 7\n", "base.py")
    assert read(write(tmp_path, "_base_ = 'base.py'\nx = seed + 1\n")) == {"seed": 7, "x": 8}
    assert "config.py:2: the name _local is not assigned" in failure(
        write(tmp_path, "_base_ = 'base.py'\nx = _local\n")
    )


def test_settings_of_the_bases_are_read_by_path_and_collections_are_joined(tmp_path: Path) -> None:
    write(tmp_path, "data = dict(size=(3, 4), n=2)\n", "base.py")
    text = (
        "_base_ = 'base.py'\n"
        "a = _base_.data.n * 2\n"
        "b = (data['size'][1], data['size'][-2], [7, 8][0])\n"
        "c = [1, 2] * 2 + [3]\n"
        "d = dict(x=1, y=1) | dict(y=2)\n"
        "e = 7 % 4\n"
    )
    config = read(write(tmp_path, text))
    assert isinstance(config, dict)
    del config["data"]
    assert config == {"a": 4, "b": (4, 3, 7), "c": [1, 2, 1, 2, 3], "d": {"x": 1, "y": 2}, "e": 3}
    for line, reason in {
        "x = _base_.data.m": "no setting data.m",
        "x = data['size'][2]": "no item 2",
        "x = data['size'][::-1]": "a slice",
        "x = [0] * 10**9": "shorten it",
        "x = [[0] * 9000] * 9000": "shorten it",
    }.items():
        assert reason in failure(write(tmp_path, f"_base_ = 'base.py'\n{line}\n"))


def test_refused_syntax_is_answered_with_what_to_write(tmp_path: Path) -> None:
    for line, advice in {
        "seed: int = 3": "Write seed = 3.",
        "seed: 3": "Write seed = 3.",
        "lr *= 4": "Write lr = lr * 4.",
        "x = f'{root}/nuScenes'": "Join strings with +",
        "x = os.path.join(root, 'a')": "--set data_root=DIR",
        "x = os.environ['DATA']": "--set key=value",
        "from mmengine.config import read_base": "named by _base_",
        "x = '{{ $DATA:/data }}'": '--set data_root="$DATA_ROOT"',
        "x = './work_dirs/{{ fileBasenameNoExtension }}'": "--work-dir",
        "x = {{ _base_.data.n }}": "Write _base_.data.n without braces.",
        "x = {{_base_.data.n + 1}}": "{{ }} is not supported",
        "x = null": "did you mean None",
    }.items():
        message = failure(write(tmp_path, f"{line}\n"))
        assert message.startswith(f"{tmp_path / 'config.py'}:1: ")
        assert advice in message
        assert "\n" not in message


def test_letters_that_only_look_like_python_are_named(tmp_path: Path) -> None:
    for line, named in {
        "x = dict(a=1）": "） (U+FF09) is a full-width character; type ) instead",
        "x = dict(a=1，b=2)": "type , instead",
        "x = [1、2]": "type , instead",
        "x = 0x1f）": "type ) instead",
        "x = 1.5。": "type . instead",
        "x = 2中": "not valid Python syntax: invalid",
        "x = “a”": '“ (U+201C) is a typographic quote; type " instead',
        "x = ‘a’": "type ' instead",
        "x\u00a0= 1": "no-break space",
        "x\u3000= 1": "ideographic space",
        "x = 1\u200b": "zero width space",
    }.items():
        assert named in failure(write(tmp_path, f"# one\n{line}\n"))


def test_other_encodings_load_with_their_mark_and_are_named_without(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    for encoding in ("utf-16", "utf-32"):
        path.write_bytes("# 配置\nseed = 3\n".encode(encoding))
        assert read(path) == {"seed": 3}
    path.write_bytes("seed = 3\n# 配置文件\n".encode("gbk"))
    assert failure(path).startswith(f"{path}:2: not in UTF-8, probably in GBK")
    assert "`iconv -f GB18030 -t UTF-8 config.py > config_utf8.py`" in failure(path)
    path.write_bytes("# résumé\n".encode("cp1252"))
    assert "iconv -f CP1252" in failure(path)


def test_other_formats_are_named(tmp_path: Path) -> None:
    for name, text, kind in (
        ("c.yaml", "runner:\n  max_iters: 20\n", "in YAML"),
        ("c.yml", "seed: 3\n", "in YAML"),
        ("c.py", "# comment\nrunner:\n  max_iters: 20\n", "in YAML"),
        ("c.py", "---\nseed: 3\n", "in YAML"),
        ("c.json", '{"runner": {"max_iters": 20, "x": true}}', "in JSON"),
        ("c.py", '{\n  "seed": 3\n}', "in JSON"),
        ("c.py", "[runner]\nmax_iters = 20\n", "in TOML or INI"),
        ("c.py", "version https://git-lfs.github.com/spec/v1\noid sha256:a\n", "Git LFS pointer"),
        ("c.py", "<!DOCTYPE html><html></html>", "an HTML page"),
        ("c.pth", "PK\3\4\0\0", "a zip archive"),
        ("c.py", "seed = 3\0", "null"),
    ):
        message = failure(write(tmp_path, text, name))
        assert kind in message
        assert "\n" not in message


def test_missing_base_names_both_files(tmp_path: Path) -> None:
    message = failure(write(tmp_path, "\n_base_ = ['../nowhere/base.py']\n"))
    assert message.startswith(f"{tmp_path / 'config.py'}:2: ")
    assert str(tmp_path.parent / "nowhere" / "base.py") in message


def test_circle_of_bases_names_the_files_on_it(tmp_path: Path) -> None:
    write(tmp_path, "_base_ = 'two.py'\n", "one.py")
    two = write(tmp_path, "_base_ = './one.py'\n", "two.py")
    message = failure(two)
    assert "circle" in message
    assert str(tmp_path / "one.py") in message
    assert str(two) in message


def test_an_endless_chain_of_bases_is_refused(tmp_path: Path) -> None:
    for number in range(60):
        write(tmp_path, f"_base_ = '{number + 1}.py'\n", f"{number}.py")
    assert "merge some" in failure(tmp_path / "0.py")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import os", "an import"),
        ("x = __import__('os').system('true')", "the call of __import__"),
        ("x = open('/etc/passwd')", "the call of open"),
        ("x = dict([(1, 2)])", "key=value"),
        ("x = seed.real", "attribute"),
        ("x = [i for i in (1, 2)]", "comprehension"),
        ("x = lambda: 1", "lambda"),
        ("x = f'{seed}'", "f-string"),
        ("x = 'a' * 3", "numbers only"),
        ("x = True + 1", "numbers only"),
        ("x: int = 3", "annotation"),
        ("x += 1", "assignment with an operator"),
        ("x, y = 1, 2", "one plain name"),
        ("x = 1 / 0", "division by zero"),
        ("x = 9 ** 9 ** 9", "exponent"),
        ("x = 1e308 * 10", "finite"),
        ("x = 0xffffffffffffffffffff", "64 bits"),
        ("x = (-8) ** 0.5", "real"),
        ("x = 1j", "real"),
        ("x = b'bytes'", "neither a real number nor a string"),
        ("x = dict(a=1, **dict(a=2))", "appears twice"),
        ("x = {'a': 1, 'a': 2}", "appears twice"),
        ("x = {1: 2}", "not a string"),
        ("x = dict(**seed)", "needs a dict"),
        ("x = sede", "did you mean seed"),
        ("x = true", "did you mean True"),
        ("x = (", "syntax"),
        ("_bases_ = 'base.py'", "_base_"),
        ("x = dict(_delete_=1)", "True or False"),
        ("_base_ = 3", "a path in quotes"),
        ("_base_ = []\n_base_ = 'base.py'", "twice"),
    ],
)
def test_anything_but_data_is_refused_at_its_line(tmp_path: Path, line: str, reason: str) -> None:
    message = failure(write(tmp_path, f"seed = 1\n\n{line}\n"))
    assert message.startswith(f"{tmp_path / 'config.py'}:{2 + len(line.splitlines())}: ")
    assert reason in message


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 90 + "]" * 90,
        "x = " + "-" * 9000 + "1",
        "x = " + "1 + " * 40_000 + "1",
        "x = " + "1 + " * 900 + "1",
        "x = " + "f" + "()" * 3000,
        "x = [1]\n" + "x = [x]\n" * 5000,
        "x = [1] \n" + "x = [x, x, x, x]\n" * 40,
        "x = 'ab'\n" + "x = x + x\n" * 60,
        "#" * 300_000,
    ],
    ids=[
        "brackets",
        "signs",
        "huge sum",
        "long sum",
        "calls",
        "levels",
        "doubling list",
        "doubling string",
        "size",
    ],
)
def test_absurd_files_end_in_one_message(tmp_path: Path, text: str) -> None:
    assert "\n" not in failure(write(tmp_path, text))


def test_files_that_are_not_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_bytes("# 冒烟".encode("gbk"))
    assert "UTF-8" in failure(path)
    assert str(tmp_path) in failure(tmp_path)


@FUZZ
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_settings_or_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.py"
    path.write_bytes(content)
    try:
        assert isinstance(read(path), dict)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017 - most inputs are errors, a few are not


_TOKENS = (
    "x y seed _base_ _delete_ dict( ( ) [ ] { } , : = == . ** * / // + - 1 0 -2 1e9 9**9 'a' 'b.py' f'{x}' "
    "True None lambda import for in if else not and \\ # @ %"
)
_PIECES = _TOKENS.split()


@FUZZ
@given(pieces=st.lists(st.sampled_from([*_PIECES, "\n", "\n", "\n    "]), max_size=40))
def test_any_soup_of_tokens_is_settings_or_one_error(tmp_path: Path, pieces: list[str]) -> None:
    path = write(tmp_path, " ".join(pieces))
    try:
        assert isinstance(read(path), dict)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017


_SCHEDULE = (PRESETS_DIR / "_base_/schedules/schedule_200k.py").read_text(encoding="utf-8")


@FUZZ
@given(
    cut=st.integers(0, len(_SCHEDULE)),
    length=st.integers(0, 30),
    insertion=st.sampled_from([*_PIECES, "", "\n", "\0", "'", '"""']),
)
def test_a_damaged_preset_is_settings_or_one_error(
    tmp_path: Path, cut: int, length: int, insertion: str
) -> None:
    path = write(tmp_path, _SCHEDULE[:cut] + insertion + _SCHEDULE[cut + length :])
    try:
        assert isinstance(read(path), dict)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017


_ATOMS = st.integers(-999, 999) | st.floats(-1e6, 1e6, allow_nan=False)


def _binary(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "**"])
    return st.builds("({} {} {})".format, parts, operators, parts) | parts.map("-{}".format)


_SUMS = st.recursive(_ATOMS.map(repr), _binary, max_leaves=6)


@given(source=_SUMS)
def test_arithmetic_agrees_with_python_wherever_it_answers(source: str) -> None:
    try:
        answer = plain(parse_literal(source, Origin("test")))
    except UsageError:
        return
    expected = eval(compile(ast.parse(source, mode="eval"), "test", "eval"))
    assert type(answer) is type(expected)
    assert answer == expected


_DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text().filter(lambda key: key != "_delete_"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=_DATA)
def test_every_literal_comes_back_as_it_was_written(value: object) -> None:
    assert plain(parse_literal(repr(value), Origin("test"))) == value


_TREES = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner).flatmap(
        lambda tree: st.sampled_from([tree, {**tree, "_delete_": True}, {**tree, "_delete_": False}])
    ),
    max_leaves=8,
)


def _laid_over(below: object, above: object) -> object:
    if not isinstance(above, dict):
        return above
    keep = isinstance(below, dict) and not above.get("_delete_")
    result = dict(below) if keep else {}  # type: ignore[call-overload]
    for key, value in above.items():
        if key != "_delete_":
            result[key] = _laid_over(result.get(key), value)
    return result


@FUZZ
@given(trees=st.lists(_TREES, min_size=1, max_size=4))
def test_files_are_laid_over_their_bases_in_order(tmp_path: Path, trees: list[object]) -> None:
    names = []
    for number, tree in enumerate(trees):
        names.append(f"base{number}.py")
        write(tmp_path, f"x = {tree!r}\n", names[-1])
    expected: object = None
    for tree in trees:
        expected = _laid_over(expected, tree)
    assert read(write(tmp_path, f"_base_ = {names!r}\n")) == {"x": expected}
