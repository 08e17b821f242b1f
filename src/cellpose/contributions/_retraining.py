"""Training on accepted contributions, and retraining that publishes a model only if it is not worse.

Each training starts from the base model and all accepted images, not from the last version, because errors and
forgetting would accumulate. An interrupted retraining resumes with the same images at its last checkpoint.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellpose._progress.display import waiting
from cellpose.contributions._checks import FEW_CELLS, Pair
from cellpose.contributions._gate import LEAST_TOLERANCE, Judgement, judge
from cellpose.contributions._record import ACCEPTED, Contribution
from cellpose.contributions._store import Store
from cellpose.contributions._versions import FAILED, PUBLISHED, REFUSED, Version, Versions
from cellpose.errors import CellposeError, FileMissingError, InputError

__all__ = ["Retraining", "retrain", "training_files"]

logger = logging.getLogger("cellpose.contributions")

_LOCK = "retraining.lock"
_LEAST_CROPS = 8  # steps in an epoch: one batch, so one or two images are enough
_AVERAGED = 0.2  # share of the steps over which weights are averaged, see docs/training.md
_CROP = 128  # side in pixels with which the recipe for U-Nets was measured


@dataclass(frozen=True)
class Retraining:
    """The settings of a retraining.

    Parameters
    ----------
    base
        Model to start from; None: that of the last version, else the default model.
    epochs
        Passes over the images; None: as in the network's recipe.
    gpu
        Whether to train on a GPU.
    validation
        More folders of images and masks, each its own source, on which no model may become worse.
    replay
        Folder of images and masks of the kinds that the base model knows: a quarter of each epoch, so that the model
        does not forget them; None: contributions only.
    mask_filter
        Suffix of the names of the masks in these folders.
    least_tolerance
        Minimum tolerance of the comparison, see `tolerance_of`.
    force
        Train even if nothing has been accepted since the last version.
    """

    base: str | None = None
    epochs: int | None = None
    gpu: bool = False
    validation: Sequence[str | Path] = field(default=())
    replay: str | Path | None = None
    mask_filter: str = "_masks"
    least_tolerance: float = LEAST_TOLERANCE
    force: bool = False


def training_files(store: Store, role: str = "train") -> tuple[list[str], list[str]]:
    """Image and mask files of accepted contributions; damaged ones are logged and left out.

    Parameters
    ----------
    store
        The store.
    role
        ``"train"`` or ``"validation"``.
    """
    chosen = [each for each in store.contributions(ACCEPTED) if each.role == role]
    pairs = [store.files_of(each) for each, _ in _sound(store, chosen)]
    return [str(image) for image, _ in pairs], [str(masks) for _, masks in pairs]


def _sound(store: Store, contributions: Sequence[Contribution]) -> Iterator[tuple[Contribution, Pair]]:
    for each in contributions:
        try:
            yield each, store.read(each)
        except CellposeError as error:
            logger.warning(f"contribution {each.short} is left out: {error}")


def retrain(store: Store, how: Retraining = Retraining()) -> Version | None:
    """Train a new version on all accepted contributions, and publish it if it is worse on no source.

    Returns
    -------
    Version or None
        ``published`` or ``refused``; None if nothing has been accepted since the last version.

    Raises
    ------
    FileMissingError
        If a folder is missing.
    InputError
        If another retraining is running, or if there is nothing to train on or to compare.
    CellposeError
        If the training fails; its version is ``failed``.
    """
    _check_folders(how)
    with _alone(store):
        versions = Versions(store)
        version = versions.unfinished()
        if version is None:
            version = _new_version(store, versions, how)
        if version is None:
            return None
        try:
            return _trained_and_judged(store, versions, version, how)
        except CellposeError as error:
            versions.decide(version, FAILED, {"error": str(error)})
            raise


def _check_folders(how: Retraining) -> None:
    """Say that a folder is missing before hours of training."""
    for folder in (*how.validation, *([] if how.replay is None else [how.replay])):
        if not Path(folder).is_dir():
            message = f"{folder} is not a folder; give a folder of images and masks"
            raise FileMissingError(message)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Allow one retraining at a time. The lock is a database lock: it ends with the process, however that ends."""
    lock = sqlite3.connect(store.folder / _LOCK, timeout=0, isolation_level=None)
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            message = f"another retraining of {store.folder} is running; wait until it ends"
            raise InputError(message) from error
        yield
    finally:
        lock.close()


def _new_version(store: Store, versions: Versions, how: Retraining) -> Version | None:
    from cellpose import weights
    from cellpose.nets import family_named

    done = [version for version in versions.all() if version.state != FAILED]
    last = done[-1] if done else None
    base = how.base or (last.base if last else weights.default_model())
    images = tuple(each.id for each in store.contributions(ACCEPTED) if each.role == "train")
    if not images:
        message = f"no contribution in {store.folder} is accepted; look through them first"
        raise InputError(message)
    family = family_named(_family(base))
    epochs = how.epochs or family.learning.window.n_epochs
    if last is not None and not how.force and (last.base, last.images, last.epochs) == (base, images, epochs):
        return None
    return versions.begin(base, images, epochs)


