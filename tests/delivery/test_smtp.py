from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.delivery import smtp
from tcma.delivery.message import CrlfBytes, WireBytes, wire_address
from tcma.delivery.reply import Envelope, Outgoing, Reply, ReplyKind, Stage
from tcma.delivery.smtp import SmtpConnection, SmtpTarget, wire_bytes
from tests.sinks import Manners, SmtpSink

MAIL = b"Message-ID: <one@test>\r\nSubject: hi\r\n\r\nhello\r\n"


def nothing() -> None:
    return None


@contextmanager
def connected(manners: Manners | None = None, **options: Any) -> Iterator[tuple[SmtpSink, SmtpConnection]]:
    with SmtpSink(manners) as sink:
        connection = SmtpConnection(
            SmtpTarget("127.0.0.1", sink.port, **{"timeout": 5, "answer_timeout": 5, **options})
        )
        connection.connect()
        try:
            yield sink, connection
        finally:
            connection.close()


def send(
    connection: SmtpConnection,
    recipient: str,
    data: bytes = MAIL,
    *,
    sender: str = "back@test.example",
    before_dot: Callable[[], None] = nothing,
    upcoming: Envelope | None = None,
) -> Reply:
    return connection.send(Outgoing(Envelope(sender, recipient), data, before_dot, upcoming))


PIPELINING = pytest.mark.parametrize("pipelining", [True, False])


@PIPELINING
def test_a_taken_message_is_sent_and_arrives_byte_for_byte(pipelining: bool) -> None:
    with connected(Manners(pipelining=pipelining)) as (sink, connection):
        reply = send(connection, "anna@example.com")
    assert reply == Reply(ReplyKind.SENT, 250, "2.0.0", "queued as 1", Stage.DOT)
    assert [(m.sender, m.recipient, m.data) for m in sink.accepted] == [("back@test.example", "anna@example.com", MAIL)]


def test_mail_rcpt_and_data_are_written_at_once_where_the_server_pipelines() -> None:
    with connected(Manners(delay=0.05)) as (sink, connection):
        send(connection, "anna@example.com")
        assert sink.commands[1:] == ["MAIL FROM:<back@test.example>", "RCPT TO:<anna@example.com>", "DATA"]


@PIPELINING
def test_one_connection_carries_many_messages(pipelining: bool) -> None:
    with connected(Manners(pipelining=pipelining)) as (sink, connection):
        kinds = [send(connection, f"r{number}@example.com").kind for number in range(50)]
    assert kinds == [ReplyKind.SENT] * 50
    assert [message.recipient for message in sink.accepted] == [f"r{number}@example.com" for number in range(50)]
    assert sink.connections == 1


@PIPELINING
@pytest.mark.parametrize(
    ("step", "answer", "kind", "code", "enhanced"),
    [
        ("rcpt", "550 5.1.1 no such user", ReplyKind.FAILED, 550, "5.1.1"),
        ("rcpt", "451 4.7.1 greylisted", ReplyKind.DEFERRED, 451, "4.7.1"),
        ("rcpt", "452 4.2.2 full", ReplyKind.DEFERRED, 452, "4.2.2"),
        ("data", "554 5.3.0 no", ReplyKind.FAILED, 554, "5.3.0"),
        ("data", "451 later", ReplyKind.DEFERRED, 451, None),
        ("dot", "550 5.7.1 looks like spam", ReplyKind.FAILED, 550, "5.7.1"),
        ("dot", "451 4.3.0 later", ReplyKind.DEFERRED, 451, "4.3.0"),
    ],
)
def test_a_refusal_is_told_by_class_and_the_session_goes_on(
    pipelining: bool, step: str, answer: str, kind: ReplyKind, code: int, enhanced: str | None
) -> None:
    manners = Manners(pipelining=pipelining, **{step: {"bad@example.com": answer}})
    with connected(manners) as (sink, connection):
        refused = send(connection, "bad@example.com")
        after = send(connection, "good@example.com")
    assert (refused.kind, refused.code, refused.enhanced, refused.stage) == (
        kind,
        code,
        enhanced,
        Stage(step),
    )
    assert refused.text == answer.split(" ", 2 if enhanced else 1)[-1]
    assert refused.spends_attempt
    assert after.kind is ReplyKind.SENT
    assert [message.recipient for message in sink.accepted] == ["good@example.com"]
    assert sink.connections == 1


