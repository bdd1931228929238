"""Tree to text, in the one layout that `attnc fmt` writes.

Enters: a tree, parsed or built. Leaves: text that parses to an equal tree, and prints as itself again. Clause words are
padded so that expressions stand in a column; a line that would pass 100 columns is broken inside brackets, where it
has a place to break.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from attnc.errors import CompilerBug
from attnc.syntax.tree import (
    All,
    Attention,
    Axis,
    Binary,
    Call,
    Clause,
    Comments,
    Compare,
    Const,
    Expr,
    File,
    Grid,
    GridAxis,
    IfElse,
    Import,
    In,
    Index,
    Let,
    Logic,
    Macro,
    MacroParam,
    Name,
    Number,
    Param,
    Slice,
    Truth,
    Unary,
)

WIDTH = 100
INDENT = "    "
CLAUSE_COLUMN = len("normalize ")

# Loosest first. An operand that binds looser than its place asks for stands in parentheses.
IF, OR, AND, NOT, COMPARE, SUM, PRODUCT, SIGN, POWER, ATOM = range(10)
BINARY = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT}


# ---- a file ----------------------------------------------------------------------------------------


def print_file(file: File) -> str:
    """The whole text, with a newline at its end."""
    lines = list(file.leading)
    if file.doc:
        lines.append(f'"""{file.doc}"""')
    above: Import | Const | Macro | Attention | None = None
    for item in file.items:
        is_apart = isinstance(item, Attention) or isinstance(above, Attention) or above is None
        if lines and (is_apart or item.blank_above):
            lines.append("")
        lines += _item(item)
        above = item
    if file.trailing:
        lines += ["", *file.trailing] if lines else file.trailing
    return "".join(f"{line}\n" for line in lines)


def _item(item: Import | Const | Macro | Attention) -> list[str]:
    match item:
        case Import(module=module, names=names):
            line = f"from {module.id} import {', '.join(name.id for name in names)}"
            lines = [line]
            if len(line) > WIDTH:
                lines = [f"from {module.id} import (", *_one_a_line(name.id for name in names), ")"]
            return _with_comments(lines, item.comments)
        case Const(name=name, value=value):
            return _with_comments(_named_by(f"const {name.id} = ", value), item.comments)
        case Macro():
            return _macro(item)
        case Attention():
            return _attention(item)
        case _:
            raise CompilerBug(f"the printer met {item!r} among the items of a file")


def _macro(macro: Macro) -> list[str]:
    head = f"def {macro.name.id}"
    lines: list[str] = []
    if macro.params is not None:
        params = [_macro_param(param) for param in macro.params]
        if len(one := f"{head}({', '.join(params)})") <= WIDTH:
            head = one
        else:
            lines, head = [f"{head}(", *_one_a_line(params)], ")"
    lines = _with_comments(lines + _named_by(f"{head} = ", macro.body), macro.comments)
    return lines + ([f'{INDENT}"""{macro.doc}"""'] if macro.doc else [])


def _macro_param(param: MacroParam) -> str:
    return param.name.id if param.default is None else f"{param.name.id} = {print_expr(param.default)}"


def _attention(attention: Attention) -> list[str]:
    params = [_param(param) for param in attention.params]
    head = [f"attention {attention.name.id}({', '.join(params)}):"]
    if len(head[0]) > WIDTH or any(param.comments != Comments() for param in attention.params):
        head = [f"attention {attention.name.id}("]
        for param, text in zip(attention.params, params, strict=True):
            head += [f"{INDENT}{line}" for line in _with_comments([f"{text},"], param.comments)]
        head.append("):")
    body = [f'"""{attention.doc}"""'] if attention.doc else []
    for number, clause in enumerate(attention.clauses):
        if number and clause.blank_above:
            body.append("")
        body += _with_comments(_clause(clause), clause.comments)
    # A docstring is kept as it is, so only the line it starts on is indented.
    body += attention.trailing
    return _with_comments(head, attention.comments) + [f"{INDENT}{line}" if line else "" for line in body]


def _param(param: Param) -> str:
    words = ["const"] * param.const + ["sorted"] * param.sorted + [param.sort]
    sizes = "" if param.sizes is None else f"[{_listed(param.sizes)}]"
    default = "" if param.default is None else f" = {print_expr(param.default)}"
    return f"{param.name.id}: {' '.join(words)}{sizes}{default}"


def _clause(clause: Grid | Let | Clause) -> list[str]:
    match clause:
        case Grid(both=both, query=query, key=key):
            axes = _axes(both) if both else f"query({_axes(query)}) key({_axes(key)})"
            return [f"{'grid':{CLAUSE_COLUMN}}{axes}"]
        case Let(name=name, value=value):
            return _named_by(f"let {name.id} = ", value)
        case Clause(word=word, value=value):
            return _named_by(f"{word:{CLAUSE_COLUMN}}", value)
        case _:
            raise CompilerBug(f"the printer met {clause!r} among the clauses of an attention")


def _axes(axes: Sequence[GridAxis]) -> str:
    return ", ".join(f"{axis.name.id}: {print_expr(axis.extent)}" for axis in axes)


def _one_a_line(items: Iterable[str]) -> list[str]:
    return [f"{INDENT}{item}," for item in items]


def _named_by(head: str, value: Expr) -> list[str]:
    """A head and its expression; a long expression is broken at its loosest operators."""
    text = print_expr(value)
    pieces = _pieces(value)
    if len(INDENT + head + text) <= WIDTH or len(pieces) == 1:
        return [head + text]
    column = " " * (len(head) + 1)
    lines = [f"{head}({pieces[0]}", *(f"{column}{piece}" for piece in pieces[1:])]
    lines[-1] += ")"
    return lines


def _with_comments(lines: list[str], comments: Comments) -> list[str]:
    beside = f"  {comments.beside}" if comments.beside else ""
    return [*comments.above, *lines[:-1], lines[-1] + beside]


# ---- expressions -----------------------------------------------------------------------------------


def print_expr(expr: Expr) -> str:
    """An expression on one line, with parentheses only where they are needed."""
    return _text(expr, IF)


def _text(expr: Expr, place: int) -> str:
    text, level = _shape(expr)
    return f"({text})" if level < place else text


def _listed(items: Sequence[Expr]) -> str:
    return ", ".join(print_expr(item) for item in items)


def _shape(expr: Expr) -> tuple[str, int]:
    """The text of an expression, and how tightly it binds."""
    match expr:
        case Name(id=name):
            return name, ATOM
        case Number():
            return _number(expr), ATOM
        case Truth(value=value):
            return str(value).lower(), ATOM
        case All():
            return ":", ATOM
        case Slice(first=first, end=end):
            return f"{print_expr(first)} : {print_expr(end)}", ATOM
        case Index(base=base, items=items):
            return f"{base.id}[{_listed(items)}]", ATOM
        case Axis(base=base, axis=axis):
            return f"{base.id}.{axis.id}", ATOM
        case Call(fn=fn, args=args, kwargs=kwargs):
            named = [f"{name.id}={print_expr(value)}" for name, value in kwargs]
            return f"{fn.id}({', '.join([*(print_expr(arg) for arg in args), *named])})", ATOM
        case Binary(op="**", a=a, b=b):
            return f"{_text(a, ATOM)} ** {_text(b, SIGN)}", POWER
        case Unary(op="-", a=a):
            return f"-{_text(a, SIGN)}", SIGN
        case Unary(op="not", a=a):
            return f"not {_text(a, NOT)}", NOT
        case Binary() | Compare() | In() | Logic() | IfElse():
            return " ".join(_pieces(expr)), _level(expr)
        case _:
            raise CompilerBug(f"the printer met {expr!r} in an expression")


def _level(expr: Binary | Compare | In | Logic | IfElse) -> int:
    match expr:
        case Binary(op=op):
            return BINARY[op]
        case Logic(op=op):
            return AND if op == "and" else OR
        case IfElse():
            return IF
        case _:
            return COMPARE


def _pieces(expr: Expr) -> list[str]:
    """An expression cut before each of its loosest operators."""
    match expr:
        case Binary(op="+" | "-" | "*" | "/" | "//" | "%" as op, a=a, b=b):
            level = BINARY[op]
            is_chain = isinstance(a, Binary) and BINARY.get(a.op) == level
            left = _pieces(a) if is_chain else [_text(a, level)]
            return [*left, f"{op} {_text(b, level + 1)}"]
        case Compare(ops=ops, operands=(first, *others)):
            rest = [f"{op} {_text(operand, SUM)}" for op, operand in zip(ops, others, strict=True)]
            return [_text(first, SUM), *rest]
        case In(item=item, table=table, negated=negated):
            return [_text(item, SUM), f"{'not in' if negated else 'in'} {_text(table, SUM)}"]
        case Logic(op=op, items=(first, *others)):
            place = _level(expr) + 1
            return [_text(first, place), *(f"{op} {_text(item, place)}" for item in others)]
        case IfElse(then=then, cond=cond, other=other):
            return [_text(then, OR), f"if {_text(cond, OR)}", f"else {_text(other, IF)}"]
        case _:
            return [print_expr(expr)]


def _number(number: Number) -> str:
    if number.text:
        return number.text
    if number.value < 0 or not math.isfinite(number.value):
        raise CompilerBug(f"the language has no number {number.value}")
    return repr(number.value)
