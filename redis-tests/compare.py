# SPDX-License-Identifier: Apache-2.0
"""When are two replies the same?

By default when type and content are equal. The table RULES at the end names the commands whose
replies Redis leaves open in some respect (order, randomness, time) and the comparer for each. A
comparer takes (command, theirs, ours) and returns None when the replies agree or a text that says
how they do not. Errors are never left open: if one side answers an error, the other must answer
the same one, byte for byte.
"""

import re

LIST_KINDS = ("*", "~", ">")
TIME_TOLERANCE_SECONDS = 10
TIME_TOLERANCE_MS = TIME_TOLERANCE_SECONDS * 1000


def compare(command, theirs, ours, rule_name=None):
    """None when the replies agree, else a short reason."""
    if theirs == ours:
        return None
    if theirs[0] in ("-", "EOF", "TIMEOUT") or ours[0] in ("-", "EOF", "TIMEOUT"):
        return "replies differ"
    rule = COMPARERS[rule_name] if rule_name else find_rule(command)
    if rule is None:
        return "replies differ"
    try:
        return rule(command, theirs, ours)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return "a reply has no form that the comparer knows: %s" % error


def find_rule(command):
    if not command:
        return None
    name = command[0].upper()
    rule = RULES.get(name)
    if isinstance(rule, dict):
        rule = rule.get(command[1].upper()) if len(command) > 1 else rule.get(None)
    return rule


# --- comparers -------------------------------------------------------------------------------

def unordered(_command, theirs, ours):
    """Same elements in any order; a map or an array of pairs keeps its pairs together."""
    if theirs[0] != ours[0] or not isinstance(theirs[1], list) or not isinstance(ours[1], list):
        return "types differ"
    return None if multiset(theirs[1]) == multiset(ours[1]) else "elements differ"


def unordered_pairs(_command, theirs, ours):
    """RESP2: a flat array field, value, field, value; RESP3: a map."""
    if theirs[0] != ours[0]:
        return "types differ"
    if theirs[0] == "%":
        return unordered(None, theirs, ours)
    if not isinstance(theirs[1], list) or not isinstance(ours[1], list):
        return "types differ"
    if len(theirs[1]) != len(ours[1]):
        return "lengths differ"
    return None if multiset(pairs(theirs[1])) == multiset(pairs(ours[1])) else "pairs differ"


def scan(command, theirs, ours):
    """One page: a cursor and elements. Only complete scans (cursor 0) have equal elements."""
    for reply in (theirs, ours):
        if reply[0] != "*" or len(reply[1]) != 2 or reply[1][0][0] != "$":
            return "not a page of a scan"
    if theirs[1][0] == ("$", b"0") and ours[1][0] == ("$", b"0") and command_starts(command):
        in_pairs = command[0].upper() == b"HSCAN"
        return (unordered_pairs if in_pairs else unordered)(None, theirs[1][1], ours[1][1])
    return None if theirs[1][1][0] == ours[1][1][0] else "types differ"


def command_starts(command):
    """Whether a SCAN command starts at cursor 0."""
    position = 1 if command[0].upper() == b"SCAN" else 2
    return len(command) > position and command[position] == b"0"


def near(tolerance):
    """Integers that may differ by `tolerance`; negative ones and other types must be equal."""
    def rule(_command, theirs, ours):
        a, b = as_int(theirs), as_int(ours)
        if theirs[0] != ours[0] or a is None or b is None:
            return "types differ"
        if a < 0 or b < 0:
            return "replies differ"
        return None if abs(a - b) <= tolerance else "further apart than %d" % tolerance
    return rule


def same_type(_command, theirs, ours):
    """Same type, and both null or both not."""
    if theirs[0] != ours[0] or (theirs[1] is None) != (ours[1] is None):
        return "types differ"
    return None


def same_shape(_command, theirs, ours):
    """Same types and lengths all the way down; the contents are free."""
    return None if shape(theirs) == shape(ours) else "shapes differ"


