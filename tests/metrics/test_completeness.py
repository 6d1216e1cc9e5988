"""Nothing is registered half done: each built-in metric has its metadata, a reference implementation, its figures."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from simbench.catalogue.measured import measured, measured_of
from simbench.declaration import INVARIANCES
from simbench.metrics.metric import Metric
from simbench.registry import METRICS

BUILT_IN = [metric for _, metric in METRICS if metric.origin.module.startswith("simbench.metrics.")]

REFERENCES = {
    "cka": "cka/linear: test_cka_equals_the_gram_definition",
    "cka_debiased": "cka/linear: test_debiased_cka_equals_the_u_statistic",
    "cka_minibatch": "cka/variants: test_several_batches_are_sums_of_the_u_statistic",
    "cka_angular": "cka/variants: test_the_cosine_of_the_angle_is_linear_cka",
    "ensd": "cka/variants: test_shared_dimensions_are_cka_times_the_geometric_mean_of_participation_ratios",
    "cka_dimension_corrected": "cka/variants: test_the_correction_leaves_a_unit_out_of_what_it_is_compared_with",
    "cka_rbf": "cka/variants: test_the_width_is_a_fraction_of_the_median_distance_of_pairs",
    "cca": "cca/correlations: test_cca_is_the_mean_canonical_correlation",
    "cca_squared": "cca/correlations: test_cca_squared_is_the_mean_squared_canonical_correlation",
    "svcca": "cca/correlations: test_svcca_is_cca_of_the_leading_principal_components",
    "pwcca": "cca/correlations: test_pwcca_weighs_by_projections_onto_centred_units",
    "nbs": "shape/procrustes: test_nbs_is_the_cosine_after_the_best_rotation",
    "procrustes": "shape/procrustes: test_procrustes_is_what_the_best_rotation_leaves",
    "procrustes_squared": "shape/procrustes_variants: test_squared_and_angle_are_functions_of_nbs",
    "procrustes_angular": "shape/procrustes_variants: test_squared_and_angle_are_functions_of_nbs",
    "procrustes_size_shape": "shape/procrustes_variants: test_size_and_shape_is_what_the_best_rotation_leaves_of_the_centred_matrices",
    "procrustes_permutation": "shape/procrustes_variants: test_the_permutation_distance_is_the_least_over_all_permutations",
    "shape_linear": "shape/partial_whitening: test_shape_linear_is_the_angle_after_partial_whitening",
    "aligned_cosine": "shape/aligned_cosine: test_aligned_cosine_is_the_mean_cosine_after_the_best_rotation_of_the_uncentred_rows",
    "rsa": "rsa/rsa: test_rsa_is_the_spearman_correlation_of_pearson_rdms",
    "rsa_pearson": "rsa/rsa: test_rsa_pearson_is_the_linear_correlation_of_pearson_rdms",
    "rsa_cosine": "rsa/rsa: test_other_distances_and_comparators",
    "rsa_euclidean": "rsa/rsa: test_other_distances_and_comparators",
    "rsa_whitened_cosine": "rsa/rsa: test_the_whitened_cosine_whitens_by_the_covariance_of_distances",
    "distance_correlation": "rsa/distance: test_distance_correlation_is_that_of_doubly_centred_distances",
    "rsm_norm_difference": "rsa/distance: test_rsm_norm_difference_is_a_norm_of_the_difference",
    "energy_distance": "rsa/distance: test_energy_distance_is_that_of_the_aligned_clouds",
    "gromov_wasserstein": "rsa/distance: test_gromov_wasserstein_lies_between_the_best_permutation_and_the_given_one",
    **dict.fromkeys(
        ("mutual_knn", "knn_jaccard", "rank_similarity", "second_order_cosine", "cknna"),
        "neighbours/sets: test_equals_the_definition",
    ),
    **dict.fromkeys(
        ("match_bipartite", "match_semi", "match_threshold", "soft_matching"),
        "matching/correlation: test_equals_the_definition",
    ),
    "partial_soft_matching": "matching/correlation: test_partial_soft_matching_is_the_linear_programme",
    "match_mutual_information": "matching/correlation: "
    "test_the_match_by_information_is_the_best_assignment_of_information_beyond_chance",
    "sparse_prediction": "matching/sparse: test_it_is_the_lasso_of_scikit_learn_on_held_out_rows",
    "spectral_clusters": "matching/clusters: test_the_value_is_the_mixing_adjusted_by_that_of_exchanged_inputs",
    "spectral_subspace": "matching/clusters: test_the_subspaces_are_compared_by_canonical_correlation",
    "subspace_match": "matching/subspace_match: test_the_matched_units_are_those_of_a_plain_sweep",
    "subspace_match_auc": "matching/subspace_match: test_the_area_is_the_integral_of_the_share",
    "linear_regression": "regression/linear: test_in_sample_it_is_the_r2_of_least_squares",
    "linear_predictivity": "regression/linear: test_it_is_ridge_regression_with_the_penalty_of_generalised_cross_validation",
    "pls_predictivity": "regression/pls: test_the_batched_interface_is_the_regression_of_scikit_learn",
    "gulp": "regression/gulp: test_gulp_is_its_definition_by_covariances",
    "decoding_similarity": "regression/gulp: test_decoding_similarity_is_the_cosine_of_what_the_readouts_say",
    "subspace_angles": "cca/subspaces: test_principal_angles_are_those_of_scipy",
    "eigenspace_overlap": "cca/subspaces: test_eigenspace_overlap_is_that_of_uncentred_bases",
    **dict.fromkeys(
        (
            *("magnitude_difference", "concentricity_difference"),
            *("uniformity_difference", "participation_ratio_difference"),
        ),
        "geometry/summary_statistics: test_it_is_the_absolute_difference_of_the_statistic",
    ),
    "imd": "geometry/imd: test_it_is_the_weighted_difference_of_the_heat_traces",
    "rtd": "geometry/rtd: test_it_is_the_integral_of_the_relative_betti_numbers",
    "geometry_score": "geometry/geometry_score: test_living_times_are_those_of_the_definition",
    "dsa": "geometry/dsa: test_the_operator_is_that_of_the_definition_up_to_signs",
    "tucker_congruence": "shape/tucker: test_congruence_is_the_mean_cosine_of_columns_after_rotation_onto_the_target",
    "riemannian": "shape/riemannian: test_the_distance_is_the_norm_of_a_matrix_logarithm",
    **dict.fromkeys(
        ("stitch_direct", "stitch_direct_r2", "stitch_direct_relerr", "stitch_direct_agreement"),
        "stitching/stitching: test_direct_matching_is_least_squares_with_an_intercept",
    ),
    "stitch_task": "stitching/stitching: test_batched_training_is_the_plain_loop",
    "stitch_task_agreement": "stitching/stitching: test_agreement_is_with_the_receiver_right_or_wrong",
    "stitch_direct_low_rank": "stitching/map_forms: test_a_map_of_low_rank_is_found_as_by_alternating_least_squares",
    "stitch_direct_orthogonal": "stitching/map_forms: test_a_rotation_is_found_as_scipy_finds_it",
    "stitch_task_direct_init": "stitching/trained_maps: test_without_training_the_direct_start_is_the_directly_matched_map",
    "stitch_task_soft": "stitching/trained_maps: "
    "test_soft_labels_are_learned_better_from_soft_labels_and_labels_from_labels",
    "stitch_task_low_rank": "stitching/map_forms: test_maps_keep_their_form_while_they_are_trained_and_reach_the_best_of_it",
    "stitch_task_orthogonal": "stitching/map_forms: test_maps_keep_their_form_while_they_are_trained_and_reach_the_best_of_it",
    "stitch_in_distribution": "stitching/in_distribution: "
    "test_the_reference_variable_is_the_auroc_of_the_detector_on_what_the_mapping_makes",
    "identifiability_svd": "functional/identifiability: test_svd_distance_equals_its_formula",
    "identifiability_llv": "functional/identifiability: test_llv_equals_its_formula_at_the_chosen_pivots",
    "identifiability_fg": "functional/identifiability: test_fg_from_log_probabilities_equals_fg_from_embeddings",
    "logit_distance": "functional/logit_distances: test_logit_distance_equals_its_formula",
    "logit_distance_relative": "functional/logit_distances: test_relative_logit_distance_equals_its_formula",
    "d_rep": "functional/logit_distances: test_representation_distance_equals_its_formula",
    "logit_correlation_loss": "functional/logit_bounds: test_correlation_loss_equals_its_formula",
    "logit_map_loss": "functional/logit_bounds: test_map_loss_equals_its_formula",
    "kl": "functional/outputs: test_kl_equals_its_formula",
    "jensen_shannon": "functional/outputs: test_jensen_shannon_equals_its_formula",
    "disagreement": "functional/outputs: test_disagreement_equals_its_formula",
    "accuracy_difference": "functional/outputs: test_accuracy_difference_by_hand",
    "probe_accuracy_difference": "functional/probes: test_the_probe_is_ridge_regression_to_one_hot_labels",
}
"""Where each metric is compared with an independent, slow and obvious computation: module and test."""


@cache
def asserting_tests(module: str) -> frozenset[str]:
    """The names of the tests in tests/metrics/<family>/test_<module>.py that assert something."""
    family, _, name = module.rpartition("/")
    tree = ast.parse((Path(__file__).parent / family / f"test_{name}.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return frozenset(f.name for f in functions if any(_asserts(node) for node in ast.walk(f)))


def _asserts(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (
        isinstance(node, ast.Attribute) and node.attr in ("assert_close", "assert_allclose")
    )


@cache
def all_tests() -> str:
    """The text of all other tests of metrics."""
    return "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py") if path != Path(__file__)
    )


def test_every_metric_has_a_reference_implementation_and_no_other_has() -> None:
    assert set(REFERENCES) == {metric.name for metric in BUILT_IN}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_test_against_the_reference_exists(name: str) -> None:
    module, test = REFERENCES[name].split(": ")
    assert test in asserting_tests(module)
    assert re.search(rf"\b({name}|{METRICS.get(name).function.__name__})\b", all_tests())


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.name)
def test_the_metadata_are_complete(metric: Metric) -> None:
    assert metric.version is not None
    assert all([metric.family, metric.formula, metric.summary])
    assert re.search(r"\((19|20)\d\d\)|arXiv", metric.reference), "a reference names its year"
    low, high = metric.value_range
    assert low < high
    end = high if metric.higher_is_more_similar else low
    assert abs(end) != float("inf") or metric.name in OPEN_ENDED
    assert not (metric.triangle_inequality and metric.higher_is_more_similar)
    assert metric.symmetric or not metric.triangle_inequality


OPEN_ENDED = {"ensd", "cka_dimension_corrected", "cknna"}
"""Similarities without a largest value: a number of dimensions, and ratios of estimates that may be above 1."""


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.name)
def test_what_was_measured_is_of_this_version_and_what_is_declared(metric: Metric) -> None:
    found = measured_of(metric)
    assert found is not None, f"python docs/make_metrics.py --measure {metric.name}"
    assert set(found.invariant_to) == {name for name in INVARIANCES if metric.is_invariant_to(name)}
    assert found.symmetric or not metric.symmetric
    assert found.pairs_inputs == metric.pairs_inputs or metric.name == "geometry_score", "which draws rows by its seed"
    assert not (metric.triangle_inequality and found.violations)


def test_nothing_is_kept_of_metrics_that_are_no_more() -> None:
    assert set(measured()) == {metric.identity for metric in BUILT_IN}
