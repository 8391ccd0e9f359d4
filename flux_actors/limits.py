"""Every bound of Flux, with its reason. Relations between them are asserted at import."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# -- what a client may send ------------------------------------------------------------------------
stream_chars_max: Final = 255
source_chars_max: Final = 255
event_id_chars_max: Final = 128
entity_id_bytes_max: Final = 512
json_depth_max: Final = 128  # deeper input is an attack; parsers of clients give up near 500
header_block_bytes_max: Final = 64 * KIB
request_id_chars_max: Final = 256
where_chars_max: Final = 4_096
where_depth_max: Final = 50  # calls within calls for each entity that is asked
where_run_chars: Final = (
    256  # of a condition: a longer one is asked of fewer entities in one go, 2 ms at most
)
wheres_kept: Final = 1_000  # conditions that were read, by their text
body_single_bytes: Final = 1 * MIB  # default, changeable at run time
body_single_bytes_range: Final = (1 * KIB, 8 * MIB)
body_batch_bytes: Final = 10 * MIB  # default, changeable at run time
body_batch_bytes_range: Final = (1 * KIB, 64 * MIB)
# The smallest event has 41 bytes: a batch of the default size holds no more of them. What is smaller is none,
# and five million of such would be told so in 70 bytes each.
batch_events_max: Final = 262_144
partitions_max: Final = 1_024  # of a log
doors_max: Final = 1_024  # of a Flux
ttl_ms_max: Final = 10 * 366 * 24 * 3_600_000  # ten years: what lives longer needs no lease
rate_per_minute: Final = 10_000  # default, changeable at run time
rate_per_minute_range: Final = (1, 10_000_000)
# What doors hold of a namespace's limit, all together; they may be ahead of it by as much. Both, and what is
# lost when a door dies, stay far from the 10 % that a limit may be off.
lease_share: Final = 0.02
lease_wait_s_min: Final = 0.25  # before a door asks again for a namespace that has nothing left
lease_timeout_s: Final = 0.5  # for the router's answer, then a door gives out its own share
lease_retry_s: Final = 0.25  # between two attempts to reach the router
lease_idle_s: Final = 1.0  # after which what lies unused at a door goes back
lease_door_s: Final = 30.0  # a door that has not asked for so long no longer counts
refusal_delay_s_range: Final = (0.02, 0.2)  # of a 429: one who asks at once takes 2 % of a core, not all
refusal_apart_s: Final = 0.001  # two of them: connections told together would come again together
lease_plenty: Final = 0.1  # of the limit: above it a door may be ahead
# A batch within these is read and published in one go, a larger one in slices: none holds a door up for long.
batch_at_once_bytes: Final = 128 * KIB
batch_at_once_events: Final = 2_000
batch_slice_bytes: Final = 4 * KIB  # a turn of 0.1 ms: docs/decisions/012
batch_slice_events: Final = 50
batch_turn_idle_s: Final = 0.00005  # a turn of the loop that took longer had something to do
batch_slices_together: Final = 4  # to the log, and rendered, in one go
batch_pause_s: Final = 0.001
batch_steps: Final = 4  # of a slice each, between two such pauses
batch_refused_pause_s: Final = 0.001  # after each slice of one with more events than may pass now
answer_piece_bytes: Final = 128 * KIB  # of a large answer, written in one go
batches_at_once: Final = 2  # large ones, of all namespaces; others wait
body_other_bytes: Final = 8 * MIB  # reads by id list, batch delete, admin: never a stream of events

# -- tenants ---------------------------------------------------------------------------------------
token_chars_max: Final = 256  # a token has 65; more is no token and need not be hashed
tokens_max: Final = 500  # of one namespace: its record has then 400 KiB at most
token_changes_per_minute: Final = 60  # of one namespace at one door: each is read by all doors, and recorded
body_tenancy_bytes: Final = 64 * KIB
tenancy_poll_s: Final = 0.3  # how often a door looks for what other doors changed
tenancy_look_s: Final = 0.05  # between two looks for tokens that are not known: guessing costs no more
tenancy_fresh_s: Final = 0.9  # without a look into the store; then no token is trusted before the next
tenancy_everywhere_s: Final = 20.0  # for every door to go by a change and have nothing of before under way

# -- in the cluster, without HTTP ------------------------------------------------------------------
introduction_s: Final = 10.0  # for a token that is revoked to end everywhere; asked anew after half of it
native_pieces_max: Final = 4  # of one publish_many per partition, on their way to the log
native_read_ids: Final = 500  # entities in one request to a shard
native_reads_max: Final = (
    2  # such requests to one partition under way; what is wanted meanwhile goes together
)
native_try_s: Final = 1.0  # for an answer to a read, before the shard is asked again
native_retry_s: Final = 0.05  # while a partition moves
watch_states_max: Final = 1_000  # that wait for who watches one entity; beyond it the oldest are left out

# -- the log ---------------------------------------------------------------------------------------
block_bytes_max: Final = 512 * KIB  # an fsync carries this much; docs/decisions/002
block_events_max: Final = 4_000
offset_bits: Final = 12  # a position packs (sequence, offset) into one integer
nats_payload_bytes_max: Final = 16 * MIB  # the largest single event, its envelope and headers
block_overhead_bytes_max: Final = 4 * KIB  # block header, NATS header and envelope beside the payload
disk_reserve_parts: Final = 20  # the embedded log leaves one of so many parts of its disk to all else
disk_full_bytes: Final = 32 * MIB  # with less, a block may find no room
disk_room_bytes: Final = 64 * MIB  # with so much there is room again
queue_events_max: Final = 100_000  # waiting in one committer before publishers get 503
queue_bytes_max: Final = 64 * MIB
gather_pieces_range: Final = (4, 64)  # publishes in a block after which their senders are awaited
gather_s: Final = 0.0004  # at most: about what an append takes
gather_turns: Final = 100  # of the event loop, at most: an idle one makes about that many in this time
append_timeout_s: Final = 2.0  # one try of one block
append_deadline_s: Final = 10.0  # all tries of one block, then 503
append_retry_s: Final = 0.1
read_blocks_max: Final = 64  # on their way to one process for a history; more makes it no faster
read_bytes_max: Final = 8 * MIB  # the same in bytes
duplicate_window_s: Final = 120  # JetStream's memory of block ids: covers every retry of a block

# -- the fold --------------------------------------------------------------------------------------
dedupe_window_s: Final = 120
dedupe_events_min: Final = 100_000
history_positions_max: Final = 500
poison_kept_max: Final = 100

# -- reducers --------------------------------------------------------------------------------------
reduce_cpu_s: Final = 1.0  # of one event: a fold waits for it
reduce_cpu_hard_s: Final = 2.0  # then its process is killed: it does not listen
reduce_load_cpu_s: Final = 20.0  # to load the code: some imports take seconds
reduce_sleep_s: Final = 2.0  # without a result, neither working nor wanting to: a reducer must not wait
reduce_memory_bytes_max: Final = 1 * GIB  # address space of the process
reduce_state_bytes_max: Final = 1 * MIB  # one new state, encoded
reduce_patience_s: Final = 120.0  # a shard that is silent so long, reducing, is replaced after all
reduce_look_s: Final = 0.05  # between two looks at what a reducer does

# -- shards ----------------------------------------------------------------------------------------
pull_blocks: Final = 64  # credit given to JetStream; docs/decisions/003 has the figures
# Applied in one go between two looks at the event loop. What was decoded should still be in the processor's
# cache when it is applied: a fold of 1 MiB at a time costs half as much again (docs/decisions/006).
pull_bytes_apply_max: Final = 128 * KIB
pull_expires_s: Final = 5.0
feed_ring_bytes_max: Final = 16 * MIB  # per partition: repairs doors that missed messages
feed_message_bytes_max: Final = 1 * MIB
heartbeat_s: Final = 1.0  # an idle partition tells its position this often
moving_wait_s: Final = 2.0  # that a read waits for a partition between two shards
snapshot_every_s: Final = 300.0
snapshot_every_events: Final = 1_000_000
snapshot_step_s: Final = 0.003  # encoding between two pulls; the last slice of a step may exceed it
snapshot_slice_entities: Final = 200  # about 0.5 ms
snapshot_slice_bytes: Final = 256 * KIB  # of large entities a slice takes fewer; about 2 ms
snapshots_kept: Final = 3
log_bytes_min: Final = 1 * MIB  # a bound below it would hold no block of some partitions
trim_every_s: Final = 60.0  # looks for what a log need not hold any more, beside those after each snapshot
page_first_bytes: Final = 64 * KIB  # soon rendered, soon sent: the first byte of a list
page_bytes: Final = 512 * KIB  # of a list, per partition: 32 MB take 90 ms of Ray, in pages of 64 KiB 500 ms
page_look_s: Final = 0.1  # then a page is done, whatever it holds: a condition may match nothing
query_s: Final = 20.0  # that shards take for one list with a condition
list_limit_range: Final = (1, 10_000)  # entities of a page that a client asks for
list_page_bytes_max: Final = 8 * MIB  # of such a page, which a door holds whole; then it has fewer entities
fields_max: Final = 100
run_bytes: Final = 128 * KIB  # what a list renders, and sends, in one go
run_ids_max: Final = 1_000  # looked at in one go: about 1 ms
get_many_ids_max: Final = 10_000
get_many_bytes_max: Final = 64 * MIB  # of one answer, which a door holds whole
delete_matches_max: Final = 10_000

# -- the past --------------------------------------------------------------------------------------
clocks_differ_s: Final = 600.0  # at most, those of doors: a time further ahead has come by none of them
past_at_once: Final = 2  # folds of one door: each takes a process, and a core while it folds
past_lists_at_once: Final = 8  # of one door, until they are read to the end: a slow reader keeps a process
past_waiting_max: Final = 20  # of one door, for their turn; beyond it 503
past_pause_s: Final = 1.0  # before the place of one that was given up is another's
past_s: Final = 60.0  # for one, reading its answer included: some ten million events on a free core
past_entities_max: Final = 1_000_000  # in memory: about a gigabyte of small ones
past_memory_bytes_max: Final = 3 * GIB  # of the process that folds, whatever they hold
past_niceness: Final = 10  # of that process: it gets what events and reads of the present leave
past_changes_max: Final = 100_000  # of one answer; a reader that missed more is better off with the present
past_answer_bytes_max: Final = 64 * MIB  # of changes, which a door holds whole
past_idle_s: Final = 60.0  # that a process which has told is kept for the next

# -- backup and restore ----------------------------------------------------------------------------
backup_segment_bytes: Final = 16 * MIB  # of blocks in one file: so much is in memory, and read at once
report_every_s: Final = 2.0  # between two words on how far a command is
backup_patience_s: Final = 60.0  # with a log or a place that is away, then it ends, to be begun again
repartition_lag_s: Final = 2.0  # that a block may be on its way, or a door's clock be behind another's
repartition_behind_s: Final = 1.0  # that a copy may be behind when the log is closed for it
repartition_waiting_blocks: Final = 2_000  # of a partition, read ahead of the others
repartition_turn_blocks: Final = 50  # copied between two turns of others
switch_s_max: Final = 8.0  # that writes wait for a switch; then the log goes on as it was
switch_patience_s: Final = 12.0  # until the router ends a switch that nobody carries through
closed_look_s: Final = 12.0  # between two looks whether a partition is closed with no switch under way
repartition_served_s: Final = 120.0  # that shards have to recover before the log as it was is kept after all
log_look_s: Final = 0.25  # between two looks whether the log has a next generation
restore_blocks_max: Final = 256  # on their way to the log at once
restore_bytes_max: Final = 8 * MIB  # the same in bytes

# -- verifying -------------------------------------------------------------------------------------
digest_buckets: Final = 4_096  # of a partition's entities: few ids to look at where one differs
digest_step_s: Final = 0.001  # hashing without a turn for others; 3 µs an entity, a slice is 0.8 ms
digest_pause_s: Final = 0.003  # then others have their turn: a digest takes a quarter of a shard's loop
verify_differences_max: Final = 10  # entities that are named of a partition

# -- batch jobs over the history -------------------------------------------------------------------
# A block may come so much later than others with a later clock: until it was given up, and then some seconds
# by which the clocks of doors may differ.
history_disorder_s: Final = 30.0
history_piece_blocks_min: Final = 64  # of one task: fewer are read faster than a task starts
history_read_bytes: Final = 8 * MIB  # of blocks that a task has in memory at once, about
history_table_rows: Final = 8_000  # of one table that a task hands on
history_patience_s: Final = 30.0  # with a log that is away, then the task fails

# -- passivation -----------------------------------------------------------------------------------
memory_bytes_min: Final = 1 * MIB  # a budget below it would hold no pull
passivation_slice_s: Final = 0.005  # without a look at the event loop
passivation_batch: Final = 200  # entities in one transaction of the cold store: about 1.5 ms
passivation_bytes: Final = 256 * KIB  # of large entities it takes fewer
cold_store_bytes_max: Final = 64 * GIB  # address space per partition; beyond it entities stay in memory
cold_mapped_bytes_min: Final = 64 * MIB  # of a partition's cold store may stay mapped, or more:
cold_mapped_share: Final = 8  # this part of the shard's budget

# -- behaviours ------------------------------------------------------------------------------------
code_bytes_max: Final = 16 * MIB  # of one behaviour: code, not data; every worker that runs it holds a copy
behaviour_name_chars_max: Final = 100
behaviour_patterns_max: Final = 100  # of one version: each is asked of an entity once in a revision
behaviours_max: Final = 200  # deployed at once: the same
reduced_patterns_max: Final = 1_000  # that ever had a reducer; of more, whole namespaces are remembered
behaviour_versions_kept: Final = 10  # earlier ones, to roll back to
pins_max: Final = 1_000
actor_rows_max: Final = (
    10_000  # shown in one answer: 2 MB, and a quarter of a second of a shard in short runs
)
catalogue_bytes_max: Final = 1 * MIB  # it travels whole, in one event of each partition
catalogue_look_s: Final = 3.0  # between two looks whether each partition has the newest one
mailbox_messages_max: Final = 10_000  # that wait for one entity; one more stops its behaviour
orders_items_max: Final = 2_000  # messages in one call of a worker: about 30 ms of small ones
orders_bytes_max: Final = 4 * MIB  # the same in bytes, about
lane_calls_max: Final = 2  # of a worker by one partition: one is handled while the next is made
orders_under_way: Final = 4  # calls whose effects are not durable yet, before the next one waits
handled_positions_max: Final = 4_000  # in one event that notes what is done
fault_chars_max: Final = 2_000
ask_deadline_s: Final = 5.0  # unless the question says otherwise
ask_deadline_s_max: Final = 3_600.0
behaviour_code_bytes_max: Final = 8 * MIB  # data belongs into the log or a file, not into code
behaviour_instances_max: Final = 100_000  # of one worker; the longest unused one goes first
behaviour_look_s: Final = 0.02  # between two looks at what a handler does
behaviour_fault_chars_max: Final = 2_000
effect_bytes_max: Final = 1 * MIB  # one, as an event of the log: what a client may send by default
effects_bytes_max: Final = 16 * MIB  # of one message, all together
effects_burst_s: Final = 10.0  # of the rate of one entity's effects, at once
answer_bytes_max: Final = 1 * MIB  # to a question, and what is told


# -- doors -----------------------------------------------------------------------------------------
view_entities_max: Final = 200_000
verdicts_kept_max: Final = 100_000  # refusals of a partition that a door remembers for those who wait
presence_ttl_ms: Final = 4_000  # of an entity that is tied to a socket, should its door die
presence_renew_s: Final = 1.3
presences_max: Final = 1_000  # entities that one socket may have tied to it
fetch_ids_max: Final = 1_000  # cold reads grouped into one Ray call
connections_max: Final = 40_000  # default of a door: 10 KB each while they idle
sockets_max: Final = 30_000  # default: publishers and probes find a place when all sockets are taken
address_connections_max: Final = 20_000  # default: no address keeps all others out
files_spare: Final = 512  # of the process's open files: for the log, Ray, and those who are turned away
turned_away_max: Final = 256  # connections that are still told why; beyond it they are cut off
turned_away_retry_s: Final = 5
look_every_s: Final = 1.0  # at what each connection does
request_grace_s: Final = 20.0  # for a request to come in; every byte that comes prolongs it:
request_bytes_per_s_min: Final = 8 * KIB
coming_bytes_max: Final = 1 * GIB  # of requests and messages that come in, all together, about
stalled_s: Final = 60.0  # for a client to take any of its answer
tls_handshake_s: Final = 10.0
hot_head_bytes_max: Final = 2 * KIB  # longer heads are parsed each time
hot_heads_max: Final = 4_096  # remembered at most, of each kind: 8 MiB of the longest
hot_request_bytes_max: Final = 512  # longer GETs are taken apart each time
hot_requests_max: Final = 16_384  # remembered whole at most: 8 MiB of the longest
hot_held_bytes_max: Final = 64 * KIB  # read ahead of an answer under way, then the connection waits
socket_ping_s: Final = (
    20.0  # between two pings, and for the answer to one: middleboxes cut what is silent for 30 s
)
socket_request_bytes_max: Final = 1 * KIB  # what a message on a socket may have beside its event
socket_message_bytes_max: Final = body_single_bytes_range[1] + socket_request_bytes_max
socket_patterns_max: Final = 10_000  # per socket: 2 to 10 MB
# Messages other than publishes that one socket may send: all its subscriptions twice at once, then about 5 %
# of a core. Publishes have their namespace's rate.
socket_requests_burst: Final = 20_000
socket_requests_per_s: Final = 5_000
socket_auth_weight: Final = 100  # of such messages: a token that is not known is looked up
socket_refusals_burst: Final = 1_000  # messages over that rate that are still told so, then the socket ends
socket_refusals_per_s: Final = 100
socket_publishes_max: Final = (
    2_000  # without an answer; then a socket is not read: half a block, 30 ms of them
)
socket_publish_bytes_max: Final = 4 * MIB  # the same in bytes
socket_pressed_bytes: Final = 64 * KIB  # waiting for a socket: it is not read until that is gone
socket_waiting_bytes_max: Final = 4 * MIB  # then a slow reader is conflated: 0.4 s of 75,000 frames/s
sockets_waiting_bytes_max: Final = 512 * MIB  # of all sockets of a door; each has its share of it
fan_out_slice_bytes: Final = 256 * KIB  # written to each socket in one piece, between two looks at the slow
conflated_slice_bytes: Final = 64 * KIB  # about 0.4 ms of rendering between two turns of the event loop
conflated_looks_max: Final = 2_000  # entities looked at for one slice, wanted or not
base_bytes: Final = 256 * KIB  # of rows in one call, for a subscription that begins with the present state
bases_at_once: Final = 8  # calls for such rows under way at a door: the shards live, too
held_changes_max: Final = 200_000  # for one subscription until its base is in; then it begins anew
held_bytes_max: Final = 64 * MIB  # the same in bytes
held_few: Final = 1_000  # are not looked through for what a part of the base has in it
all_held_bytes_max: Final = 512 * MIB  # for all subscriptions of a door
resume_changes_max: Final = 50_000  # that one resumed subscription is told again; beyond it, it begins anew
mirror_entities_max: Final = 200_000  # in all mirrors of a door: what conditions on sockets are asked of
mirror_bytes_max: Final = 256 * MIB  # the same in bytes
stream_silence_s: Final = 15.0  # of an event stream: proxies cut what is silent for 30 s
stream_look_s: Final = 0.2  # whether an event stream has all that its reader is to begin with
stream_retry_s: Final = 1  # before a browser that lost its event stream comes back
history_default: Final = 100
history_default_s: Final = 24 * 3600
metrics_every_s: Final = 2.0
rate_window_s: Final = 5.0
publisher_active_s: Final = 60.0
config_poll_s: Final = 0.4  # admin changes are in force everywhere within a second

# -- what operators see ----------------------------------------------------------------------------
roll_wait_s: Final = 1.0  # for the answers of all processes to a scrape; a busy shard answers in 0.1 s
roll_fresh_s: Final = 1.0  # a scrape so soon behind another gets the same: many of them cost no more
exposition_lines_max: Final = 500  # of /metrics, written in one go: 2 ms
report_samples_max: Final = 2_000  # in one message: 120 KB, where a NATS of others may take 1 MiB
loop_look_s: Final = 0.25  # between two looks at how late a loop is: 20 µs of each second
followed_max: Final = 32  # pieces of a block that are traced: 2 KB of its headers
log_usage_s: Final = 15.0  # between two questions to the log, how large it is: one per partition

# -- connectors ------------------------------------------------------------------------------------
connector_token_chars_max: Final = 4_096  # an OAuth token with many scopes takes 2 KiB
connector_settings_bytes_max: Final = 8 * KIB
connector_body_bytes_max: Final = 64 * KIB  # of a request that configures one
generic_sources_max: Final = 100  # per namespace: all of them are one document of the store
generic_url_chars_max: Final = 2_048
generic_name_chars_max: Final = 128
generic_interval_s_range: Final = (1, 86_400)
generic_answer_bytes_max: Final = 1 * MIB  # as sent, and once more when decompressed
connector_answer_bytes_max: Final = 8 * MIB  # of an API that we know: 100 issues with long texts
connector_request_s: Final = 20.0  # one request with its redirects, whatever the other side does
connector_connect_s: Final = 5.0  # looking up a name, and connecting, each
connector_redirects_max: Final = 5
connector_poll_s: Final = 300.0  # one poll with all its requests
connector_poll_entities_max: Final = 10_000
connector_batch_entities: Final = 500  # written in one go
connector_known_max: Final = 100_000  # entities that a writer has digests of: 15 MB
connector_state_bytes_max: Final = 256 * KIB  # what a connector may remember from poll to poll
connector_retry_s_range: Final = (1.0, 300.0)  # between tries of one that fails, doubling
connector_refused_retry_s: Final = 3_600.0  # a token that was refused: only a new one helps
connector_wait_s_max: Final = 86_400.0  # however long an API asks us to stay away
connector_failures_open: Final = 5  # in a row, then the circuit is open: told once, probed rarely
connector_save_s: Final = 10.0  # a good poll is remembered this often, what went wrong at once
connector_look_s: Final = 2.0  # an actor looks for new configuration when nobody told it
connector_error_chars_max: Final = 300
keeper_look_s: Final = 1.0
keeper_list_s: Final = 10.0  # the keeper looks for namespaces that nobody told it of
keeper_silences_max: Final = 3  # unanswered questions before an actor counts as dead
keeper_missed_s: Final = (
    15.0  # a door looks whether there is a keeper, should the one that starts it have died
)
keeper_restart_s_range: Final = (0.5, 60.0)  # before a dead actor is started again, doubling
keeper_healthy_s: Final = 60.0  # an actor that lived so long begins again with the shortest wait

assert behaviour_code_bytes_max <= code_bytes_max < 64 * MIB
assert catalogue_bytes_max + block_overhead_bytes_max < nats_payload_bytes_max
assert block_events_max < 1 << offset_bits
assert nats_payload_bytes_max < disk_full_bytes < disk_room_bytes
assert dedupe_window_s >= duplicate_window_s >= 2 * append_deadline_s
assert body_single_bytes_range[1] + block_overhead_bytes_max < nats_payload_bytes_max
assert feed_message_bytes_max + body_single_bytes_range[1] < nats_payload_bytes_max
assert gather_s < append_retry_s
assert history_disorder_s >= 2 * (append_deadline_s + append_timeout_s)
assert append_timeout_s < append_deadline_s
assert switch_s_max < append_deadline_s  # whoever writes waits for a switch, and need not be refused
assert switch_s_max < switch_patience_s
assert partitions_max * cold_store_bytes_max < 1 << 47  # a shard may host all that a log may have
assert config_poll_s < 1.0
assert followed_max * 70 < block_overhead_bytes_max
assert roll_fresh_s + roll_wait_s < 5.0  # half of what Prometheus waits for a scrape
assert 3 * presence_renew_s * 1_000 < presence_ttl_ms < 5_000
assert batch_events_max * 41 > body_batch_bytes
assert address_connections_max < connections_max
assert sockets_max < connections_max
assert turned_away_max < files_spare
assert socket_requests_burst >= 2 * socket_patterns_max
assert coming_bytes_max >= 8 * body_batch_bytes_range[1]
assert 2 * lease_share < lease_plenty <= 0.1
assert tenancy_look_s < tenancy_poll_s < tenancy_fresh_s < 1.0
assert append_deadline_s + append_timeout_s < tenancy_everywhere_s
assert socket_pressed_bytes < fan_out_slice_bytes <= socket_waiting_bytes_max <= sockets_waiting_bytes_max
assert base_bytes <= fan_out_slice_bytes < held_bytes_max < all_held_bytes_max
assert generic_answer_bytes_max < connector_answer_bytes_max < nats_payload_bytes_max
assert connector_request_s < connector_poll_s
assert connector_retry_s_range[1] < connector_refused_retry_s < connector_wait_s_max
assert generic_sources_max * (connector_token_chars_max * 2 + generic_url_chars_max * 4) < 2 * MIB
assert effect_bytes_max + block_overhead_bytes_max < nats_payload_bytes_max
assert behaviour_look_s < 0.1
assert 4 * reduce_look_s <= reduce_cpu_s < reduce_cpu_hard_s < reduce_load_cpu_s
