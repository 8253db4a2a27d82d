"""Cards of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO.

References and images are counted by TensorFlow Datasets' ``ref_coco`` page, sentences by REFER's demo (142,210 in
RefCOCO) and by papers that print them a split; each dataset's splits add up to its total.
"""

from __future__ import annotations

from refseg.bench.cards import Card, Split

GOOGLE = "google_"
"""How the names of Google's splits begin where a dataset has others too."""

_TREE = """{root}/
  %s/instances.json
  %s/%s
  images/mscoco/images/train2014/COCO_train2014_<image>.jpg
      (or images/train2014, train2014, coco/train2014; or --set dataset.images=DIR)"""

_OPTIONS = {
    "split_by": "who made the split; the names with google_ say the same, e.g. --split google_val",
    "text": "sent: REFER's cleaned, lower-case sentence (the default); raw: as it was typed",
    "images": "the folder train2014 where it lies elsewhere",
}

_LICENCE = (
    "no terms are stated for the sentences (the REFER code is Apache-2.0); COCO's annotations are CC BY 4.0, its "
    "images under their Flickr owners' terms"
)

_SOURCE = (
    "https://github.com/lichengunc/refer (annotations)",
    "https://cocodataset.org/#download (2014 train images)",
)

_TRAPS = (
    "Every sentence is scored, not one of each reference.",
    "A reference's own file_name ends in a number of its annotation; the image is the one that instances.json names.",
    "Pictures that are grey are read as RGB with three equal channels, as every repository does.",
    "REFER's mask is the sum of an object's polygons; LAVT keeps where it is 1 and so loses what two polygons share. "
    "Here it is their union.",
    "pycocotools takes every polygon for a box where the first one has four numbers; polygons of fewer than three "
    "points are left out here.",
    "The pickle is from Python 2: its strings are latin-1. It is read by a reader of plain data, never by pickle.load.",
    "All images, those of the test splits too, are of COCO's train2014: a detector trained on it has seen them.",
)

_YU = "Yu, Poirson, Yang, Berg and Berg: Modeling Context in Referring Expressions, ECCV 2016"
_KAZEMZADEH = "Kazemzadeh, Ordonez, Matten and Berg: ReferItGame, EMNLP 2014"


def _tree(name: str, refs: str = "refs(<splitBy>).p") -> str:
    return _TREE % (name, name, refs)


def _card(
    name: str,
    title: str,
    summary: str,
    citation: str,
    splits: dict[str, Split],
    *traps: str,
    options: bool = True,
) -> Card:
    return Card(
        name=name,
        title=title,
        summary=summary,
        source=_SOURCE,
        licence=_LICENCE,
        citation=citation,
        version="2016",
        tree=_tree(name),
        splits=splits,
        default_split="val",
        protocols=("ris/per_sentence",),
        traps=(*traps, *_TRAPS),
        aliases={"validation": "val"} | ({"testa": "testA", "testb": "testB"} if "testA" in splits else {}),
        options=_OPTIONS if options else {k: v for k, v in _OPTIONS.items() if k != "split_by"},
        unit="images",
    )


_PEOPLE = "testA shows people, testB anything else"
_SAME_IMAGES = "its images are partly train's: objects were split, not images"

REFCOCO = _card(
    "refcoco",
    "RefCOCO",
    "Short sentences about objects in COCO images, collected in a two-player game.",
    f"{_YU}; {_KAZEMZADEH}",
    {
        "train": Split(16994, 120624, 42404, 16994),
        "val": Split(1500, 10834, 3811, 1500),
        "testA": Split(750, 5657, 1975, 750, note=_PEOPLE),
        "testB": Split(750, 5095, 1810, 750, note=_PEOPLE),
        f"{GOOGLE}train": Split(19213, None, 40000, 19213),
        f"{GOOGLE}val": Split(4559, None, 5000, 4559, note=_SAME_IMAGES),
        f"{GOOGLE}test": Split(4527, None, 5000, 4527, note=_SAME_IMAGES),
    },
    "The paper writes 142,209 sentences, the file holds 142,210.",
)

REFCOCO_PLUS = _card(
    "refcoco+",
    "RefCOCO+",
    "As RefCOCO, but players were not allowed to say where an object is.",
    f"{_YU}; {_KAZEMZADEH}",
    {
        "train": Split(16992, 120191, 42278, 16992),
        "val": Split(1500, 10758, 3805, 1500),
        "testA": Split(750, 5726, 1975, 750, note=_PEOPLE),
        "testB": Split(750, 4889, 1798, 750, note=_PEOPLE),
    },
    options=False,
)

REFCOCOG = _card(
    "refcocog",
    "RefCOCOg (G-Ref)",
    "Longer sentences about objects in COCO images, collected outside a game.",
    "Mao, Huang, Toshev, Camburu, Yuille and Murphy: Generation and Comprehension of Unambiguous Object "
    "Descriptions, CVPR 2016; the umd split: Nagaraja, Morariu and Davis, ECCV 2016",
    {
        "train": Split(21899, 80512, 42226, 21899),
        "val": Split(1300, 4896, 2573, 1300),
        "test": Split(2600, 9602, 5023, 2600),
        f"{GOOGLE}train": Split(24698, 85474, 44822, 24698),
        f"{GOOGLE}val": Split(
            4650, 9536, 5000, 4650, note=f"val*, Google's test set is not public; {_SAME_IMAGES}"
        ),
    },
    "umd (val, test) and google (google_val) are different splits of the same sentences; papers mix them up. Tables "
    "of G-Ref with a test column mean umd.",
    "The paper counts 104,560 sentences; the public files, without Google's test set, hold 95,010.",
)

GREFCOCO = Card(
    name="grefcoco",
    title="gRefCOCO",
    summary="Sentences about none, one or several objects in RefCOCO's images (GRES).",
    source=(
        "https://github.com/henghuiding/gRefCOCO (annotations)",
        "https://cocodataset.org/#download (2014 train images)",
    ),
    licence=(
        "no terms are stated in its repository; COCO's annotations are CC BY 4.0, its images under their Flickr "
        "owners' terms"
    ),
    citation="Liu, Ding and Jiang: GRES: Generalized Referring Expression Segmentation, CVPR 2023",
    version="2023",
    tree=_tree("grefcoco", "grefs(unc).json (or .p)"),
    splits={name: Split() for name in ("train", "val", "testA", "testB")},
    default_split="val",
    protocols=("grefcoco/per_sentence",),
    traps=(
        "A sentence without a target has ann_id [-1]; its truth is empty, and an empty answer is the right one.",
        "The paper counts 278,232 sentences; the published file holds 259,859, the rest is kept back. No counts a "
        "split are published, so a copy's cannot be checked.",
        "Annotations that COCO marks as crowds are left out beside others, as the official reader does.",
        *_TRAPS[2:],
    ),
    aliases={"validation": "val", "testa": "testA", "testb": "testB"},
    options={k: v for k, v in _OPTIONS.items() if k != "split_by"},
    unit="images",
)

CARDS = {card.name: card for card in (REFCOCO, REFCOCO_PLUS, REFCOCOG, GREFCOCO)}
