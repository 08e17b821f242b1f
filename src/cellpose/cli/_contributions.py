"""``cellpose contributions …``: what others sent, models retrained on it, and the way back."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellpose.cli._logging import logging_to_user, say_at_end
from cellpose.cli._summary import count_of
from cellpose.errors import CellposeError, OptionError

if TYPE_CHECKING:
    from cellpose.contributions import Contribution, Version

__all__ = ["contributions_command"]

logger = logging.getLogger("cellpose.cli")

_HOUR_S = 3600.0
_EPILOG = """\
  cellpose serve --contributions FOLDER                collects them; the page /contributions shows them
  cellpose contributions list FOLDER
  cellpose contributions accept FOLDER 411daa151b3b
  cellpose contributions retrain FOLDER                trains, and publishes what is worse on no source
  cellpose contributions rollback FOLDER               the model before is the published one again
  cellpose --dir images --pretrained_model FOLDER/models/current
"""


def contributions_command(words: Sequence[str]) -> int:
    """Run one of the sub-commands."""
    args = _parser().parse_args(list(words))
    return int(args.run(args))


def _store(args: argparse.Namespace) -> Any:
    from cellpose.contributions import Store

    return Store(args.folder)


def _list(args: argparse.Namespace) -> int:
    found = _store(args).contributions(args.state)
    if args.json:
        print(json.dumps([each.as_dict() for each in found], indent=1))
        return 0
    for each in found:
        print(_line(each))
        for note in each.notes if args.notes else ():
            print(f"{'':14}{note}")
    print(f"{count_of(len(found), 'contribution')}{f' {args.state}' if args.state else ''}")
    return 0


def _line(each: Contribution) -> str:
    from cellpose.contributions import ACCEPTED

    y, x, channels = each.shape
    dense = "" if each.dense is None else f"{each.dense:.0%} annotated, "
    state = f"{each.state} ({each.role})" if each.state == ACCEPTED else each.state
    notes = f", {count_of(len(each.notes), 'note')}" if each.notes else ""
    return (
        f"{each.short}  {state:<21}  {y} x {x} x {channels}, {count_of(each.n_cells, 'cell')}, {dense}"
        f"{each.provenance.licence}, {each.provenance.contributor}: {each.source}{notes}"
    )


def _accept(args: argparse.Namespace) -> int:
    store = _store(args)
    for name in args.names:
        print(_line(store.accept(name, args.source)))
    return 0


def _reject(args: argparse.Namespace) -> int:
    store = _store(args)
    for name in args.names:
        print(_line(store.reject(name, args.reason)))
    return 0


def _check(args: argparse.Namespace) -> int:
    """Read every file again, and measure how dense new contributions are."""
    from cellpose.contributions import REJECTED, annotated_share

    store = _store(args)
    damaged = 0
    unmeasured = {each.id for each in store.unmeasured()}
    for each in store.contributions():
        if each.state == REJECTED:
            continue
        try:
            pair = store.read(each)
            if each.id in unmeasured:
                store.note_dense(each.id, annotated_share(pair))
        except CellposeError as error:
            damaged += 1
            print(f"{each.short}: {error}", file=sys.stderr)
    for each in store.contributions():
        for note in each.notes if each.state != REJECTED else ():
            print(f"{each.short}  {note}")
    print(f"{count_of(damaged, 'contribution')} damaged" if damaged else "all files are as they were contributed")
    return 1 if damaged else 0


def _retrain(args: argparse.Namespace) -> int:
    if args.every is not None and not args.every > 0:
        message = f"--every {args.every:g} is not allowed; give hours, more than 0"
        raise OptionError(message)
    with logging_to_user(verbose=args.verbose):
        return _retrain_once(args) if args.every is None else _retrain_for_ever(args)


def _retrain_for_ever(args: argparse.Namespace) -> int:
    while True:
        try:
            _retrain_once(args)
        except CellposeError as error:  # next time there may be more images
            logger.error(str(error))
        time.sleep(args.every * _HOUR_S)


def _retrain_once(args: argparse.Namespace) -> int:
    from cellpose.contributions import PUBLISHED, Judgement, Retraining, Versions, retrain

    store = _store(args)
    how = Retraining(
        base=args.pretrained_model,
        epochs=args.n_epochs,
        gpu=args.use_gpu,
        validation=tuple(args.validation_dir),
        replay=args.replay_dir,
        mask_filter=args.mask_filter,
        least_tolerance=args.tolerance,
        force=args.force,
    )
    version = retrain(store, how)
    if version is None:
        say_at_end("nothing was accepted since the last version; --force trains all the same")
        return 0
    for score in Judgement.of(version.report).scores:
        say_at_end(str(score))
    if version.state == PUBLISHED:
        say_at_end(f"{version.name} is published: {Versions(store).current()}")
        return 0
    fallen = ", ".join(Judgement.of(version.report).fallen)
    say_at_end(f"{version.name} is not published: it is worse on {fallen}; the model before stays")
    return 1


def _versions(args: argparse.Namespace) -> int:
    from cellpose.contributions import Versions

    versions = Versions(_store(args))
    found, published = versions.all(), versions.published()
    if args.json:
        print(json.dumps([each.as_dict() for each in found], indent=1))
        return 0
    for each in found:
        print(_version_line(each, current=each == published))
    if published is None:
        print("no model is published")
    return 0


def _version_line(each: Version, *, current: bool) -> str:
    from cellpose.contributions import Judgement

    judgement = Judgement.of(each.report)
    error = str(each.report.get("error", ""))
    fell = f"; worse on {', '.join(judgement.fallen)}" if judgement.fallen else ""
    means = ", ".join(f"{score.source} {score.new:.3f}" for score in judgement.scores)
    images = count_of(len(each.images), "image")
    told = "; ".join(filter(None, [f"{images} from {each.base}", means and f"AP@0.5 {means}", error])) + fell
    return f"{'*' if current else ' '} {each.name}  {each.state:<9}  {each.decided or each.started}  {told}"


def _rollback(args: argparse.Namespace) -> int:
    from cellpose.contributions import Versions

    versions = Versions(_store(args))
    withdrawn, published = versions.rollback()
    after = f"{published.name} is published: {versions.current()}" if published else "no model is published any more"
    print(f"{withdrawn.name} is withdrawn; {after}")
    return 0


def _send(args: argparse.Namespace) -> int:
    from cellpose import contributions

    print(contributions.CONSENT, file=sys.stderr)
    if not args.consent:
        message = "nothing was sent; if you agree to the text above, add --consent"
        raise OptionError(message)
    given = {
        "licence": args.licence,
        "consent": contributions.CONSENT,
        "contributor": args.contributor,
        "source": args.source,
        "method": args.method,
        "note": args.note,
        "file": Path(args.image).name,
    }
    provenance = contributions.Provenance.of(given)
    pair = contributions.read_pair(Path(args.image), Path(args.masks))
    answer = contributions.send(args.server, pair, provenance, token=args.token)
    print(f"{args.server} has received it as {answer['id'][:12]}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from cellpose.contributions import LEAST_TOLERANCE, LICENCES, STATES

    parser = argparse.ArgumentParser(
        prog="cellpose contributions",
        description="Segmentations that others contributed, and models retrained on them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Any, text: str, *, folder: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if folder:
            sub.add_argument("folder", metavar="FOLDER", help="folder of contributions")
        return sub

    sub = command("list", _list, "show what was contributed")
    sub.add_argument("--state", choices=STATES, help="only those in this state")
    sub.add_argument("--notes", action="store_true", help="also what a reviewer should look at")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = command("check", _check, "read all files again, and look for cells that were left out")
    sub = command("accept", _accept, "take contributions for training")
    sub.add_argument("names", nargs="+", metavar="ID", help="as list shows it")
    sub.add_argument("--source", metavar="TEXT", help="where they come from, if what was sent is wrong")
    sub = command("reject", _reject, "leave contributions out, also accepted ones")
    sub.add_argument("names", nargs="+", metavar="ID", help="as list shows it")
    sub.add_argument("--reason", default="", metavar="TEXT", help="why")
    sub = command("retrain", _retrain, "train on all that was accepted; publish the model if it is worse on no source")
    _add_retraining(sub, LEAST_TOLERANCE)
    sub = command("versions", _versions, "show the models that were trained, and which one is published")
    sub.add_argument("--json", action="store_true", help="print JSON")
    command("rollback", _rollback, "withdraw the published model: the one before is published again")
    sub = command("send", _send, "send an image and its masks to a server", folder=False)
    sub.add_argument("image", metavar="IMAGE", help="a plane, as TIFF, PNG, ...")
    sub.add_argument("masks", metavar="MASKS", help="its cells, all of them")
    sub.add_argument("--server", required=True, metavar="URL", help="such as http://localhost:8770")
    sub.add_argument("--licence", required=True, choices=list(LICENCES), help="of image and masks")
    sub.add_argument("--consent", action="store_true", help="agree to the text that the command prints")
    sub.add_argument("--contributor", required=True, metavar="TEXT", help="your name, or a pseudonym")
    sub.add_argument("--source", required=True, metavar="TEXT", help="where the image comes from")
    sub.add_argument("--method", default="", metavar="TEXT", help="how the cells were made")
    sub.add_argument("--note", default="", metavar="TEXT", help="anything else")
    sub.add_argument("--token", default="", metavar="TEXT", help="if the server asks for one")
    return parser


def _add_retraining(sub: argparse.ArgumentParser, tolerance: float) -> None:
    add = sub.add_argument
    add("--pretrained_model", metavar="MODEL", help="to begin with (default: as the last time, else the default model)")
    add("--n_epochs", type=int, metavar="N", help="passes over the images (default: as the network's recipe says)")
    add("--use_gpu", action="store_true", help="train on a GPU, if one works")
    add(
        "--validation_dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of images and masks on which no model may become worse; may be given several times",
    )
    add(
        "--replay_dir",
        metavar="FOLDER",
        help="folder of images and masks that the model knows: a quarter of each epoch, against forgetting",
    )
    add("--mask_filter", default="_masks", metavar="TEXT", help="end of the names of their masks (default: _masks)")
    add(
        "--tolerance",
        type=float,
        default=tolerance,
        metavar="X",
        help=f"fall of AP@0.5 that is taken for chance, at least (default: {tolerance})",
    )
    add("--verbose", action="store_true", help="show the log")
    add("--force", action="store_true", help="train even if nothing was accepted since the last version")
    add("--every", type=float, metavar="HOURS", help="go on, and do so every so many hours, until Ctrl-C")