def random_elements(command, theirs, ours):
    """SRANDMEMBER, HRANDFIELD, SPOP: same shape; a positive count repeats nothing."""
    if shape(theirs) != shape(ours):
        return "shapes differ"
    count = command[2] if len(command) > 2 else b"-1"
    if not count.startswith(b"-") and isinstance(ours[1], list):
        elements = ours[1]
        if len(command) > 3 and elements and elements[0][0] == "$":
            elements = pairs(elements)
        if len(set(map(repr, elements))) != len(elements):
            return "an element is repeated"
    return None


def positive(_command, theirs, ours):
    """Both positive integers, or both null (equal ones were seen before)."""
    ok = theirs[0] == ours[0] == ":" and theirs[1] > 0 and ours[1] > 0
    return None if ok else "not two positive integers"


def is_time(_command, theirs, ours):
    """TIME: two bulk strings, seconds and microseconds."""
    if shape(theirs) != shape(ours):
        return "shapes differ"
    seconds = [int(reply[1][0][1]) for reply in (theirs, ours)]
    micros = int(ours[1][1][1])
    ok = abs(seconds[0] - seconds[1]) <= TIME_TOLERANCE_SECONDS and 0 <= micros < 1000000
    return None if ok else "clocks differ"


def is_info(_command, theirs, ours):
    """INFO: every section and field of Redis that tools read is there, in the same section."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = info_fields(theirs[1]), info_fields(ours[1])
    missing = [s for s in wanted if s not in got and s not in INFO_SECTIONS_FREE]
    for section, fields in wanted.items():
        readers = INFO_FIELDS.get(section, ())
        missing += [section + "." + f for f in fields
                    if f in readers and f not in got.get(section, {})]
    return "missing in INFO: " + ", ".join(missing) if missing else None


def info_fields(payload):
    """{section: {field: value}} of an INFO text; section names in lower case."""
    sections, current = {}, {}
    text = payload.decode(errors="replace").removeprefix("txt:")
    for line in text.split("\r\n"):
        if line.startswith("# "):
            current = sections.setdefault(line[2:].lower(), {})
        elif ":" in line:
            name, _, value = line.partition(":")
            current[name] = value
    return sections


def is_client_list(_command, theirs, ours):
    """CLIENT LIST and INFO: same number of lines; Redis' fields, some with equal values."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = (client_lines(reply[1]) for reply in (theirs, ours))
    if len(wanted) != len(got):
        return "%d clients, not %d" % (len(got), len(wanted))
    for line, other in zip(wanted, got):
        missing = [name for name in line if name not in other]
        if missing:
            return "missing fields: " + ", ".join(missing)
        for name in CLIENT_FIELDS_EQUAL:
            if line.get(name) != other.get(name):
                return "%s=%s, not %s" % (name, other.get(name), line.get(name))
    return None


def client_lines(payload):
    lines = payload.decode(errors="replace").removeprefix("txt:").split("\n")
    return [dict(word.partition("=")[::2] for word in line.split(" ")) for line in lines if line]


def is_hello(_command, theirs, ours):
    """HELLO: the same keys in the same order; version and connection id are each server's own."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = (as_pairs(reply) for reply in (theirs, ours))
    if [key for key, _ in wanted] != [key for key, _ in got]:
        return "keys differ"
    for (key, a), (_, b) in zip(wanted, got):
        free = key[1] in (b"version", b"id")
        if (a[0] != b[0]) if free else (a != b):
            return "%s differs" % key[1].decode()
    return None


def is_config(_command, theirs, ours):
    """CONFIG GET: every name that Redis shows is there; equal values but for places and sizes."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = ({k[1]: v for k, v in as_pairs(reply)} for reply in (theirs, ours))
    missing = sorted(name.decode() for name in wanted if name not in got)
    if missing:
        return "missing parameters: " + ", ".join(missing)
    wrong = sorted(name.decode() for name in wanted
                   if wanted[name] != got[name] and name not in CONFIG_VALUES_FREE)
    return "values differ: " + ", ".join(wrong) if wrong else None


def is_slowlog(_command, theirs, ours):
    """SLOWLOG GET: entries [id, time, duration, arguments, address, name]."""
    if theirs[0] != ours[0] or len(theirs[1]) != len(ours[1]):
        return "lengths differ"
    for a, b in zip(theirs[1], ours[1]):
        if [kind for kind, _ in a[1]] != [kind for kind, _ in b[1]]:
            return "shapes of an entry differ"
        if a[1][3] != b[1][3] or a[1][5] != b[1][5]:
            return "arguments or client names of an entry differ"
    return None


