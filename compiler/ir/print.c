/* ir/print.c: expressions, equations and modules as source.
 *
 * in:   any of them      out: text of the language; a module becomes a flat model that gives the
 * same module again
 *
 * Ranges are written where nothing else says them, the batch where it is not implied. The
 * arguments of sums and products are sorted by their text, because ids, which order them
 * inside, depend on what was made before. Reals that look like whole numbers say that they are
 * none where that matters (`0.0`, `1.0 * i`). What the flat form has beyond the language as it is
 * usually written: names with dots, an equation for a state (its value after the step), draws
 * with their site and counter. The new value of a param is a comment: only an optimizer may say it.
 */
#include "ir/passes.h"

#include <math.h>

enum { MAX_NODES = 100000, MAX_WHOLE = 5000, MIN_PART = 100 };

/* How tightly the outermost operator binds. */
typedef enum Level {
    LEVEL_IF,
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARISON,
    LEVEL_SUM,
    LEVEL_PRODUCT, /* may end in a reduction */
    LEVEL_CHAIN,
    LEVEL_UNARY,
    LEVEL_POWER,
    LEVEL_POSTFIX,
} Level;

typedef struct Piece {
    const char *text;
    Level level;
} Piece;

typedef struct Scope {
    const Index *index;
    const char *name;
} Scope;

typedef struct Printer {
    Arena *arena;
    const Module *m;     /* NULL: an expression or equation alone */
    Map sized;           /* tensors whose dimensions are known from above */
    Map read;            /* leaves that something reads */
    bool loss_is_output; /* beside others: the loss alone is said by `loss` */
    Map given_out;       /* tensors that an output depends on */
    Vec(Scope) scope;
    Map parts;      /* const Expr* → Part*: printed as equations of their own */
    uint32_t nodes; /* what is left of MAX_NODES */
    bool sizes;     /* inside a subscript, where `/` rounds down */
} Printer;

/* A shared subexpression that would be written too often. */
typedef struct Part {
    const char *name;
    Indices free;
} Part;

static Piece print(Printer *p, const Expr *e);

/* ---- names ---- */

static bool is_reserved(const char *name) {
    static const char *const words[] = {
        "import", "fn",    "layer", "optimizer", "metric", "init",  "model",  "data",
        "train",  "on",    "input", "target",    "param",  "state", "output", "loss",
        "repeat", "if",    "then",  "else",      "and",    "or",    "not",    "true",
        "false",  "sum",   "mean",  "max",       "min",    "prod",  "argmax", "argmin",
        "step",   "batch", "pi",    "inf",       "size"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i]) == 0) return true;
    return false;
}

static const char *tensor_name(Printer *p, const Tensor *tensor) {
    const char *name = tensor->name;
    return is_reserved(name) ? arena_printf(p->arena, "%s_", name) : name;
}

static bool name_is_taken(const Printer *p, const char *name) {
    for (uint32_t i = 0; i < p->scope.len; i++)
        if (strcmp(p->scope.at[i].name, name) == 0) return true;
    for (uint32_t i = 0; p->m && i < p->m->tensors.len; i++)
        if (strcmp(p->m->tensors.at[i]->name, name) == 0) return true;
    return false;
}

static bool is_plain_name(const char *name) {
    bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return letter && name[n] == 0;
}

static const char *fresh_name(Printer *p, const Index *index) {
    if (index->extent == EXTENT_BATCH && !name_is_taken(p, "batch")) return "batch";
    bool usable = is_plain_name(index->name) && !is_reserved(index->name);
    const char *base = usable ? index->name : index->extent == EXTENT_BATCH ? "b" : "i";
    const char *name = base;
    for (int number = 2; name_is_taken(p, name); number++)
        name = arena_printf(p->arena, "%s%d", base, number);
    return name;
}

static void enter(Printer *p, Index *const *indices, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        Scope scope = {indices[i], fresh_name(p, indices[i])};
        vec_push(p->arena, &p->scope, scope);
    }
}

static void leave(Printer *p, uint32_t n) {
    p->scope.len -= n;
}

static const char *index_name(const Printer *p, const Index *index) {
    for (uint32_t i = p->scope.len; i-- > 0;)
        if (p->scope.at[i].index == index) return p->scope.at[i].name;
    return index->name;
}

