"""`tally holder`: enrol, invite, see what is asked, answer, sync, unlock, list and remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.base.errors import UsageError
from tigertally.base.text import PlainText
from tigertally.cli import enrolment, options
from tigertally.cli.members import as_member, opened, warn
from tigertally.cli.options import Force, NoWait, Out, PassphraseFile, Profile, Wait
from tigertally.cli.output import counted, emit, facts, note, table
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.base.ids import HolderIndex
    from tigertally.custody.client.report import Report
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party
    from tigertally.quorum.member.memory import Seen

app = typer.Typer(no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        help="The proposal's id. On a terminal also its first 8 digits or more, as `tally holder "
        "inbox` on this device has shown them.",
        metavar="ID",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. ID is the whole id: all 64 digits.")]
NO_REASON = PlainText("")


@app.command(
    epilog="Example: tally holder enrol --profile alice --url https://127.0.0.1:8440 "
    "--fingerprint F --pin PIN"
)
def enrol(
    profile: Profile,
    url: options.MaybeUrl = None,
    fingerprint: options.MaybeFingerprint = None,
    pin: Annotated[
        str | None, typer.Option("--pin", help="The one-time PIN; for the first holder.")
    ] = None,
    pin_file: Annotated[
        Path | None,
        typer.Option(
            "--pin-file",
            help="Read the PIN from the first line of this file: others can see what is typed "
            "after --pin. With neither, the terminal asks.",
            metavar="FILE",
        ),
    ] = None,
    name: enrolment.MemberName = None,
    roster_hash: enrolment.RosterHashOption = None,
    invitation: Annotated[
        Path | None,
        typer.Option("--invitation", help="A file made by `tally holder invite`.", metavar="FILE"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether to trust what the invitation says.")
    ] = False,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Become a holder: the first with the PIN, later ones once the holders approve."""
    from tigertally.cli.passphrase import pin_of
    from tigertally.quorum.card import Role

    target = enrolment.target_of(url, fingerprint, roster_hash, invitation)
    enrolment.enrol(
        profile,
        role=Role.HOLDER,
        target=target,
        member=name,
        pin=pin_of(pin, pin_file),
        yes=yes,
        wait=options.waiting(wait, no_wait),
        passphrase_file=passphrase_file,
    )


