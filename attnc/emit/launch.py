"""How the kernels are launched: grids, tiles, and buffers.

Enters: the kernels of a plan. Leaves: the table of tile sizes, and `_forward_triton` and `_backward_triton` of every
sweep. Arguments stand in the order of each kernel's signature.
"""

from __future__ import annotations

from textwrap import wrap

from attnc.emit.arguments import arguments, looks_again, named_tiles, values, write_looks, write_tiles
from attnc.emit.expression import emit_expression
from attnc.emit.split import write_choice_of_splits, write_split
from attnc.emit.support import text_of
from attnc.emit.tiles import write_tile_table
from attnc.emit.writer import Writer
from attnc.ir.text import print_ir
from attnc.kernel.arguments import takes_tensor
from attnc.kernel.build import function
from attnc.kernel.nodes import Assign, Do, Expr, Function, Tuple, Var
from attnc.lower.collect import call_adder, need
from attnc.lower.cpu import backward_params, scalars_of, tensors_of, vectors_of
from attnc.lower.gradients import ArrayGradient, Home
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.schedule import SweepKernels
from attnc.lower.sweep import Sweep, said_results
from attnc.lower.torch_terms import TorchTerms
from attnc.options import Options


def write_launchers(writer: Writer, kernels: Kernels, options: Options) -> None:
    """The table of tiles; forward and backward of every sweep."""
    sweeps = kernels.sweeps
    check = kernels.reads[-1] if options.check_reads and kernels.reads else None
    goes_ahead = any(p.name == "AHEAD" for each in sweeps for fn in each.triton for p in fn.params)
    has_strips = any(each.sweep.home("pair") for each in sweeps)
    has_splits = any(each.sweep.split for each in sweeps)
    has_shares = has_splits or any(each.kernel("_backward_keys") for each in sweeps)
    is_called = {
        "_looks": any(looks_again(fn) for each in sweeps for fn in each.triton),
        "_ahead": goes_ahead,
        "_strip_rows": has_strips,
        "_shares": has_shares,
    }
    called = [text_of("launch", name) for name, is_so in is_called.items() if is_so]
    write_tile_table(writer, kernels.plan.last, options.tiles)
    writer.line()
    writer.line()
    for text in called:
        writer.lines(text)
        writer.line()
        writer.line()
    if has_splits:
        write_choice_of_splits(writer, kernels.plan.last)
        writer.line()
        writer.line()
    for number, each in enumerate(sweeps):
        if number:
            writer.line()
            writer.line()
        _write_forward(writer, each, check if each is kernels.last else None)
        if each.sweep.has_gradient:
            writer.line()
            writer.line()
            _write_backward(writer, each)


def _sizes(writer: Writer, kernels: SweepKernels, names: set[str]) -> None:
    sweep = kernels.sweep
    writer.line("B, H, N, D = q.shape")
    writer.line("HKV, M, DV = v.shape[1:]" if sweep.weighs_values else "HKV, M = k.shape[1:3]")
    for pair in sweep.dots:
        if pair.width != "D":
            writer.line(f"{pair.width} = {pair.query}.shape[-1]")
    if "group" in names:
        writer.line("group = H // HKV")


def _write_reach(writer: Writer, sweep: Sweep) -> None:
    """The check that 32 bits suffice; its words are broken where a line is."""
    most = TorchTerms(sweep.spec, {}, places=sweep.places)(sweep.ints.most)
    what, text = print_ir(sweep.ints.most), emit_expression(most)
    if writer.fits(f'    "{what}",'):
        writer.items("_check_reach(", [f'"{what}"', text], ")")
        return
    with writer.block("_check_reach("):
        *lines, last = wrap(what, 80)
        for line in lines:
            writer.line(f'"{line} "')
        writer.line(f'"{last}",')
        writer.expression("", most, ",")
    writer.line(")")


def _cut_off(writer: Writer, sweep: Sweep) -> None:
    """Numbers that are only compared may be beyond 32 bits."""
    for param in sweep.attention.params:
        if param.name in sweep.ints.clamped:
            name = variable(param.name)
            writer.line(f"{name} = _near({name})")


def _unit_strides(writer: Writer, sweep: Sweep, also: list[str]) -> None:
    names = _vectors(sweep, also)
    if not names:
        return
    if len(names) == 1:
        writer.line(f"{names[0]} = _with_unit_stride({names[0]})")
    else:
        vectors = Tuple(tuple(map(Var, names)))
        writer.statement(Assign(vectors, function("map")(Var("_with_unit_stride"), vectors)))


def _find_large(writer: Writer, sweep: Sweep, also: list[str]) -> None:
    writer.items("large = _is_large(", ["H", "B", *_vectors(sweep, also)], ")")


def _vectors(sweep: Sweep, also: list[str]) -> list[str]:
    """The tensors of which kernels read tiles of rows."""
    vectors = [n for p in sweep.dots for n in (p.query, p.key)]
    return list(dict.fromkeys([*vectors, *values(sweep, "v", *also)]))


