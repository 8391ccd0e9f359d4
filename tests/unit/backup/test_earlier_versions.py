"""What backups of version 1 hold is read for ever; with blocks and a snapshot of earlier versions still."""

from __future__ import annotations

from flux_actors.backup.archive import checked
from flux_actors.backup.manifest import FileFacts, decode
from flux_actors.backup.segments import decode_segment
from flux_actors.places.memory import MemoryPlace
from flux_actors.snapshot.codec import read_header
from tests.unit.snapshot.test_earlier_versions import BLOCKS, SNAPSHOT

SEGMENT_1 = bytes.fromhex(
    "464c5558424c4b53000100000003000000000000000728b52ffd602200c50500c4080000005846580100070003e80000"
    "0002b05b40addd9aa3612f3181a17601a56e616d6564c3a173a17401c0c0c09aa3612f3281a177c0a46d616465c20000"
    "00744658020207d02a09a2d49ba3612f3381a1780197c0000581a17803c0c0c03180c0c0c094a761637175697265a26d"
    "653c4a030bb8000000019bf29beb013281ab5f5f64656c657465645f5fc3120066900a58808580ddd592d9c305849a56"
    "949d47901248060161605f40fb3ae9b104a799031838035c"
)
MANIFEST_1 = (
    b'{"checksum":"8ab0b6eec42965b613c833beb23c9f87bcde668b5946ba20daa68ae3f1360516","manifest":{"form'
    b'at":1,"written_by":"0.1.0","log_id":"log","began_us":1700000000000000,"ended_us":170000000000000'
    b'1,"parts":[{"partition":3,"first":7,"last":9,"last_block":"aec42a56b9ee6ede10490fccf2f67f38c8f9f'
    b'e53d9a971420d713dc64585a417","segments":[{"file":{"name":"log/3/x.blocks","size_bytes":216,"chec'
    b'ksum":"a335d01808e115f9d3cb5ae74dca36ead1b23343ac2ec714ef2d084e020322d8"},"first":7,"last":9,"cl'
    b'ock_us":3000}],"snapshots":[{"file":{"name":"snapshots/3/y.flux","size_bytes":293,"checksum":"9e'
    b'70993b63423a275a63dde33733d602a6deb031eb76773b082ba7dbcea49325"},"sequence":8,"clock_us":2000}]}'
    b'],"stores":{"name":"stores/z.json","size_bytes":2,"checksum":"c09da522dac261c3d2566230bed10d2f3e'
    b'f13f8e7654576c12e857e07f786098"},"code":[{"name":"code/00","size_bytes":1,"checksum":"11"}]}}'
)


def test_backup_of_version_1_is_read() -> None:
    manifest = decode(MANIFEST_1)
    (part,) = manifest.parts
    assert (manifest.log_id, manifest.began_us, manifest.ended_us) == ("log", 17 * 10**14, 17 * 10**14 + 1)
    assert (part.partition, part.first, part.last, part.clock_us) == (3, 7, 9, 3_000)
    assert manifest.stores.name == "stores/z.json"
    assert manifest.code == [FileFacts("code/00", 1, "11")]


def test_its_blocks_and_snapshots_are_those_of_their_time() -> None:
    place = MemoryPlace()
    (part,) = decode(MANIFEST_1).parts
    (segment,), (snapshot,) = part.segments, part.snapshots
    place.files = {segment.file.name: SEGMENT_1, snapshot.file.name: SNAPSHOT}
    assert decode_segment(checked(place, segment.file), 3, segment.first, segment.last) == BLOCKS
    assert read_header([checked(place, snapshot.file)]).behaviours is None
