"""What the kernels of the tiled schedule have in common.

Enters: a sweep. Leaves: the lines that say where a program is, and the shape of every kernel: a helper that does one
tile, called from two loops, and the kernel around them. Helper and kernel take exactly the names that they use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnc.analyze.facts import Ranges
from attnc.kernel.arguments import CONSTEXPR
from attnc.kernel.build import Block, function, without_dead
from attnc.kernel.expressions import Expr, ExprLike, Tuple, Var
from attnc.kernel.nodes import Function, Param, bound_in, read_by
from attnc.lower.regroup import LOG2_E
from attnc.lower.scope import Scope
from attnc.lower.tiled.layout import Flat
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import INT64, TritonTerms, tl

B, H, I, J = Var("b"), Var("h"), Var("i"), Var("j")
BLOCK_Q, BLOCK_K = Var("BLOCK_Q"), Var("BLOCK_K")
EDGE, AGAIN = Var("EDGE"), Var("AGAIN")
MINUS_INF, LOG2E = Var("MINUS_INF"), Var("LOG2_E")
SHARE, SHARES = Var("share"), Var("shares")
TILES, LARGE = Var("tiles"), Var("LARGE")
TILE_ID, HEAD_ID, BATCH_ID = Var("tile_id"), Var("head_id"), Var("batch_id")
FLOAT32 = tl.value("float32")
zeros, scaled = function("_zeros"), function("_scaled")


def exponential(sweep: TiledSweep, score: Expr) -> Expr:
    """The exponential of a score, in the base that it has."""
    return tl.exp2(score) if sweep.score.is_in_base_2 else tl.exp(score)


def log_sum_exp(sweep: TiledSweep, row_max: Expr, row_sum: Expr) -> Expr:
    """The natural logarithm of sums of such powers, each less that of the row's maximum."""
    return (row_max + tl.log2(row_sum)) / LOG2E if sweep.score.is_in_base_2 else row_max + tl.log(row_sum)


