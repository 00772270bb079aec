"""What a study holds: settings, architectures and measurements, and how they are read back.

In the study's user attributes:

    motemo                  the settings of the search (`settings_of`)
    motemo:wanted           completed evaluations asked for
    motemo:request          what `motemo search` was asked for, from which `motemo worker` builds
                            space and objectives: names and options, no secrets
    process:<id>            that a process is at work on the study (`motemo.presence`)

In each trial's user attributes:

    genotype                canonical genotype that was evaluated
    measurement:<name>      value, unit, low, high and record of one objective, and a digest of
                            the objective's identity
    duplicate_of            number of the earlier trial with the same key
    skipped:<name>          record of an evaluation of one objective that was not carried through
    stopped:<name>          the same of a training that was stopped early
    rescues                 number of the infeasible trial that this one evaluates nevertheless
    worker                  id of the worker that evaluates the trial
    taking:<id>             that a worker is about to take the trial from the queue
    abandoned               its worker `died`, or `left` without finishing it; the trial is failed
    retries                 number of the abandoned trial whose candidate this one evaluates again
    rescores                number of the trial, in the study of the search, that this one re-scores
    reason                  why the trial was pruned or failed
"""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from motemo.constraint import Constraint
from motemo.errors import SettingsError, StorageError, UnknownNameError
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement, Objective, Skipped
from motemo.registry import SPACES
from motemo.space import Architecture, Json, Shape, Space

SETTINGS = "motemo"
GENOTYPE = "genotype"
DUPLICATE_OF = "duplicate_of"
RESCUES = "rescues"
RESCORES = "rescores"
REASON = "reason"
WANTED = "motemo:wanted"
REQUEST = "motemo:request"
WORKER = "worker"
ABANDONED = "abandoned"
RETRIES = "retries"
DIED = "died"
MAX_DEATHS = 3
"""A candidate that so many workers died of is not evaluated again."""
_MEASUREMENT = "measurement:"
_SKIPPED = "skipped:"
_TAKING = "taking:"
_STOPPED = "stopped:"
_FIXED_PARAMS = "fixed_params"  # Optuna's own, of what is enqueued
_FORMAT = 1
_UNCOMPARED = ("versions",)
_PACKAGES = ("motemo", "torch", "optuna", "numpy", "onnxruntime")


def settings_of(
    space: Space,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    **driver: Json,
) -> dict[str, Json]:
    """Return everything that makes two searches the same, and the versions used.

    Args:
        space: The space.
        objectives: The objectives, in order.
        constraints: The constraints.
        driver: What drives the search: sampler, seed, batch size.
    """
    settings: dict[str, Json] = {
        "format": _FORMAT,
        "space": space.identity(),
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction, "identity": o.identity()}
            for o in objectives
        ],
        "constraints": [str(constraint) for constraint in constraints],
        **driver,
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in _PACKAGES},
        },
    }
    plain: dict[str, Json] = json.loads(json.dumps(settings))
    return plain


def read_settings(study: optuna.Study) -> dict[str, Json] | None:
    """Return the settings that a study was made with, or None if it holds none.

    Raises:
        StorageError: They are none of this version of motemo.
    """
    settings: dict[str, Json] | None = study.user_attrs.get(SETTINGS)
    if settings is not None and not (
        isinstance(settings, dict) and settings.get("format") == _FORMAT
    ):
        raise StorageError(
            f"The study {study.study_name!r} has an attribute {SETTINGS!r} of another version or "
            f"another program; format {_FORMAT} is needed. Use another study."
        )
    return settings


