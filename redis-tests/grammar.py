# SPDX-License-Identifier: Apache-2.0
"""What the random generator knows about each command's arguments.

One line of COMMANDS is one form of a command, with an optional weight before it:

    3 SET str val [NX|XX] [GET] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]

    UPPER      the word itself
    lower      a random argument of that sort; the functions named make_<sort> below
    [a|b]      one of the alternatives, or nothing
    (a|b)      one of the alternatives
    x+         one to four of them; {a b}+ repeats a group

Keys: the sorts str, hash and set choose mostly among keys that hold that type, `key` among all.
There are few keys and few fields, so that commands meet each other's data.
"""

import re

COMMANDS = """
6 SET str val
4 SET str val [NX|XX] [GET] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]
SET str val [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL] [GET] [XX|NX]
4 GET str
GETSET str val
GETDEL str
2 GETEX str [EX sec|PX ms|EXAT at|PXAT atms|PERSIST]
SETNX str val
SETEX str sec val
PSETEX str ms val
2 MGET key+
MSET {str val}+
MSETNX {str val}+
2 INCR str
DECR str
2 INCRBY str int
DECRBY str int
2 INCRBYFLOAT str float
2 APPEND str val
STRLEN str
2 GETRANGE str index index
SUBSTR str index index
2 SETRANGE str offset val
LCS str str [LEN|IDX|IDX MINMATCHLEN small|IDX WITHMATCHLEN|IDX MINMATCHLEN small WITHMATCHLEN]
3 SETBIT str bitoffset bit
GETBIT str bitoffset
BITCOUNT str
2 BITCOUNT str index index [BYTE|BIT]
BITPOS str bit
BITPOS str bit index
2 BITPOS str bit index index [BYTE|BIT]
BITOP (AND|OR|XOR) str str+
BITOP NOT str str
3 BITFIELD str bitop+
BITFIELD_RO str {GET bittype bitpos}+
4 HSET hash {field val}+
HMSET hash {field val}+
2 HSETNX hash field val
2 HGET hash field
HMGET hash field+
2 HGETALL hash
HKEYS hash
HVALS hash
HLEN hash
HSTRLEN hash field
HEXISTS hash field
2 HDEL hash field+
2 HINCRBY hash field int
2 HINCRBYFLOAT hash field float
HRANDFIELD hash [count|count WITHVALUES]
HSCAN hash 0 COUNT 100000 [MATCH pattern]
5 SADD set member+
4 SADD numset number+
SREM numset number+
SMEMBERS numset
SINTERSTORE numset numset numset
SUNIONSTORE numset numset numset
SDIFFSTORE set numset set
SMOVE numset numset number
OBJECT ENCODING numset
DEL numset
2 SREM set member+
2 SMEMBERS set
SISMEMBER set member
SMISMEMBER set member+
SCARD set
SMOVE set set member
2 SINTER set+
2 SUNION set+
2 SDIFF set+
SINTERSTORE set set+
SUNIONSTORE set set+
SDIFFSTORE set set+
SINTERCARD 1 set [LIMIT small]
SINTERCARD 2 set set [LIMIT small]
SRANDMEMBER set [count]
SSCAN set 0 COUNT 100000 [MATCH pattern]
2 DEL key+
UNLINK key+
EXISTS key+
2 TYPE key
2 OBJECT ENCODING key
TOUCH key+
2 EXPIRE key sec [NX|XX|GT|LT]
PEXPIRE key ms [NX|XX|GT|LT]
EXPIREAT key at [NX|XX|GT|LT]
PEXPIREAT key atms [NX|XX|GT|LT]
EXPIRE key gone [NX|XX|GT|LT]
PEXPIREAT key gone [NX|XX|GT|LT]
TTL key
PTTL key
EXPIRETIME key
PEXPIRETIME key
PERSIST key
RENAME key key
RENAMENX key key
2 COPY key key [REPLACE]
COPY key key DB db [REPLACE]
MOVE key db
RANDOMKEY
KEYS pattern
SCAN 0 COUNT 100000 [MATCH pattern] [TYPE type]
DBSIZE
PING [val]
ECHO val
SELECT db
TIME
MEMORY USAGE key
CLIENT GETNAME
OBJECT REFCOUNT key
COMMAND GETKEYS SET str val
COMMAND GETKEYS BITOP AND str str str
WATCH key+
UNWATCH
"""

# Forms that are rare because they are large or undo much.
RARE_COMMANDS = """
8 SADD set manymembers
8 SADD numset manynumbers
2 SADD set manynumbers
8 HSET hash manyfields
4 SET str longval
4 HSET hash field longval
4 SADD set longval
4 SETRANGE str faroffset val
SETRANGE str faroffset longval
4 APPEND str longval
4 SETBIT str farbit bit
2 GETRANGE str farindex farindex
BITFIELD str (SET|INCRBY) bittype farbit int
BITFIELD str OVERFLOW (SAT|FAIL) INCRBY bittype farbit int
BITCOUNT str farindex farindex
BITPOS str bit farindex
GETBIT str farbit
SWAPDB db db
FLUSHDB [SYNC|ASYNC]
HELLO [2|3]
"""

