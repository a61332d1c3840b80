"""A client made of Python's ovs, to be measured beside ours: prints how long the first contents took."""

import json
import sys
import time

import ovs.db.idl
import ovs.json
import ovs.poller

TABLE = "Load_Balancer"
COLUMNS = ["name", "vips", "protocol", "options", "selection_fields", "external_ids"]


def status(field):
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def main(endpoint, schema):
    if ovs.json.PARSER != "C":
        sys.exit("the C parser of JSON is missing: the figure would be unfair")
    helper = ovs.db.idl.SchemaHelper(schema)
    helper.register_columns(TABLE, COLUMNS)
    before = status("VmRSS:")
    begin = time.monotonic()
    idl = ovs.db.idl.Idl(endpoint, helper, leader_only=False)
    idl.index_create(TABLE, "by_name").add_column("name")
    while not idl.has_ever_connected():
        if not idl.run():
            poller = ovs.poller.Poller()
            idl.wait(poller)
            poller.block()
    seconds = time.monotonic() - begin
    print(json.dumps({
        "seconds": seconds, "rows": len(idl.tables[TABLE].rows),
        "peak": status("VmHWM:"), "grown": status("VmRSS:") - before,
    }))


main(*sys.argv[1:])
