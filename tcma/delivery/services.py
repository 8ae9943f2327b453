"""Use cases of a launch from its start on: start, schedule, pause, resume, cancel, and a test mail to oneself."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import update
from sqlalchemy.orm import Session

from tcma import audit, buckets, clock, ids, jobs
from tcma.access import Actor, Permission
from tcma.accounts import queries as account_queries
from tcma.assets import queries as asset_queries
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery import composing, marks, planning, preflight, senders_choice
from tcma.delivery.models import Delivery, TestMail
from tcma.delivery.reply import Envelope, Outgoing, ReplyKind
from tcma.delivery.smtp_target import SmtpError
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.transport import transport_for
from tcma.errors import Forbidden, IllegalTransition, Invalid, RateLimited

PLAN = "tcma.delivery.plan"
STARTED = (LaunchStatus.PLANNING, LaunchStatus.SENDING, LaunchStatus.FINISHED)
OVER = (LaunchStatus.FINISHED, LaunchStatus.CANCELLED)
TEST_MAILS = buckets.Limit("test-mail", burst=20, seconds=3600)
LATEST_SCHEDULE = timedelta(days=365)


def own_launch(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """The actor's own launch, locked; a vendor sees it and may not touch it."""
    actor.require(Permission.LAUNCH_START)
    return require_own(session, actor, launch_id, lock=True)


def require_own(session: Session, actor: Actor, launch_id: UUID, *, lock: bool = False) -> Launch:
    """The actor's own launch. Raises NotFound, and Forbidden for a vendor, who sees it and may not touch it."""
    launch = campaign_queries.get_launch(session, actor, launch_id, lock=lock)
    if launch.partner_id != actor.organization_id:
        raise Forbidden("Only the partner whose launch it is can do this.")
    return launch


def start_launch(session: Session, actor: Actor, launch_id: UUID, *, mark: str | None = None) -> Launch:
    """Start now: freeze brand and sender, and have it planned. Pressed twice it starts once.

    `mark` is what the person saw (tcma.delivery.marks); None starts it as it is. Raises Invalid with every failed
    check, Stale where the launch is not what was seen, Forbidden, IllegalTransition.
    """
    launch = own_launch(session, actor, launch_id)
    if launch.status in STARTED:
        return launch
    if mark is not None:
        marks.require_seen(session, launch, mark, again="press Send")
    failed = preflight.blocking(preflight.preflight(session, actor, launch_id))
    if failed:
        raise Invalid({one.code: f"{one.title}: {one.detail} {one.mend}".strip() for one in failed})
    brand = asset_queries.brand_values(session, launch.partner_id)
    now = clock.now()
    sender = senders_choice.sender_of_launch(session, launch, brand)
    launch.plan(by=actor, brand=brand, sender=sender, at=now)
    partnership = account_queries.get_partnership(session, actor, launch.vendor_id)
    partnership.first_launch_at = partnership.first_launch_at or now
    session.flush()
    jobs.enqueue(session, PLAN, launch.partner_id, launch.id, queue="delivery")
    return launch


def schedule_launch(
    session: Session, actor: Actor, launch_id: UUID, *, at: datetime, mark: str | None = None
) -> Launch:
    """Start at `at` (aware), within a year. The checks run now, so that nothing surprises, and again then.

    `mark` as with `start_launch`. Raises Invalid, Stale, Forbidden, IllegalTransition.
    """
    launch = own_launch(session, actor, launch_id)
    now = clock.now()
    if at.tzinfo is None or not now < at <= now + LATEST_SCHEDULE:
        raise Invalid({"at": "Choose a time from now on, within a year."})
    if mark is not None:
        marks.require_seen(session, launch, mark, again="save the time")
    failed = preflight.blocking(preflight.preflight(session, actor, launch_id))
    if failed:
        raise Invalid({one.code: f"{one.title}: {one.detail} {one.mend}".strip() for one in failed})
    if launch.status is LaunchStatus.SCHEDULED:
        launch.unschedule(by=actor)
    launch.schedule(by=actor, at=at)
    return launch