/* Is it the batch that a read without a subscript for it means here? */
static bool is_implied_batch(const Printer *p, const Index *index) {
    if (index->extent != EXTENT_BATCH) return false;
    for (uint32_t i = p->scope.len; i-- > 0;)
        if (p->scope.at[i].index->extent == EXTENT_BATCH) return p->scope.at[i].index == index;
    return true;
}

/* ---- ranges ---- */

typedef struct Evidence {
    const Printer *p;
    const Index *index;
    Map seen;
    bool says, contradicts;
} Evidence;

static void look_for_range(void *data, const Expr *e) {
    Evidence *evidence = data;
    if (map_has(&evidence->seen, e)) return;
    map_set(evidence->p->arena, &evidence->seen, e, (void *)e);
    ir_each_child(e, look_for_range, data);
    if (e->kind != EX_READ) return;
    const Tensor *tensor = e->read.tensor;
    bool sized = !evidence->p->m || map_has(&evidence->p->sized, tensor);
    for (uint32_t d = 0; d < tensor->rank; d++) {
        const Expr *atom = ir_unwrap(e->read.subs[d]);
        if (atom->kind != EX_INDEX || atom->index != evidence->index) continue;
        if (tensor->dims[d] != evidence->index->extent) evidence->contradicts = true;
        if (sized) evidence->says = true;
    }
}

/* `i`, or `i < 10` where no read in the body says so. */
static const char *binder(Printer *p, const Index *index, const Expr *body) {
    const char *name = index_name(p, index);
    if (index->extent == EXTENT_BATCH) return name;
    Evidence evidence = {.p = p, .index = index};
    look_for_range(&evidence, body);
    if (evidence.says && !evidence.contradicts) return name;
    return arena_printf(p->arena, "%s < %lld", name, (long long)index->extent);
}

/* ---- pieces ---- */

static const char *at_least(Printer *p, Piece piece, Level level) {
    return piece.level >= level ? piece.text : arena_printf(p->arena, "(%s)", piece.text);
}

static Piece make(Text *text, Level level) {
    return (Piece){text_string(text), level};
}

static Piece infix(Printer *p, Piece a, const char *op, Piece b, Level level) {
    Level left = level, right = level + 1;
    if (level == LEVEL_CHAIN) right = LEVEL_UNARY;
    if (level == LEVEL_COMPARISON) left = right = LEVEL_SUM;
    if (level == LEVEL_POWER) left = LEVEL_POSTFIX, right = LEVEL_POWER;
    bool tight = level == LEVEL_POWER || (level == LEVEL_CHAIN && p->sizes);
    return (Piece){arena_printf(p->arena, tight ? "%s%s%s" : "%s %s %s", at_least(p, a, left), op,
                                at_least(p, b, right)),
                   level};
}

static Piece print_number(Printer *p, double number) {
    Text text = text_new(p->arena);
    if (isnan(number)) return (Piece){"inf - inf", LEVEL_SUM};
    text_number(&text, number);
    return make(&text, number < 0 ? LEVEL_UNARY : LEVEL_POSTFIX);
}

/* ---- whole numbers ---- */

/* One term without its sign. */
static const char *term_text(Printer *p, const Term *term) {
    int64_t c = term->coefficient;
    uint64_t size = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    const char *atom =
        at_least(p, print(p, term->atom), size != 1 || c < 0 ? LEVEL_UNARY : LEVEL_CHAIN);
    if (size == 1) return atom;
    return arena_printf(p->arena, "%llu*%s", (unsigned long long)size, atom);
}

static void insert_sorted(const char **list, uint32_t n, const char *text) {
    for (; n > 0 && strcmp(text, list[n - 1]) < 0; n--) list[n] = list[n - 1];
    list[n] = text;
}

