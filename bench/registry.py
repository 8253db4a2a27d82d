"""One readable table of everything that has a name, and the third parties' names beside it.

A built-in is one line here: its name, the lazy string of its factory and a summary. Nothing is imported
before it is asked for, so that ``bench list`` starts at once. A third party registers through the entry-point
groups ``refseg.methods``, ``refseg.datasets`` and ``refseg.protocols``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from refseg.bench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from refseg.bench.types import Dataset, DatasetRequest, Method, MethodRequest, ScoringProtocol

Kind = Literal["methods", "datasets", "protocols", "grids", "tables", "recipes"]

BUILT_IN = "refseg-bench"


@dataclass(frozen=True)
class Entry:
    """A registered name.

    Attributes:
        target: Lazy string ``"module:attribute"`` of the factory.
        summary: One line for ``bench list``.
        provider: The distribution that it comes from, with its version for third parties.
        error: Why the name cannot be used, or empty.
        files: Lazy string of what raises InputError where a method's files are missing, given its request; or empty.
    """

    target: str
    summary: str
    provider: str = BUILT_IN
    error: str = ""
    files: str = ""


_REFSAM = "refseg.methods.refsam:build"
_REFSAM_FILES = "refseg.methods.refsam:require_files"
_RECIPES = "refseg.methods.refsam.training.recipes:recipe"
_GRIDS = "refseg.bench.paper_grids"
_PERSAM = "refseg.methods.persam:build"
_SAM_TRACK = "refseg.methods.sam_track:build"
_REFINE = "refseg.methods.refine:build"
_CONTROLS = "refseg.methods.controls:build"
_REFCOCO = "refseg.datasets.refcoco:build"
_PER_EXPRESSION = "refseg.bench.protocols.per_expression:build"
_LABEL_MAPS = "refseg.bench.protocols.refdavis:build"
_TABLES = "refseg.reports.assemble:tables"

TABLE: Mapping[Kind, Mapping[str, Entry]] = {
    "methods": {
        "refsam": Entry(
            _REFSAM,
            "RefSAM with SAM ViT-H and T5-3b: the paper's headline (same as refsam_vit_h)",
            files=_REFSAM_FILES,
        ),
        "refsam_tiny": Entry(
            _REFSAM, "RefSAM's full architecture in small numbers, trained on RefShapes; weights shipped"
        ),
        "refsam_vit_b": Entry(_REFSAM, "RefSAM with SAM ViT-B and T5-3b", files=_REFSAM_FILES),
        "refsam_vit_l": Entry(_REFSAM, "RefSAM with SAM ViT-L and T5-3b", files=_REFSAM_FILES),
        "refsam_vit_h": Entry(_REFSAM, "RefSAM with SAM ViT-H and T5-3b", files=_REFSAM_FILES),
        "persam_gdino": Entry(_PERSAM, "PerSAM, training-free, from Grounding DINO's box of frame 0"),
        "persam_f_gdino": Entry(_PERSAM, "PerSAM-F: the same with two learnt mask weights"),
        "persam_gdino_tiny": Entry(
            _PERSAM, "PerSAM with a tiny Grounding DINO and the tiny SAM; weights shipped"
        ),
        "sam_track_gdino": Entry(
            _SAM_TRACK,
            "SAM-Track from Grounding DINO's box of frame 0: SAM, then DeAOT R50-L",
        ),
        "sam_track_gdino_tiny": Entry(
            _SAM_TRACK,
            "SAM-Track with the same two and a tiny DeAOT; weights shipped",
        ),
        "gdino_sam2": Entry("refseg.methods.sam2:build", "SAM 2.1 from Grounding DINO's box of frame 0"),
        "sam3": Entry(
            "refseg.methods.sam3:build", "SAM 3 with the sentence as its text prompt, through the video"
        ),
        "ftvr_sam": Entry(_REFINE, "FTVR's masks (--set source=PATH) refined by SAM"),
        "refine": Entry(_REFINE, "masks of a method, folder or zip (--set source=…) refined by SAM"),
        "refine_tiny": Entry(_REFINE, "refine with the tiny SAM that is shipped"),
        "command": Entry(
            "refseg.methods.command:build",
            "a program (--set run=…) that reads frames and sentences, writes masks",
        ),
        "folder": Entry("refseg.methods.refine:build_folder", "masks on disk (--set path=PATH) as a method"),
        "oracle": Entry(_CONTROLS, "control: answers with the truth; must score 100"),
        "empty": Entry(_CONTROLS, "control: no pixel anywhere"),
        "full": Entry(_CONTROLS, "control: every pixel everywhere"),
        "shuffled_sentences": Entry(
            _CONTROLS, "control: a method (--set source=NAME) given another object's sentence"
        ),
        "shuffled_frames": Entry(
            _CONTROLS, "control: a method (--set source=NAME) given the frames in random order"
        ),
    },
    "datasets": {
        "refshapes": Entry(
            "refseg.datasets.refshapes:build", "RefShapes: embedded procedural videos; needs no download"
        ),
        "refdavis17": Entry(
            "refseg.datasets.refdavis:build",
            "Ref-DAVIS17, as its authors publish it or in the converted layout",
        ),
        "refytvos": Entry("refseg.datasets.refytvos:build", "Refer-YouTube-VOS"),
        "mevis": Entry(
            "refseg.datasets.mevis:build", "MeViS: motion; none, one or several objects (v1 and v2)"
        ),
        "revos": Entry("refseg.datasets.revos:build", "ReVOS: sentences that need reasoning"),
        "longrvos": Entry("refseg.datasets.longrvos:build", "Long-RVOS: minute-long videos"),
        "folder": Entry("refseg.datasets.folder:build", "data of your own in Refer-YouTube-VOS's layout"),
        "refcoco": Entry(_REFCOCO, "RefCOCO: sentences about objects in COCO images (unc and google splits)"),
        "refcoco+": Entry(_REFCOCO, "RefCOCO+: without words for places (unc split)"),
        "refcocog": Entry(_REFCOCO, "RefCOCOg, G-Ref: longer sentences (umd and google splits)"),
        "grefcoco": Entry(_REFCOCO, "gRefCOCO: sentences about none, one or several objects"),
        "a2d": Entry(
            "refseg.datasets.a2d:build", "A2D-Sentences: actors in clips, a few labelled frames each"
        ),
        "jhmdb": Entry(
            "refseg.datasets.jhmdb:build", "JHMDB-Sentences: one actor a clip, three scored frames"
        ),
    },
    "protocols": {
        "refshapes/per_expression": Entry(
            _PER_EXPRESSION, "J&F of every expression alone, mean over expressions"
        ),
        "refytvos/per_expression": Entry(
            _PER_EXPRESSION, "J&F of every expression alone, mean over expressions"
        ),
        "refdavis/per_expression": Entry(
            _PER_EXPRESSION, "J&F of every expression alone, no merge, no matching"
        ),
        "refdavis/published": Entry(
            _LABEL_MAPS, "objects merged per annotator, official matching, mean of four"
        ),
        "davis/semi_supervised": Entry(
            _LABEL_MAPS, "official DAVIS-2017 task: label maps by id, first and last frame left out"
        ),
        "davis/unsupervised": Entry(
            _LABEL_MAPS, "official DAVIS-2017 task: label maps, ids matched to objects"
        ),
        "mevis/valid_u": Entry(
            _PER_EXPRESSION, "J&F as MeViS averages it: all frames, all expressions, no void"
        ),
        "revos": Entry(
            "refseg.bench.protocols.revos:build", "J, F, A and R, mean of referring and reasoning sentences"
        ),
        "longrvos": Entry(
            "refseg.bench.protocols.longrvos:build", "J&F, tIoU and vIoU, mean over expressions"
        ),
        "a2d": Entry(
            "refseg.bench.protocols.a2d:build", "P@K (>), oIoU, mIoU and COCO mAP over labelled frames"
        ),
        "ris/per_sentence": Entry(
            "refseg.bench.protocols.ris:build", "oIoU, mIoU and P@K (>= and >) over single-image sentences"
        ),
        "grefcoco/per_sentence": Entry(
            "refseg.bench.protocols.grefcoco:build",
            "gIoU, cIoU, N-acc and T-acc: sentences may have no target",
        ),
    },
    "grids": {
        "controls": Entry(
            "refseg.bench.grids:controls", "what the dataset measures: truth, empty, full, shuffled input"
        ),
        "components": Entry(f"{_GRIDS}:components", "Table III: cross-modal MLP, DA and HDA"),
        "itm_token": Entry(f"{_GRIDS}:itm_token", "Table IV: which token tracks, with and without residual"),
        "text_encoder": Entry(
            f"{_GRIDS}:text_encoder", "Table V: text encoders (small stand-ins on RefShapes)"
        ),
        "adapter": Entry(f"{_GRIDS}:adapter", "Table VI: ITM and adapter"),
        "visual_encoder": Entry(
            f"{_GRIDS}:visual_encoder", "Table VII: visual encoders (small stand-ins on RefShapes)"
        ),
        "learning_rate": Entry(f"{_GRIDS}:learning_rate", "Figure 4: learning rates, as curves"),
        "mlp_layers": Entry(f"{_GRIDS}:mlp_layers", "Figure 5: hidden layers of the MLP, as curves"),
    },
    "tables": {
        "1": Entry(_TABLES, "Table I: results on Ref-DAVIS17"),
        "2": Entry(_TABLES, "Table II: results on Refer-YouTube-VOS"),
        "3": Entry(_TABLES, "Table III: key components (grid components)"),
        "4": Entry(_TABLES, "Table IV: implicit tracking module (grid itm_token)"),
        "5": Entry(_TABLES, "Table V: text encoders (grid text_encoder)"),
        "6": Entry(_TABLES, "Table VI: adapter (grid adapter)"),
        "7": Entry(_TABLES, "Table VII: visual encoders (grid visual_encoder)"),
        "8": Entry(_TABLES, "Table VIII: RefCOCO, RefCOCO+ and G-Ref"),
        "9": Entry(_TABLES, "Table IX: learnable parameters"),
        "10": Entry(_TABLES, "Table X: frames a second"),
        "fig4": Entry(_TABLES, "Figure 4: learning rates (grid learning_rate)"),
        "fig5": Entry(_TABLES, "Figure 5: layers of the cross-modal MLP (grid mlp_layers)"),
        "refshapes": Entry(_TABLES, "methods on RefShapes, of which no paper publishes anything"),
        "elsewhere": Entry(_TABLES, "what other sources publish, a table a dataset"),
    },
    "recipes": {
        "sam_refshapes": Entry(
            "refseg.methods.sam.train:recipe", "a tiny SAM on RefShapes by SAM's own recipe in small"
        ),
        "refsam_refshapes": Entry(
            "refseg.methods.refsam.train:recipe", "RefSAM on RefShapes over the frozen tiny SAM"
        ),
        "grounding_dino_refshapes": Entry(
            "refseg.methods.grounding_dino.train:recipe",
            "a tiny Grounding DINO on RefShapes by transformers' own loss",
        ),
        "deaot_refshapes": Entry(
            "refseg.methods.deaot.train:recipe", "a tiny DeAOT on RefShapes by AOT's own recipe in small"
        ),
        "refcoco_pretrain": Entry(
            _RECIPES, "RefSAM of any size on images of RefCOCO, RefCOCO+ and RefCOCOg, 40 epochs"
        ),
        "refytvos_finetune": Entry(
            _RECIPES, "RefSAM on clips of Refer-YouTube-VOS, 4 epochs (--set start=FILE)"
        ),
        "ris_refcoco": Entry(_RECIPES, "RefSAM for images of RefCOCO, 40 epochs, no tracking"),
        "ris_refcoco+": Entry(_RECIPES, "the same for RefCOCO+"),
        "ris_refcocog": Entry(_RECIPES, "the same for RefCOCOg (umd)"),
    },
}

_SINGULAR: Mapping[Kind, str] = {
    "methods": "method",
    "datasets": "dataset",
    "protocols": "protocol",
    "grids": "grid",
    "tables": "table",
    "recipes": "recipe",
}
_OPEN_TO_PLUGINS: tuple[Kind, ...] = ("methods", "datasets", "protocols")
_added: dict[Kind, dict[str, Callable[..., Any]]] = {}


def table(kind: Kind) -> dict[str, Entry]:
    """Return every name of a kind: the built-ins in the table's order, plugins, then what a caller added."""
    added = {name: Entry("", "added by the caller", "caller") for name in _added.get(kind, {})}
    return {**TABLE[kind], **_plugins(kind), **added}


