"""Draw the asset graph: `python docs/draw_asset_graph.py` writes docs/images/asset-graph.svg.

Needs Graphviz' `dot` (`apt-get install graphviz`), which nothing else here does; `--dot` prints its input instead.
An edge that follows from others (a -> c where a -> b -> c) is left out.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pipelines.definitions import defs

PICTURE: Final = Path(__file__).parent / "images" / "asset-graph.svg"

# Okabe and Ito (2008), lightened so that black words are read on them with every kind of colour vision
COLOURS: Final = {
    "data": "#CFE8F7",
    "representation": "#F9D9B8",
    "features": "#BFE6D5",
    "models": "#F6F0A8",
    "evaluation": "#EBCFE0",
    "release": "#D9D9D9",
}

Graph = Mapping[str, frozenset[str]]  # asset -> what it is made from


def main() -> None:
    """Write the picture, or print the DOT text."""
    text = "\n".join(dot())
    if "--dot" in sys.argv[1:]:
        print(text)
    else:
        drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True)
        PICTURE.write_text(drawn.stdout)


def dot() -> Iterator[str]:
    """Lines of Graphviz' language: an asset a node, coloured by its group, and the groups as a legend."""
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    inputs = {name: frozenset(dep.asset_key.to_user_string() for dep in spec.deps) for name, spec in specs.items()}
    style = 'shape=box style="filled,rounded" color="#666666" fontname="Helvetica" fontsize=15 margin="0.16,0.09"'
    yield "digraph assets {"
    yield '  graph [rankdir=LR nodesep=0.16 ranksep=0.5 bgcolor="white"]'
    yield f"  node [{style}]"
    yield '  edge [color="#777777" arrowsize=0.7]'
    for name, spec in sorted(specs.items()):
        yield f'  "{name}" [fillcolor="{COLOURS[spec.group_name or ""]}"]'
    for name, above in sorted(inputs.items()):
        yield from (f'  "{one}" -> "{name}"' for one in sorted(direct(above, inputs)))
    cells = "".join(f'<td bgcolor="{colour}">{group}</td>' for group, colour in COLOURS.items())
    yield '  labelloc="b" fontname="Helvetica" fontsize=14'
    yield f'  label=<<table border="0" cellborder="0" cellspacing="6" cellpadding="6"><tr>{cells}</tr></table>>'
    yield "}"


def direct(above: frozenset[str], inputs: Graph) -> frozenset[str]:
    """Of an asset's inputs those that no other one of them is made from."""
    return above - frozenset().union(*(ancestors(one, inputs) for one in above))


def ancestors(name: str, inputs: Graph) -> frozenset[str]:
    """All that an asset is made from."""
    return inputs[name].union(*(ancestors(one, inputs) for one in inputs[name]))


if __name__ == "__main__":
    main()
