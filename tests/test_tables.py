"""Tables: reading, joining, averaging rows of one network, and looking values up in a search."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import motemo
from motemo import records
from motemo.errors import DataError
from motemo.objective import Direction, Measurement, Skipped, Stage
from motemo.tables import read_table
from motemo.testing import check_objective

SPACE = motemo.NasBench201()
SKIP = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SKIP_TWIN = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"  # a dead branch
POOL = "|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    text = (
        f"index,arch,acc,text\n7,{SKIP},60,a\n8,{SKIP_TWIN},64,b\n9,{POOL},,c\n10,{NOTHING},1,d\n"
    )
    return _file(tmp_path / "cells.csv", text)


def _look_up(paths: Path | list[Path], column: str = "acc") -> motemo.TableLookup:
    return motemo.TableLookup.read(
        paths, column=column, space=SPACE, direction=Direction.MAXIMIZE, unit="%"
    )


def test_rows_of_one_network_are_averaged(cells: Path) -> None:
    objective = _look_up(cells)
    for written in (SKIP, SKIP_TWIN):
        [outcome] = objective.evaluate([SPACE.architecture(written)])
        assert outcome == Measurement.exact(62.0, "%")


def test_what_the_table_lacks_is_skipped(cells: Path) -> None:
    lacking = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    for genotype in (POOL, lacking):
        [outcome] = _look_up(cells).evaluate([SPACE.architecture(genotype)])
        assert outcome == Skipped("not in the table")


def test_tables_are_joined_on_what_they_share(cells: Path, tmp_path: Path) -> None:
    by_index = _file(tmp_path / "ms.csv", "index,ms\n8,2.5\n10,0.5\n99,1\n")
    by_arch = tmp_path / "energy.csv.gz"
    by_arch.write_bytes(gzip.compress(f"arch,mj\n{SKIP_TWIN},9\n".encode()))
    table = read_table([by_index, cells, by_arch], columns=["acc", "ms", "mj"], space=SPACE)
    assert [a.genotype for a in table.architectures] == [SKIP_TWIN]
    assert {name: values.tolist() for name, values in table.columns.items()} == {
        "acc": [64.0],
        "ms": [2.5],
        "mj": [9.0],
    }


def test_networks_are_complete_and_valid_on_demand(cells: Path) -> None:
    table = read_table(cells, columns=["acc"], space=SPACE)
    networks = table.networks()
    assert [a.genotype for a in networks.architectures] == [
        a.key for a in map(SPACE.architecture, (SKIP, POOL, NOTHING))
    ]
    np.testing.assert_array_equal(networks.columns["acc"], [62.0, np.nan, 1.0])
    assert [a.genotype for a in networks.complete().valid().architectures] == [
        networks.architectures[0].key
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Cannot read the table"),
        ("arch,acc\n", "has no rows"),
        ("cell,acc\nx,1\n", "No column 'arch'"),
        (f"arch,acx\n{SKIP},1\n", r"No column 'acc'.*Did you mean 'acx'\?"),
        ("arch,acc\nnonsense,1\n", "'nonsense', which is no architecture"),
        ("arch,acc\n,1\n", "nan, which is no architecture"),
        (f"arch,acc\n{SKIP},good\n", "'good', which is no number"),
    ],
)
def test_unreadable_tables_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        _look_up(_file(tmp_path / "odd.csv", text))


def test_unjoinable_tables_are_refused(cells: Path, tmp_path: Path) -> None:
    def refused(text: str) -> str:
        other = _file(tmp_path / "other.csv", text)
        with pytest.raises(DataError) as caught:
            read_table([cells, other], columns=["acc"], space=SPACE)
        return str(caught.value)

    assert "cannot be joined" in refused("name,ms\na,1\n")
    assert "has no index in common" in refused("index,ms\n1,1\n")
    assert "index 8 in more than one row" in refused("index,ms\n8,1\n8,2\n")
    assert "stands in" in refused("index,acc\n8,1\n")
    with pytest.raises(DataError, match="each table once"):
        read_table([cells, cells], columns=["acc"], space=SPACE)
    with pytest.raises(DataError, match=r"absent\.csv"):
        _look_up(tmp_path / "absent.csv")


def test_identity_is_of_the_values_not_of_the_file(cells: Path, tmp_path: Path) -> None:
    copy = _file(tmp_path / "copy.csv", cells.read_text())
    changed = _file(tmp_path / "changed.csv", cells.read_text().replace("64", "65"))
    assert _look_up(copy).identity() == _look_up(cells).identity()
    assert _look_up(changed).identity() != _look_up(cells).identity()


def test_a_column_that_is_no_word_gets_a_name_that_is(cells: Path, tmp_path: Path) -> None:
    file = _file(tmp_path / "odd.csv", f"arch,1080ti-1\n{SKIP},3\n")
    assert _look_up(file, "1080ti-1").name == "_1080ti_1"


def test_a_search_pays_only_for_what_the_table_has(cells: Path) -> None:
    storage = optuna.storages.InMemoryStorage()
    few = motemo.FunctionSpace(
        name="few", genes=(motemo.Gene("width", (1, 2, 3, 4, 5, 6)),), build_network=lambda *_: None
    )
    table = motemo.TableLookup(
        column="acc",
        direction=Direction.MAXIMIZE,
        stage=Stage.MEASURE,
        values={few.write({"width": width}): 10.0 * width for width in (1, 2, 4)},
    )
    front = motemo.search(few, [table], trials=6, sampler="random", storage=storage)
    assert {m.measurements["acc"].value for m in front.evaluated} == {10.0, 20.0, 40.0}
    trials = optuna.load_study(study_name="motemo", storage=storage).get_trials()
    lacking = [t for t in trials if records.was_skipped(t.user_attrs)]
    assert {t.params["width"] for t in lacking} == {3, 5, 6}
    assert all(t.state is TrialState.PRUNED for t in lacking)


def test_published_records_keep_the_contract_of_objectives(shared_data: Path) -> None:
    file = shared_data / "nasbench201_half.csv.gz"
    objective = _look_up(file, "published_mote")
    assert len(objective.values) == 2952  # networks among 7,807 cells; one is the empty one
    architectures = [SPACE.architecture(genotype) for genotype in list(objective.values)[:3]]
    check_objective(objective, architectures)