def test_a_refused_sender_is_not_the_recipients_fault() -> None:
    with connected(Manners(mail={"back@test.example": "451 4.7.0 slow down"})) as (_, connection):
        reply = send(connection, "anna@example.com")
    assert (reply.kind, reply.stage, reply.spends_attempt) == (ReplyKind.DEFERRED, Stage.MAIL, False)


def test_a_refused_recipient_with_354_gets_a_lone_dot_and_no_mail() -> None:
    manners = Manners(rcpt={"bad@example.com": "550 5.1.1 unknown"}, always_354=True)
    with connected(manners) as (sink, connection):
        touched: list[str] = []
        refused = send(connection, "bad@example.com", before_dot=lambda: touched.append("dot"))
        after = send(connection, "good@example.com")
    assert (refused.kind, refused.code, refused.stage) == (ReplyKind.FAILED, 550, Stage.RCPT)
    assert touched == []
    assert after.kind is ReplyKind.SENT
    assert [message.recipient for message in sink.accepted] == ["good@example.com"]


@pytest.mark.parametrize("step", ["rcpt", "data", "dot"])
@PIPELINING
def test_421_defers_and_ends_the_connection(pipelining: bool, step: str) -> None:
    manners = Manners(pipelining=pipelining, **{step: {"anna@example.com": "421 4.3.2 going down"}})
    with connected(manners) as (sink, connection):
        reply = send(connection, "anna@example.com")
        assert (reply.kind, reply.code, connection.is_open) == (ReplyKind.DEFERRED, 421, False)
        assert sink.accepted == []


def test_a_server_that_has_had_enough_costs_no_attempt_and_a_new_connection_goes_on() -> None:
    with connected(Manners(goodbye_after=2)) as (sink, connection):
        kinds = [send(connection, f"r{n}@example.com").kind for n in range(2)]
        tired = send(connection, "r2@example.com")
        assert kinds == [ReplyKind.SENT] * 2
        assert (tired.kind, tired.code, tired.spends_attempt) == (ReplyKind.DEFERRED, 421, False)
        connection.connect()
        assert send(connection, "r2@example.com").kind is ReplyKind.SENT
        assert len(sink.accepted) == 3


def test_an_idle_connection_that_the_server_closed_defers_without_spending_an_attempt() -> None:
    with connected() as (sink, connection):
        sink.hang_up_on_all()
        assert sink.cut.wait(5)
        reply = send(connection, "anna@example.com")
        assert (reply.kind, reply.code, reply.spends_attempt) == (ReplyKind.DEFERRED, None, False)
        assert not connection.is_open
        again = send(connection, "anna@example.com")
        assert (again.kind, again.spends_attempt) == (ReplyKind.DEFERRED, False)


def test_a_connection_lost_inside_the_message_is_deferred_and_before_dot_is_never_called() -> None:
    big = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" * 20 + (b"y" * 998 + b"\r\n") * 20_000
    for reset in (False, True):
        with connected(Manners(cut_in_message={"anna@example.com"}, reset=reset)) as (sink, connection):
            touched: list[str] = []
            reply = send(connection, "anna@example.com", big, before_dot=lambda seen=touched: seen.append("dot"))
            assert (reply.kind, reply.stage, reply.spends_attempt) == (ReplyKind.DEFERRED, Stage.DATA, True)
            assert touched == []
            assert not connection.is_open
            assert sink.accepted == []


def test_a_lost_answer_is_unknown_whether_the_server_took_the_message_or_not() -> None:
    manners = Manners(cut_after_dot={"taken@example.com"}, cut_unlogged={"lost@example.com"})
    with connected(manners) as (sink, connection):
        taken = send(connection, "taken@example.com")
        connection.connect()
        lost = send(connection, "lost@example.com")
        assert (taken.kind, taken.code, lost.kind, lost.code) == (
            ReplyKind.UNKNOWN,
            None,
            ReplyKind.UNKNOWN,
            None,
        )
        assert [message.recipient for message in sink.accepted] == ["taken@example.com"]
        assert not connection.is_open


