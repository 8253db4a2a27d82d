"""Cards of A2D-Sentences and JHMDB-Sentences, which share their authors, their metrics and their way of labelling."""

from refseg.bench.cards import Card, Split

_PAPER = "Gavrilyuk, Ghodrati, Li and Snoek: Actor and Action Video Segmentation from a Sentence, CVPR 2018"
_SITE = "https://kgavrilyuk.github.io/publication/actor_action/ (sentences and masks)"
_FRAMES = (
    "labelled: a method is shown the labelled frames only (the default); all: every frame up to the last labelled one, "
    "for methods that use motion"
)
_COUNTS = (
    "Only labelled frames count, each alone: elsewhere the truth is void in whole. What a method sees beside them is a "
    "choice of each repository (windows of 5 to 10 frames are usual); here it is --set dataset.frames, and part of the "
    "result's key."
)
_STRICT = "P@K is strict (IoU > K) here, and not strict (>=) in the RIS tables."

A2D = Card(
    name="a2d",
    title="A2D-Sentences",
    summary="Sentences about the actors in 3,782 short YouTube clips, with masks in three to five frames a clip.",
    source=("https://web.eecs.umich.edu/~jjcorso/r/a2d/ (clips and videoset.csv)", _SITE),
    licence="none is stated on the sites; the clips are YouTube's",
    citation=f"{_PAPER}; Xu, Hsieh, Xiong and Corso: Can Humans Fly?, CVPR 2015",
    version="2018",
    tree="""{root}/
  Release/videoset.csv
  Release/clips320H/<video>.mp4                     (or Release/CLIPS320)
  text_annotations/a2d_annotation.txt               video_id,instance_id,sentence
  text_annotations/a2d_missed_videos.txt
  text_annotations/a2d_annotation_with_instances/<video>/<frame>.h5""",
    splits={
        "train": Split(note="subset 0 of videoset.csv"),
        "test": Split(note="subset 1 of videoset.csv"),
    },
    default_split="test",
    protocols=("a2d",),
    traps=(
        _COUNTS,
        "No counts a split are published; the files have 3,782 clips and 6,655 sentences (the rows that MTTR's reader "
        "asserts), and a check compares those.",
        "Masks are stored as MATLAB writes them: (instances, width, height), without the first axis where there is one "
        "instance. Read as they stand they are mirrored along the diagonal.",
        "Frames are numbered from 1: 00030.h5 is the mask of the thirtieth frame.",
        "A sentence does not count in frames whose file does not hold its instance.",
        'One sentence has the instance "1 (copy)"; every reader leaves it out.',
        "Seeking in the clips may land beside the frame, so frames are decoded in order from the start.",
        _STRICT,
    ),
    options={"frames": _FRAMES},
)

JHMDB = Card(
    name="jhmdb",
    title="JHMDB-Sentences",
    summary="One sentence about the actor of each of J-HMDB's 928 clips; three frames a clip are scored. For testing "
    "only: methods are trained on A2D-Sentences.",
    source=(
        "http://jhmdb.is.tue.mpg.de (Rename_Images and puppet_mask)",
        _SITE,
        "https://github.com/mttr2021/MTTR, datasets/jhmdb_sentences (jhmdb_sentences_samples_metadata.json)",
    ),
    licence="none is stated for J-HMDB's masks and for the sentences; HMDB51, whose clips they are of: CC BY 4.0; "
    "MTTR's list: Apache-2.0",
    citation=f"{_PAPER}; Jhuang, Gall, Zuffi, Schmid and Black: Towards Understanding Action Recognition, ICCV 2013",
    version="2018",
    tree="""{root}/
  jhmdb_annotation.txt                              video_id,sentence
  jhmdb_sentences_samples_metadata.json             MTTR's list of the frames that are scored
  Rename_Images/<action>/<video>/<frame>.png
  puppet_mask/<action>/<video>/puppet_mask.mat""",
    splits={"test": Split(928, 928, 928, 2784, note="frames: the three a clip that are scored")},
    default_split="test",
    protocols=("a2d",),
    traps=(
        _COUNTS,
        "Which three frames of a clip are scored is a random choice that MTTR made once and published; ReferFormer and "
        "later ones use the same list. Another choice gives other numbers.",
        "Masks are MATLAB's (height, width, frames), and may end some frames before the images do.",
        "Frames are numbered from 1.",
        _STRICT,
    ),
    options={"frames": _FRAMES},
)