/* What is added stands before what is taken away, numbers last, the others sorted by their text. */
static Piece print_affine(Printer *p, const Expr *e) {
    uint32_t n = e->affine.nterms, nsigned[2] = {0};
    int64_t offset = e->affine.offset;
    if (n == 1 && offset == 0 && e->affine.terms[0].coefficient == 1)
        return print(p, e->affine.terms[0].atom);
    const char **texts[2];
    for (int s = 0; s < 2; s++) texts[s] = ARENA_ARRAY(p->arena, const char *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        int s = e->affine.terms[i].coefficient < 0;
        insert_sorted(texts[s], nsigned[s]++, term_text(p, &e->affine.terms[i]));
    }
    uint64_t size = offset < 0 ? 0 - (uint64_t)offset : (uint64_t)offset;
    if (offset || n == 0)
        texts[offset < 0][nsigned[offset < 0]++] =
            arena_printf(p->arena, "%llu", (unsigned long long)size);
    Text text = text_new(p->arena);
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < nsigned[s]; i++) {
            text_put(&text, text.len ? s ? " - " : " + " : s ? "-" : "");
            text_put(&text, texts[s][i]);
        }
    if (n == 0) return make(&text, offset < 0 ? LEVEL_UNARY : LEVEL_POSTFIX);
    if (n > 1 || offset) return make(&text, LEVEL_SUM);
    return make(&text, e->affine.terms[0].coefficient < 0 ? LEVEL_SUM : LEVEL_CHAIN);
}

static Piece print_quotient(Printer *p, const Expr *e) {
    Piece num = print(p, e->div.num);
    Piece den = {arena_printf(p->arena, "%lld", (long long)e->div.den), LEVEL_POSTFIX};
    if (e->kind == EX_MOD) return infix(p, num, "%", den, LEVEL_CHAIN);
    Piece quotient = infix(p, num, "/", den, LEVEL_CHAIN);
    if (p->sizes) return quotient;
    return (Piece){arena_printf(p->arena, "floor(%s)", quotient.text), LEVEL_POSTFIX};
}

/* ---- reads and reductions ---- */

static Piece print_read(Printer *p, const Expr *e) {
    const Tensor *tensor = e->read.tensor;
    Text text = text_new(p->arena);
    bool otherwise = e->read.otherwise != NULL;
    if (otherwise) text_put(&text, "(");
    text_put(&text, tensor_name(p, tensor));
    uint32_t first = 0;
    if (tensor->rank && tensor->dims[0] == EXTENT_BATCH) {
        const Expr *atom = ir_unwrap(e->read.subs[0]);
        first = atom->kind == EX_INDEX && is_implied_batch(p, atom->index);
    }
    bool sizes = p->sizes;
    p->sizes = true;
    for (uint32_t d = first; d < tensor->rank; d++)
        text_printf(&text, d == first ? "[%s" : ", %s", print(p, e->read.subs[d]).text);
    p->sizes = sizes;
    if (tensor->rank > first) text_put(&text, "]");
    if (otherwise) text_printf(&text, " else %s)", print(p, e->read.otherwise).text);
    return make(&text, LEVEL_POSTFIX);
}

static const char *reduce_word(ReduceOp op) {
    static const char *const words[] = {"sum", "max", "min", "prod", "argmax", "argmin"};
    return words[op];
}

static const char *binders(Printer *p, Index *const *over, uint32_t nover, const Expr *body) {
    Text text = text_new(p->arena);
    for (uint32_t i = 0; i < nover; i++)
        text_printf(&text, i ? ", %s" : "%s", binder(p, over[i], body));
    return text_string(&text);
}

static Piece print_reduce(Printer *p, const Expr *e) {
    Text text = text_new(p->arena);
    enter(p, e->reduce.over, e->reduce.nover);
    const char *body = at_least(p, print(p, e->reduce.body), LEVEL_PRODUCT);
    text_printf(&text, "%s[%s] %s", reduce_word(e->reduce.op),
                binders(p, e->reduce.over, e->reduce.nover, e->reduce.body), body);
    leave(p, e->reduce.nover);
    return make(&text, LEVEL_PRODUCT);
}

static Piece print_contract(Printer *p, const Expr *e) {
    uint32_t n = e->contract.nfactors;
    const char **factors = ARENA_ARRAY(p->arena, const char *, n);
    enter(p, e->contract.over, e->contract.nover);
    for (uint32_t i = 0; i < n; i++) {
        factors[i] = print(p, e->contract.factors[i]).text;
        for (uint32_t k = i; k > 0 && strcmp(factors[k], factors[k - 1]) < 0; k--) {
            const char *swap = factors[k];
            factors[k] = factors[k - 1];
            factors[k - 1] = swap;
        }
    }
    Text text = text_new(p->arena);
    text_printf(&text, "sum[%s]", binders(p, e->contract.over, e->contract.nover, e));
    for (uint32_t i = 0; i < n; i++) text_printf(&text, i ? " * %s" : " %s", factors[i]);
    leave(p, e->contract.nover);
    return make(&text, LEVEL_PRODUCT);
}