STRING_KEYS = [b"s0", b"s1", b"s2", b"s3", b"s4"]
HASH_KEYS = [b"h0", b"h1", b"h2", b"h3"]
SET_KEYS = [b"t0", b"t1", b"t2", b"t3", b"t4"]
NUMBER_SET_KEYS = [b"n0", b"n1", b"n2"]     # hold almost only integers
ALL_KEYS = (STRING_KEYS + HASH_KEYS + SET_KEYS + NUMBER_SET_KEYS
            + [b"", b"\x00k\r\n\xff", b"nothing"])

WORDS = [b"a", b"b", b"foo", b"bar", b"hello world", b"ohmytext", b"mynewtext", b"X", b"0"]
BINARY = [b"", b"\x00", b"\xff\xfe\x00\x01", b"\r\n", b"a\x00b", bytes(range(256)), b" 12", b"12 ",
          b"+5", b"-0", b"007", b"1e2", b"0x10", b"1.", b".5", b"-"]
INTS = [b"0", b"1", b"-1", b"2", b"7", b"10", b"-10", b"99", b"255", b"1000", b"10000"]
HUGE = [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808",
        b"-9223372036854775809", b"4611686018427387904", b"-4611686018427387905",
        b"18446744073709551615", b"1e400"]
FLOATS = [b"1.5", b"-0.25", b"0.1", b"3", b"-3.0e2", b"1e10", b"3.14159265358979", b"1e-7", b"0",
          b"-0", b"5.0e-324", b"1e17", b"123456789.987654321", b"0.3333333333333333",
          b"200.00", b"1e308"]
BAD_NUMBERS = [b"", b"abc", b"1.5", b"1e3", b" 1", b"1 ", b"--1", b"0x1", b"nan", b"inf", b"-inf",
               b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"+1",
               b"01", b"1\x00", b"\xff"]
FIELDS = [b"f0", b"f1", b"f2", b"f3", b"f4", b"f5", b"", b"1", b"\x00f\xff", b"field with spaces"]
MEMBERS = FIELDS[:6] + [b"%d" % i for i in range(-3, 12)] + [
    b"32768", b"-32769", b"2147483648", b"9223372036854775807", b"9223372036854775808", b"",
    b"1.5", b"01", b"\x00m\xff"]
NUMBERS = [b"%d" % i for i in range(-5, 20)] + [b"32768", b"-32769", b"2147483648",
                                                b"9223372036854775807", b"-9223372036854775808"]
PATTERNS = [b"*", b"s*", b"?1", b"[ht]*", b"[^s]?", b"nothing", b"", b"h[0-2]", b"\\s1", b"*1*",
            b"[a-", b"f[1-3]", b"s1*"]
BIT_TYPES = [b"u1", b"u2", b"u5", b"u8", b"i8", b"u16", b"i5", b"i16", b"u32", b"i32", b"u63",
             b"i64", b"i1"]

# Numbers that stay clear of "now": nothing in a run may expire by itself.
FUTURE = 4102444800


def make_str(r):
    return _pick(r, STRING_KEYS) if r.random() < 0.92 else _pick(r, ALL_KEYS)


def make_hash(r):
    return _pick(r, HASH_KEYS) if r.random() < 0.92 else _pick(r, ALL_KEYS)


def make_set(r):
    return _pick(r, SET_KEYS) if r.random() < 0.92 else _pick(r, ALL_KEYS)


def make_numset(r):
    return _pick(r, NUMBER_SET_KEYS)


def make_number(r):
    return _pick(r, NUMBERS) if r.random() < 0.98 else _pick(r, MEMBERS)


def make_key(r):
    return _pick(r, ALL_KEYS)


def make_val(r):
    dice = r.random()
    if dice < 0.40:
        return _pick(r, INTS)
    if dice < 0.62:
        return _pick(r, WORDS)
    if dice < 0.74:
        return _pick(r, FLOATS)
    if dice < 0.84:
        return _pick(r, BINARY)
    if dice < 0.90:
        return _pick(r, HUGE)
    return _pick(r, WORDS) * r.randrange(1, 12)


def make_longval(r):
    return _pick(r, WORDS) * r.choice((20, 64, 65, 200, 1500, 6000))


def make_int(r):
    return _pick(r, INTS) if r.random() < 0.9 else _pick(r, HUGE)


def make_float(r):
    return _pick(r, FLOATS) if r.random() < 0.95 else _pick(r, HUGE)


def make_small(r):
    return b"%d" % r.randrange(0, 6)


def make_index(r):
    return b"%d" % r.randrange(-12, 40) if r.random() < 0.95 else _pick(r, HUGE[:2])


def make_offset(r):
    return b"%d" % r.randrange(-1, 40)


def make_faroffset(r):
    return b"%d" % r.choice((100, 1000, 4095, 4096, 4097, 20000))


def make_farindex(r):
    return b"%d" % (r.choice((-1, 1)) * r.choice((0, 100, 4095, 4096, 4097, 8192, 20000)))


