"""The card of RefShapes."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="refshapes",
    title="RefShapes",
    summary="Procedural videos of moving shapes with exact masks, drawn as they are read: for tests, for CI without "
    "data, and for finding out what a method does not understand. Described in docs/refshapes.md.",
    source=("part of this package",),
    licence="that of this package",
    citation="none; name the package and the version of RefShapes",
    version="2",
    tree="",
    splits={
        "val": Split(48, 240, labels="public"),
        "test": Split(96),
        "no_target": Split(16, note="sentences that nothing fits"),
        "image_val": Split(200, protocols=("ris/per_sentence",), note="single frames"),
        "image_test": Split(400, protocols=("ris/per_sentence",), note="single frames"),
    },
    default_split="val",
    protocols=("refshapes/per_expression",),
    traps=(
        "Scores here say what a method understands of shapes; they do not foretell scores on real videos.",
        "In no_target an empty answer is the right one, and `empty` scores 100.",
    ),
)