static Piece print_draw(Printer *p, const Expr *e) {
    const char *kind = e->draw.kind == DRAW_UNIFORM ? "uniform" : "normal";
    return (Piece){arena_printf(p->arena, "%s(site: %u, at: %s)", kind, e->draw.site,
                                print(p, e->draw.counter).text),
                   LEVEL_POSTFIX};
}

/* ---- operations ---- */

/* A real that is written like a whole number. */
static bool looks_whole(const Expr *e) {
    return e->kind == EX_REAL || (e->kind == EX_NUMBER && floor(e->number) == e->number);
}

/* The same so that it is read as a real. */
static Piece print_as_real(Printer *p, const Expr *e) {
    Piece piece = print(p, e);
    if (e->kind == EX_NUMBER && isfinite(e->number))
        return (Piece){arena_printf(p->arena, "%s.0", piece.text), piece.level};
    return infix(p, (Piece){"1.0", LEVEL_POSTFIX}, "*", piece, LEVEL_CHAIN);
}

/* Operations that take whole numbers as they are: where all arguments look whole and are not, the
 * last one says so. */
static Piece print_value(Printer *p, const Expr *e, uint32_t i) {
    const Expr *const *args = e->op.args;
    uint32_t n = e->op.nargs, first = e->op.op == OP_SELECT;
    bool whole = e->type == TY_REAL && i + 1 == n;
    bool keeps = e->op.op == OP_MAX || e->op.op == OP_MIN || e->op.op == OP_STOP || first;
    for (uint32_t k = first; whole && k < n; k++) whole = looks_whole(args[k]);
    return whole && keeps ? print_as_real(p, args[i]) : print(p, args[i]);
}

static Piece print_call(Printer *p, const Expr *e) {
    Text text = text_new(p->arena);
    text_printf(&text, "%s(", op_text(e->op.op));
    for (uint32_t i = 0; i < e->op.nargs; i++)
        text_printf(&text, i ? ", %s" : "%s", print_value(p, e, i).text);
    text_put(&text, ")");
    return make(&text, LEVEL_POSTFIX);
}

/* Numbers keep their place; they are canonical by themselves. */
static Piece print_commutative(Printer *p, const Expr *e, Level level) {
    const Expr *const *args = e->op.args;
    Piece a = print(p, args[0]), b = print(p, args[1]);
    bool numbers = args[0]->kind == EX_NUMBER || args[1]->kind == EX_NUMBER;
    if (!numbers && strcmp(b.text, a.text) < 0) return infix(p, b, op_text(e->op.op), a, level);
    return infix(p, a, op_text(e->op.op), b, level);
}

static Piece print_add(Printer *p, const Expr *e) {
    const Expr *b = e->op.args[1];
    if (b->kind == EX_NUMBER && b->number < 0)
        return infix(p, print(p, e->op.args[0]), "-", print_number(p, -b->number), LEVEL_SUM);
    return print_commutative(p, e, LEVEL_SUM);
}

static Piece print_select(Printer *p, const Expr *e) {
    Piece condition = print(p, e->op.args[0]);
    Piece a = print(p, e->op.args[1]), b = print_value(p, e, 2);
    return (Piece){arena_printf(p->arena, "if %s then %s else %s", condition.text, a.text, b.text),
                   LEVEL_IF};
}

static Piece print_op(Printer *p, const Expr *e) {
    const Expr *const *args = e->op.args;
    const char *word = op_text(e->op.op);
    switch (e->op.op) {
    case OP_ADD: return print_add(p, e);
    case OP_SUB: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_SUM);
    case OP_MUL: return print_commutative(p, e, LEVEL_CHAIN);
    case OP_DIV: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_CHAIN);
    case OP_NEG:
        return (Piece){arena_printf(p->arena, "-%s", at_least(p, print(p, args[0]), LEVEL_UNARY)),
                       LEVEL_UNARY};
    case OP_POW: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_POWER);
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_COMPARISON);
    case OP_AND: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_AND);
    case OP_OR: return infix(p, print(p, args[0]), word, print(p, args[1]), LEVEL_OR);
    case OP_NOT:
        return (Piece){arena_printf(p->arena, "not %s", at_least(p, print(p, args[0]), LEVEL_NOT)),
                       LEVEL_NOT};
    case OP_SELECT: return print_select(p, e);
    case OP_MAX:
    case OP_MIN:
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_SQRT:
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_LOGISTIC:
    case OP_LOG1PEXP:
    case OP_TANH:
    case OP_SIN:
    case OP_COS:
    case OP_ERF:
    case OP_STOP:
    case OPS: return print_call(p, e);
    }
    return print_call(p, e);
}