def make_bitoffset(r):
    return b"%d" % r.randrange(-1, 200)


def make_farbit(r):
    return b"%d" % r.choice((1000, 32767, 32768, 65536, 200000))


def make_bit(r):
    return b"1" if r.random() < 0.6 else b"0"


def make_bittype(r):
    return _pick(r, BIT_TYPES)


def make_bitpos(r):
    prefix = b"#" if r.random() < 0.3 else b""
    return prefix + b"%d" % r.randrange(0, 40)


def make_bitop(r):
    """One operation of BITFIELD, as a list of words."""
    dice = r.random()
    place = [make_bittype(r), make_bitpos(r)]
    if dice < 0.3:
        return [b"GET"] + place
    if dice < 0.55:
        return [b"SET"] + place + [make_int(r)]
    if dice < 0.8:
        return [b"INCRBY"] + place + [make_int(r)]
    return [b"OVERFLOW", r.choice((b"WRAP", b"SAT", b"FAIL", b"wrap")),
            b"INCRBY"] + place + [make_int(r)]


def make_field(r):
    return _pick(r, FIELDS)


def make_member(r):
    return _pick(r, MEMBERS)


def make_manymembers(r):
    start = r.randrange(0, 50)
    return [b"m%d" % i for i in range(start, start + r.choice((100, 127, 128, 129, 140)))]


def make_manynumbers(r):
    start = r.randrange(0, 50)
    return [b"%d" % i for i in range(start, start + r.choice((100, 511, 512, 513, 600)))]


def make_manyfields(r):
    start = r.randrange(0, 50)
    names = range(start, start + r.choice((60, 127, 128, 129, 140)))
    return [word for i in names for word in (b"n%d" % i, b"%d" % (i * i))]


def make_count(r):
    return b"%d" % r.randrange(-6, 12)


def make_pattern(r):
    return _pick(r, PATTERNS)


def make_type(r):
    return r.choice((b"string", b"hash", b"set", b"zset", b"nonsense", b"String"))


def make_db(r):
    dice = r.random()
    return b"%d" % r.randrange(0, 3) if dice < 0.97 else r.choice((b"16", b"-1", b"15", b"x"))


def make_sec(r):
    return b"%d" % r.randrange(1000, 100000000)


def make_ms(r):
    return b"%d" % r.randrange(10000000, 100000000000)


def make_at(r):
    return b"%d" % (FUTURE + r.randrange(0, 100000000))


def make_atms(r):
    return b"%d" % (FUTURE * 1000 + r.randrange(0, 100000000000))


def make_gone(r):
    return r.choice((b"0", b"-1", b"-1000", b"-9223372036854775808"))


def _pick(r, items):
    """As r.choice, but faster."""
    return items[int(r.random() * len(items))]


MAKERS = {name[5:]: function for name, function in list(globals().items())
          if name.startswith("make_")}

_TOKEN = re.compile(r"[\[\](){}|]|\+|[^\s\[\](){}|+]+")


def compile_form(text):
    """A function (random, out) that appends one random instance of the form to the list out."""
    tokens = _TOKEN.findall(text)
    node, rest = _alternatives(tokens, 0, None)
    assert rest == len(tokens), text
    return node


def _alternatives(tokens, pos, closing):
    options, sequence = [], []
    while pos < len(tokens) and tokens[pos] != closing:
        token = tokens[pos]
        pos += 1
        if token == "|":
            options.append(_sequence(sequence))
            sequence = []
            continue
        if token in "[({":
            inner, pos = _alternatives(tokens, pos, {"[": "]", "(": ")", "{": "}"}[token])
            pos += 1
            node = _optional(inner) if token == "[" else inner
        else:
            node = _word(token)
        if pos < len(tokens) and tokens[pos] == "+":
            node, pos = _repeat(node), pos + 1
        sequence.append(node)
    options.append(_sequence(sequence))
    return (options[0] if len(options) == 1 else _choice(options)), pos


def _word(token):
    maker = MAKERS.get(token)
    if maker is None:
        word = token.encode()
        return lambda r, out: out.append(word)

    def node(r, out):
        made = maker(r)
        if isinstance(made, list):
            out.extend(made)
        else:
            out.append(made)
    return node


def _sequence(nodes):
    if len(nodes) == 1:
        return nodes[0]

    def node(r, out):
        for part in nodes:
            part(r, out)
    return node


def _choice(options):
    return lambda r, out: options[int(r.random() * len(options))](r, out)


def _optional(inner):
    def node(r, out):
        if r.random() < 0.5:
            inner(r, out)
    return node


def _repeat(inner):
    def node(r, out):
        for _ in range(_pick(r, (1, 1, 2, 2, 3, 4))):
            inner(r, out)
    return node


def load_forms(text):
    """[(weight, form)] of a table like COMMANDS."""
    forms = []
    for line in text.strip().splitlines():
        weight, _, rest = line.partition(" ")
        if weight.isdigit():
            forms.append((int(weight), compile_form(rest)))
        else:
            forms.append((1, compile_form(line)))
    return forms