@dataclass
class Kernel:
    """A kernel under construction. Its blocks are written in any order and read in the order of these fields.

    `program` says which tile, head and batch entry a program has, `accumulators` begin its sums, and `bounds` are those
    of its loops. `group` is what a program of keys repeats for each query head of its group; its loops stand in it.
    `tile` is the body of the helper. `base` has the pointers that a program moves to another head in each round, and
    `stepped` the tensors of which it reads tiles of rows.
    """

    sweep: TiledSweep
    program: Block = field(default_factory=Block)
    again: Block = field(default_factory=Block)
    loads: Block = field(default_factory=Block)
    accumulators: Block = field(default_factory=Block)
    bounds: Block = field(default_factory=Block)
    loops: Block = field(default_factory=Block)
    store: Block = field(default_factory=Block)
    group: Block = field(default_factory=Block)
    tile: Block = field(default_factory=Block)
    base: dict[str, Expr] = field(default_factory=dict)
    stepped: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sweep = self.sweep
        self.terms = TritonTerms(
            sweep.attention, sweep.ints, {LOG2_E: LOG2E}, sweep.cover.requires, sweep.tokens.places
        )
        self.scope = Scope(sweep.attention, self.terms)
        self.known = sweep.arguments

    @property
    def body(self) -> Block:
        """All blocks, a blank line between them."""
        whole = Block()
        for part in (
            self.program,
            self.again,
            self._steps(),
            self.loads,
            self.accumulators,
            self.bounds,
            self.loops,
            self.store,
        ):
            if part.stmts:
                whole.blank()
                whole.extend(part)
        return whole

    def enter(self, tiles: Expr, heads: Expr) -> None:
        """Which tile, head and batch entry a program has, of so many tiles and heads."""
        self.program.let("tiles", tiles)
        program = function("_program")(TILES, heads, LARGE)
        self.program.assign(Tuple((TILE_ID, HEAD_ID, BATCH_ID)), program)

    def _steps(self) -> Block:
        """From row to row of a tile, 32 bits do unless rows lie far apart."""
        steps = Block()
        if self.stepped:
            with steps.when(LARGE) as far:
                far.comment("Rows may lie too far apart for 32 bits.")
                for name in self.stepped:
                    far.let(f"{name}_stride_t", tl.cast(Var(f"{name}_stride_t"), INT64))
        return steps

    def tile_of(self, ranges: Ranges) -> Expr:
        """The number of the tile of a program, whose loops go over these ranges: those that visit most come first."""
        if ranges.target not in self.sweep.cover.more_later:
            return TILE_ID
        theirs = "keys" if ranges.target == "j" else "queries"
        self.program.comment(f"Later tiles may have more {theirs}: they begin first.")
        return TILES - 1 - TILE_ID

    def start(self, layout: Flat, place: Expr) -> None:
        """Where the program is: the first position of its tile, head and batch, and the ends of its tile."""
        program = self.program
        program.let(layout.first, place)
        if layout.axis == "i":
            program.let("h", HEAD_ID.to(INT64))
        else:
            program.let("share", HEAD_ID % SHARES)
            program.let("h_kv", (HEAD_ID // SHARES).to(INT64))
        program.let("b", BATCH_ID.to(INT64))
        program.let(f"{layout.axis}_first", layout.start)
        program.let(f"{layout.axis}_last", tl.minimum(layout.start + layout.step, layout.end) - 1)

    def name_reads(self, ranges: Ranges, block: Block) -> None:
        """Name what the bounds of a program read from arrays."""
        self.scope.bind(list(ranges.ends), lambda axes: self.loads if axes & {"i", "j"} else block)

    def point(self, name: str, head: Expr) -> None:
        """Move a pointer to its batch and head, for the whole program."""
        self.program.assign(Var(f"{name}_ptr"), _head_offset(name, head), "+=")

    def point_in_group(self, name: str) -> None:
        """A pointer to a query head of the group, for one round of it."""
        self.base[name] = self.group.let(f"{name}_head", Var(f"{name}_ptr") + _head_offset(name, H))

    def rows(self, name: str, layout: Flat, width: str, ragged: ExprLike = True) -> Expr:
        """A tile of the rows of a tensor, in the parts of its width."""
        self.stepped[name] = None
        base = self.base.get(name, Var(f"{name}_ptr"))
        return layout.rows(base, Var(f"{name}_stride_t"), width, ragged)

    def helper(self, name: str, first: str, carried: tuple[str, ...], doc: str) -> Function:
        """The function that does one tile: takes what it uses, leaves what is carried from tile to tile.

        Not all that a tile begins with is asked for: where the weight is the score, its gradient needs no product.
        """
        if carried:
            self.tile.blank()
            self.tile.returns(*map(Var, carried))
        stmts = tuple(self.tile.stmts)
        if self.sweep.weighs_values:  # other kernels are launched with all widths, whatever they read
            stmts = without_dead(stmts)
        used = read_by(stmts)
        given = [p for p in self.known if p.name in used]
        own = {*bound_in(stmts), *carried, first, *(p.name for p in given)}
        around = bound_in((*self.body.stmts, *self.group.stmts))
        outer = [n for n in dict.fromkeys(around) if n in used and n not in own]
        plain = [Param(n, handed=True) for n in outer] + [p for p in given if not p.annotation]
        constants = [p for p in given if p.annotation] + [Param("EDGE", CONSTEXPR)] * ("EDGE" in used)
        params = (Param(first), *map(Param, carried), *plain, *constants)
        return Function(self.sweep.named(name), params, doc, stmts, "triton.jit")

    def kernel(self, name: str, doc: str) -> Function:
        """The kernel itself, over what the blocks hold."""
        return self.body.function(self.sweep.named(name), self.known, doc, "kernel")


def _head_offset(name: str, head: Expr) -> Expr:
    return B * Var(f"{name}_stride_b") + head * Var(f"{name}_stride_h")


def call_helper(helper: Function, first: Expr, is_edge: bool) -> Expr:
    """A call of a tile's helper with the names as they stand in the kernel."""
    _, *names = [param.name for param in helper.params]
    flags = {"EDGE": is_edge} if "EDGE" in names else {}
    return function(helper.name)(first, *[Var(name) for name in names if name not in flags], **flags)
