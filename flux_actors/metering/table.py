"""The table of metrics: every one that Flux has. docs/observing.md says of each what to do about it."""

from __future__ import annotations

from typing import Final

from flux_actors import limits
from flux_actors.metering.instruments import COUNTS
from flux_actors.metering.samples import Kind, Metric

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_ROLE: Final = ("role",)
_PARTITION: Final = ("partition",)
_CONNECTOR: Final = ("connector",)
_BLOCK_BYTES: Final = tuple(float(limits.block_bytes_max >> shift) for shift in (11, 9, 7, 5, 3, 2, 1, 0))

# -- every process -----------------------------------------------------------------------------------
INFO = Metric("flux_process_info", _G, "1 for each process that lives", ("role", "node", "version"))
STARTED = Metric("flux_process_start_time_seconds", _G, "when the process began, since 1970", _ROLE)
CPU = Metric("flux_process_cpu_seconds_total", _C, "processor time, user and system", _ROLE)
MEMORY = Metric("flux_process_resident_memory_bytes", _G, "memory of the process", _ROLE)
FILES = Metric("flux_process_open_fds", _G, "open files and connections", _ROLE)
LOOP_LAG = Metric("flux_loop_lag_seconds", _H, "how late the event loop woke a sleeper", _ROLE)
NATS_CONNECTED = Metric("flux_nats_connected", _G, "1 while NATS is reached", _ROLE)
NATS_RECONNECTS = Metric("flux_nats_reconnects_total", _C, "how often NATS had to be reached anew", _ROLE)
NATS_PENDING = Metric("flux_nats_pending_bytes", _G, "waiting in the client to be sent to NATS", _ROLE)

# -- doors -------------------------------------------------------------------------------------------
REQUESTS = Metric("flux_http_requests_total", _C, "requests answered", ("method", "route", "status"))
REQUEST_FAULTS = Metric("flux_http_faults_total", _C, "requests that met a fault of Flux's own")
REQUEST_SECONDS = Metric(
    "flux_http_request_duration_seconds",
    _H,
    "from a request to the beginning of its answer; not of those that the hot way answers",
    ("route",),
)
CONNECTIONS = Metric("flux_connections", _G, "connections, sockets included")
SOCKETS = Metric("flux_sockets", _G, "WebSockets and event streams among them")
REFUSED_CONNECTIONS = Metric("flux_refused_connections_total", _C, "turned away for want of a place")
COMMITTED_EVENTS = Metric("flux_committed_events_total", _C, "events that became durable")
COMMITTED_BLOCKS = Metric("flux_committed_blocks_total", _C, "blocks they went in")
COMMIT_SECONDS = Metric(
    "flux_commit_duration_seconds", _H, "from taking the oldest event of a block to its durability"
)
APPEND_SECONDS = Metric("flux_append_duration_seconds", _H, "from sending a block to the log's word")
BLOCK_EVENTS = Metric("flux_block_events", _H, "events of a block", bounds=COUNTS)
BLOCK_BYTES = Metric("flux_block_bytes", _H, "bytes of a block", bounds=tuple(sorted(_BLOCK_BYTES)))
APPEND_RETRIES = Metric("flux_append_retries_total", _C, "blocks sent again for want of an answer")
COMMIT_FAILURES = Metric("flux_commit_failures_total", _C, "events given up: their senders were told 503")
QUEUE_EVENTS = Metric("flux_commit_queue_events", _G, "events waiting for the log")
QUEUE_BYTES = Metric("flux_commit_queue_bytes", _G, "the same in bytes")
VIEW_ENTITIES = Metric("flux_view_entities", _G, "entities kept in the live view")
VIEW_HITS = Metric("flux_view_hits_total", _C, "reads answered from the live view")
VIEW_MISSES = Metric("flux_view_misses_total", _C, "entities that had to be fetched from their shard")
FEED_GAPS = Metric("flux_feed_gaps_total", _C, "gaps in feeds, repaired from the shard")
FEED_LOSSES = Metric("flux_feed_losses_total", _C, "gaps longer than a shard remembers: states told instead")
FEED_UNREADY = Metric(
    "flux_feed_unready_partitions", _G, "partitions whose shard is silent or being repaired"
)
WATCHERS = Metric("flux_watchers", _G, "who watches: sockets and event streams")
SLOW_WATCHERS = Metric("flux_slow_watchers", _G, "those that are behind and get merged updates")
CONFLATIONS = Metric("flux_conflations_total", _C, "times that a watcher fell behind")
OWED_ENTITIES = Metric("flux_owed_entities", _G, "entities kept for watchers that are behind")
FANNED_OUT = Metric("flux_fanned_out_changes_total", _C, "changes looked at for watchers")
TENANCY_AGE = Metric("flux_tenancy_age_seconds", _G, "since the tenants were last read; 0 without tokens")