def agree_on_settings(study: optuna.Study, settings: Mapping[str, Json]) -> None:
    """Store the settings in a new study, or check them against those of an old one.

    Raises:
        SettingsError: The study was made with other settings; the message names each.
        StorageError: The study holds trials of something else.
    """
    stored = read_settings(study)
    if stored is None:
        foreign = bool(study.get_trials(deepcopy=False))
        if foreign and read_settings(study) is None:  # not of another process, a moment ago
            raise StorageError(
                f"The study {study.study_name!r} holds trials that no motemo search made. Choose "
                "another study name or another storage."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([str(o["name"]) for o in _objects(settings["objectives"])])
        study.set_user_attr(SETTINGS, dict(settings))
        return
    check_settings(study, settings)


def remember(
    study: optuna.Study, *, wanted: int, request: Mapping[str, Json] | None = None
) -> None:
    """Store how many completed evaluations are wanted, and how a search was asked for."""
    new = {WANTED: wanted, **({} if request is None else {REQUEST: dict(request)})}
    stored = study.user_attrs
    for name, value in new.items():
        if stored.get(name) != value:
            study.set_user_attr(name, value)


def wanted(study: optuna.Study) -> int | None:
    """Return how many completed evaluations a study was made for, if it says."""
    stored: int | None = study.user_attrs.get(WANTED)
    return stored


def read_request(study: optuna.Study) -> dict[str, Json]:
    """Return what `motemo search` was asked for when it made a study.

    Raises:
        StorageError: The study does not say.
    """
    request: dict[str, Json] | None = study.user_attrs.get(REQUEST)
    if request is None:
        raise StorageError(
            f"The study {study.study_name!r} does not say how it was asked for: 'motemo search' "
            "did not make it. Join it from Python, by motemo.work(space, objectives, storage=...)."
        )
    return request


def check_settings(study: optuna.Study, settings: Mapping[str, Json]) -> None:
    """Raise unless a study's settings, if it holds any, are these.

    Raises:
        SettingsError: They are others; the message names each.
    """
    found = list(differences(read_settings(study) or settings, settings))
    if found:
        raise SettingsError(
            f"The study {study.study_name!r} was made with other settings:\n  "
            + "\n  ".join(found)
            + "\nUse the same settings to continue it, or another storage or --out folder."
        )


def differences(
    stored: Mapping[str, Json], given: Mapping[str, Json], path: str = ""
) -> Iterator[str]:
    """Yield a line for each setting that differs, by its place; versions may."""
    for name in sorted(stored.keys() | given.keys()):
        old, new, place = stored.get(name), given.get(name), f"{path}{name}"
        if old == new or (not path and name in _UNCOMPARED):
            continue
        if isinstance(old, list) and isinstance(new, list):
            if _names(old) != _names(new):
                yield f"{place}: stored {_names(old)}, given {_names(new)}"
                continue
            old, new = _by_name(old), _by_name(new)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{place}.")
        else:
            yield f"{place}: stored {json.dumps(old)}, given {json.dumps(new)}"


def _names(items: list[Json]) -> list[Json]:
    """Return the names of named objects, other items as they are."""
    return [item["name"] if isinstance(item, dict) and "name" in item else item for item in items]


def _by_name(items: list[Json]) -> Json:
    """Return named objects as a mapping, so that the same names are compared with each other."""
    named: dict[str, Json] = {str(i["name"]): i for i in items if isinstance(i, dict)}
    return named if len(named) == len(items) else items


def described_objectives(settings: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """Return what settings say of each objective, by name: name, unit, direction, identity."""
    return {str(o["name"]): o for o in _objects(settings.get("objectives"))}


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def write_measurement(trial: optuna.Trial, objective: Objective, measurement: Measurement) -> None:
    """Store one measurement with a trial, under the identity of its objective."""
    trial.set_user_attr(
        *measurement_attribute(objective.name, measurement, identity=objective.identity())
    )


def measurement_attribute(
    name: str, measurement: Measurement, *, identity: Json
) -> tuple[str, dict[str, Any]]:
    """Return the user attribute that holds what an objective of some identity has measured."""
    return f"{_MEASUREMENT}{name}", {
        "identity": _digest(identity),
        "value": measurement.value,
        "unit": measurement.unit,
        "low": measurement.low,
        "high": measurement.high,
        "record": dict(measurement.record),
    }


def write_skipped(trial: optuna.Trial, objective: Objective, skipped: Skipped) -> None:
    """Store what an evaluation that was not carried through had found out."""
    prefix = _STOPPED if skipped.paid else _SKIPPED
    trial.set_user_attr(f"{prefix}{objective.name}", dict(skipped.record))


def was_skipped(user_attrs: Mapping[str, Any]) -> bool:
    """Return whether an evaluation of a trial was not carried through, and cost nothing."""
    return any(key.startswith(_SKIPPED) for key in user_attrs)


def was_stopped(user_attrs: Mapping[str, Any]) -> bool:
    """Return whether a training of a trial was stopped early."""
    return any(key.startswith(_STOPPED) for key in user_attrs)


def read_measurements(user_attrs: Mapping[str, Any]) -> dict[str, Measurement]:
    """Return the measurements among a trial's user attributes, by the name of the objective."""
    return {
        key.removeprefix(_MEASUREMENT): Measurement(
            **{name: value[name] for name in ("value", "unit", "low", "high", "record")}
        )
        for key, value in user_attrs.items()
        if key.startswith(_MEASUREMENT)
    }


def reusable_measurements(
    user_attrs: Mapping[str, Any], objectives: Sequence[Objective]
) -> dict[str, Measurement]:
    """Return those measurements that these very objectives, by identity, have made."""
    found = read_measurements(user_attrs)
    stored = {name: user_attrs[f"{_MEASUREMENT}{name}"]["identity"] for name in found}
    return {
        o.name: found[o.name]
        for o in objectives
        if o.name in found and stored[o.name] == _digest(o.identity())
    }


def measurement_attributes(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a trial's user attributes that hold measurements."""
    return {k: v for k, v in user_attrs.items() if k.startswith(_MEASUREMENT)}


def _digest(identity: Json) -> str:
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_architecture(space: Space, trial: FrozenTrial) -> Architecture | None:
    """Return the written architecture of a trial, or None while it lacks parameters.

    A trial that is enqueued, or was, has the parameters that it was enqueued with.
    """
    params = {**trial.system_attrs.get(_FIXED_PARAMS, {}), **trial.params}
    names = [gene.name for gene in space.genes]
    if any(name not in params for name in names):
        return None
    return space.architecture(space.write({name: params[name] for name in names}))


def trial_key(space: Space, trial: FrozenTrial) -> str | None:
    """Return the key of a trial's architecture; None while it has none, or an invalid one."""
    if GENOTYPE in trial.user_attrs:
        return str(trial.user_attrs[GENOTYPE])
    architecture = trial_architecture(space, trial)
    if architecture is None or architecture.invalid_reason is not None:
        return None
    return architecture.key


def claim(key: str, user_attrs: Mapping[str, Any]) -> str:
    """Return what only one trial may evaluate: a key, or the rescue of one infeasible trial."""
    return f"rescue {user_attrs[RESCUES]}" if RESCUES in user_attrs else key


def was_abandoned(trial: FrozenTrial) -> bool:
    """Return whether a trial failed because its worker did not finish it."""
    return trial.state is TrialState.FAIL and ABANDONED in trial.user_attrs


def deaths_of(key: str, space: Space, trials: Iterable[FrozenTrial]) -> int:
    """Return how many workers have died while they worked on a key."""
    return sum(
        was_abandoned(trial)
        and trial.user_attrs[ABANDONED] == DIED
        and trial_key(space, trial) == key
        for trial in trials
    )


def first_trial_of_each_claim(space: Space, trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """Return the lowest number among the trials that hold each claim.

    A trial holds its claim whatever became of it, except that duplicates hold none and that an
    abandoned trial gives its own free, until workers have died `MAX_DEATHS` times of it.

    Args:
        space: The space.
        trials: Trials of a study, by number.
    """
    first: dict[str, int] = {}
    deaths: Counter[str] = Counter()
    for trial in trials:
        key = trial_key(space, trial)
        if key is None or DUPLICATE_OF in trial.user_attrs:
            continue
        if was_abandoned(trial):
            deaths[key] += trial.user_attrs[ABANDONED] == DIED
            if deaths[key] < MAX_DEATHS:
                continue
        first.setdefault(claim(key, trial.user_attrs), trial.number)
    return first


def left_behind(space: Space, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the abandoned trials whose candidates must be evaluated again, one of each.

    These are the ones whose claim no trial holds: neither a retry nor anyone else's.
    """
    abandoned = [trial for trial in trials if was_abandoned(trial)]
    held = first_trial_of_each_claim(space, trials) if abandoned else {}
    last: dict[str, FrozenTrial] = {}
    for trial in abandoned:
        key = trial_key(space, trial)
        if key is not None and claim(key, trial.user_attrs) not in held:
            last[claim(key, trial.user_attrs)] = trial
    return list(last.values())


def retry_attributes(trial: FrozenTrial) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the user and system attributes of a trial that evaluates an abandoned one again.

    It has the same parameters and what is measured already.
    """
    kept = {name: trial.user_attrs[name] for name in (RESCUES,) if name in trial.user_attrs}
    measured = measurement_attributes(trial.user_attrs)
    params = {**trial.system_attrs.get(_FIXED_PARAMS, {}), **trial.params}
    return {**kept, **measured, RETRIES: trial.number}, {_FIXED_PARAMS: params}


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue the candidate of an abandoned trial again, with what is measured of it."""
    user_attrs, system_attrs = retry_attributes(trial)
    study.enqueue_trial(system_attrs[_FIXED_PARAMS], user_attrs=user_attrs)


def taker(worker: str) -> str:
    """Return the attribute by which a worker says that it is about to take a waiting trial."""
    return f"{_TAKING}{worker}"


def takers(user_attrs: Mapping[str, Any]) -> list[str]:
    """Return the workers that are about to take a trial, or have taken it and not signed yet."""
    return [
        name.removeprefix(_TAKING)
        for name, taking in user_attrs.items()
        if name.startswith(_TAKING) and taking
    ]


def stored_space(settings: Mapping[str, Json]) -> Space:
    """Return the registered space that a study was made with.

    Raises:
        SettingsError: The space is not registered here.
    """
    identity = settings["space"]
    options = dict(identity) if isinstance(identity, dict) else {}
    name = str(options.pop("name", ""))
    try:
        space: Space = SPACES.create(name, options=options)
    except (UnknownNameError, SettingsError) as error:
        raise SettingsError(
            f"The study's space {name!r} is not registered here as it is in the study. If it is "
            "one's own, give the file with it by --space FILE.py:NAME, or the space to "
            f"motemo.read_front(study, space=...). {error}"
        ) from error
    return space


def check_space(space: Space, settings: Mapping[str, Json]) -> Space:
    """Return a space, if it is the one that a study was made with.

    Raises:
        SettingsError: It is another one; the message names the differences.
    """
    stored, given = settings["space"], json.loads(json.dumps(space.identity()))
    if isinstance(stored, dict) and stored.get("name") != given["name"]:
        raise SettingsError(
            f"The study was made with the space {stored.get('name')!r}, not {given['name']!r}. "
            "Give the one that it was made with."
        )
    if isinstance(stored, dict) and stored != given:
        raise SettingsError(
            "The study was made with another space than the given one:\n  "
            + "\n  ".join(differences(stored, given, "space."))
            + "\nGive the space as it was."
        )
    return space


def stored_deployment(settings: Mapping[str, Json] | None) -> tuple[Shape, int]:
    """Return the deployment shape (C, H, W) and the classes that costs were taken for.

    Where no objective names them: 3x32x32, and the classes of the data, else 10.
    """
    classes = 10
    for identity in _identities(settings):
        deployed = _deployed(identity)
        if deployed is not None:
            return deployed
        data = identity.get("data")
        if isinstance(data, dict):
            classes = int(str(data["classes"]))
    return (3, 32, 32), classes


def stored_input_shape(settings: Mapping[str, Json] | None) -> Shape | None:
    """Return the deployment shape (C, H, W) that costs were taken for; None where none was."""
    found = (_deployed(identity) for identity in _identities(settings))
    return next((deployed[0] for deployed in found if deployed is not None), None)


def _identities(settings: Mapping[str, Json] | None) -> list[Mapping[str, Json]]:
    """Return what identifies each objective."""
    stored = (o["identity"] for o in _objects((settings or {}).get("objectives")))
    return [identity for identity in stored if isinstance(identity, dict)]


def _deployed(identity: Mapping[str, Json]) -> tuple[Shape, int] | None:
    """Return the shape and the classes of the network that an objective looks at, if it says."""
    stored = identity.get("input_shape")
    if not (isinstance(stored, list) and "classes" in identity):
        return None
    channels, height, width = (int(str(size)) for size in stored)
    return (channels, height, width), int(str(identity["classes"]))


def read_front(study: optuna.Study, *, space: Space | None = None) -> Front:
    """Return the front of a study, from what the study holds alone.

    Args:
        study: A study that `motemo.search` or `motemo.trial_objective` filled.
        space: The space, where it is not a registered one.

    Raises:
        StorageError: The study is not one of motemo's.
        SettingsError: The space is not registered and not given, or another one is given.
    """
    settings = read_settings(study)
    if settings is None:
        raise StorageError(
            f"The study {study.study_name!r} holds no motemo settings. Give one that a motemo "
            "search made."
        )
    space = check_space(space, settings) if space else stored_space(settings)
    axes = [
        Axis(str(o["name"]), str(o["unit"]), Direction(str(o["direction"])))
        for o in _objects(settings["objectives"])
    ]
    constraints = settings["constraints"]
    return Front.of(
        list(_members(study, space, axes)),
        axes=axes,
        constraints=[
            Constraint.parse(str(text))
            for text in (constraints if isinstance(constraints, list) else [])
        ],
        settings=settings,
    )


def _members(study: optuna.Study, space: Space, axes: Sequence[Axis]) -> Iterator[Member]:
    for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        measurements = read_measurements(trial.user_attrs)
        if GENOTYPE in trial.user_attrs and all(axis.name in measurements for axis in axes):
            yield Member(
                trial=trial.number,
                architecture=space.architecture(trial.user_attrs[GENOTYPE]),
                measurements={axis.name: measurements[axis.name] for axis in axes},
            )
