"""Metadata of almost the right form."""

import pytest

METADATA = "in/meta_expressions/valid/meta_expressions.json"


def one(meta):
    return meta["videos"]["one"]


def said(meta):
    return one(meta)["expressions"]["0"]


CASES = {
    "videos is a list": lambda m: m.update(videos=[m["videos"]]),
    "videos is a string": lambda m: m.update(videos="one"),
    "videos is null": lambda m: m.update(videos=None),
    "videos is empty": lambda m: m.update(videos={}),
    "videos is missing": lambda m: {"video": m["videos"]},
    "a video is null": lambda m: m["videos"].update(one=None),
    "a video is a list": lambda m: m["videos"].update(one=[1]),
    "a video is a string": lambda m: m["videos"].update(one="00000"),
    "expressions is null": lambda m: one(m).update(expressions=None),
    "expressions is a list": lambda m: one(m).update(expressions=[{"exp": "x", "obj_id": "1"}]),
    "expressions is a string": lambda m: one(m).update(expressions="the bright block"),
    "expressions is missing": lambda m: one(m).pop("expressions") and None,
    "an expression is null": lambda m: one(m)["expressions"].update({"0": None}),
    "an expression is a string": lambda m: one(m)["expressions"].update({"0": "the bright block"}),
    "an expression is a list": lambda m: one(m)["expressions"].update({"0": ["the bright block"]}),
    "the sentence is missing": lambda m: said(m).pop("exp") and None,
    "the sentence is null": lambda m: said(m).update(exp=None),
    "the sentence is a number": lambda m: said(m).update(exp=7),
    "the sentence is a list": lambda m: said(m).update(exp=["the", "bright", "block"]),
    "the sentence holds half a character": lambda m: said(m).update(exp="the bright \ud800 block"),
    "the sentence is an object": lambda m: said(m).update(exp={"en": "the bright block"}),
    "frames is a string": lambda m: one(m).update(frames="00000"),
    "frames is an object": lambda m: one(m).update(frames={"00000": 1}),
    "frames is a number": lambda m: one(m).update(frames=2),
    "frames is empty": lambda m: one(m).update(frames=[]),
    "frames is a list of numbers": lambda m: one(m).update(frames=[0, 1]),
    "frames is a list of lists": lambda m: one(m).update(frames=[["00000"], ["00001"]]),
    "a frame is null": lambda m: one(m).update(frames=["00000", None]),
    "a frame is listed twice": lambda m: one(m).update(frames=["00000", "00000"]),
    "frames that are not there": lambda m: one(m).update(frames=["00007", "00008"]),
    "frames with their suffix": lambda m: one(m).update(frames=["00000.jpg", "00001.jpg"]),
    "a million frames that are not there": lambda m: one(m).update(frames=[str(i) for i in range(200_000)]),
    "the object is 0": lambda m: said(m).update(obj_id="0"),
    "the object is negative": lambda m: said(m).update(obj_id=-1),
    "the object is 255": lambda m: said(m).update(obj_id=255),
    "the object is 256": lambda m: said(m).update(obj_id="256"),
    "the object is huge": lambda m: said(m).update(obj_id=10**40),
    "the object is a fraction": lambda m: said(m).update(obj_id=1.5),
    "the object is true": lambda m: said(m).update(obj_id=True),
    "the object is null": lambda m: said(m).update(obj_id=None),
    "the object is a list": lambda m: said(m).update(obj_id=["1"]),
    "the object is an object": lambda m: said(m).update(obj_id={"id": 1}),
    "the object is empty": lambda m: said(m).update(obj_id=""),
    "the object is a word": lambda m: said(m).update(obj_id="one"),
    "the object is in other digits": lambda m: said(m).update(obj_id="１"),
    "the object has a blank": lambda m: said(m).update(obj_id=" 1"),
    "the object is nowhere": lambda m: said(m).update(obj_id="9"),
}

WORDS = ["the", "bright", "block", "that", "moves", "to", "the", "right", "before", "it", "stops"]
SENTENCES = {
    "no word": "",
    "blanks": " \t\n ",
    "10,000 words": " ".join(WORDS[i % len(WORDS)] for i in range(10_000)),
    "a word of 100,000 letters": "x" * 100_000,
    "control characters": "".join(map(chr, range(32))) + "\x7f\x9b",
    "an escape sequence": "\x1b[2J\x1b[31mthe bright block",
    "a zero byte": "the\0bright\0block",
    "right to left": "\u202ekcolb thgirb eht",
    "combining marks": "t" + "\u0301" * 5000,
    "emoji": "👩‍🚀🏳️‍🌈" * 50,
    "Chinese": "明亮的方块" * 20,
    "markup": "<img src=x onerror=alert(1)>{{7*7}}</script><script>",
    "a template": "{% for x in range(10**9) %}x{% endfor %}",
    "a format string": "%s%n{0.__class__}",
}


@pytest.mark.parametrize("name", CASES)
def test_metadata(scene, run_reader, name):
    dataset = scene.videos()
    scene.change(METADATA, CASES[name])
    run_reader(dataset)


@pytest.mark.parametrize("name", SENTENCES)
def test_any_sentence_is_answered(scene, run_reader, name):
    dataset = scene.videos()
    scene.change(METADATA, lambda m: said(m).update(exp=SENTENCES[name]))
    run_reader(dataset, codes=(0,))


@pytest.fixture
def all_sentences(scene):
    dataset = scene.videos()
    expressions = {str(i): {"exp": text, "obj_id": "1"} for i, text in enumerate(SENTENCES.values())}
    scene.change(METADATA, lambda m: one(m).update(expressions=expressions))
    return dataset


def test_a_page_shows_any_sentence(all_sentences, judged):
    done = judged("run", "--method", "reader", *all_sentences, "--out", "out", "--jobs", "1", codes=(0,))
    assert "the page was not written" not in done.err


def test_a_network_answers_any_sentence(all_sentences, bench):
    done = bench("run", "--method", "refsam_tiny", *all_sentences, "--no-page", "--out", "out", "--json", "-")
    assert done.code == 0 and len(done.json["items"]) == len(SENTENCES) + 1