def test_an_answer_that_takes_too_long_is_unknown() -> None:
    with connected(Manners(delay=0.6), answer_timeout=0.2) as (_sink, connection):
        reply = send(connection, "anna@example.com")
        assert reply.kind is ReplyKind.UNKNOWN
        assert not connection.is_open


def test_a_server_that_is_silent_before_the_message_defers() -> None:
    with connected(Manners(delay=0.0), timeout=0.3) as (sink, connection):
        sink.manners.delay = 1.0
        reply = send(connection, "anna@example.com")
        assert (reply.kind, reply.spends_attempt) == (ReplyKind.DEFERRED, False)


def test_before_dot_comes_after_the_message_and_before_the_server_can_have_taken_it() -> None:
    with connected() as (sink, connection):
        seen: list[int] = []
        send(connection, "anna@example.com", before_dot=lambda: seen.append(len(sink.accepted)))
        assert (seen, len(sink.accepted)) == ([0], 1)


def test_an_error_in_before_dot_passes_on_and_the_message_never_leaves() -> None:
    def full() -> None:
        raise OSError("no space left")

    with connected() as (sink, connection):
        with pytest.raises(OSError, match="no space left"):
            send(connection, "anna@example.com", before_dot=full)
        assert not connection.is_open
        assert sink.cut.wait(5)
        assert sink.accepted == []


def test_a_connection_reset_between_message_and_dot_is_deferred_for_the_dot_never_left() -> None:
    with connected(Manners(reset=True)) as (sink, connection):

        def hang_up() -> None:
            sink.hang_up_on_all()
            assert sink.cut.wait(5)

        reply = send(connection, "anna@example.com", before_dot=hang_up)
        assert (reply.kind, reply.stage) == (ReplyKind.DEFERRED, Stage.DATA)
        assert sink.accepted == []
        assert not connection.is_open


class TestAnnouncedMessages:
    def test_the_next_message_costs_no_further_round_trip(self) -> None:
        with connected() as (sink, connection):
            people = [f"r{number}@example.com" for number in range(20)]
            kinds = []
            for person, after in zip(people, [*people[1:], None], strict=True):
                upcoming = Envelope("back@test.example", after) if after else None
                kinds.append(send(connection, person, upcoming=upcoming).kind)
            assert kinds == [ReplyKind.SENT] * 20
            assert [message.recipient for message in sink.accepted] == people

    def test_an_announced_recipient_may_be_refused(self) -> None:
        manners = Manners(rcpt={"bad@example.com": "550 5.1.1 unknown"}, always_354=True)
        with connected(manners) as (sink, connection):
            send(connection, "a@example.com", upcoming=Envelope("back@test.example", "bad@example.com"))
            refused = send(connection, "bad@example.com", upcoming=Envelope("back@test.example", "c@example.com"))
            after = send(connection, "c@example.com")
        assert (refused.kind, refused.code, after.kind) == (ReplyKind.FAILED, 550, ReplyKind.SENT)
        assert [message.recipient for message in sink.accepted] == ["a@example.com", "c@example.com"]

    def test_a_message_that_fails_at_the_dot_does_not_touch_the_announced_one(self) -> None:
        with connected(Manners(dot={"a@example.com": "550 5.7.1 spam"})) as (sink, connection):
            first = send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
            second = send(connection, "b@example.com")
        assert (first.kind, second.kind) == (ReplyKind.FAILED, ReplyKind.SENT)
        assert [message.recipient for message in sink.accepted] == ["b@example.com"]

    def test_a_lost_answer_leaves_one_unknown_and_the_announced_one_untouched(self) -> None:
        with connected(Manners(cut_after_dot={"a@example.com"})) as (sink, connection):
            first = send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
            second = send(connection, "b@example.com")
            assert (first.kind, second.kind, second.spends_attempt) == (
                ReplyKind.UNKNOWN,
                ReplyKind.DEFERRED,
                False,
            )
            assert [message.recipient for message in sink.accepted] == ["a@example.com"]

    def test_closing_instead_of_sending_gives_the_announced_one_no_empty_mail(self) -> None:
        with connected() as (sink, connection):
            send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
            connection.close()
            assert sink.cut.wait(5)
            assert [message.recipient for message in sink.accepted] == ["a@example.com"]

    def test_sending_to_someone_else_than_announced_is_deferred_and_mixes_nothing(self) -> None:
        with connected() as (sink, connection):
            send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
            reply = send(connection, "c@example.com")
            assert (reply.kind, reply.spends_attempt, connection.is_open) == (
                ReplyKind.DEFERRED,
                False,
                False,
            )
            assert [message.recipient for message in sink.accepted] == ["a@example.com"]

    def test_an_announcement_is_left_out_where_the_server_does_not_pipeline(self) -> None:
        with connected(Manners(pipelining=False)) as (sink, connection):
            send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
            send(connection, "c@example.com")
        assert [message.recipient for message in sink.accepted] == ["a@example.com", "c@example.com"]