@app.command(epilog="Example: tally holder invite --profile alice --out bob.invitation")
def invite(
    profile: Profile,
    out: Out,
    force: Force = False,
    expires: Annotated[
        str, typer.Option("--expires", help="How long it is good, for example 7d.")
    ] = "7d",
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a file that pulls somebody in as a holder; the holders still approve it."""
    from tigertally.base.codec import encode
    from tigertally.base.ids import Fingerprint
    from tigertally.cli.times import format_time, parse_duration
    from tigertally.quorum.card import Role
    from tigertally.quorum.member.client import MemberClient
    from tigertally.quorum.member.join import Invitation, sign_invitation

    seconds = parse_duration(expires)
    if seconds < 1:
        raise UsageError("an invitation is good for at least a second")
    output = claimed(out, force)

    async def work(open_profile: OpenProfile, party: Party) -> Invitation:
        client = MemberClient(party)
        synced = await client.sync()
        me = client.me(synced.roster)
        invitation = Invitation(
            url=str(open_profile.settings()["url"]),
            authority=Fingerprint(synced.roster.authority.fingerprint),
            roster=synced.roster.hash,
            inviter=me.index,
            inviter_name=me.name,
            expires=party.clock.now() + seconds,
        )
        output.write(encode(sign_invitation(party.key, invitation)))
        return invitation

    made = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    document = {"out": str(out), "roster_hash": made.roster, "expires": format_time(made.expires)}
    emit(document, facts(document))


@app.command(epilog="Example: tally holder inbox --profile alice --json")
def inbox(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """List what waits for an answer, verified on this device."""
    from tigertally.cli.proposals import document_of, row_of
    from tigertally.cli.times import format_time
    from tigertally.custody.client.holder import Holder
    from tigertally.quorum.card import Role
    from tigertally.quorum.member.client import Synced
    from tigertally.quorum.member.displayed import remember_displayed

    async def work(open_profile: OpenProfile, party: Party) -> tuple[Synced, HolderIndex]:
        with open_profile.exclusive(doing="looking into the inbox"):
            client = Holder(party)
            synced, report = await client.sync(renew=False)
            with party.store.transaction() as tx:
                remember_displayed(tx, synced.open, now=party.clock.now())
        warn(report)
        return synced, client.member.me(synced.roster).index

    synced, me = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    oldest_first = sorted(synced.open, key=lambda seen: (seen.proposal.created, seen.id))
    emit(
        [{**document_of(seen), "your_answer": _answer(seen, me)} for seen in oldest_first],
        table(
            ("id", "what", "by", "yes", "expires"),
            [row_of(seen, format_time(seen.proposal.expires)) for seen in oldest_first],
            empty="nothing waits for an answer",
        ),
    )


def _answer(seen: Seen, me: HolderIndex) -> str | None:
    from tigertally.quorum.approval import Verdict

    verdict = seen.answer_of(me)
    return verdict and {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected"}[verdict]


@app.command(epilog="Example: tally holder approve 3f2a81bc --profile alice")
def approve(
    id_: Id, profile: Profile, yes: Yes = False, passphrase_file: PassphraseFile = None
) -> None:
    """Sync, show one proposal, ask, then say yes to exactly that.

    A complete release sends this device's fragment.
    """
    from tigertally.cli.verdict import Answer, give

    give(Answer(approve=True), id_, profile, passphrase_file, yes=yes)


@app.command(
    epilog='Example: tally holder reject 3f2a81bc --profile alice --reason "not on a Sunday"'
)
def reject(
    id_: Id,
    profile: Profile,
    reason: options.RejectionReason = NO_REASON,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sync, show one proposal, ask, then say no to exactly that."""
    from tigertally.cli.verdict import Answer, give

    give(Answer(approve=False, reason=reason), id_, profile, passphrase_file, yes=yes)


@app.command(epilog="Example: tally holder sync --profile alice")
def sync(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """Do everything this device owes and fetch everything it is owed."""
    from tigertally.cli.proposals import unanswered_by
    from tigertally.custody.client.holder import Holder
    from tigertally.quorum.card import Role

    async def work(open_profile: OpenProfile, party: Party) -> tuple[Report, int]:
        client = Holder(party)
        with open_profile.exclusive(doing="syncing"):
            synced, report = await client.sync()
        me = client.member.me(synced.roster).index
        return report, unanswered_by(me, synced.open)

    report, unanswered = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    warn(report)
    document = {
        "received": report.received,
        "sent": report.sent,
        "acknowledged": report.acknowledged,
        "erased": report.erased,
        "waiting_for": list(report.waiting_for),
        "problems": report.problems,
    }
    emit({**document, "inbox": unanswered}, facts(document))
    if unanswered:
        waits = counted(unanswered, "proposal waits", "proposals wait")
        note(f"{waits} for your answer: see `tally holder inbox`")


@app.command(epilog="Example: tally holder run --profile alice --rules night.toml &")
def run(
    profile: Profile,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules",
            help="Approve what this file allows, of keys made with --unattended. Read again at "
            "SIGHUP.",
            metavar="FILE",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Run this device as a daemon that syncs at every piece of news.

    It approves nothing but what its rules allow. While it runs, the device is unlocked: its keys
    are in memory.
    """
    from tigertally.host.daemon import prepare
    from tigertally.host.daemon import run as run_daemon
    from tigertally.node.daemon import run_holder
    from tigertally.node.rulebook import read_rules
    from tigertally.quorum.card import Role

    if rules is not None:
        read_rules(rules)  # before anything starts, or anybody types a passphrase
    with opened(profile, passphrase_file, role=Role.HOLDER) as open_profile:
        prepare()
        run_daemon(run_holder(open_profile, rules=rules))


@app.command(epilog="Example: tally holder unlock --profile alice")
def unlock(
    profile: Profile,
    accept_rollback: Annotated[
        bool,
        typer.Option(
            "--accept-rollback",
            help="Accept that a restored authority has lost what came after its back-up.",
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Unlock the authority after its restart, if it is in the state that this device knows.

    After a restore every holder who unlocks also accepts, signed, that the domain goes on from the
    back-up. An older roster is never accepted: the authority takes the newest that holders know.
    """
    from tigertally.custody.client.unlock import Unlock
    from tigertally.custody.messages.lock import AnswerReply
    from tigertally.quorum.card import Role
    from tigertally.quorum.member.client import MemberClient

    async def work(open_profile: OpenProfile, party: Party) -> AnswerReply:
        wrong = open_profile.wrong_passphrases()
        with open_profile.exclusive(doing="unlocking"):
            reply = await Unlock(MemberClient(party)).answer(
                wrong_passphrases=wrong, accept_rollback=accept_rollback
            )
        open_profile.clear_wrong_passphrases(wrong)
        return reply

    reply = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    document = {
        "state": reply.state,
        "have": reply.have,
        "need": reply.need,
        "restored": reply.restored,
    }
    if reply.restored:
        note("the authority was restored from a back-up: more holders must unlock it")
    emit(document, f"{reply.state}: {reply.have} of {reply.need} holders have unlocked")


@app.command("list", epilog="Example: tally holder list --profile alice")
def list_(
    profile: Profile,
    removed: Annotated[
        bool, typer.Option("--removed", help="Also those removed, and if their fragments are dead.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """List the domain's holders: last seen, fragments held, missing, and needed by some key."""
    from tigertally.cli.watch import holder_infos, holder_lines, margin_words
    from tigertally.quorum.member.client import MemberClient

    async def work(_: OpenProfile, party: Party) -> tuple[list[dict[str, object]], str]:
        client = MemberClient(party)
        chain = (await client.sync()).chain
        reply = await holder_infos(party)
        return holder_lines(chain, reply, removed=removed), margin_words(chain.current, reply)

    lines, words = as_member(profile, passphrase_file, work)
    columns = ["index", "name", "state", "last_seen", "fragments", "missing", "needed"]
    if removed:
        columns.append("old_fragments")
    shown = table(columns, [[one[c] for c in columns] for one in lines], empty="no holders")
    emit(lines, shown)
    note(words)


@app.command(epilog="Example: tally holder remove dora --profile alice")
def remove(
    name: Annotated[
        str,
        typer.Argument(help="The holder to remove.", parser=options.parse_name, metavar="NAME"),
    ],
    profile: Profile,
    acks: options.Acks = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose to remove a holder (lost, broken, gone). The others get new fragments of every key.

    Its approvals and its envelope are worthless at once, its fragments when the others have the
    new ones.
    """
    from tigertally.base.ids import Name
    from tigertally.cli.changes import change_roster
    from tigertally.quorum.changes import REMOVE, remove_body

    change_roster(
        profile,
        passphrase_file,
        kind=REMOVE,
        body=remove_body(Name(name), acks=acks or 0),
        done=lambda roster: all(holder.name != name for holder in roster.holders),
        wait=options.waiting(wait, no_wait),
    )
