"""What happens to messages is counted, by what it is about, within a limit."""

from chappe.gateway.feed import COUNTS_MAX, OTHERS, Feed, Step


def test_what_others_say_fills_no_memory() -> None:
    """However many different words customers and carriers answer with, no more than so many are counted apart."""
    feed = Feed()
    for word in range(2 * COUNTS_MAX):
        feed.tell(Step.CALLBACK_RETRIED, f"0x{word:08x}")
    feed.tell(Step.CALLBACK_RETRIED, "0x00000000")
    assert len(feed.counts) == COUNTS_MAX + 1
    assert feed.counts[Step.CALLBACK_RETRIED, "0x00000000"] == 2
    assert feed.counts[Step.CALLBACK_RETRIED, OTHERS] == COUNTS_MAX
