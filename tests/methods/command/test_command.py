"""A program answers through its folder; what goes wrong in it is told in its own words, and nothing is left behind."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from refseg.bench.conformance import check_method
from refseg.bench.errors import InputError
from refseg.bench.layouts.png import MaskFault
from refseg.bench.predict import checked
from refseg.bench.types import MethodRequest
from refseg.methods.command.program import ProgramError


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path, monkeypatch):
    """Work folders are made where a test can look for what is left of them."""
    (tmp_path / "work").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)


def answers(method, video):
    return [*checked(method, video, video.expressions)]


def test_program_s_masks_are_the_answer(program, build, video, tmp_path):
    found = answers(build(program()), video)
    for t, p in enumerate(found):
        frame = video.read(t)[..., 0]
        assert np.array_equal(p.masks, [frame > 100, frame < 50]) and (p.scores == 1).all()
        assert np.array_equal(p.probabilities, p.masks)
    seconds = found[0].extras[0]["program_seconds"]
    assert seconds > 0 and found[1].extras is None
    assert not [*(tmp_path / "work").iterdir()] and not (tmp_path / "pwned").exists()


def test_program_gets_what_it_is_told_it_gets(program, build, video, tmp_path):
    body = """
assert sys.argv[1:-1] == ["--size", "two words", "$HOME", "*"], sys.argv
assert sorted(p.name for p in work.iterdir()) == ["frames", "masks", "request.json"]
for expression in request["expressions"]:
    for frame in request["frames"]:
        write(expression, frame, answer(expression, frame))
(work / "scores.json").write_text(json.dumps({"0": [0.1, 0.2, 0.3], "1": [1, 2, 3]}))
"""
    method = build(
        program(body, "--size", "'two words'", "$HOME", "*"), device="cuda:1", keep=tmp_path / "kept"
    )
    found = answers(method, video)
    assert np.allclose([p.scores for p in found], [[0.1, 1], [0.2, 2], [0.3, 3]])
    (kept,) = (tmp_path / "kept").iterdir()
    request = json.loads((kept / "request.json").read_text())
    assert request == {
        "format": 1,
        "video": "set/video 1",
        "size": [20, 30],
        "device": "cuda:1",
        "dtype": "float32",
        "frames": ["00000", "00001", "00002"],
        "expressions": [
            {"id": e.id, "folder": str(k), "text": e.text} for k, e in enumerate(video.expressions)
        ],
    }
    assert len([*kept.rglob("*.png")]) == 3 + 6


def test_folder_is_put_where_it_is_asked_for(program, build, video):
    body = "for e in request['expressions']:\n    for f in request['frames']:\n        write(e, f, answer(e, f))\n"
    text = program(body, "{work}/request.json", "{work}")
    assert len(answers(build(text), video)) == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "print('loading'); sys.exit('weights.pt is not there')",
            r"ended with code 1; .*weights.pt is not there",
        ),
        ("raise KeyError('text')", r"ended with code 1; .*KeyError: 'text'"),
        ("os.abort()", r"was ended by SIGABRT; it said nothing"),
        ("", r"left no masks/0/00000.png .*; 0 of 3 masks of this sentence are there"),
        ("write(request['expressions'][0], '00000', np.zeros((20, 30)))", r"left no masks/1/00000.png"),
        ("print('x' * 9000, file=sys.stderr); sys.exit(2)", r"ended with code 2; it said last:\nx{2000}$"),
    ],
)
def test_program_that_fails_is_told_in_its_words(program, build, video, body, said, tmp_path):
    with pytest.raises(ProgramError, match=f"(?s){said}"):
        answers(build(program(body)), video)
    assert not [*(tmp_path / "work").iterdir()]


ALL = "for e in request['expressions']:\n    for f in request['frames']:\n        write(e, f, answer(e, f))\n"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ("[1, 2]", "scores.json is not"),
        ("{", "scores.json is not"),
        ('{"0": [1, 2, 3]}', "scores.json is not"),
        ('{"0": [1, 2, 3], "1": [1, 2]}', "must hold 3 finite numbers"),
        ('{"0": [1, 2, 3], "1": [1, 2, NaN]}', "must hold 3 finite numbers"),
    ],
)
def test_wrong_scores_are_refused(program, build, video, scores, said):
    with pytest.raises(ProgramError, match=said):
        answers(build(program(f"{ALL}(work / 'scores.json').write_text({scores!r})")), video)


@pytest.mark.parametrize(
    ("mask", "said"),
    [("np.zeros((30, 20))", "20x30|30x20"), ("answer(expression, frame) * 0.5", "values 0, 127|127")],
)
def test_masks_that_are_none_are_refused(program, build, video, mask, said):
    body = "for expression in request['expressions']:\n    for frame in request['frames']:\n"
    body += f"        Image.fromarray(({mask} * 255).astype(np.uint8)).save("
    body += "work / 'masks' / expression['folder'] / f'{frame}.png')\n"
    with pytest.raises(MaskFault, match=said):
        answers(build(program(body)), video)


def test_program_that_takes_too_long_is_ended_with_all_that_it_started(build, video, tmp_path):
    script = tmp_path / "slow.sh"
    script.write_text("sleep 600 & echo $! > child\necho still loading\nsleep 600\n")
    start = time.monotonic()
    with pytest.raises(ProgramError, match=r"(?s)did not end within 4 s .*still loading"):
        answers(build(f"sh {script}", time_limit=4), video)
    assert time.monotonic() - start < 300
    state = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    # Its parent is gone too, so nobody may have collected it yet.
    assert not state.exists() or state.read_text().rpartition(") ")[2].startswith("Z")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Method command runs a program"),
        ({"run": "no-such-program --x"}, "The program no-such-program .* is not there"),
        ({"run": "python 'x"}, "cannot be split into words"),
        ({"run": " "}, "names no program"),
        ({"run": "true", "time_limit": "0"}, "must be more than 0 seconds"),
        ({"run": "true", "rn": "x"}, "Unknown option of method command 'rn'"),
    ],
)
def test_wrong_calls_are_refused(options, said):
    from refseg.bench import registry

    with pytest.raises(InputError, match=said):
        registry.build_method(MethodRequest("command", options))


def test_content_of_scripts_and_weights_is_part_of_the_key(program, build, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"1")
    run = program(ALL, f"--weights={tmp_path / 'w.pt'}")
    one = build(run).info
    assert {"program with space.py", "w.pt"} <= one.weights.keys()
    assert str(tmp_path) not in json.dumps(one.config)
    (tmp_path / "w.pt").write_bytes(b"2")
    two = build(run).info
    assert one.weights != two.weights and one.config == two.config
    assert build(run, revision="2").info.revision != two.revision


def test_it_keeps_the_interface(program):
    body = ALL.replace("answer(e, f)", "answer({'text': 'bright'}, f)")
    skip = ("repeat", "videos", "expressions", "online", "images", "memory")
    report = check_method(MethodRequest("command", {"run": program(body)}), skip=skip)
    assert report.passed, report