# -- shards ------------------------------------------------------------------------------------------
RUNNING = Metric("flux_partition_running", _G, "1 while the partition applies and answers", _PARTITION)
STOPPED = Metric("flux_partition_stopped", _G, "1 when its data contradict themselves", _PARTITION)
EPOCH = Metric("flux_partition_epoch", _G, "which host of the partition this is", _PARTITION)
LAG_BLOCKS = Metric("flux_partition_lag_blocks", _G, "blocks in the log that are not applied", _PARTITION)
LAG_SECONDS = Metric(
    "flux_partition_lag_seconds", _G, "age of the newest applied block, if more wait", _PARTITION
)
POSITION = Metric("flux_partition_position", _G, "sequence of the newest applied block", _PARTITION)
APPLIED = Metric("flux_partition_applied_events_total", _C, "events that the state is made of", _PARTITION)
SET_ASIDE = Metric("flux_partition_set_aside_events_total", _C, "events that could not be read", _PARTITION)
FEED_FAILURES = Metric(
    "flux_partition_feed_failures_total", _C, "feed messages that did not go out", _PARTITION
)
ENTITIES = Metric("flux_partition_entities", _G, "living entities", _PARTITION)
HOT_ENTITIES = Metric("flux_partition_hot_entities", _G, "entities in memory, living or not", _PARTITION)
COLD_ENTITIES = Metric("flux_partition_cold_entities", _G, "entities that left memory", _PARTITION)
RECOVERY_SECONDS = Metric("flux_partition_recovery_seconds", _G, "what the last recovery took", _PARTITION)
APPLY_SECONDS = Metric("flux_apply_duration_seconds", _H, "applying what one pull brought")
LOG_BYTES = Metric("flux_log_bytes", _G, "what the partition's log takes", _PARTITION)
LOG_BLOCKS = Metric("flux_log_blocks", _G, "blocks that the partition's log holds", _PARTITION)
SNAPSHOT_KEPT = Metric(
    "flux_snapshot_kept_timestamp_seconds",
    _G,
    "when the newest snapshot was kept, or the partition recovered, since 1970",
    _PARTITION,
)
SNAPSHOT_BEHIND = Metric("flux_snapshot_behind_blocks", _G, "applied blocks behind it", _PARTITION)
SNAPSHOT_BYTES = Metric("flux_snapshot_bytes", _G, "size of the newest that was kept", _PARTITION)
SNAPSHOTS = Metric("flux_snapshots_total", _C, "snapshots kept", _PARTITION)
SNAPSHOT_FAILURES = Metric("flux_snapshot_failures_total", _C, "snapshots given up", _PARTITION)
SNAPSHOT_PAUSE = Metric("flux_snapshot_pause_seconds", _H, "how long events waited for a step of a snapshot")
SNAPSHOT_SECONDS = Metric(
    "flux_snapshot_duration_seconds", _H, "making a snapshot, from its cut to its keeping"
)
SNAPSHOT_DISK_FREE = Metric("flux_snapshot_disk_free_bytes", _G, "free space where snapshots go")
OUTBOX = Metric("flux_behaviour_outbox_messages", _G, "messages whose work is not done", _PARTITION)
MAILBOX_DEPTH = Metric("flux_behaviour_mailbox_messages_max", _G, "those of the busiest entity", _PARTITION)
BEHAVIOURS_STOPPED = Metric("flux_behaviour_stopped_entities", _G, "entities stopped by a fault", _PARTITION)
HANDLED = Metric("flux_behaviour_handled_messages_total", _C, "messages that are done, or let go", _PARTITION)
FAULTS = Metric("flux_behaviour_faults_total", _C, "faults that entities were marked with", _PARTITION)

# -- the router --------------------------------------------------------------------------------------
SHARDS = Metric("flux_router_shards", _G, "shards that own partitions")
WANTED_SHARDS = Metric("flux_router_wanted_shards", _G, "shards that there are to be")
UNPLACED = Metric("flux_router_unplaced_partitions", _G, "partitions without an owner")
SHARD_STARTS = Metric("flux_router_shard_starts_total", _C, "shards started, the first ones included")
UNANSWERED = Metric("flux_router_unanswered_total", _C, "shards that did not answer when asked how they are")
MOVES = Metric("flux_router_moves_total", _C, "partitions moved from one living shard to another")
MOVES_LEFT = Metric("flux_router_pending_moves", _G, "partitions that are still to be moved")
HANDOVER_SECONDS = Metric("flux_router_handover_seconds", _H, "between two leaders of a partition that moved")
UNWRITTEN = Metric("flux_router_topology_unwritten", _G, "1 while the store does not have the topology")

# -- connectors --------------------------------------------------------------------------------------
KEPT = Metric("flux_keeper_actors_wanted", _G, "namespaces that have connectors")
KEPT_RUNNING = Metric("flux_keeper_actors_running", _G, "those whose actor runs")
KEPT_FAILURES = Metric("flux_keeper_failures_total", _C, "actors that died or did not start")
CONFIGURED = Metric("flux_connector_sources", _G, "connectors that are configured", _CONNECTOR)
FAILING = Metric("flux_connector_failing_sources", _G, "those whose last poll failed", _CONNECTOR)
POLLS = Metric("flux_connector_polls_total", _C, "polls that were made", _CONNECTOR)
POLL_FAILURES = Metric("flux_connector_poll_failures_total", _C, "polls that failed", _CONNECTOR)
WRITTEN = Metric("flux_connector_events_total", _C, "events that polls led to", _CONNECTOR)

# -- supervisors --------------------------------------------------------------------------------------
NATS_STARTS = Metric("flux_supervisor_nats_starts_total", _C, "starts of nats-server, the first one included")
RAY_STARTS = Metric("flux_supervisor_ray_starts_total", _C, "starts of all on Ray, the first one included")

# -- the scrape itself: told by the door that was asked, of no process ---------------------------------
SCRAPED = Metric("flux_scrape_processes", _G, "processes that answered", _ROLE)
MISSING = Metric("flux_scrape_missing_processes", _G, "processes that should have answered and did not")
SCRAPE_SECONDS = Metric("flux_scrape_duration_seconds", _G, "how long the answers took to come together")

METRICS: Final = {metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)}
OF_SCRAPE: Final = frozenset({SCRAPED.name, MISSING.name, SCRAPE_SECONDS.name})