static Piece print_part(Printer *p, const Part *part) {
    Text text = text_new(p->arena);
    text_put(&text, part->name);
    uint32_t n = 0;
    for (uint32_t i = 0; i < part->free.len; i++) {
        if (is_implied_batch(p, part->free.at[i])) continue;
        text_printf(&text, n++ ? ", %s" : "[%s", index_name(p, part->free.at[i]));
    }
    if (n) text_put(&text, "]");
    return make(&text, LEVEL_POSTFIX);
}

static Piece print(Printer *p, const Expr *e) {
    const Part *part = map_get(&p->parts, e);
    if (part) return print_part(p, part);
    if (p->nodes == 0) return (Piece){"...", LEVEL_POSTFIX};
    p->nodes--;
    switch (e->kind) {
    case EX_NUMBER: return print_number(p, e->number);
    case EX_TRUTH: return (Piece){e->truth ? "true" : "false", LEVEL_POSTFIX};
    case EX_AFFINE: return print_affine(p, e);
    case EX_INDEX: return (Piece){index_name(p, e->index), LEVEL_POSTFIX};
    case EX_FLOORDIV:
    case EX_MOD: return print_quotient(p, e);
    case EX_REAL: return print(p, e->integer);
    case EX_OP: return print_op(p, e);
    case EX_READ: return print_read(p, e);
    case EX_REDUCE: return print_reduce(p, e);
    case EX_CONTRACT: return print_contract(p, e);
    case EX_DRAW: return print_draw(p, e);
    case EX_STEP: return (Piece){"step", LEVEL_POSTFIX};
    case EX_BATCH: return (Piece){"sum[batch] 1", LEVEL_PRODUCT};
    }
    return (Piece){"...", LEVEL_POSTFIX};
}

void ir_print_expr(Text *out, const Expr *e) {
    Printer p = {.arena = out->arena, .nodes = 500};
    text_put(out, print(&p, e).text);
}

/* ---- equations ---- */

static void put_left(Printer *p, Text *out, const Equation *equation) {
    const Tensor *result = equation->result;
    uint32_t first = result->rank && result->dims[0] == EXTENT_BATCH &&
                     ir_uses_index(equation->body, equation->free[0]);
    text_put(out, tensor_name(p, result));
    for (uint32_t d = first; d < result->rank; d++)
        text_printf(out, d == first ? "[%s" : ", %s", binder(p, equation->free[d], equation->body));
    if (result->rank > first) text_put(out, "]");
}

static void put_equation(Printer *p, Text *out, const Equation *equation) {
    p->nodes = MAX_NODES;
    enter(p, equation->free, equation->result->rank);
    put_left(p, out, equation);
    bool real = equation->body->kind == EX_REAL;
    Piece body = real ? print_as_real(p, equation->body) : print(p, equation->body);
    text_printf(out, " = %s", body.text);
    leave(p, equation->result->rank);
}

/* ---- parts of large equations ---- */

typedef struct Tally {
    Printer *p;
    Map numbers; /* const Expr* → its number + 1 in the arrays */
    Vec(const Expr *) all;
    Vec(uint64_t) sizes, uses;
    uint64_t below; /* of the children visited */
} Tally;

static void tally_child(void *data, const Expr *child) {
    Tally *t = data;
    uintptr_t number = (uintptr_t)map_get(&t->numbers, child);
    t->uses.at[number - 1]++;
    t->below += t->sizes.at[number - 1];
    if (t->below > UINT32_MAX) t->below = UINT32_MAX;
}

static void tally(void *data, const Expr *e) {
    Tally *t = data;
    t->below = 1;
    ir_each_child(e, tally_child, t);
    vec_push(t->p->arena, &t->all, e);
    vec_push(t->p->arena, &t->sizes, t->below);
    vec_push(t->p->arena, &t->uses, 0);
    map_set(t->p->arena, &t->numbers, e, (void *)(uintptr_t)t->all.len);
}