def entry(kind: Kind, name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        InputError: The name is unknown (the nearest are named), or two plugins claim it.
    """
    known = table(kind)
    if name not in known:
        usable = [n for n, e in known.items() if not e.error]
        raise unknown_name(_SINGULAR[kind], name, usable, hint=f"see `bench list {kind}`")
    if known[name].error:
        raise InputError(known[name].error)
    return known[name]


def resolve(kind: Kind, name: str) -> Callable[..., Any]:
    """Import and return the factory that stands behind a name.

    Raises:
        InputError: The name is unknown, or its module cannot be imported.
    """
    found = entry(kind, name)
    if name in _added.get(kind, {}):
        return _added[kind][name]
    try:
        factory: Any = _import(found.target)
    except Exception as error:
        if found.provider == BUILT_IN and not isinstance(error, ImportError):
            raise
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"The {_SINGULAR[kind]} {name!r} of {found.provider} ({found.target}) cannot be loaded: {what}; "
            f"mend or uninstall {found.provider.split()[0]}."
        ) from error
    if not callable(factory):
        raise InputError(f"{found.target} of {found.provider} is not a factory; it must be callable.")
    made: Callable[..., Any] = factory
    return made


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))


def require_files(request: MethodRequest) -> None:
    """Check that a method's files are there, where that can be told without building it.

    Raises:
        InputError: They are not, or an option is wrong.
    """
    found = entry("methods", request.name)
    if found.files:
        _import(found.files)(request)


def build_method(request: MethodRequest) -> Method:
    """Build the method that a request names."""
    method: Method = resolve("methods", request.name)(request)
    return method


def build_dataset(request: DatasetRequest) -> Dataset:
    """Build the dataset split that a request names."""
    dataset: Dataset = resolve("datasets", request.name)(request)
    return dataset


def build_protocol(name: str) -> ScoringProtocol:
    """Build a scoring protocol by its name."""
    protocol: ScoringProtocol = resolve("protocols", name)(name)
    return protocol


def expand_methods(text: str) -> list[str]:
    """Turn ``"a,b"`` or a group's name into method names, each once and known.

    ``all_tiny`` stands for every registered method whose name ends in ``_tiny``.
    """
    names: list[str] = []
    for part in (p.strip() for p in text.split(",")):
        if part == "all_tiny":
            names += [n for n, e in table("methods").items() if n.endswith("_tiny") and not e.error]
        elif part:
            entry("methods", part)
            names.append(part)
    if not names:
        raise InputError("--method names no method; see `bench list methods`.")
    return list(dict.fromkeys(names))


def register(kind: Kind, name: str, factory: Callable[..., Any]) -> None:
    """Add a name for this process, e.g. from a notebook.

    Raises:
        InputError: The name is taken; both sides are named.
    """
    known = table(kind)
    if name in known:
        theirs = known[name]
        holder = f"{theirs.provider} ({theirs.target or 'a factory'})"
        mine = f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', '?')}"
        raise InputError(
            f"The {_SINGULAR[kind]} name {name!r} is taken by {holder}, so {mine} cannot take it."
        )
    _added.setdefault(kind, {})[name] = factory


@contextlib.contextmanager
def registered(kind: Kind, name: str, factory: Callable[..., Any]) -> Iterator[None]:
    """Add a name for the duration of a ``with`` block."""
    register(kind, name, factory)
    try:
        yield
    finally:
        del _added[kind][name]


def forget_plugins() -> None:
    """Look for installed plugins again at the next question."""
    _plugins.cache_clear()


@functools.cache
def _plugins(kind: Kind) -> dict[str, Entry]:
    """Return the third parties' names of a kind; a wrong one is told on stderr and the rest work."""
    found: dict[str, Entry] = {}
    if kind not in _OPEN_TO_PLUGINS:
        return found
    for point in sorted(metadata.entry_points(group=f"refseg.{kind}"), key=lambda p: (p.name, p.value)):
        provider = _provider(point)
        new = Entry(point.value, f"from {provider}", provider)
        old = TABLE[kind].get(point.name) or found.get(point.name)
        module, sep, attribute = point.value.partition(":")
        if not (sep and module.strip() and attribute.strip()):
            what = f"{point.value!r} is not module:attribute"
            _warn(f"{_SINGULAR[kind]} {point.name!r} of {provider} is left out: {what}")
        elif old is None:
            found[point.name] = new
        elif (old.target, old.provider) != (new.target, new.provider):
            clash = _clash(kind, point.name, old, new)
            _warn(clash)
            if point.name in found:
                # Neither of two plugins has the better claim, so the name is refused until one is gone.
                found[point.name] = Entry(old.target, old.summary, old.provider, error=clash)
    return found


def _clash(kind: Kind, name: str, old: Entry, new: Entry) -> str:
    return (
        f"The {_SINGULAR[kind]} name {name!r} of {new.provider} ({new.target}) is refused: it is taken by "
        f"{old.provider} ({old.target}); rename one of them or uninstall a package."
    )


def _provider(point: metadata.EntryPoint) -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist is not None else "an unknown package"


def _warn(text: str) -> None:
    print(f"bench: warning: {text}", file=sys.stderr)
