"""The card of Ref-DAVIS17."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="refdavis17",
    title="Ref-DAVIS17",
    summary="DAVIS-2017's videos with four sentences an object: two annotators, each once after seeing the first "
    "frame and once after seeing the whole video.",
    source=(
        "https://davischallenge.org/davis2017/code.html (videos and label maps, 480p)",
        "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
        "video-segmentation/video-object-segmentation-with-language-referring-expressions (sentences)",
    ),
    licence="DAVIS-2017: CC BY-NC 4.0 for the annotations, the videos under their authors' terms; the sentences are "
    "offered for research by their authors",
    citation="Khoreva, Rohrbach, Schiele: Video Object Segmentation with Language Referring Expressions, ACCV 2018; "
    "Pont-Tuset et al.: The 2017 DAVIS Challenge on Video Object Segmentation, arXiv 1704.00675",
    version="17",
    tree="""{root}/
  meta_expressions/{split}/meta_expressions.json
  {split}/JPEGImages/<video>/<frame>.jpg
  {split}/Annotations/<video>/<frame>.png""",
    splits={
        "valid": Split(30, 244, 61, 1999),
    },
    default_split="valid",
    protocols=("refdavis/published", "refdavis/per_expression"),
    traps=(
        "Label maps are palette PNGs whose indices are object ids; read as grey they become luminance (38, 75, 113 …).",
        "Expression id is not object id: id = object index * 4 + annotator's slot.",
        'Ids are strings whose order is that of numbers: "10" comes after "2".',
        "An object may be absent in frame 0, and the official evaluator counts objects there.",
        "The published protocol matches predicted objects to true ones, so swapped referents cost nothing.",
    ),
    aliases={"val": "valid"},
)