def _write_forward(writer: Writer, kernels: SweepKernels, check: Function | None) -> None:
    sweep = kernels.sweep
    kernel = kernels.kernel("_forward")
    assert kernel is not None
    writer.items(f"def {sweep.named('_forward_triton')}(", [*tensors_of(sweep), *scalars_of(sweep)], "):")
    with writer.indent():
        writer.line(f'"""Forward by the kernels: {said_results(sweep)}."""')
        _sizes(writer, kernels, {p.name for p in kernel.params})
        _write_reach(writer, sweep)
        if check:
            writer.items(f"{check.name}(", [p.name for p in check.params], ")")
        _cut_off(writer, sweep)
        _unit_strides(writer, sweep, [])
        _find_large(writer, sweep, [])
        divides = sweep.fold.divides
        if sweep.weighs_values:
            writer.line(f"out = q.new_empty(B, H, N, DV{'' if divides else ', dtype=torch.float32'})")
        for name, dtype in sweep.fold.left:
            writer.line(f"{name} = q.new_empty(B, H, N, dtype=torch.{dtype})")
        if divides and not sweep.rows.can_be_empty:
            with writer.block("if M == 0:  # every row of the kernel sees a key"):
                nothing = [*values(sweep, "out.zero_()"), 'lse.fill_(float("-inf"))']
                writer.line(f"return {', '.join(nothing)}")
        write_tiles(writer, sweep, "forward")
        if sweep.split:
            write_split(writer, kernels, sweep.split)
        _write_lists(writer, kernels, kernel)
        with writer.block("with torch.cuda.device_of(q):"):
            _write_launch(writer, kernel, "N", "BLOCK_Q", "H")
        writer.line(f"return {', '.join(sweep.results)}")


def _write_backward(writer: Writer, kernels: SweepKernels) -> None:
    sweep = kernels.sweep
    names = backward_params(sweep)
    used = {p.name for fn in kernels.triton for p in fn.params}
    writer.items(f"def {sweep.named('_backward_triton')}(", names, "):")
    with writer.indent():
        writer.line('"""Backward by the kernels: the gradient of every float tensor, in order."""')
        _sizes(writer, kernels, used)
        _cut_off(writer, sweep)
        _unit_strides(writer, sweep, ["dout"])
        _find_large(writer, sweep, ["dout"])
        narrow = "dout = dout.to(v.dtype)"
        if sweep.dout_has_any_size:
            narrow = "dout, dout_size = _sized(dout, v.dtype)"
        for line in values(sweep, "delta = torch.empty_like(lse)" if sweep.fold.divides else narrow):
            writer.line(line)
        vectors = vectors_of(sweep)
        for name in vectors:
            if not _is_written(kernels, name):
                writer.line(f"d{name} = {name}.new_zeros({name}.shape)")
            elif _is_query(sweep, name):
                writer.line(f"d{name} = {name}.new_empty({name}.shape)")
        for gradient in sweep.home("row"):
            writer.line(f"{gradient.name} = q.new_empty(B, H, N, dtype=torch.float32)")
        for gradient in sweep.home("column"):
            writer.line(f"{gradient.name} = q.new_empty(B, H, M, dtype=torch.float32)")
        for array in arrays_with_gradient(sweep):
            where = [f"{variable(array)}.shape", "dtype=torch.float32", "device=q.device"]
            writer.items(f"total_{array} = torch.zeros(", where, ")")
        with writer.block("with torch.cuda.device_of(q):"):
            if kernel := kernels.kernel("_delta"):
                write_tiles(writer, sweep, "backward_queries", only="DV")
                _write_launch(writer, kernel, "N", "BLOCK_Q", "H")
            if kernel := kernels.kernel("_backward_keys"):
                write_tiles(writer, sweep, "backward_keys")
                _write_lists(writer, kernels, kernel)
                _write_keys(writer, kernels, kernel)
            if kernel := kernels.kernel("_backward_queries"):
                write_tiles(writer, sweep, "backward_queries")
                _write_lists(writer, kernels, kernel)
                _write_launch(writer, kernel, "N", "BLOCK_Q", "H")
            _write_pairs(writer, kernels)
        _write_sums(writer, kernels)
        results = [f"d{name}" for name in vectors]
        results += [f"total_{a}.to({variable(a)}.dtype)" for a in arrays_with_gradient(sweep)]
        writer.items("return ", results, "")


def _write_keys(writer: Writer, kernels: SweepKernels, kernel: Function) -> None:
    """The launch of the kernel whose programs may share the heads of a group, and the sums of what they leave."""
    sweep = kernels.sweep
    names = [name for name in vectors_of(sweep) if _is_written(kernels, name) and not _is_query(sweep, name)]
    writer.line('shares = min(group, _shares(q, triton.cdiv(M, tiles["BLOCK_K"]) * HKV * B))')
    for name in names:
        writer.line(f"d{name} = _parts({name}, shares)")
    _write_launch(writer, kernel, "M", "BLOCK_K", "HKV * shares")
    for name in names:
        writer.line(f"d{name} = _sum_of_parts(d{name}, shares, {name}.dtype)")


