"""What is done about a STATE of ours that is not ours: without a broker."""

import json

from hypothesis import given
from hypothesis import strategies as st

from headend.links.sparkplug.presence import ANSWERS, Answer, Presence

NOW_S = 1_768_435_200.0
states = st.builds(
    lambda online, timestamp: json.dumps({"online": online, "timestamp": timestamp}).encode(),
    st.sampled_from([True, False, 1, None]),
    st.one_of(st.integers(-(2**70), 2**70), st.none(), st.floats(allow_nan=False)),
)
lies = st.one_of(st.binary(max_size=20), states, st.just(b"null"))


class Topic:
    """A topic with hosts on it: each hears, in order, all that is published, its own included."""

    def __init__(self, hosts: int) -> None:
        self.said: list[bytes] = []
        self.hosts = [Presence() for _ in range(hosts)]
        self.published = 0
        for number, host in enumerate(self.hosts):
            host.coming(NOW_S + number)
            self.say(host.birth())

    def say(self, payload: bytes) -> None:
        self.said.append(payload)

    def run(self, most: int = 1000) -> None:
        """Until nobody says anything more."""
        at = [0] * len(self.hosts)
        while any(place < len(self.said) for place in at):
            assert len(self.said) < most, "they shout each other down"
            for number, host in enumerate(self.hosts):
                if at[number] == len(self.said):
                    continue
                host.heard(self.said[at[number]])
                at[number] += 1
                answer = host.take(NOW_S + 100)
                if answer is Answer.COME_ANEW:
                    self.say(host.leaving(NOW_S + 100))
                    host.coming(NOW_S + 100)
                if answer is not None:
                    self.published += 1
                    self.say(host.birth())


@given(st.lists(lies, max_size=30))
def test_whatever_is_said_a_host_answers_seldom_and_ends_in_the_last_word_that_is_believed(said: list[bytes]) -> None:
    topic = Topic(1)
    topic.run()
    for lie in said:
        topic.say(lie)
        topic.run()
    assert topic.published <= ANSWERS
    if topic.published < ANSWERS and said:
        last = json.loads(topic.said[-1])
        assert last["online"] is True


@given(st.lists(lies, min_size=1, max_size=4))
def test_two_hosts_of_one_name_come_to_rest(said: list[bytes]) -> None:
    topic = Topic(2)
    topic.run()
    for lie in said:
        topic.say(lie)
    topic.run()
    assert json.loads(topic.said[-1])["online"] is True


def test_another_host_of_our_name_is_told_of_once() -> None:
    host = Presence()
    host.coming(NOW_S)
    host.heard(host.birth())
    rival = b'{"online":true,"timestamp":%d}' % int(NOW_S * 1000 + 1)
    assert host.heard(rival) == int(NOW_S * 1000 + 1)
    assert host.heard(rival) is None
    assert host.take(NOW_S + 1) is None, "it is not answered"
