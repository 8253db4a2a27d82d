"""The card of Long-RVOS."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="longrvos",
    title="Long-RVOS",
    summary="2,193 videos of a minute on average with 24,689 static, dynamic and hybrid sentences about 6,703 objects.",
    source=("https://github.com/iSEE-Laboratory/Long_RVOS", "https://isee-laboratory.github.io/Long-RVOS"),
    licence="Apache-2.0, as the dataset's page states",
    citation="Liang et al.: Long-RVOS: A Comprehensive Benchmark for Long-term Referring Video Object Segmentation, "
    "arXiv 2505.12702",
    version="1",
    tree="""{root}/
  {split}/meta_expressions.json
  {split}/JPEGImages/<video>/<frame>.jpg
  {split}/Annotations/<video>/<object>/<frame>.png   (train, valid)""",
    splits={
        "train": Split(1855),
        "valid": Split(112),
        "test": Split(226, labels="optional"),
    },
    default_split="valid",
    protocols=("longrvos",),
    traps=(
        "A frame without a PNG of an object does not show it; the file is not missing.",
        "Masks hold 0 and 255, one folder an object; they are no label maps.",
        "Objects leave and come back: J and F alone hide it, tIoU and vIoU measure it.",
        "Some sentences may lack their type; they are left out of the break-down.",
    ),
    aliases={"val": "valid"},
)