def _family(base: str) -> str:
    from cellpose import nets, weights

    file = weights.resolve(base)
    if file.info is not None:
        return str(file.info.family)
    return str(nets.detect_architecture(weights.load_state_dict(file.path)).name)


def _trained_and_judged(store: Store, versions: Versions, version: Version, how: Retraining) -> Version:
    from cellpose import weights

    wanted = set(version.images)
    chosen = [each for each in store.contributions() if each.id in wanted and each.state == ACCEPTED]
    used = [each for each, _ in _sound(store, chosen)]
    if not used:
        message = f"none of the images of {version.name} can be read or is still accepted; retrain anew"
        raise InputError(message)
    logger.info(f"training {version.name} on {len(used)} images of {len({each.source for each in used})} sources")
    path = _train(store, version, used, how)
    judgement = _judge(store, versions, version, path, how)
    for score in judgement.scores:
        logger.info(str(score))
    for source in judgement.unguarded:
        logger.warning(f"source {source} has no validation image yet: nothing guards it")
    versions.write_credits(version, used)
    state = PUBLISHED if judgement.passed else REFUSED
    return versions.decide(version, state, judgement.as_dict(), weights.hash(path))


def _train(store: Store, version: Version, used: Sequence[Contribution], how: Retraining) -> Path:
    from cellpose import models, train
    from cellpose.nets import family_named

    model = models.CellposeModel(gpu=how.gpu, pretrained_model=version.base, engine="torch")
    family = family_named(model.backbone)
    files = [store.files_of(each) for each in used]
    further: dict[str, Any] = {"channels": [0, 0], "bsize": _CROP} if family.channel_pair else {}
    path, *_ = train.train_seg(
        model.net,
        train_files=[str(image) for image, _ in files],
        train_labels_files=[str(masks) for _, masks in files],
        load_files=False,
        compute_flows=True,  # kept beside the images for the next training
        learning_rate=family.learning.window.learning_rate,
        weight_decay=family.learning.window.weight_decay,
        n_epochs=version.epochs,
        nimg_per_epoch=max(_LEAST_CROPS, len(files)),
        min_train_masks=min(FEW_CELLS, *(each.n_cells for each in used)),
        average_weights=_AVERAGED if family.channel_pair else 0.0,
        save_path=store.folder,
        model_name=version.name,
        resume=True,
        **further,
        **_replayed(how),
    )
    return Path(path)


def _replayed(how: Retraining) -> dict[str, Any]:
    """The images of the base model's kinds, as `train_seg` takes them."""
    from cellpose import io

    if how.replay is None:
        return {}
    images, labels, names = io.load_images_labels(how.replay, how.mask_filter)
    return {"replay_data": images, "replay_labels": labels, "replay_files": names}


def _judge(store: Store, versions: Versions, version: Version, path: Path, how: Retraining) -> Judgement:
    """Compare the new model with the published one and the base on images that no training used."""
    current = versions.published()
    sets, unguarded = _validation_sets(store, how)
    models = {"new": str(path), "base": version.base}
    models["current"] = version.base if current is None else str(versions.path(current))
    scores: dict[str, Mapping[str, Sequence[float]]] = {}
    for name, model in models.items():
        same = next((done for done in scores if models[done] == model), None)
        with waiting(f"comparing models ({name})"):
            scores[name] = scores[same] if same else _scores(model, sets, how)
    return judge(**scores, least=how.least_tolerance, unguarded=unguarded)


def _scores(model: str, sets: Mapping[str, Sequence[Pair]], how: Retraining) -> dict[str, list[float]]:
    from cellpose import models, train

    loaded = models.CellposeModel(gpu=how.gpu, pretrained_model=model, engine="torch")
    return {
        source: train.score_seg(
            loaded.net, [pair.image for pair in pairs], [pair.labels for pair in pairs], channels=[0, 0]
        ).tolist()
        for source, pairs in sets.items()
    }


def _validation_sets(store: Store, how: Retraining) -> tuple[dict[str, list[Pair]], list[str]]:
    """Validation images by source, and the sources without any."""
    from cellpose import io

    sets: dict[str, list[Pair]] = {}
    accepted = store.contributions(ACCEPTED)
    for each, pair in _sound(store, [each for each in accepted if each.role == "validation"]):
        sets.setdefault(each.source, []).append(pair)
    unguarded = sorted({each.source for each in accepted} - set(sets))
    for folder in map(Path, how.validation):
        images, labels, _ = io.load_images_labels(folder, how.mask_filter)
        sets[str(folder)] = [Pair(image, masks) for image, masks in zip(images, labels, strict=True)]
    return sets, unguarded