def test_eight_bit_messages_are_declared_where_the_server_takes_them() -> None:
    with connected() as (sink, connection):
        send(connection, "anna@example.com", "Subject: x\r\n\r\nZoë\r\n".encode())
    assert sink.accepted[0].options == "BODY=8BITMIME"
    assert "Zoë".encode() in sink.accepted[0].data


def test_an_eight_bit_message_fails_where_the_server_takes_seven() -> None:
    with connected(Manners(eight_bit=False)) as (_sink, connection):
        reply = send(connection, "anna@example.com", "Subject: x\r\n\r\nZoë\r\n".encode())
        assert (reply.kind, reply.enhanced) == (ReplyKind.FAILED, "5.6.3")
        assert send(connection, "anna@example.com").kind is ReplyKind.SENT


def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    with connected(Manners(utf8=True)) as (sink, connection):
        assert send(connection, "jösé@example.com").kind is ReplyKind.SENT
    assert (sink.accepted[0].recipient, sink.accepted[0].options) == ("jösé@example.com", "SMTPUTF8")
    with connected() as (sink, connection):
        reply = send(connection, "jösé@example.com")
        assert (reply.kind, reply.enhanced, reply.stage) == (ReplyKind.FAILED, "5.6.7", Stage.RCPT)
        assert "ASCII addresses only" in reply.text
        assert connection.is_open


def test_a_domain_beyond_ascii_needs_nothing_special() -> None:
    with connected() as (sink, connection):
        assert send(connection, "anna@müller.example").kind is ReplyKind.SENT
    assert sink.accepted[0].recipient == "anna@xn--mller-kva.example"


@pytest.mark.parametrize("bad", ["a@b.example>\r\nRCPT TO:<x@y.example", "a b@c.example", "", "a@b.example\nDATA"])
def test_an_address_cannot_smuggle_a_command(bad: str) -> None:
    with connected() as (sink, connection):
        reply = send(connection, bad)
        assert (reply.kind, reply.stage) == (ReplyKind.FAILED, Stage.RCPT)
        sender = send(connection, "x@y.example", sender=bad or "a\r\nb")
        assert (sender.kind, sender.stage) == (ReplyKind.FAILED, Stage.MAIL)
    assert sink.accepted == []
    assert not [command for command in sink.commands if command.startswith("RCPT")]


def test_an_empty_return_path_is_allowed() -> None:
    with connected() as (sink, connection):
        assert send(connection, "a@b.example", sender="").kind is ReplyKind.SENT
    assert sink.accepted[0].sender == ""


def test_a_message_over_the_servers_size_fails_before_it_is_sent() -> None:
    with connected(Manners(size=100)) as (_sink, connection):
        reply = send(connection, "anna@example.com", MAIL + b"x" * 100)
        assert (reply.kind, reply.enhanced) == (ReplyKind.FAILED, "5.3.4")
        assert send(connection, "anna@example.com").kind is ReplyKind.SENT


