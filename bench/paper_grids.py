"""The paper's ablations (IV-D) as grids.

Tables III to V are without adapters: their best row is Table VI's row with neither ITM nor adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from refseg.bench.grids import Grid, Setting, Training

Switches = Mapping[str, str]
Row = tuple[str, str, Switches, Switches]
"""Label, name among the claims, switches, and options of the trainings alone."""

_TINY = "refsam_tiny"
_BASE = "refsam_vit_b"
_ON_IMAGES = (
    "visual_encoder",
    "text",
    "sparse",
    "dense",
    "use_adapter",
    "mlp_layers",
    "lr",
    "decoder_lr",
    "seed",
)
"""What trainings on images take: all but tracking and clips."""

_AS_PAPER: Switches = {"threshold": "0.5", "mask_memory": "false"}
"""What the shipped tiny model has in another way than the paper, as the paper has it."""

_QUICK: Switches = {"warmup": "1", "watch": "1", "processes": "1"}

IMAGES = Training(
    "images",
    "refsam_refshapes",
    {
        "image_steps": "300",
        "align_steps": "120",
        "clip_steps": "0",
        "itm_token": "none",
        "attributes": "0",
        "mask_memory": "false",
        "jaccard": "false",
        "evaluate_every": "150",
        "watch": "4",
        "warmup": "40",
    },
    takes=_ON_IMAGES,
    quick={"image_steps": "2", "align_steps": "0", "images": "4", **_QUICK},
)
CLIPS = Training(
    "refsam",
    "refsam_refshapes",
    {
        "image_steps": "0",
        "clip_steps": "100",
        "clips": "4",
        "clip_frames": "3",
        "tracking": "0.5",
        "attributes": "0",
        "mask_memory": "false",
        "jaccard": "false",
        "given_every": "0",
        "image_every": "0",
        "start": "{images}",
        "warmup": "20",
        "evaluate_every": "50",
        "watch": "4",
    },
    quick={"clip_steps": "2", "clips": "3", **_QUICK},
)
"""RefShapes' two phases, as the paper's: images first, then clips of three frames."""

PRETRAIN = Training("images", "refcoco_pretrain", {"itm_token": "none"}, takes=_ON_IMAGES)
FINETUNE = Training("refsam", "refytvos_finetune", {"start": "{images}"})
"""The paper's two phases."""

_OFF: Switches = {"use_adapter": "false"}
_NO_ITM: Switches = {"itm_token": "none"}
_ONE: Switches = {"clip_frames": "1"}


def _grid(
    name: str,
    title: str,
    rows: Sequence[Row],
    *,
    table: str,
    base: int = 0,
    common: Switches,
    note: str = "",
    curve: str = "",
    full_rows: Sequence[Row] | None = None,
    tiny: tuple[Training, ...] = (IMAGES, CLIPS),
) -> Grid:
    """Return a grid for RefShapes, and at the paper's size for anything else."""

    def settings(method: str, given: Sequence[Row]) -> tuple[Setting, ...]:
        cut = _AS_PAPER if method == _TINY else {}
        return tuple(
            Setting(label, method, cut, True, {**common, **switches}, training, published)
            for label, published, switches, training in given
        )

    full = Grid(
        name,
        title,
        "refdavis17",
        settings(_BASE, full_rows or rows),
        trainings=(PRETRAIN, _with(FINETUNE, validate="refdavis17:valid") if curve else FINETUNE),
        table=table,
        base=(full_rows or rows)[base][0],
        curve=curve,
    )
    return replace(
        full,
        dataset="refshapes",
        settings=settings(_TINY, rows),
        trainings=tiny,
        base=rows[base][0],
        note=note,
        full_size=full,
    )


def components() -> Grid:
    """Return Table III: what reaches the decoder of the sentence, as words, densely or both."""
    mlp, da, hda = {"dense": "none"}, {"dense": "da"}, {"dense": "hda"}
    no_words = {"sparse": "false"}
    return _grid(
        "components",
        "Key components",
        (
            ("Cross-modal MLP", "Cross-modal MLP", mlp, _ONE),
            ("DA", "DA", da | no_words, _ONE),
            ("HDA", "HDA", hda | no_words, _ONE),
            ("Cross-modal MLP, DA", "Cross-modal MLP; DA", da, _ONE),
            ("Cross-modal MLP, HDA", "Cross-modal MLP; HDA", hda, _ONE),
        ),
        table="III",
        base=4,
        common={**_OFF, **_NO_ITM},
    )


def itm_token() -> Grid:
    """Return Table IV: which output token tracks, and whether with a residual."""
    plain = {"itm_residual": "false"}
    return _grid(
        "itm_token",
        "Track token",
        (
            ("one frame", "One frame", _NO_ITM, _ONE),
            ("three frames", "Three frames", _NO_ITM, {}),
            ("IoU token", "IoU token", {"itm_token": "iou", **plain}, {}),
            ("all mask tokens", "All mask tokens", {"itm_token": "all_masks", **plain}, {}),
            ("main mask token", "Main mask token", {"itm_token": "main_mask", **plain}, {}),
            ("main mask token, residual", "Main mask token; residual", {"itm_token": "main_mask"}, {}),
        ),
        table="IV",
        common=_OFF,
    )


