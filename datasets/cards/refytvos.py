"""The card of Refer-YouTube-VOS."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="refytvos",
    title="Refer-YouTube-VOS",
    summary="3,978 videos of YouTube-VOS with 15,009 sentences, labelled every fifth frame.",
    source=(
        "https://youtube-vos.org/dataset/rvos/",
        "https://github.com/skynbe/Refer-Youtube-VOS (validation labels posted on 10 March 2026)",
    ),
    licence="as YouTube-VOS: annotations CC BY 4.0, the data for non-commercial research only",
    citation="Seo, Lee, Han: URVOS: Unified Referring Video Object Segmentation Network with a Large-Scale Benchmark, "
    "ECCV 2020",
    version="2021",
    tree="""{root}/
  meta_expressions/{split}/meta_expressions.json
  {split}/JPEGImages/<video>/<frame>.jpg       (test: else valid/JPEGImages)
  {split}/Annotations/<video>/<frame>.png      (train; valid where the posted labels are there)
  meta_expressions/test/meta_expressions.json  (for valid: which of its 507 videos are the test split's)""",
    splits={
        "train": Split(3471, 12913),
        "valid": Split(202, 834, None, 5486, labels="optional", note="the 202 of 507 listed videos"),
        "test": Split(305, 1262, labels="hidden", note="counts by subtraction: 507 - 202 and 2,096 - 834"),
    },
    default_split="valid",
    protocols=("refytvos/per_expression",),
    traps=(
        "The validation file lists 507 videos with 2,096 sentences; 202 with 834 are validation. Without the test "
        "file they are told by a list of ids in this package.",
        "Expression id is not object id: the truth is png == obj_id, and validation metadata without obj_id hides it.",
        "Label maps are palette PNGs whose indices are object ids; read as grey they become luminance.",
        "valid/Annotations of YouTube-VOS holds first frames only; it is not the truth of this dataset.",
        "The evaluation server is closed, and how it averaged was not published; local scores are means over "
        "expressions.",
        "Posted labels may also lie as <video>/<expression>/<frame>.png with 0 and 255; both forms are read.",
    ),
    aliases={"val": "valid"},
)