def is_command_info(_command, theirs, ours):
    """COMMAND INFO: name, arity, flags, keys and categories per entry; words in any order."""
    if theirs[0] != ours[0] or len(theirs[1]) != len(ours[1]):
        return "lengths differ"
    for a, b in zip(theirs[1], ours[1]):
        reason = compare_command_entry(a, b)
        if reason:
            return reason
    return None


def compare_command_entry(theirs, ours):
    if theirs == ours:
        return None
    if theirs[0] != ours[0] or theirs[1] is None or ours[1] is None:
        return "types differ"
    if len(theirs[1]) != len(ours[1]):
        return "entry has %d parts, not %d" % (len(ours[1]), len(theirs[1]))
    name = theirs[1][0][1].decode()
    for part, a, b in zip(COMMAND_INFO_PARTS, theirs[1], ours[1]):
        if part in ("flags", "categories"):
            if a[0] != b[0] or multiset(a[1]) != multiset(b[1]):
                return "%s: %s differ: %s, not %s" % (name, part, words(b), words(a))
        elif part == "subcommands":
            known = {entry[1][0][1]: entry for entry in a[1]}
            for entry in b[1]:
                if entry[1][0][1] in known:
                    reason = compare_command_entry(known[entry[1][0][1]], entry)
                    if reason:
                        return reason
        elif part not in ("tips", "key specs") and a != b:
            return "%s: %s differs" % (name, part)
    return None


def subset(_command, theirs, ours):
    """COMMAND LIST: nothing that Redis does not have, and of what we have all subcommands."""
    if theirs[0] != ours[0]:
        return "types differ"
    extra = [item for item in ours[1] if item not in theirs[1] and item[1] not in NEWER_COMMANDS
             and not item[1].startswith(OWN_COMMANDS)]
    if extra:
        return "unknown to Redis: " + repr(extra)
    listed = {item[1] for item in ours[1]}
    missing = [item[1] for item in theirs[1] if item[1] not in listed
               and item[1].partition(b"|")[0] in listed and item[1] not in SUBCOMMANDS_ABSENT]
    return "not listed: " + repr(missing) if missing else None


def is_docs(_command, theirs, ours):
    """COMMAND DOCS: the same commands, each with Redis' keys for it (our own words inside)."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = (dict((k[1], v) for k, v in as_pairs(reply)) for reply in (theirs, ours))
    for name in wanted:
        if name not in got:
            return "missing: " + name.decode()
        a, b = ({k[1] for k, _ in as_pairs(entry)} for entry in (wanted[name], got[name]))
        missing = a & {b"summary", b"since", b"group", b"complexity", b"arguments"} - b
        if missing:
            return "%s: missing %s" % (name.decode(), sorted(missing))
    return None


def is_keys_and_flags(_command, theirs, ours):
    """COMMAND GETKEYSANDFLAGS: keys in order, the flags of each in any order."""
    if theirs[0] != ours[0] or len(theirs[1]) != len(ours[1]):
        return "lengths differ"
    for a, b in zip(theirs[1], ours[1]):
        if a[1][0] != b[1][0] or unordered(None, a[1][1], b[1][1]):
            return "a key or its flags differ"
    return None


def has_keys(_command, theirs, ours):
    """MEMORY STATS: every key that Redis shows is there with a value of the same type."""
    if theirs[0] != ours[0]:
        return "types differ"
    wanted, got = ({k[1]: v for k, v in as_pairs(reply)} for reply in (theirs, ours))
    missing = [k.decode() for k in wanted if k not in got and not k.startswith(b"db.")]
    return "missing: " + ", ".join(missing) if missing else None


def matches(pattern):
    """Text that each server fills in its own way, but of the same form."""
    compiled = re.compile(pattern, re.DOTALL)

    def rule(_command, theirs, ours):
        if theirs[0] != ours[0] or theirs[1] is None or ours[1] is None:
            return "types differ"
        for reply in (theirs, ours):
            texts = reply[1] if isinstance(reply[1], list) else [reply]
            if not all(compiled.fullmatch(text[1]) for text in texts):
                return "text has another form"
        return None
    return rule


def is_debug_object(_command, theirs, ours):
    """DEBUG OBJECT: the same encoding; addresses and sizes are each server's own."""
    found = [re.search(rb" encoding:(\w+) serializedlength:\d+ lru:\d+", reply[1])
             for reply in (theirs, ours)]
    if not all(found):
        return "text has another form"
    same = found[0].group(1) == found[1].group(1)
    return None if same else "encodings differ"