def text_encoder() -> Grid:
    """Return Table V."""
    return _grid(
        "text_encoder",
        "Text encoder",
        (
            ("T5 (small stand-in)", "T5-3b", {"text": "tiny"}, _ONE),
            ("RoBERTa (small stand-in)", "RoBERTa-base", {"text": "tiny-roberta"}, _ONE),
            ("CLIP text (small stand-in)", "CLIP-large", {"text": "tiny-clip"}, _ONE),
        ),
        full_rows=(
            ("T5-3b", "T5-3b", {"text": "t5-3b"}, _ONE),
            ("RoBERTa-base", "RoBERTa-base", {"text": "roberta-base"}, _ONE),
            ("CLIP-large", "CLIP-large", {"text": "clip-large"}, _ONE),
        ),
        table="V",
        common={**_OFF, **_NO_ITM},
        note="The text encoders are small stand-ins of the same families, three layers of width 128 that begin at "
        "random weights and learn with the rest; the paper's are pre-trained and frozen. The table says how the "
        "families' architectures do here, not how their pre-training does.",
    )


def adapter() -> Grid:
    """Return Table VI: tracking and adapters."""
    itm, on = {"itm_token": "main_mask"}, {"use_adapter": "true"}
    return _grid(
        "adapter",
        "ITM and adapter",
        (
            ("neither", "Neither", {**_NO_ITM, **_OFF}, _ONE),
            ("ITM", "ITM", {**itm, **_OFF}, {}),
            ("adapter", "Adapter", {**_NO_ITM, **on}, _ONE),
            ("ITM, adapter", "ITM; Adapter", {**itm, **on}, {}),
        ),
        table="VI",
        common={},
    )


def visual_encoder() -> Grid:
    """Return Table VII: three sizes of the visual encoder."""
    sam = Training(
        "sam",
        "sam_refshapes",
        {"steps": "400", "warmup": "60", "evaluate_every": "200"},
        method="sam_tiny",
        takes=("visual_encoder", "seed"),
        quick={"steps": "2", "images": "2", "warmup": "1"},
    )
    names = (("tiny-b", "ViT-B"), ("tiny-l", "ViT-L"), ("tiny-h", "ViT-H"))
    rows: tuple[Row, ...] = tuple((f"{p} (small stand-in)", p, {"visual_encoder": n}, {}) for n, p in names)
    made = _grid(
        "visual_encoder",
        "Visual encoder",
        rows,
        table="VII",
        common={},
        note="The visual encoders are small stand-ins: ViTs of 4, 6 and 8 blocks of width 64, 96 and 128, each trained "
        "as a SAM on RefShapes first.",
        tiny=(sam, _with(IMAGES, sam="{sam}"), _with(CLIPS, sam="{sam}")),
    )
    tiny = tuple(replace(s, options={**s.options, "sam_checkpoint": "{sam}"}) for s in made.settings)
    assert made.full_size is not None
    sizes = (("ViT-B", _BASE), ("ViT-L", "refsam_vit_l"), ("ViT-H", "refsam_vit_h"))
    full = tuple(Setting(p, method, {}, True, {}, {}, p) for p, method in sizes)
    return replace(made, settings=tiny, full_size=replace(made.full_size, settings=full, base="ViT-B"))


def learning_rate() -> Grid:
    """Return Figure 4: learning rates of MLP and dense attention, and of the decoder."""

    def rows(base: float, decoder: float, published: str) -> tuple[Row, ...]:
        pairs = (
            (1, 1),
            (0.1, 1),
            (10, 1),
            (1, 100 if decoder < 1e-5 else 0.1),
            (1, 10 if decoder < 1e-5 else 0.01),
        )
        return tuple(
            (
                f"MLP and DA {base * a:.0e}, decoder {decoder * b:.0e}",
                published if (a, b) == (1, 1) else "",
                {},
                {**_ONE, "lr": f"{base * a:g}", "decoder_lr": f"{decoder * b:g}"},
            )
            for a, b in pairs
        )

    tiny = rows(1e-3, 1e-3, "MLP and DA 1e-4, decoder 1e-6")
    return _grid(
        "learning_rate",
        "Learning rates",
        tiny,
        full_rows=rows(1e-4, 1e-6, "MLP and DA 1e-4, decoder 1e-6"),
        table="fig4",
        common={**_OFF, **_NO_ITM},
        curve="val_J&F",
        note="The figure's curves have no printed values, and the other rates that it tries are not in the text; here "
        "they are tenfold and a tenth. The tiny model's rates are larger than the paper's, since its decoder starts "
        "from a SAM of minutes.",
        tiny=(IMAGES, _curved(CLIPS)),
    )


def mlp_layers() -> Grid:
    """Return Figure 5: hidden layers of the cross-modal MLP."""
    rows = tuple(
        (
            "no hidden layer" if n == 0 else f"{n} hidden layer{'s' * (n > 1)}",
            "1 hidden layer" if n == 1 else "",
            {"mlp_layers": str(n)},
            _ONE,
        )
        for n in (1, 0, 2, 3)
    )
    return _grid(
        "mlp_layers",
        "Hidden layers of the cross-modal MLP",
        rows,
        table="fig5",
        common={**_OFF, **_NO_ITM},
        curve="val_J&F",
        note="The figure's curves have no printed values.",
        tiny=(IMAGES, _curved(CLIPS)),
    )


def _with(training: Training, **options: str) -> Training:
    return replace(training, options={**training.options, **options})


def _curved(training: Training) -> Training:
    """Return a training that measures J&F on some videos of val as it goes."""
    quick = {**training.quick, "validate": "1"}
    return _with(replace(training, quick=quick), validate="12", evaluate_every="20")
