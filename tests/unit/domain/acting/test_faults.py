from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.acting.faults import FAULTS_PREFIX, audience_of, fault_id, subject_of
from flux_actors.domain.entity_id import CORE_NAMESPACE, check_entity_id, namespace_of
from tests.unit.domain.strategies import many

LONG = limits.entity_id_bytes_max - len(FAULTS_PREFIX)
namespaces = st.text("abé", min_size=1, max_size=32)


def test_fault_is_named_by_its_entity() -> None:
    assert fault_id("home/fan") == "flux-core/faults/home/fan"
    assert (subject_of(fault_id("home/fan")), audience_of(fault_id("home/fan"))) == ("home/fan", "home")
    assert fault_id("lamp") == "flux-core/faults/lamp"
    assert audience_of(fault_id("lamp")) == ""


@given(namespaces, st.integers(1, 480))
@many
def test_fault_of_any_entity_has_an_id_and_the_same_audience(namespace: str, length: int) -> None:
    entity_id = f"{namespace}/" + "x" * length
    if len(entity_id.encode()) > limits.entity_id_bytes_max:
        return
    marked = check_entity_id(fault_id(entity_id))
    assert namespace_of(marked) == CORE_NAMESPACE
    assert audience_of(marked) == namespace


def test_very_long_ids_have_faults_of_their_own() -> None:
    fits, ends = "home/" + "x" * (LONG - 5), ["home/" + "x" * LONG + end for end in "ab"]
    assert subject_of(fault_id(fits)) == fits
    marked = [fault_id(entity_id) for entity_id in ends]
    assert len({fault_id(fits), *marked}) == 3
    assert [audience_of(one) for one in marked] == ["home", "home"]
    assert all(len(one) < limits.entity_id_bytes_max for one in marked)


def test_namespace_that_is_too_long_to_be_anybodys_leaves_a_digest() -> None:
    marked = fault_id("n" * 500 + "/x")
    assert check_entity_id(marked)
    assert audience_of(marked) == ""


def test_all_else_is_for_its_own_namespace() -> None:
    for entity_id in (
        "home/fan",
        "lamp",
        "flux-core/audit",
        "flux-core/faultsx/home/fan",
        "flux-core/faults",
    ):
        assert subject_of(entity_id) == entity_id
        assert audience_of(entity_id) == namespace_of(entity_id)
