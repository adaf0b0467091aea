"""What is heard of collectors, as rows of a batch."""

from headend.store.batch import Batch


def collector(
    batch: Batch,
    device_group: str,
    edge_node: str,
    now_s: float,
    *,
    online: bool,
    bdseq: int | None = None,
    meters: int | None = None,
) -> None:
    """A collector came or went."""
    born_s = now_s if online else None
    earlier = batch.collectors.get((device_group, edge_node))
    if earlier is not None and not online:
        bdseq, meters, born_s = (earlier[1] if bdseq is None else bdseq), earlier[2], earlier[3]
    batch.collectors[device_group, edge_node] = (online, bdseq, meters, born_s, now_s)


def collector_supply(batch: Batch, device_group: str, edge_node: str, now_s: float, *, mains: bool) -> None:
    """A collector says whether it has supply, or runs on its battery."""
    batch.collector_supplies[device_group, edge_node] = (mains, now_s)