static bool can_be_part(Ctx *ctx, const Expr *e, Indices *free) {
    if (e->type != TY_REAL || e->kind != EX_OP || !ir_reads_inside(ctx, e)) return false;
    *free = ir_free_of(ctx, e);
    uint32_t batches = 0;
    for (uint32_t i = 0; i < free->len; i++) {
        if (free->at[i]->extent != EXTENT_BATCH) continue;
        Index *batch = free->at[i];
        free->at[i] = free->at[0];
        free->at[0] = batch;
        batches++;
    }
    return batches < 2;
}

static void put_part(Ctx *ctx, Printer *p, Text *out, const Equation *equation, const Expr *e,
                     Indices free) {
    Part *part = ARENA_NEW(ctx->arena, Part);
    part->name = arena_printf(ctx->arena, "%s.part%u", equation->result->name, p->parts.len + 1);
    part->free = free;
    int64_t *dims = ARENA_ARRAY(ctx->arena, int64_t, free.len + 1);
    for (uint32_t i = 0; i < free.len; i++) dims[i] = free.at[i]->extent;
    Tensor result = {.name = part->name, .rank = free.len, .dims = dims};
    text_put(out, "    ");
    put_equation(p, out, &(Equation){.result = &result, .free = free.at, .body = e});
    text_put(out, "\n");
    map_set(ctx->arena, &p->parts, e, part);
}

/* What is shared in a very large body is written once: as text it may be exponentially long. */
static void put_parts(Ctx *ctx, Printer *p, Text *out, const Equation *equation) {
    Tally t = {.p = p};
    p->parts = (Map){0};
    ir_visit(ctx, equation->body, tally, &t);
    if (t.sizes.at[t.all.len - 1] <= MAX_WHOLE) return;
    Tally again = {.p = p}; /* the sizes with the parts taken out */
    for (uint32_t i = 0; i < t.all.len; i++) {
        const Expr *e = t.all.at[i];
        Indices free;
        tally(&again, e);
        if (t.uses.at[i] < 2 || again.sizes.at[i] < MIN_PART || !can_be_part(ctx, e, &free))
            continue;
        put_part(ctx, p, out, equation, e, free);
        again.sizes.at[i] = 1;
    }
}

void ir_print_equation(Text *out, const Equation *equation) {
    Printer p = {.arena = out->arena};
    put_equation(&p, out, equation);
}

/* ---- modules ---- */

/* name[dims]: class(K), without the batch. */
static void put_declaration(Printer *p, Text *out, const Tensor *tensor) {
    uint32_t first = tensor->rank && tensor->dims[0] == EXTENT_BATCH;
    text_put(out, tensor_name(p, tensor));
    for (uint32_t d = first; d < tensor->rank; d++)
        text_printf(out, d == first ? "[%lld" : ", %lld", (long long)tensor->dims[d]);
    if (tensor->rank > first) text_put(out, "]");
    if (tensor->classes) text_printf(out, ": class(%lld)", (long long)tensor->classes);
}

/* A target that an output depends on is an input of the program as it stands: a derivative is given
 * to callers who know the targets. */
static const char *leaf_word(const Printer *p, const Tensor *tensor) {
    static const char *const words[] = {"input", "target", "param", "state"};
    if (tensor->kind == TENSOR_TARGET && map_has(&p->given_out, tensor)) return "input";
    return words[tensor->kind];
}

static void put_leaf(Printer *p, Text *out, const Tensor *tensor) {
    if (tensor->kind == TENSOR_LOCAL) return;
    if (tensor->kind == TENSOR_STATE && !map_has(&p->read, tensor)) return;
    text_printf(out, "    %s ", leaf_word(p, tensor));
    put_declaration(p, out, tensor);
    if (tensor->kind == TENSOR_PARAM) {
        text_printf(out, " ~ %s", tensor->init ? tensor->init : "zeros");
        if (!tensor->decays) text_put(out, ", decay: false");
    }
    if (tensor->kind == TENSOR_STATE) text_printf(out, " = %s", tensor->init ? tensor->init : "0");
    text_put(out, "\n");
    map_set(p->arena, &p->sized, tensor, (void *)tensor);
}

/* The whole of `value` under another name. */
static void put_copy(Printer *p, Text *out, const char *target, const Tensor *value) {
    text_printf(out, "%s = %s\n", target, tensor_name(p, value));
}

