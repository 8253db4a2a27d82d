"""The card of Ref-DAVIS17."""

from refseg.bench.cards import Card, Split

CARD = Card(
    name="refdavis17",
    title="Ref-DAVIS17",
    summary="DAVIS-2017's videos with four sentences an object: two annotators, each once after seeing the first "
    "frame and once after seeing the whole video.",
    source=(
        "https://davischallenge.org/davis2017/code.html (DAVIS-2017-Unsupervised-trainval-480p)",
        "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
        "video-segmentation/video-object-segmentation-with-language-referring-expressions (sentences)",
    ),
    licence="see DAVIS's and the sentences' pages; both are offered for research",
    citation="Khoreva, Rohrbach, Schiele: Video Object Segmentation with Language Referring Expressions, ACCV 2018; "
    "Pont-Tuset et al.: The 2017 DAVIS Challenge on Video Object Segmentation, arXiv 1704.00675",
    version="17",
    tree="""as its authors publish it
{root}/
  davis_text_annotations/Davis17_annot1.txt, Davis17_annot1_full_video.txt   (or beside DAVIS)
  davis_text_annotations/Davis17_annot2.txt, Davis17_annot2_full_video.txt
  DAVIS/ImageSets/2017/train.txt, val.txt                  (or ImageSets/, JPEGImages/, … in the root)
  DAVIS/JPEGImages/480p/<video>/<frame>.jpg
  DAVIS/Annotations_unsupervised/480p/<video>/<frame>.png  (else Annotations/480p, another version)
or in Refer-YouTube-VOS's layout, as ReferFormer's tools/data/convert_davis_to_ytvos.py writes it
{root}/
  meta_expressions/{split}/meta_expressions.json
  {split}/JPEGImages/<video>/<frame>.jpg
  {split}/Annotations/<video>/<frame>.png""",
    splits={
        "train": Split(60, labels="public"),
        "valid": Split(30, 244, 61, 1999),
    },
    default_split="valid",
    protocols=("refdavis/published", "refdavis/per_expression"),
    traps=(
        "Label maps are palette PNGs whose indices are object ids; read as grey they become luminance (38, 75, 113 …).",
        "Expression id is not object id: id = object index * 4 + annotator's slot, and objects are indexed in the "
        'order of their ids as strings ("10" before "2").',
        'Frames and expressions are ordered by number: "2" before "10".',
        "The second annotator's text files are Latin-1, the first's UTF-8; clasic-car, dog-scale and motor-bike are "
        "DAVIS's classic-car, dogs-scale and motorbike.",
        "An object may be absent in frame 0, and the official evaluator counts objects there.",
        "The published protocol matches predicted objects to true ones, so swapped referents cost nothing.",
        "Annotations (semi-supervised) and Annotations_unsupervised differ: only the latter has void pixels (255).",
    ),
    aliases={"val": "valid"},
)