def _write_launch(writer: Writer, kernel: Function, length: str, block: str, heads: str) -> None:
    """One launch: a program for each tile, head and batch."""
    head = f'{kernel.name}[_grid(triton.cdiv({length}, tiles["{block}"]), {heads}, B, large)]('
    names = {p.name for p in kernel.params}
    options = ["**tiles", "LARGE=large"] if {"BLOCK_Q", "BLOCK_K"} <= names else named_tiles(kernel)
    ahead = "None if again else _ahead(q, tiles)" if looks_again(kernel) else "_ahead(q, tiles)"
    options += [f"AHEAD={ahead}"] * ("AHEAD" in names) + ["AGAIN=again"] * looks_again(kernel)
    with write_looks(writer, kernel):
        writer.items(head, [*arguments(kernel), *options], ")")


def _write_lists(writer: Writer, kernels: SweepKernels, kernel: Function) -> None:
    """The lists of tiles of a kernel that goes through lists."""
    if takes_tensor(kernel, "edge_tiles"):
        is_of_keys = kernel.name == kernels.sweep.named("_backward_keys")
        lists = kernels.lists_of("queries" if is_of_keys else "keys")
        own = {
            "rows": 'tiles["BLOCK_Q"]',
            "columns": 'tiles["BLOCK_K"]',
            "device": "q.device",
            "dtype": "torch.promote_types(q.dtype, torch.float32)",
        }
        given = [own.get(p.name, p.name) for p in lists.params]
        writer.items(f"edge_start, edge_tiles, full_start, full_tiles = {lists.name}(", given, ")")


def _write_pairs(writer: Writer, kernels: SweepKernels) -> None:
    sweep, gradients = kernels.sweep, kernels.sweep.home("pair")
    if not gradients:
        return
    kernel = kernels.kernel("_backward_pairs")
    assert kernel is not None
    needed = " or ".join(dict.fromkeys(map(need, gradients)))
    with writer.block(f"if {needed}:"):
        _write_lists(writer, kernels, kernel)
        writer.line('strip = _strip_rows(B * H * M, tiles["BLOCK_Q"])')
        with writer.block("for first_row in range(0, N, strip):"):
            writer.line("q0, q1 = first_row, min(first_row + strip, N)")
            for gradient in gradients:
                writer.line(f"{gradient.name} = q.new_zeros(B, H, strip, M, dtype=torch.float32)")
            _write_launch(writer, kernel, "q1 - q0", "BLOCK_Q", "H")
            _write_positions(
                writer, [kernels.adders[sweep.gradients.index(g)] for g in gradients], "q0, q1", "0, M"
            )
            for gradient in gradients:
                _write_add(writer, kernels, gradient, Var(gradient.name)[:, :, : Var("q1") - Var("q0")])


def _write_sums(writer: Writer, kernels: SweepKernels) -> None:
    """Sums of what the kernels left for each query or key, and of what needed no kernel."""
    homes: tuple[tuple[Home, tuple[str, str]], ...] = (
        ("lse", ("0, N", "0, 1")),
        ("row", ("0, N", "0, 1")),
        ("column", ("0, 1", "0, M")),
    )
    for home, rows in homes:
        gradients = kernels.sweep.home(home)
        if gradients and home == "lse":
            writer.comment("none where a row sees no key")
            writer.line('dlse = dlse.masked_fill(lse == float("-inf"), 0.0)')
        if gradients:
            _write_positions(
                writer, [kernels.adders[kernels.sweep.gradients.index(g)] for g in gradients], *rows
            )
        for gradient in gradients:
            left = Var("dlse" if home == "lse" else gradient.name)
            value = left.call("unsqueeze", -2 if home == "column" else -1)
            _write_add(writer, kernels, gradient, value)


def _write_positions(writer: Writer, adders: list[Function], queries: str, keys: str) -> None:
    used = {p.name for fn in adders for p in fn.params}
    if {"q0", "q1"} & used and queries != "q0, q1":
        writer.line(f"q0, q1 = {queries}")
    lines = {
        "heads": "heads = slice(None)",
        "seen": "seen = slice(None)",
        "b": "b = torch.arange(B, device=q.device)[:, None, None, None]",
        "h": "h = torch.arange(H, device=q.device)[:, None, None]",
        "i": f"i = torch.arange({queries}, device=q.device)[:, None]",
        "j": f"j = torch.arange({keys}, device=q.device)[None, :]",
    }
    for name, line in lines.items():
        if name in used:
            writer.line(line)


def _write_add(writer: Writer, kernels: SweepKernels, gradient: ArrayGradient, value: Expr) -> None:
    fn = kernels.adders[kernels.sweep.gradients.index(gradient)]
    writer.statement(Do(call_adder(fn, value, Var(f"total_{gradient.load.array}"))))


def arrays_with_gradient(sweep: Sweep) -> list[str]:
    return list(dict.fromkeys(g.load.array for g in sweep.gradients))


def _is_query(sweep: Sweep, name: str) -> bool:
    return name == "q" or any(name == pair.query for pair in sweep.dots)


def _is_written(kernels: SweepKernels, name: str) -> bool:
    return any(takes_tensor(fn, f"d{name}") for fn in kernels.triton)