def is_monitor(_command, theirs, ours):
    """A line of MONITOR: equal after its time and its client's address."""
    forms = [re.fullmatch(rb'\d+\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\] (.*)', reply[1] or b"")
             for reply in (theirs, ours)]
    if not all(forms):
        return "not a line of MONITOR"
    return None if forms[0].groups() == forms[1].groups() else "lines differ"


def unsubscribed(_command, theirs, ours):
    """All confirmations of UNSUBSCRIBE without arguments, collected: channels in any order."""
    def channels(reply):
        return multiset([item[1][1] for item in reply[1]])

    def counts(reply):
        return [(item[0], item[1][0], item[1][2]) for item in reply[1]]
    if channels(theirs) != channels(ours):
        return "channels differ"
    return None if counts(theirs) == counts(ours) else "kinds or counts differ"


# --- helpers ---------------------------------------------------------------------------------

def multiset(items):
    try:
        return sorted(items)
    except TypeError:       # elements of several types
        return sorted(map(repr, items))


def pairs(flat):
    return list(zip(flat[::2], flat[1::2]))


def as_pairs(reply):
    """The pairs of a RESP3 map or of its flat RESP2 form."""
    return reply[1] if reply[0] == "%" else pairs(reply[1])


def as_int(reply):
    return reply[1] if reply[0] == ":" else None


def words(reply):
    return sorted(item[1].decode() for item in reply[1])


def shape(reply):
    kind, payload = reply
    if kind == "%":
        return kind, [(shape(k), shape(v)) for k, v in payload]
    if isinstance(payload, list):
        return kind, [shape(item) for item in payload]
    return kind, payload is None


# --- the tables ------------------------------------------------------------------------------

COMMAND_INFO_PARTS = ("name", "arity", "flags", "first key", "last key", "step", "categories",
                      "tips", "key specs", "subcommands")

# Commands of Redis 7.2 that 7.0 does not have.
OWN_COMMANDS = b"ring."  # the ring's, which Redis has not
NEWER_COMMANDS = (b"waitaof", b"client|setinfo", b"client|no-touch", b"cluster|myshardid")

# Client-side caching and blocking commands come with the types that need them, modules cannot be
# loaded, and the last two show the insides of Redis.
SUBCOMMANDS_ABSENT = (b"client|caching", b"client|getredir", b"client|tracking",
                      b"client|trackinginfo", b"client|unblock", b"module|load", b"module|loadex",
                      b"module|unload", b"latency|graph", b"memory|malloc-stats")

CLIENT_FIELDS_EQUAL = ("name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user",
                       "redir", "resp")

# Parameters whose value is a place, a size or a default of this machine or build.
CONFIG_VALUES_FREE = (b"dir", b"port", b"logfile", b"pidfile", b"appendonly", b"appendfilename",
                      b"maxmemory-clients", b"bind", b"maxclients", b"appenddirname",
                      b"dbfilename", b"syslog-ident", b"oom-score-adj-values")

# Sections about things that a server may not have.
INFO_SECTIONS_FREE = ("modules",)

