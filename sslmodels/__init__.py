"""Keras models of regulatory DNA: training regimes, evaluation and reports on stores.

::

    import ssldata as sd
    import sslmodels as sm

    project = sd.load_project("my-project")
    run = sm.train(project, experiment="CTCF", model="cnn-27k", regime="ssl", seed=0)
    print(sm.evaluate(run)["aupr"])
    model = sm.load_model(run)
    model.predict(["ACGT" * 50])

The names in ``__all__`` are the public surface; they are loaded when they are first used, so that
``import sslmodels`` takes milliseconds and no TensorFlow. Everything else can be imported from its
folder, and may move between releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssldata.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from ssldata.base.versions import VERSION as __version__
    from sslmodels.evaluation.evaluate import evaluate_run as evaluate
    from sslmodels.evaluation.evaluate import read_scores
    from sslmodels.exporting.export_model import export_model
    from sslmodels.interpretation.interpret import InterpretOptions
    from sslmodels.interpretation.interpret import interpret_run as interpret
    from sslmodels.models.catalogue import model_names
    from sslmodels.models.model_builder import build_model
    from sslmodels.prediction.trained_model import Ensemble, load_model
    from sslmodels.report.report_page import write_report
    from sslmodels.runs.regimes import train
    from sslmodels.variants.effect_scores import EffectOptions
    from sslmodels.variants.observed_imbalance import compare_observed
    from sslmodels.variants.variant_effects import annotate_variants, variant_effects

__all__ = [
    "EffectOptions",
    "Ensemble",
    "InterpretOptions",
    "__version__",
    "annotate_variants",
    "build_model",
    "compare_observed",
    "evaluate",
    "export_model",
    "interpret",
    "load_model",
    "model_names",
    "read_scores",
    "train",
    "variant_effects",
    "write_report",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Ensemble": "sslmodels.prediction.trained_model:Ensemble",
        "__version__": "ssldata.base.versions:VERSION",
        "EffectOptions": "sslmodels.variants.effect_scores:EffectOptions",
        "annotate_variants": "sslmodels.variants.variant_effects:annotate_variants",
        "build_model": "sslmodels.models.model_builder:build_model",
        "compare_observed": "sslmodels.variants.observed_imbalance:compare_observed",
        "InterpretOptions": "sslmodels.interpretation.interpret:InterpretOptions",
        "evaluate": "sslmodels.evaluation.evaluate:evaluate_run",
        "export_model": "sslmodels.exporting.export_model:export_model",
        "interpret": "sslmodels.interpretation.interpret:interpret_run",
        "load_model": "sslmodels.prediction.trained_model:load_model",
        "model_names": "sslmodels.models.catalogue:model_names",
        "read_scores": "sslmodels.evaluation.evaluate:read_scores",
        "train": "sslmodels.runs.regimes:train",
        "variant_effects": "sslmodels.variants.variant_effects:variant_effects",
        "write_report": "sslmodels.report.report_page:write_report",
    },
)
