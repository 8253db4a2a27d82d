"""The card of data of one's own."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="folder",
    title="Your own folder",
    summary="Any data in Refer-YouTube-VOS's layout, with any names of splits, videos and frames.",
    source=("yours",),
    licence="yours",
    citation="yours",
    version="1",
    tree="""{root}/
  meta_expressions/{split}/meta_expressions.json   {"videos": {<video>: {"expressions": {<id>: {"exp": "a dog",
                                                    "obj_id": "1"}}, "frames": [<frame>, …]}}}
  {split}/JPEGImages/<video>/<frame>.jpg           (or .png)
  {split}/Annotations/<video>/<frame>.png          (palette, pixel = object id, 255 = void; may be absent)""",
    splits={"<split>": Split(labels="optional", note="the only split of the folder is the default")},
    default_split="<split>",
    protocols=("refytvos/per_expression",),
    traps=(
        '"frames" may be left out: then the images in the folder are the video, in the order of their numbers.',
        "Without obj_id or without Annotations the labels are hidden, and predictions are made but not scored.",
        "Label maps are palette PNGs whose indices are object ids; a 0/255 mask is refused.",
        "Images of a video must be of one size, and label maps of the same.",
    ),
    options={"version": "what the data is called in results, e.g. birds-2; default: 1"},
)