# What redis-cli, redis_exporter, client libraries and frameworks read from INFO.
INFO_FIELDS = {
    "server": (
        "redis_version", "redis_git_sha1", "redis_git_dirty", "redis_build_id", "redis_mode",
        "os", "arch_bits", "multiplexing_api", "gcc_version", "process_id", "run_id", "tcp_port",
        "server_time_usec", "uptime_in_seconds", "uptime_in_days", "hz", "configured_hz",
        "lru_clock", "executable", "config_file"),
    "clients": (
        "connected_clients", "maxclients", "client_recent_max_input_buffer",
        "client_recent_max_output_buffer", "blocked_clients", "tracking_clients"),
    "memory": (
        "used_memory", "used_memory_human", "used_memory_rss", "used_memory_rss_human",
        "used_memory_peak", "used_memory_peak_human", "used_memory_overhead",
        "used_memory_dataset", "used_memory_lua", "total_system_memory", "maxmemory",
        "maxmemory_human", "maxmemory_policy", "mem_fragmentation_ratio", "mem_allocator"),
    "persistence": (
        "loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress", "rdb_last_save_time",
        "rdb_last_bgsave_status", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec",
        "aof_enabled", "aof_rewrite_in_progress", "aof_last_rewrite_time_sec",
        "aof_last_bgrewrite_status", "aof_last_write_status"),
    "stats": (
        "total_connections_received", "total_commands_processed", "instantaneous_ops_per_sec",
        "total_net_input_bytes", "total_net_output_bytes", "instantaneous_input_kbps",
        "instantaneous_output_kbps", "rejected_connections", "expired_keys", "evicted_keys",
        "keyspace_hits", "keyspace_misses", "pubsub_channels", "pubsub_patterns",
        "latest_fork_usec", "total_error_replies", "total_reads_processed",
        "total_writes_processed"),
    "replication": (
        "role", "connected_slaves", "master_failover_state", "master_replid",
        "master_repl_offset", "repl_backlog_active", "repl_backlog_size"),
    "cpu": ("used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"),
    "cluster": ("cluster_enabled",),
}

UNORDERED_COMMANDS = (b"SMEMBERS", b"SUNION", b"SINTER", b"SDIFF", b"KEYS", b"HKEYS", b"HVALS")

RULES = {
    **{name: unordered for name in UNORDERED_COMMANDS},
    b"HGETALL": unordered_pairs,
    b"SCAN": scan, b"SSCAN": scan, b"HSCAN": scan,
    b"TTL": near(TIME_TOLERANCE_SECONDS), b"PTTL": near(TIME_TOLERANCE_MS),
    b"EXPIRETIME": near(TIME_TOLERANCE_SECONDS), b"PEXPIRETIME": near(TIME_TOLERANCE_MS),
    b"LASTSAVE": near(3600), b"TIME": is_time,
    b"RANDOMKEY": same_type, b"SPOP": random_elements,
    b"SRANDMEMBER": random_elements, b"HRANDFIELD": random_elements,
    b"INFO": is_info, b"HELLO": is_hello, b"LOLWUT": same_type,
    b"OBJECT": {b"IDLETIME": near(TIME_TOLERANCE_SECONDS), b"FREQ": near(10),
                b"REFCOUNT": positive, b"HELP": same_type},
    b"CLIENT": {b"ID": positive, b"LIST": is_client_list, b"INFO": is_client_list,
                b"HELP": same_type},
    b"CONFIG": {b"GET": is_config, b"HELP": same_type},
    b"COMMAND": {None: same_type, b"COUNT": positive, b"LIST": subset, b"INFO": is_command_info,
                 b"DOCS": is_docs, b"GETKEYSANDFLAGS": is_keys_and_flags, b"HELP": same_type},
    b"MEMORY": {b"USAGE": positive, b"STATS": has_keys, b"DOCTOR": same_type, b"HELP": same_type},
    b"SLOWLOG": {b"GET": is_slowlog, b"HELP": same_type},
    b"LATENCY": {b"HISTORY": same_shape, b"LATEST": same_shape, b"DOCTOR": same_type,
                 b"HISTOGRAM": same_type, b"HELP": same_type},
    b"DEBUG": {b"DIGEST": matches(rb"[0-9a-f]{40}"), b"DIGEST-VALUE": matches(rb"[0-9a-f]{40}"),
               b"OBJECT": is_debug_object, b"HELP": same_type},
    b"PUBSUB": {b"CHANNELS": unordered, b"SHARDCHANNELS": unordered, b"HELP": same_type},
}

# Comparers that a scenario can ask for by name.
COMPARERS = {
    "unordered": unordered, "pairs": unordered_pairs, "shape": same_shape, "type": same_type,
    "exact": lambda *_: "replies differ", "any": lambda *_: None,
    "positive": positive, "monitor": is_monitor, "unsubscribed": unsubscribed,
    "near": near(TIME_TOLERANCE_MS), "random": random_elements,
}
