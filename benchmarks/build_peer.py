"""Lift a BED file with the library `liftover`; runs in the Python of the peers, not in ours.

python -P build_peer.py CHAIN BED OUT — both ends of every interval are looked up.
"""

import sys

from liftover import ChainFile


def main(chain: str, bed: str, out: str) -> None:
    query = ChainFile(chain).query
    with open(bed) as old, open(out, "w") as new:  # noqa: PTH123 - as people write it
        for line in old:
            name, start, end, label, *_ = line.split("\t")
            low, high = query(name, int(start)), query(name, int(end) - 1)
            if len(low) == len(high) == 1 and low[0][::2] == high[0][::2]:
                contig, first, strand = low[0]
                first, last = sorted((first, high[0][1]))
                new.write(f"{contig}\t{first}\t{last + 1}\t{label}\t0\t{strand}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
