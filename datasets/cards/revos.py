"""The card of ReVOS."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="revos",
    title="ReVOS",
    summary="35,074 plain and implicit sentences, which need reasoning, about objects of 1,042 videos.",
    source=("https://github.com/cilinyan/ReVOS-api",),
    licence="CC BY-NC-SA 4.0, non-commercial research only",
    citation="Yan et al.: VISA: Reasoning Video Object Segmentation via Large Language Models, ECCV 2024",
    version="1",
    tree="""{root}/
  meta_expressions_{split}_.json
  mask_dict.json
  mask_dict_foreground.json
  JPEGImages/<video>/<frame>.jpg""",
    splits={
        "train": Split(note="no count by split is stated where it is published"),
        "valid": Split(note="no count by split is stated where it is published"),
    },
    default_split="valid",
    protocols=("revos",),
    traps=(
        "Videos' ids are paths such as UVO/all/2E4T5NCywcE.",
        "Names of the metadata end in an underscore: meta_expressions_valid_.json.",
        "type_id is 0 for referring, 1 for reasoning and 2 for hallucination sentences; the official averages take "
        "the mean of the first two kinds and leave the third out.",
        "Masks of both splits are in one mask_dict.json; robustness needs mask_dict_foreground.json too.",
        "Where annotations of a sentence overlap, the official sum in 8 bits is 2, which no mask equals.",
    ),
    aliases={"val": "valid"},
)
