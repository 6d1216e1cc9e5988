"""A test kind of somebody else's."""

from __future__ import annotations

from functools import partial

from simbench.references import Comparison, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, is_more_similar


@sanity_test("good_plugin/rows_matter")
class RowsMatter(SanityTest):
    """A layer is more similar to itself than to a copy of itself with shuffled rows."""

    def questions(self, groups, metric):
        """Yield a question per model and layer."""
        for group in groups:
            for model in group.models:
                for layer in group.layers:
                    layer_of_model = RepresentationRef(model, layer)
                    own = Comparison(layer_of_model, layer_of_model)
                    other = Comparison(layer_of_model, layer_of_model.under(Named.of("row_shuffle", seed=0)))
                    yield Question.about(own, (own, other), partial(is_more_similar, own, other, other))