@pytest.mark.parametrize(
    "text",
    [
        b".",
        b"..",
        b".a\r\n.b\r\n",
        b"a\r\n.\r\nMAIL FROM:<x@y>\r\n",
        b"a\n.\nb",
        b"a\r.\rb",
        b"a\r\n.\nb",
        b"",
    ],
)
def test_no_content_can_end_the_message_early(text: bytes) -> None:
    with connected() as (sink, connection):
        assert send(connection, "anna@example.com", b"Subject: x\r\n\r\n" + text).kind is ReplyKind.SENT
    wanted = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    wanted = wanted if not wanted or wanted.endswith(b"\r\n") else wanted + b"\r\n"
    assert [message.data for message in sink.accepted] == [b"Subject: x\r\n\r\n" + wanted]


@given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b".\r\n"]), max_size=30).map(b"".join))
def test_wire_bytes_hold_no_bare_line_end_and_no_lone_dot(data: bytes) -> None:
    wire = wire_bytes(data)
    lines = wire.split(b"\r\n")
    assert wire.endswith(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert b"." not in lines
    restored = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    assert restored.rstrip(b"\r\n") == _normal(data).rstrip(b"\r\n")
    assert wire_bytes(CrlfBytes(restored)) == wire
    assert wire_bytes(WireBytes(wire)) == wire


def _normal(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def test_the_log_of_the_sink_holds_each_message_before_it_is_answered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with SmtpSink(log=log, sync=True) as sink:
        connection = SmtpConnection(SmtpTarget.parse(sink.url))
        connection.connect()
        for number in range(3):
            send(connection, f"r{number}@example.com")
            assert len(log.read_text().splitlines()) == number + 1
        connection.close()
    assert log.read_text().splitlines()[0] == f"r0@example.com\tone@test\t{len(MAIL)}"


def test_several_connections_in_threads_do_not_disturb_each_other() -> None:
    with SmtpSink() as sink:
        kinds: list[ReplyKind] = []

        def work(name: str) -> None:
            connection = SmtpConnection(SmtpTarget.parse(sink.url))
            connection.connect()
            kinds.extend(send(connection, f"{name}{n}@example.com").kind for n in range(100))
            connection.close()

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kinds == [ReplyKind.SENT] * 300
    assert len({message.recipient for message in sink.accepted}) == 300


def test_an_announced_message_that_is_not_seven_bit_after_all_is_not_sent_undeclared() -> None:
    with connected() as (sink, connection):
        send(connection, "a@example.com", upcoming=Envelope("back@test.example", "b@example.com"))
        reply = send(connection, "b@example.com", "Subject: x\r\n\r\nZoë\r\n".encode())
        assert (reply.kind, reply.spends_attempt, connection.is_open) == (ReplyKind.DEFERRED, True, False)
        assert [message.recipient for message in sink.accepted] == ["a@example.com"]


@given(st.from_regex(rb"250 ?(?:[245]\.[0-9]{1,3}\.[0-9]{1,4})? *[ -~\t\x80-\xff]{0,20}", fullmatch=True))
def test_the_short_way_to_a_verdict_leads_to_the_same_one(line: bytes) -> None:
    short = smtp._TAKEN.fullmatch(line + b"\r\n")
    if short is not None:
        reply = smtp._verdict(250, [line[4:]], Stage.DOT, good=ReplyKind.SENT)
        assert smtp._sent(short) == reply
    else:
        assert line[3:4] != b" " or not line.decode("ascii", "replace").isprintable() or not line.isascii()


_address = st.from_regex(r"[a-z.!+-]{1,9}(?:@|a{60}@)[a-z0-9.-]{1,9}(?:x{60}\.x{60}\.x{60}\.?)?", fullmatch=True)


@given(_address, _address)
def test_the_short_way_to_announce_takes_no_address_that_the_long_one_refuses(sender: str, recipient: str) -> None:
    if smtp._PLAIN_COMMANDS.fullmatch(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"):
        assert (wire_address(sender), wire_address(recipient)) == (sender, recipient)
