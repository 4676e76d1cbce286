"""A small set of chains with every kind of gap, and their index."""

from __future__ import annotations

from ssldata.chains.chain_index import ChainIndex, build_index
from ssldata.chains.chain_text import parse_chain

#: tA 100-400 → qA, gaps of both kinds; 1000-1200 → qB reversed; 2000-2200 to two contigs;
#: 3000-3400 with a fill inside its gap; 5000-5100 twice, far apart.
CHAINS = """\
chain 1000 tA 10000 + 100 400 qA 5000 + 1000 1260 1
100\t50\t0
50\t30\t40
70

chain 900 tA 10000 + 1000 1200 qB 5000 - 2000 2205 2
100\t0\t15
50\t10\t0
40

chain 800 tA 10000 + 2000 2100 qA 5000 + 3000 3100 3
100

chain 700 tA 10000 + 2100 2200 qB 5000 + 100 200 4
100

chain 500 tA 10000 + 3150 3250 qB 5000 - 500 600 5
100

chain 2000 tA 10000 + 3000 3400 qA 5000 + 4000 4250 6
100\t200\t50
100

chain 90 tA 10000 + 5000 5100 qA 5000 + 10 110 7
100

chain 90 tA 10000 + 5000 5100 qA 5000 + 500 600 8
100
"""


def index_of(text: str) -> ChainIndex:
    return build_index(parse_chain(text.encode(), where="chain"), digest=text[:20])
