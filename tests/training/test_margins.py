import msgspec
import torch

from cardex.training.distributed import DistributedContext
from cardex.training.margins import read_ecgs
from cardex.training.run import ImageStage
from tests.training.conftest import RASTER


def stage_with(prototypes, reports, ecgs, recipe, context):
    image = msgspec.structs.replace(recipe.image, prototypes=prototypes)
    return ImageStage(reports, ecgs, msgspec.structs.replace(recipe, image=image), context)


def test_prototypes_stand_for_reports_and_ecgs(reports, ecgs, recipe, context):
    stage = stage_with(40, reports, ecgs, recipe, context)
    image, _ = stage.train_encoder()
    text = stage.fit_margins(image)
    contents = read_ecgs(image, stage.ecgs, [RASTER], DistributedContext())
    exact = (contents @ reports.bank_content.T).exp().mean(dim=1).log()
    torch.testing.assert_close(image.partition(contents), exact, atol=1e-3, rtol=0)  # 6 reports
    ratios = reports.bank_content @ contents.T - exact
    popularity = ratios.exp().mean(dim=1).log()
    found = text.popularity(reports.bank_content)
    assert float((found - popularity).abs().max()) < 0.1 * float(popularity.std()) + 0.05
    torch.testing.assert_close(text.usual, image.offset)


def test_the_report_encoder_of_others_is_not_changed(reports, ecgs, recipe, context):
    stage = stage_with(8, reports, ecgs, recipe, context)
    image, _ = stage.train_encoder()
    before = {name: value.clone() for name, value in reports.encoder.state_dict().items()}
    stage.fit_margins(image)
    for name, value in reports.encoder.state_dict().items():
        assert torch.equal(value, before[name])
