"""Broken JSON wherever the command line reads some: each place with each text is a case."""

import gzip
from itertools import product

import pytest

TEXTS = {
    "empty": b"",
    "blank": b" \n\n",
    "cut short": b'{"videos": {"one": {"expre',
    "zero bytes": b"\0" * 64,
    "a number": b"3",
    "a string": b'"videos"',
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a list of lists": b"[[[]]]",
    "NaN": b'{"videos": NaN}',
    "a number of 9,000 digits": b'{"videos": ' + b"9" * 9000 + b"}",
    "nested 200,000 deep": b"[" * 200_000,
    "objects nested 200,000 deep": b'{"a":' * 200_000,
    "UTF-16": '{"videos": {}}'.encode("utf-16"),
    "a byte that is no UTF-8": b'{"videos\xff": {}}',
    "single quotes": b"{'videos': {}}",
    "a comment": b'{"videos": {} /* none */}',
    "two documents": b"{}{}",
    "a control character in a string": b'{"vid\x07eos": {}}',
    "an escape sequence": b'{"\\u001b[2J\\u001b[31mvideos": {}}',
    "a lone surrogate": b'{"videos": {"\\ud800": 3}}',
    "compressed": gzip.compress(b'{"videos": {}}', mtime=0),
    "HTML": b"<!DOCTYPE html><html><title>404</title></html>",
}


def metadata(scene):
    return "in/meta_expressions/valid/meta_expressions.json", scene.videos()


def mevis_metadata(scene):
    return "in/valid_u/meta_expressions.json", scene.mevis()


def mask_dict(scene):
    return "in/valid_u/mask_dict.json", scene.mevis()


def instances(scene):
    return "in/refcoco/instances.json", scene.refer()


def references(scene):
    return "in/grefcoco/grefs(unc).json", scene.refer("grefcoco")


DATASETS = (metadata, mevis_metadata, mask_dict, instances, references)
RUN_FILES = ("run.json", "result.json", "predictions/one/0.json")
CASES = {
    **{f"{place.__name__}: {text}": (place, text) for place, text in product(DATASETS, TEXTS)},
    **{f"{name}: {text}": (name, text) for name, text in product(("config.json", *RUN_FILES), TEXTS)},
}
OF_DATASETS = {k: v for k, v in CASES.items() if v[0] in DATASETS}
OF_RUNS = {k: v for k, v in CASES.items() if v[0] in RUN_FILES}
OF_CONFIG = {k: v for k, v in CASES.items() if v[0] == "config.json"}


@pytest.mark.parametrize("name", OF_DATASETS)
def test_dataset(scene, run_reader, name):
    place, text = CASES[name]
    file, dataset = place(scene)
    scene.path(file).write_bytes(TEXTS[text])
    run_reader(dataset)


@pytest.mark.parametrize("name", OF_CONFIG)
def test_configuration(scene, run_reader, name):
    _, text = CASES[name]
    dataset = scene.videos()
    scene.path("config.json").write_bytes(TEXTS[text])
    # An object without datasets is a configuration, and that of nobody's wishes is the default one.
    run_reader(dataset, codes=(2, 0))


@pytest.fixture
def a_run(scene, bench):
    """A sound run, moved to where it is input."""
    dataset = scene.videos()
    done = bench("run", "--method", "reader", *dataset, "--no-page", "--out", "made", "--jobs", "1")
    assert done.code == 0, done.err
    return dataset


@pytest.mark.parametrize("name", OF_RUNS)
def test_run(scene, judged, score, a_run, name):
    file, text = CASES[name]
    scene.path(f"made/{file}").write_bytes(TEXTS[text])
    if file != "result.json":
        score("made", a_run)
    if file != "predictions/one/0.json":
        judged("view", "made")
    if file == "result.json":
        judged("compare", "made", "made")
    judged("report", "--runs", "made", codes=(0,))
    if file != "result.json":
        judged("export", "made", "--layout", "ytvos", "--out", "out")
