"""The card of MeViS."""

from refseg.bench.cards import Card, Split

VERSION_1 = {
    "train": Split(1662, 23051),
    "valid_u": Split(50, 793),
    "valid": Split(140, 2236, labels="hidden"),
}
"""Splits of version 1 (2023)."""

CARD = Card(
    name="mevis",
    title="MeViS",
    summary="Sentences about motion, to none, one or several objects of 2,006 videos.",
    source=("https://github.com/henghuiding/MeViS", "https://henghuiding.com/MeViS"),
    licence="non-commercial research only",
    citation="Ding, Liu, He, Jiang, Loy: MeViS: A Large-scale Benchmark for Video Segmentation with Motion "
    "Expressions, ICCV 2023 (v1); Ding et al.: MeViS: A Multi-Modal Dataset for Referring Motion Expression Video "
    "Segmentation, TPAMI 2025 (v2)",
    version="2",
    tree="""{root}/
  {split}/meta_expressions.json
  {split}/mask_dict.json                 (train, valid_u)
  {split}/JPEGImages/<video>/<frame>.jpg""",
    splits={
        "train": Split(1662, 27502, note="version 1: 23,051 expressions"),
        "valid_u": Split(50, 907, note="version 1: 793 expressions"),
        "valid": Split(140, 2523, labels="hidden", note="version 1: 2,236 expressions; scored by its server"),
    },
    default_split="valid_u",
    protocols=("mevis/valid_u",),
    traps=(
        "Versions 1 and 2 have the same videos and files and other sentences; results name the version, which follows "
        "from the number of sentences.",
        "Version 2 has sentences that nothing fits: their truth is empty, and an empty answer is right.",
        "Masks are indexed by the position of a frame in the file's list, whatever order that has.",
        "Objects' ids begin at 0; the truth is the union of the annotations anno_id, not of the objects obj_id.",
        "mask_dict.json of train has more than a gigabyte; it is never parsed whole here.",
    ),
    aliases={"val": "valid", "val_u": "valid_u"},
    options={"release": "1, 2 or auto: which version the copy is, where it is a part of one"},
)