def unschedule_launch(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    launch = own_launch(session, actor, launch_id)
    launch.unschedule(by=actor)
    return launch


def start_scheduled(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """What the sweep does at the chosen time; a launch that fails its checks by then is a draft again, with the reason."""
    launch = campaign_queries.get_launch(session, actor, launch_id, lock=True)
    if launch.status is not LaunchStatus.SCHEDULED or (launch.scheduled_at and launch.scheduled_at > clock.now()):
        return launch
    try:
        return start_launch(session, actor, launch_id)
    except Invalid as error:
        launch.unschedule(by=actor)
        audit.record(session, actor, "launch.not_started", launch, reason=error.message)
        return launch


def pause_launch(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """Stop handing over within about a second; what is on its way ends as it ends."""
    launch = own_launch(session, actor, launch_id)
    if launch.status is not LaunchStatus.PAUSED:
        launch.pause(by=actor, at=clock.now())
    return launch


def resume_launch(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    launch = own_launch(session, actor, launch_id)
    if launch.status is not LaunchStatus.SENDING:
        refused = preflight.campaign_open(session, actor, launch)
        if launch.status is LaunchStatus.PAUSED and refused.verdict == "fail":
            raise Forbidden(f"{refused.detail} What is left of this launch can only be cancelled.")
        _fall_back(session, actor, launch)
        launch.resume(by=actor)
        jobs.enqueue(session, planning.SEND, launch.partner_id, launch.id, queue="delivery")
    return launch


def _fall_back(session: Session, actor: Actor, launch: Launch) -> None:
    """A launch whose sender lost its proof goes on from one that has it; the audit trail and the page say so."""
    if launch.sender is None or senders_choice.is_proved(session, launch.partner_id, launch.sender):
        return
    brand = launch.brand or asset_queries.brand_values(session, launch.partner_id)
    before = launch.sender["from_address"]
    launch.sender = senders_choice.sender_for(session, launch.partner_id, brand)
    after = launch.sender["from_address"]
    audit.record(
        session, actor, "launch.change_sender", launch, before={"sender": before}, after={"sender": after},
        reason=f"{before.rpartition('@')[2]} cannot prove mail now, so the rest is from {after}.",
    )  # fmt: skip


def choose_sender(session: Session, actor: Actor, launch_id: UUID, *, sender: str) -> Launch:
    """Before the start: send from one of the own verified senders (its id), via the platform, or "" for the default.

    Raises NotFound, Forbidden, Invalid, IllegalTransition.
    """
    launch = own_launch(session, actor, launch_id)
    launch.require_status("choose the sender", LaunchStatus.DRAFT, LaunchStatus.SCHEDULED)
    brand = asset_queries.brand_values(session, launch.partner_id)
    try:
        chosen = senders_choice.sender_for(session, launch.partner_id, brand, chosen=sender or None)
    except ValueError:
        raise Invalid({"sender": "Choose one of the senders in the list."}) from None
    if sender and chosen.get("chosen") != sender:
        raise Invalid({"sender": "This sender is not verified. Choose another, or finish its domain check first."})
    launch.sender = chosen if sender else None
    return launch


def cancel_launch(session: Session, actor: Actor, launch_id: UUID, *, reason: str = "cancelled") -> Launch:
    """End it for good: what is pending is skipped, what was sent stays sent."""
    launch = own_launch(session, actor, launch_id)
    if launch.status is LaunchStatus.CANCELLED:
        return launch
    launch.cancel(by=actor, at=clock.now(), reason=reason)
    session.execute(
        update(Delivery)
        .where(Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.PENDING)
        .values(status=DeliveryStatus.SKIPPED, reason="cancelled", settled_at=clock.now()),
        execution_options={"synchronize_session": False},
    )
    session.flush()
    planning.count_totals(session, launch)
    return launch


def send_test(
    session: Session, actor: Actor, launch_id: UUID, *, address: str, contact_id: int | None = None
) -> TestMail:
    """Send the mail as it is now to one address: outside the accounting and outside statements."""
    actor.require(Permission.LAUNCH_MANAGE)
    launch = require_own(session, actor, launch_id)
    if launch.status in OVER:
        raise IllegalTransition(f"This launch is {launch.status}. A test goes out before it ends; make a new launch.")
    if not address.strip():
        raise Invalid({"address": "Type an address."})
    try:
        clean = validate_email(address.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Invalid({"address": f"This is not an email address: {error}"}) from None
    if not buckets.take(session, TEST_MAILS, str(actor.organization_id)):
        raise RateLimited("That were many test mails. Wait a few minutes.", retry_after=180)
    contact = dict(launches.SAMPLE_CONTACT)
    if contact_id is not None:
        contact = audience_queries.contact_values(session, launch.partner_id, [contact_id]).get(contact_id, contact)
    test = TestMail(
        partner_id=launch.partner_id, launch_id=launch.id, address=clean, sent_by=actor.user_id, status="sent"
    )
    composer = composing.Composer.of_launch(session, launch, stream="test")
    data = composer.test_message(clean, contact, message_id=f"t{ids.new_id().hex}")
    connection = transport_for(settings(), tags={"launch": str(launch.id), "partner": str(launch.partner_id)})
    try:
        connection.connect()
        reply = connection.send(Outgoing(Envelope(composer.return_path(0), clean), data, before_dot=lambda: None))
    except SmtpError as error:
        raise Invalid({"address": f"The mail server did not take it: {error} Try again in a moment."}) from None
    finally:
        connection.close()
    test.status, test.response = str(reply.kind), reply.text[:300]
    session.add(test)
    session.flush()
    if reply.kind is not ReplyKind.SENT:
        raise Invalid({"address": f"The mail server refused it: {reply.code or ''} {reply.text}".strip()})
    return test
