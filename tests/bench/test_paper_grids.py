"""The paper's grids: every option in them is one that its recipe or method has."""

import pytest

from refseg.bench import paper_grids, registry
from refseg.bench.grid_training import options_of
from refseg.bench.options import parse_options
from refseg.bench.types import TrainRequest
from refseg.methods.refsam.config import CONFIGS, configured
from refseg.methods.refsam.method import RefSamOptions
from refseg.methods.refsam.train import RefSamTrainOptions
from refseg.methods.refsam.training.recipes import chosen_options
from refseg.methods.sam.train import SamTrainOptions
from refseg.reports import claims

NAMES = (
    "components",
    "itm_token",
    "text_encoder",
    "adapter",
    "visual_encoder",
    "learning_rate",
    "mlp_layers",
)
SCHEMAS = {"refsam_refshapes": RefSamTrainOptions, "sam_refshapes": SamTrainOptions}


def both_sizes(name):
    grid = registry.resolve("grids", name)()
    return [grid, grid.full_size]


def _sorted(setting, training):
    return tuple(sorted(options_of(setting, training, seed=0, quick=False).items()))


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_known_where_it_goes(name):
    for grid in both_sizes(name):
        for setting in grid.settings:
            run = parse_options(RefSamOptions, {**setting.options, **setting.switches}, owner=setting.method)
            config = configured(CONFIGS[setting.method], run)
            # "none" is a choice of its own, not the absence of one.
            for switch, value in setting.switches.items():
                if switch != "visual_encoder":
                    assert str(getattr(config, switch)).lower() == value, (setting.label, switch)
            for training in grid.trainings:
                for quick in (False, True):
                    options = options_of(setting, training, seed=0, quick=quick)
                    if training.recipe in SCHEMAS:
                        parse_options(SCHEMAS[training.recipe], options, owner=training.recipe)
                    else:
                        chosen_options(TrainRequest(setting.method, training.recipe, options))


@pytest.mark.parametrize("name", NAMES)
def test_grids_are_whole(name):
    for grid in both_sizes(name):
        labels = [s.label for s in grid.settings]
        assert len(set(labels)) == len(labels) > 2 and grid.base in labels
        assert grid.name == name and grid.table and grid.trainings[-1].name == "refsam"
        # Two settings that train the same would be compared with themselves.
        trained = [(s.method, *(_sorted(s, t) for t in grid.trainings)) for s in grid.settings]
        assert len(set(trained)) == len(trained)
    assert registry.resolve("grids", name)().dataset == "refshapes"


def test_tracking_shares_its_training_on_images():
    grid = paper_grids.itm_token()
    images = {_sorted(s, grid.trainings[0]) for s in grid.settings}
    assert len(images) == 1


def test_stand_ins_say_so():
    for name in ("text_encoder", "visual_encoder"):
        grid = registry.resolve("grids", name)()
        assert "stand-in" in grid.note and all("stand-in" in s.label for s in grid.settings)
        assert not any("stand-in" in s.label for s in grid.full_size.settings)


@pytest.mark.parametrize("name", NAMES)
def test_published_names_are_those_of_the_claims(name):
    grid = registry.resolve("grids", name)()
    known = {c.setting for c in claims.of_table(claims.load_claims(), grid.table)}
    assert {s.published for s in grid.settings if s.published} == known
