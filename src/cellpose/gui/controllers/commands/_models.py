"""The Models menu."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions, When
from cellpose.gui.controllers.commands._help import training as help_on_training

__all__ = ["commands"]


def commands(session: Session) -> list[Command]:
    """Running, the list of models, training."""
    models, run = session.models, session.segmentation

    def add() -> None:
        path = session.dialogs.ask_open(tr("Add custom torch model to GUI"))
        if path is not None:
            models.add(path)

    training = session.training
    quiet = Conditions(session).quiet  # without an image they explain what to do first
    return [
        Command("models.run", tr("Run segmentation"), run.run, ("Shift+Enter", "Shift+Return"), enabled=quiet),
        Command(
            "models.run_seen", tr("Run on what is seen"), run.run_on_seen, ("Ctrl+Enter", "Ctrl+Return"), enabled=quiet
        ),
        Command(
            "models.run_region",
            tr("Run on a rectangle"),
            run.choose_region,
            ("Ctrl+Shift+Enter", "Ctrl+Shift+Return"),
            checked=lambda: session.pointer.tool == "run_region",
            enabled=Conditions(session).image,
        ),
        Command(
            "models.batch",
            tr("Segment folders…"),
            lambda: session.dialogs.show_batch(session),
            ("Ctrl+B",),
            enabled=quiet,
        ),
        Command("models.calibrate", tr("Estimate the diameter"), run.calibrate, enabled=quiet),
        Command("models.add", tr("Add custom torch model to GUI"), add, (), "2"),
        Command(
            "models.remove",
            tr("Remove selected custom model from GUI"),
            models.remove_chosen,
            (),
            "2",
            enabled=When((models.can_remove, tr("choose a model that you added first"))),
        ),
        Command(
            "models.train",
            tr("Train new model with image+masks in folder"),
            training.ask,
            ("Ctrl+T",),
            "3",
            enabled=quiet,
        ),
        Command(
            "models.stop",
            tr("Stop training, keep the model"),
            training.stop,
            (),
            "3",
            enabled=When((lambda: training.is_running, tr("no model is being trained"))),
        ),
        help_on_training(session, "models.help", "4"),
    ]