/* The root that the tensor itself is: one of its name. */
static bool is_root(const Printer *p, const Tensor *tensor) {
    const Module *m = p->m;
    for (uint32_t i = 0; i < m->roots.len; i++)
        if (m->roots.at[i].tensor == tensor && m->roots.at[i].name == tensor->name)
            return tensor != p->m->loss || p->loss_is_output;
    return false;
}

/* ---- what is read ---- */

typedef struct Reading {
    Arena *arena;
    Map *found;
    Vec(const Tensor *) todo;
} Reading;

static void note_read(void *data, const Expr *e) {
    Reading *r = data;
    if (e->kind != EX_READ || map_has(r->found, e->read.tensor)) return;
    map_set(r->arena, r->found, e->read.tensor, e->read.tensor);
    vec_push(r->arena, &r->todo, (const Tensor *)e->read.tensor);
}

/* Everything that the tensors in r->todo are computed from. */
static void read_all(Ctx *ctx, const Module *m, Reading *r) {
    while (r->todo.len) {
        const Equation *equation = ir_definition(m, r->todo.at[--r->todo.len]);
        if (equation) ir_visit(ctx, equation->body, note_read, r);
    }
}

static void find_reads(Ctx *ctx, Printer *p) {
    const Module *m = p->m;
    for (uint32_t i = 0; i < m->roots.len; i++)
        p->loss_is_output |= m->roots.at[i].tensor != m->loss;
    Reading outputs = {.arena = ctx->arena, .found = &p->given_out};
    Reading all = {.arena = ctx->arena, .found = &p->read};
    for (uint32_t i = 0; i < m->roots.len; i++) {
        const Tensor *tensor = m->roots.at[i].tensor;
        if (tensor == m->loss && !p->loss_is_output) continue;
        map_set(ctx->arena, &p->given_out, tensor, (void *)tensor);
        vec_push(ctx->arena, &outputs.todo, tensor);
    }
    read_all(ctx, m, &outputs);
    for (uint32_t i = 0; i < m->equations.len; i++)
        ir_visit(ctx, m->equations.at[i]->body, note_read, &all);
    for (uint32_t i = 0; i < m->updates.len; i++)
        map_set(ctx->arena, &p->read, m->updates.at[i].target, m->updates.at[i].target);
}

static void put_ends(Printer *p, Text *out) {
    const Module *m = p->m;
    for (uint32_t i = 0; i < m->roots.len; i++) {
        const Root *root = &m->roots.at[i];
        if (root->name == root->tensor->name && ir_definition(m, root->tensor)) continue;
        if (root->tensor == m->loss && !p->loss_is_output) continue;
        text_put(out, "    output ");
        if (root->name == root->tensor->name)
            text_printf(out, "%s\n", tensor_name(p, root->tensor));
        else
            put_copy(p, out,
                     is_reserved(root->name) ? arena_printf(p->arena, "%s_", root->name)
                                             : root->name,
                     root->tensor);
    }
    for (uint32_t i = 0; i < m->derivatives.len; i++) {
        const Derivative *d = &m->derivatives.at[i];
        text_printf(out, "    %s = grad(%s, %s)\n", tensor_name(p, d->result),
                    tensor_name(p, d->of), tensor_name(p, d->by));
    }
    for (uint32_t i = 0; i < m->updates.len; i++) {
        const Update *update = &m->updates.at[i];
        text_put(out, update->target->kind == TENSOR_STATE ? "    " : "    # when the step ends: ");
        put_copy(p, out, tensor_name(p, update->target), update->value);
    }
    if (m->loss && !p->loss_is_output) text_printf(out, "    loss %s\n", tensor_name(p, m->loss));
}

void ir_print(Ctx *ctx, Text *out, const Module *m) {
    Printer p = {.arena = ctx->arena, .m = m};
    find_reads(ctx, &p);
    text_printf(out, "model %s {\n", m->name);
    for (uint32_t i = 0; i < m->tensors.len; i++) put_leaf(&p, out, m->tensors.at[i]);
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Equation *equation = m->equations.at[i];
        put_parts(ctx, &p, out, equation);
        text_put(out, is_root(&p, equation->result) ? "    output " : "    ");
        put_equation(&p, out, equation);
        text_put(out, "\n");
        map_set(ctx->arena, &p.sized, equation->result, equation->result);
    }
    put_ends(&p, out);
    text_put(out, "}\n");
}
